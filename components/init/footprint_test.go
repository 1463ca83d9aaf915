// What one waiting pod costs its node: dozens of these run at once, on a node
// that is short of everything.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	mostMemory = 10 << 10 // KiB resident while it waits
	mostBinary = 12 << 20 // bytes
)

func TestFootprint(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the binary")
	}
	binary := filepath.Join(t.TempDir(), "init")
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build init: %v\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > mostBinary {
		t.Errorf("the binary has %d bytes, want at most %d", info.Size(), mostBinary)
	}

	third := make(chan struct{})
	lock := newScript(place(7), after(100*time.Millisecond, place(6)), after(time.Minute, place(6)))
	lock.onAsk = func(asked) {
		if len(lock.requests()) == 3 {
			close(third)
		}
	}
	host, port := listen(t, lock)
	cmd := exec.Command(binary, "--host", host, "--port", port, "--check-timeout", "20")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-third
	memory, err := residentKiB(cmd.Process.Pid)
	if err != nil {
		t.Skipf("no way to tell its memory here: %v", err)
	}
	if memory > mostMemory {
		t.Errorf("%d KiB resident while waiting, want at most %d", memory, mostMemory)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	t.Logf("binary %d KiB, resident %d KiB, CPU from start to end %s", info.Size()>>10, memory, cpu)
}

func residentKiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("read VmRSS: %w", err)
	}
	return kib, nil
}

// An image with credentials or a metrics stack in it is not one to put into every pod.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("list dependencies: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, no := range []string{"k8s.io/", "github.com/prometheus/", "helm.sh/", "google.golang.org/"} {
			if strings.HasPrefix(dep, no) {
				t.Errorf("depends on %s", dep)
			}
		}
	}
}
