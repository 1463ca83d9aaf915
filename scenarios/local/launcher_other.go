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
func newLauncher(cores int) (*launcher, error) {
	l := &launcher{cores: min(cores, runtime.NumCPU())}
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

func (l *launcher) close() {
	l.children.Wait()
	l.turns.close()
}

// contend makes the application take turns with the others that start.
func (l *launcher) contend(p *process) { l.turns.add(p.cmd.Process.Pid) }

// rest lets the application run whenever it likes.
func (l *launcher) rest(p *process) { l.turns.remove(p.cmd.Process.Pid) }
