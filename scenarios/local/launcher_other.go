//go:build unix && !linux

// launcher_other.go is for systems that cannot bind processes to CPUs: there,
// starting applications take turns on as many CPUs as the node has.

package local

import (
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// launcher starts processes and lets them take turns.
type launcher struct {
	cpus     []int
	cores    int
	note     string
	turns    *turns
	children sync.WaitGroup
}

// newLauncher limits the node to a number of CPUs.
func newLauncher(node spec.Node, _ bool) (*launcher, error) {
	if node.Quota || node.Noise != nil {
		return nil, fmt.Errorf("node.quota and node.noise need Linux: %s has no cgroups and cannot bind processes to CPUs", runtime.GOOS)
	}
	l := &launcher{cores: min(node.Cores, runtime.NumCPU())}
	l.note = fmt.Sprintf("%s cannot bind processes to CPUs: starting applications take turns on %d of them", runtime.GOOS, l.cores)
	l.turns = newTurns(l.cores, func(pid int, run bool) {
		s := syscall.SIGSTOP
		if run {
			s = syscall.SIGCONT
		}
		_ = syscall.Kill(pid, s) // gone is as good as stopped
	})
	return l, nil
}

func (l *launcher) launch(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

func (l *launcher) close() error {
	l.children.Wait()
	l.turns.close()
	return nil
}

// used is nil: there is no cgroup to read.
func (l *launcher) used() func() (float64, error) { return nil }

// contend makes the application take turns with the others that start.
func (l *launcher) contend(p *process) { l.turns.add(p.cmd.Process.Pid) }

// rest lets the application run whenever it likes.
func (l *launcher) rest(p *process) { l.turns.remove(p.cmd.Process.Pid) }
