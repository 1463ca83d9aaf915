//go:build !kind

// place_again.go stands in for the place kind, which a plain build leaves out
// (see place_kind.go): it runs this same command again in a build that has it.

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
)

// again says that another process has done the work, and how it ended.
type again struct{ code int }

func (a again) Error() string { return "" }

func (a again) ExitCode() int { return a.code }

func openKind(ctx context.Context, _ plan, progress live.Progress) (place, error) {
	progress.Note("building the runner with the Kubernetes client; the first time this takes minutes")
	dir, err := os.MkdirTemp("", "psl-scenarios-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the runner: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is in the system's folder for such things
	runner := dir + "/scenarios"
	build := exec.CommandContext(ctx, "go", "build", "-tags", "kind", "-o", runner, "github.com/pod-startup-lock/pod-startup-lock/scenarios")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the runner (run this within the project's folder): %w\n%s", err, out)
	}
	run := exec.CommandContext(ctx, runner, os.Args[1:]...)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
	// It cleans up after an interrupt by itself, and is waited for.
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	if err := run.Run(); err != nil && run.ProcessState == nil {
		return nil, fmt.Errorf("run the runner: %w", err)
	}
	return nil, again{run.ProcessState.ExitCode()}
}
