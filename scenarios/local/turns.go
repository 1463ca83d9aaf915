// turns.go lets processes take turns on a number of CPUs, for systems that
// cannot bind processes to CPUs.

package local

import (
	"slices"
	"sync"
	"time"
)

// turn is how long a process runs before the next one does: about what a
// kernel grants between processes of equal right, coarser because of the signals.
const turn = 20 * time.Millisecond

// turns lets at most a number of processes run at a time, all of them equally often.
type turns struct {
	cores int
	set   func(pid int, run bool)

	mu    sync.Mutex
	queue []int // those at the front run
	stop  chan struct{}
	done  sync.WaitGroup
}

// newTurns begins to give turns; set makes a process run or stand still.
func newTurns(cores int, set func(pid int, run bool)) *turns {
	t := &turns{cores: cores, set: set, stop: make(chan struct{})}
	t.done.Go(func() {
		tick := time.NewTicker(turn)
		defer tick.Stop()
		for {
			select {
			case <-t.stop:
				return
			case <-tick.C:
				t.next()
			}
		}
	})
	return t
}

// add makes a running process take turns.
func (t *turns) add(pid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, pid)
	if len(t.queue) > t.cores {
		t.set(pid, false)
	}
}

// remove lets a process run for good. One that takes no turns is left alone:
// its number may be somebody else's by now.
func (t *turns) remove(pid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queue, pid)
	if i < 0 {
		return
	}
	t.set(pid, true)
	t.queue = slices.Delete(t.queue, i, i+1)
	if i < t.cores && len(t.queue) >= t.cores {
		t.set(t.queue[t.cores-1], true)
	}
}

// next ends the turn of those that run.
func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) <= t.cores {
		return
	}
	before := slices.Clone(t.queue[:t.cores])
	t.queue = append(t.queue[t.cores:], before...)
	now := t.queue[:t.cores]
	for _, pid := range before {
		if !slices.Contains(now, pid) {
			t.set(pid, false)
		}
	}
	for _, pid := range now {
		if !slices.Contains(before, pid) {
			t.set(pid, true)
		}
	}
}

// close lets everybody run and ends the turns.
func (t *turns) close() {
	close(t.stop)
	t.done.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, pid := range t.queue {
		t.set(pid, true)
	}
	t.queue = nil
}
