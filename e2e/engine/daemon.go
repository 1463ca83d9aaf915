// This file runs a dockerd of our own, beside whatever engine the host has.

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// daemon is a private dockerd. Its data is in the cache folder; what lives while it runs is in a
// folder under /run with a short name, because a socket's path may not be long.
type daemon struct {
	data    string
	run     string
	socket  string
	pidfile string
	log     string
	runtime string // the OCI runtime that we build for it
}

func newDaemon(cacheDir string) *daemon {
	hash := sha256.Sum256([]byte(cacheDir))
	run := "/run/psl-" + hex.EncodeToString(hash[:3])
	return &daemon{
		data:    filepath.Join(cacheDir, "engine", "data"),
		run:     run,
		socket:  filepath.Join(run, "docker.sock"),
		pidfile: filepath.Join(run, "docker.pid"),
		log:     filepath.Join(cacheDir, "engine", "dockerd.log"),
		runtime: filepath.Join(cacheDir, "engine", "ociruntime"),
	}
}

func (d *daemon) host() string { return "unix://" + d.socket }

// start starts the daemon unless it answers already.
func (d *daemon) start(ctx context.Context) error {
	if d.answers(ctx) {
		return nil
	}
	if err := d.possible(); err != nil {
		return err
	}
	return progress.Step(ctx, "start a private dockerd", func() error {
		for _, dir := range []string{d.data, d.run, filepath.Dir(d.log)} {
			if err := os.MkdirAll(dir, 0o711); err != nil {
				return fmt.Errorf("make a folder for dockerd: %w", err)
			}
		}
		if err := mountCgroups(ctx, "/sys/fs/cgroup"); err != nil {
			return err
		}
		if err := d.buildRuntime(ctx); err != nil {
			return err
		}
		if err := d.launch(ctx); err != nil {
			return fmt.Errorf("start dockerd (its log is %s): %w", d.log, err)
		}
		return nil
	})
}

// possible names everything that is missing at once.
func (d *daemon) possible() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("needs Linux, this is %s", runtime.GOOS)
	}
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "to be root")
	}
	for _, tool := range []string{"dockerd", "containerd", "runc", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if missing != nil {
		return fmt.Errorf("needs %s (on Debian as root: apt-get install docker.io iptables)", strings.Join(missing, ", "))
	}
	return nil
}

// buildRuntime compiles the runtime that asks for no capability that this host lacks.
func (d *daemon) buildRuntime(ctx context.Context) error {
	program, err := images.Compile(ctx, images.Component{Name: "ociruntime", Package: "./e2e/engine/ociruntime"}, images.Linux(runtime.GOARCH))
	if err != nil {
		return fmt.Errorf("build the container runtime: %w", err)
	}
	// A running container may hold the old one open: write beside it, then take its place.
	partial := d.runtime + ".partial"
	if err := os.WriteFile(partial, program, 0o755); err != nil {
		return fmt.Errorf("write the container runtime: %w", err)
	}
	if err := os.Rename(partial, d.runtime); err != nil {
		return fmt.Errorf("put the container runtime in its place: %w", err)
	}
	return nil
}

// launch starts dockerd as a process that outlives this one, and waits until it answers.
func (d *daemon) launch(ctx context.Context) error {
	log, err := os.Create(d.log)
	if err != nil {
		return fmt.Errorf("create its log: %w", err)
	}
	defer log.Close()
	if err := d.forget(); err != nil {
		return err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "dockerd", // it outlives this program
		"--host", d.host(),
		"--data-root", d.data,
		"--exec-root", filepath.Join(d.run, "exec"),
		"--pidfile", d.pidfile,
		// Networks of their own, apart from those of an engine of the host.
		"--bip", "172.29.0.1/16",
		"--default-address-pool", "base=172.28.0.0/16,size=24",
		"--add-runtime", "psl="+d.runtime,
		"--default-runtime", "psl",
	)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !d.answers(ctx) {
		select {
		case err := <-exited:
			return fmt.Errorf("it ended (%w); its last words:\n%s", err, d.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("it does not answer (%w); its last words:\n%s", ctx.Err(), d.lastWords())
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

func (d *daemon) answers(ctx context.Context) bool {
	if _, err := os.Stat(d.socket); err != nil {
		return false
	}
	e := &Engine{Host: d.host()}
	_, err := e.arch(ctx)
	return err == nil
}

// stop asks the daemon to end, which stops its containers, and waits until it has.
func (d *daemon) stop(ctx context.Context) error {
	process, err := d.process()
	if err != nil || process == nil {
		return err
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("ask dockerd to end: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for d.alive(process) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for dockerd (process %d) to end: %w", process.Pid, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// process answers the running daemon, or nil.
func (d *daemon) process() (*os.Process, error) {
	text, err := os.ReadFile(d.pidfile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read dockerd's pid: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read dockerd's pid from %s: %w", d.pidfile, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("find dockerd's process %d: %w", pid, err)
	}
	if !d.alive(process) {
		return nil, nil
	}
	return process, nil
}

// alive says whether the process is there and is this daemon: after a crash another process may have its number.
func (d *daemon) alive(process *os.Process) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.Pid))
	return err == nil && strings.Contains(string(line), d.pidfile)
}

// forget removes what a daemon that crashed has left: with its pidfile there, dockerd may refuse to start.
func (d *daemon) forget() error {
	process, err := d.process()
	if err != nil {
		return err
	}
	if process != nil {
		return fmt.Errorf("process %d is a dockerd of ours that does not answer; end it", process.Pid)
	}
	for _, file := range []string{d.pidfile, d.socket} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove what an earlier dockerd left: %w", err)
		}
	}
	return nil
}

func (d *daemon) lastWords() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
