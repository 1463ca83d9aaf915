package local

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// switches keeps which processes run, and for how long each has run.
type switches struct {
	mu    sync.Mutex
	since map[int]time.Time
	ran   map[int]time.Duration
}

func newSwitches(pids ...int) *switches {
	s := &switches{since: map[int]time.Time{}, ran: map[int]time.Duration{}}
	for _, pid := range pids {
		s.since[pid] = time.Now()
	}
	return s
}

func (s *switches) set(pid int, run bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if since, running := s.since[pid]; running {
		s.ran[pid] += time.Since(since)
		delete(s.since, pid)
	}
	if run {
		s.since[pid] = time.Now()
	}
}

func (s *switches) running() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pids []int
	for pid := range s.since {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

func TestTurnsAreFairAndBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ cores, pids int }{
		"many on two": {2, 24}, "three on two": {2, 3}, "five on one": {1, 5}, "as many as cores": {4, 4}, "fewer": {4, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var pids []int
				for pid := range test.pids {
					pids = append(pids, pid+100)
				}
				s := newSwitches(pids...)
				turns := newTurns(test.cores, s.set)
				for _, pid := range pids {
					turns.add(pid)
				}
				end := time.Now().Add(120 * turn * 10)
				time.Sleep(turn / 4) // look between the changes
				for time.Now().Before(end) {
					if n := len(s.running()); n > test.cores || n < min(test.cores, test.pids) {
						t.Fatalf("%d run on %d cores", n, test.cores)
					}
					time.Sleep(turn / 2)
				}
				turns.close()
				if n := len(s.running()); n != test.pids {
					t.Errorf("%d of %d run after the turns", n, test.pids)
				}
				for _, pid := range pids {
					s.set(pid, false)
				}
				least, most := s.ran[pids[0]], s.ran[pids[0]]
				for _, pid := range pids {
					least, most = min(least, s.ran[pid]), max(most, s.ran[pid])
				}
				if most-least > 2*turn {
					t.Errorf("one ran for %s, another for %s", least, most)
				}
			})
		})
	}
}

func TestTurnsOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitches(1, 2, 3)
		turns := newTurns(1, s.set)
		defer turns.close()
		turns.add(1)
		turns.add(2)
		turns.add(3)
		turns.remove(99) // not one of them
		if got := s.running(); !slices.Equal(got, []int{1}) {
			t.Fatalf("running %v, want the first", got)
		}
		turns.remove(1) // runs on, and another one may run beside it
		if got := s.running(); !slices.Equal(got, []int{1, 2}) {
			t.Fatalf("running %v, want 1 and 2", got)
		}
		turns.remove(3)
		turns.remove(2)
		if got := s.running(); !slices.Equal(got, []int{1, 2, 3}) {
			t.Fatalf("running %v, want all", got)
		}
	})
}
