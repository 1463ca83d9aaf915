// noise.go is the other thing that this program can be: a neighbour of the herd
// that computes for a while, rests for a while, and never serves.

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// noise lets that many threads compute in the same rhythm until the context
// ends. One call of compute, which is given what the last one answered, is to
// take about a millisecond at most.
func noise(ctx context.Context, n spec.Noise, compute func(uint64) uint64) {
	began := time.Now()
	var threads sync.WaitGroup
	for range n.Threads {
		threads.Go(func() {
			for x := uint64(seed); ctx.Err() == nil; {
				rest := resting(n, time.Since(began))
				if rest == 0 {
					x = compute(x)
					continue
				}
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
		})
	}
	threads.Wait()
}

// resting is how much of its rest is left a time after the beginning; 0 while it computes.
func resting(n spec.Noise, since time.Duration) time.Duration {
	round := n.On.Std() + n.Off.Std()
	if at := since % round; at >= n.On.Std() {
		return round - at
	}
	return 0
}

// validateNoise names what cannot be: flags do not know of each other.
func validateNoise(n spec.Noise) error {
	switch {
	case n.Threads < 0:
		return fmt.Errorf("-noise %d: want how many threads compute", n.Threads)
	case n.Threads > 0 && n.On <= 0:
		return errors.New("-noise needs -on: how long it computes before it rests")
	default:
		return nil
	}
}
