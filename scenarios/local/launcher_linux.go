// launcher_linux.go starts children from one thread that is bound to the node's
// CPUs: they inherit the binding, and they die with the thread, and so with this
// program, however it ends.

package local

import (
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// launcher starts processes on the node's CPUs.
type launcher struct {
	cpus     []int
	cores    int
	note     string
	orders   chan order
	thread   sync.WaitGroup
	children sync.WaitGroup
}

type order struct {
	cmd    *exec.Cmd
	answer chan error
}

// newLauncher limits the node to a number of CPUs of those that this program may use.
func newLauncher(cores int) (*launcher, error) {
	l := &launcher{orders: make(chan order)}
	bound := make(chan error)
	l.thread.Go(func() {
		// Never unlocked: the thread ends with the goroutine, and no other
		// goroutine ever runs with its binding.
		runtime.LockOSThread()
		err := l.bind(cores)
		bound <- err
		if err != nil {
			return
		}
		for o := range l.orders {
			o.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			o.answer <- o.cmd.Start()
		}
	})
	if err := <-bound; err != nil {
		return nil, err
	}
	return l, nil
}

// bind binds the calling thread to the first CPUs of those allowed.
func (l *launcher) bind(cores int) error {
	var allowed, chosen unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("read which CPUs may be used: %w", err)
	}
	for cpu := 0; len(l.cpus) < cores && cpu < len(allowed)*64; cpu++ {
		if allowed.IsSet(cpu) {
			chosen.Set(cpu)
			l.cpus = append(l.cpus, cpu)
		}
	}
	if l.cores = len(l.cpus); l.cores < cores {
		l.note = fmt.Sprintf("the scenario wants a node of %d cores, this machine lends %d", cores, l.cores)
	}
	if err := unix.SchedSetaffinity(0, &chosen); err != nil {
		return fmt.Errorf("limit the node to CPUs %v: %w", l.cpus, err)
	}
	return nil
}

func (l *launcher) launch(cmd *exec.Cmd) error {
	o := order{cmd, make(chan error)}
	l.orders <- o
	return <-o.answer
}

// close waits for the children, then ends the thread.
func (l *launcher) close() {
	l.children.Wait()
	close(l.orders)
	l.thread.Wait()
}

// contend and rest do nothing here: the kernel shares out the bound CPUs.
func (l *launcher) contend(*process) {}

func (l *launcher) rest(*process) {}
