// This file makes the root file system of a node: a small Debian with what a node needs of it.

package nodeimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// packages are what the services of a node and kind itself call.
func packages() []string {
	return []string{
		"systemd", "systemd-sysv", "dbus", "conntrack", "iptables", "nftables", "ebtables", "iproute2", "ethtool", "socat",
		"mount", "kmod", "libseccomp2", "pigz", "e2fsprogs", "ca-certificates", "curl", "jq", "procps", "hostname", "runc",
	}
}

// unwanted are units that have no place in a container, and what a node never reads.
func unwanted() []string {
	return []string{
		"usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
		"usr/lib/systemd/system/multi-user.target.wants/*",
		"usr/lib/systemd/system/local-fs.target.wants/*",
		"usr/lib/systemd/system/sockets.target.wants/*udev*",
		"usr/lib/systemd/system/sockets.target.wants/*initctl*",
		"usr/lib/systemd/system/basic.target.wants/*",
		"etc/systemd/system/*.wants/*",
		"var/cache/apt/*", "var/cache/debconf/*", "var/lib/apt/lists/*", "var/log/*", "tmp/*",
		"usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*",
		"dev/*", "proc/*", "sys/*",
	}
}

// rootfs answers the folder of the root file system, made once for a list of packages.
func (b builder) rootfs(ctx context.Context) (string, error) {
	hash := sha256.Sum256([]byte(strings.Join(append(append(packages(), unwanted()...), debianRelease), " ")))
	dir := filepath.Join(b.cache, "rootfs-"+debianRelease+"-"+hex.EncodeToString(hash[:5]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("remove what an interrupted build left: %w", err)
	}
	err := progress.Step(ctx, "make the root file system with debootstrap", func() error {
		args := []string{"--variant=minbase", "--include=" + strings.Join(packages(), ","), debianRelease, partial}
		if mirror := os.Getenv("E2E_DEBIAN_MIRROR"); mirror != "" { // debootstrap has a default of its own
			args = append(args, mirror)
		}
		cmd := exec.CommandContext(ctx, "debootstrap", args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("debootstrap (E2E_DEBIAN_MIRROR names another mirror): %w\n%s", err, tail(out.String()))
		}
		return clean(partial)
	})
	if err != nil {
		return "", fmt.Errorf("make the root file system: %w", err)
	}
	if err := os.Rename(partial, dir); err != nil {
		return "", fmt.Errorf("keep the root file system: %w", err)
	}
	return dir, nil
}

func clean(root string) error {
	for _, pattern := range unwanted() {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return fmt.Errorf("find %s: %w", pattern, err)
		}
		for _, match := range matches {
			if err := os.RemoveAll(match); err != nil {
				return fmt.Errorf("remove what a node does not want: %w", err)
			}
		}
	}
	return nil
}

// pack writes the root file system as one tar file, whose owners are numbers.
func (b builder) pack(ctx context.Context, root string) (string, error) {
	file := filepath.Join(b.work, "rootfs.tar")
	out, err := exec.CommandContext(ctx, "tar", "--numeric-owner", "--sort=name", "-C", root, "-cf", file, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pack the root file system: %w: %s", err, tail(string(out)))
	}
	return file, nil
}

// missingTools names everything that a build needs and this machine lacks, at once.
func missingTools() error {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "to be root (debootstrap makes files of many owners)")
	}
	for _, tool := range []string{"debootstrap", "tar", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if missing != nil {
		return fmt.Errorf("needs %s (on Debian as root: apt-get install debootstrap tar golang)", strings.Join(missing, ", "))
	}
	return nil
}
