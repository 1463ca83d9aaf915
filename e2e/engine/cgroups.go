// This file mounts the control groups that containers need, where the host has none.

package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// controllers are what dockerd and the kubelet use of cgroup v1.
func controllers() []string {
	return []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"}
}

// mountCgroups leaves cgroup v2 and whatever is mounted as it is, and mounts the missing cgroup v1
// hierarchies: a minimal init may have mounted none, and only dockerd's own start script does.
func mountCgroups(ctx context.Context, root string) error {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return nil
	}
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("read the mounts: %w", err)
	}
	known, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return fmt.Errorf("read the kernel's controllers: %w", err)
	}
	if !mounted(string(table), root) {
		if err := mount(ctx, "tmpfs", "nosuid,nodev,noexec,mode=755", root); err != nil {
			return err
		}
	}
	for _, missing := range missingControllers(string(table), string(known)) {
		dir := filepath.Join(root, missing.dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a folder for control groups: %w", err)
		}
		if err := mount(ctx, "cgroup", missing.options, dir); err != nil {
			return err
		}
	}
	return nil
}

// mount runs the mount command, so that this file compiles everywhere.
func mount(ctx context.Context, kind, options, dir string) error {
	out, err := exec.CommandContext(ctx, "mount", "-t", kind, "-o", options, kind, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount a %s (%s) at %s: %w: %s", kind, options, dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// hierarchy is a cgroup v1 mount.
type hierarchy struct{ dir, options string }

// missingControllers compares the mount table with what the kernel has (/proc/cgroups) and what is
// needed; systemd in the nodes needs its named hierarchy as well.
func missingControllers(table, known string) []hierarchy {
	have := map[string]bool{}
	for line := range strings.Lines(table) {
		if field := strings.Fields(line); len(field) > 3 && field[2] == "cgroup" {
			for option := range strings.SplitSeq(field[3], ",") {
				have[option] = true
			}
		}
	}
	var missing []hierarchy
	for line := range strings.Lines(known) {
		field := strings.Fields(line)
		if len(field) < 4 || field[3] != "1" || !slices.Contains(controllers(), field[0]) || have[field[0]] {
			continue
		}
		missing = append(missing, hierarchy{field[0], field[0]})
	}
	if !have["name=systemd"] {
		missing = append(missing, hierarchy{"systemd", "none,name=systemd"})
	}
	return missing
}

func mounted(table, dir string) bool {
	for line := range strings.Lines(table) {
		if field := strings.Fields(line); len(field) > 1 && field[1] == dir {
			return true
		}
	}
	return false
}
