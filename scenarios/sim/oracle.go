// oracle.go finds the best fixed number of slots by trying all of them.

package sim

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// tries is how often each number of slots is tried, so that luck does not win.
const tries = 5

// Best tries every fixed number of slots from 1 to the number of pods on a node
// like Calibrated, with the lease and the release policy of like, and answers
// with the one that has the fewest restarts, then the earliest all-Ready time,
// then the lowest mean, all of them on the average over a few runs. Progress is
// told how many numbers are done of how many; it may be nil, and is called by
// one goroutine at a time. It uses all cores, and fails for what is not in the
// model and when the context ends.
func Best(ctx context.Context, s *spec.Scenario, like spec.Lock, progress func(done, all int)) (locks int, err error) {
	return Calibrated().Best(ctx, s, like, progress)
}

// Best is the same on a node like this one.
func (m Model) Best(ctx context.Context, s *spec.Scenario, like spec.Lock, progress func(done, all int)) (locks int, err error) {
	all := s.Count()
	if all == 0 {
		return 0, errors.New("find the best number of slots: no pods")
	}
	candidates := make([]candidate, all)
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range candidates {
		group.Go(func() error {
			c := candidate{locks: i + 1}
			for seed := range uint64(tries) {
				lock := spec.Lock{Locks: c.locks, Lease: like.Lease, ReleaseOn: like.ReleaseOn}
				run, err := simulate(ctx, s, spec.Policy{Name: "oracle", Lock: &lock}, m, seed, horizon, false)
				if err != nil {
					return err
				}
				c.add(run)
			}
			candidates[i] = c
			mu.Lock()
			defer mu.Unlock()
			if done++; progress != nil {
				progress(done, all)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return slices.MinFunc(candidates, better).locks, nil
}

// candidate is a number of slots and what it led to, in all tries together.
type candidate struct {
	locks    int
	failed   int // runs in which not every pod became Ready
	restarts int
	all      float64 // seconds
	mean     float64
}

func (c *candidate) add(run *record.Run) {
	if run.GaveUp {
		c.failed++
	}
	sum := 0.0
	for i := range run.Pods {
		c.restarts += len(run.Pods[i].Restarts())
		if at, ok := run.Pods[i].ReadyAt(); ok {
			sum += at
		}
	}
	c.all += run.Ended
	c.mean += sum / float64(len(run.Pods))
}

// better orders candidates, the best one first; of equals the one with fewer slots.
func better(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(a.failed, b.failed), cmp.Compare(a.restarts, b.restarts),
		cmp.Compare(a.all, b.all), cmp.Compare(a.mean, b.mean), cmp.Compare(a.locks, b.locks),
	)
}
