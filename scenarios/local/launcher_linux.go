// launcher_linux.go starts children from one thread that is bound to the node's
// CPUs, or is in its cgroup: they inherit that, and they die with the thread, and
// so with this program, however it ends.

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// launcher starts processes on the node's CPUs.
type launcher struct {
	cpus     []int // that the node is bound to; none is all
	cores    int
	note     string
	group    *cgroup // holds the node to a quota; nil is none
	left     error   // from leaving the group; set before the thread ends
	orders   chan order
	thread   sync.WaitGroup
	children sync.WaitGroup
}

type order struct {
	cmd    *exec.Cmd
	answer chan error
}

// newLauncher limits the node to a number of CPUs of those that this program may
// use. Auto tells that some lock on it will follow the node.
func newLauncher(node spec.Node, auto bool) (*launcher, error) {
	l := &launcher{orders: make(chan order)}
	bound := make(chan error)
	l.thread.Go(func() {
		// Never unlocked: the thread ends with the goroutine, and no other
		// goroutine ever runs with its binding.
		runtime.LockOSThread()
		err := l.limit(node, auto)
		bound <- err
		if err != nil {
			return
		}
		for o := range l.orders {
			o.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			if l.group != nil {
				l.group.attributes(o.cmd.SysProcAttr)
			}
			o.answer <- o.cmd.Start()
		}
		if l.group != nil { // the program's first thread would stay, should this be it
			l.left = l.group.leave()
		}
	})
	if err := <-bound; err != nil {
		return nil, err
	}
	return l, nil
}

// limit limits the calling thread to the node.
func (l *launcher) limit(node spec.Node, auto bool) error {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("read which CPUs may be used: %w", err)
	}
	if l.cores = min(node.Cores, allowed.Count()); l.cores < node.Cores {
		l.note = fmt.Sprintf("the scenario wants a node of %d cores, this machine lends %d", node.Cores, l.cores)
	}
	if node.Quota {
		return l.hold()
	}
	if auto && l.cores < allowed.Count() {
		// Cores and their use are those that the lock is bound to, as all of the node is.
		l.note = fmt.Sprintf("a lock that follows this node knows the pressure on all %d cores of the machine only, and no number of tasks", allowed.Count())
	}
	return l.bind(&allowed)
}

// hold puts the calling thread under a CPU quota.
func (l *launcher) hold() error {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil {
		l.group, err = newCgroup(parseTrees(string(mountinfo)), l.cores)
	}
	if err == nil {
		if err = l.group.join(); err != nil {
			err = errors.Join(err, l.group.leave(), l.group.close())
			l.group = nil
		}
	}
	if err != nil {
		return fmt.Errorf("hold the node to a CPU quota, which needs root and a writable cgroup tree: %w", err)
	}
	return nil
}

// bind binds the calling thread to the first CPUs of those allowed.
func (l *launcher) bind(allowed *unix.CPUSet) error {
	var chosen unix.CPUSet
	for cpu := 0; len(l.cpus) < l.cores && cpu < len(allowed)*64; cpu++ {
		if allowed.IsSet(cpu) {
			chosen.Set(cpu)
			l.cpus = append(l.cpus, cpu)
		}
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

// close waits for the children, then ends the thread and removes the cgroup.
func (l *launcher) close() error {
	l.children.Wait()
	close(l.orders)
	l.thread.Wait()
	if l.group == nil {
		return nil
	}
	return errors.Join(l.left, l.group.close())
}

// used is the CPU-seconds of a node that has a quota and no CPUs of its own;
// nil is for one that has.
func (l *launcher) used() func() (float64, error) {
	if l.group == nil {
		return nil
	}
	return l.group.used
}

// contend and rest do nothing here: the kernel shares out the bound CPUs.
func (l *launcher) contend(*process) {}

func (l *launcher) rest(*process) {}
