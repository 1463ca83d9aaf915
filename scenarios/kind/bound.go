// bound.go measures what the fastest possible start on this node would take.

package kind

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

const (
	// idleTime is how long the cluster's use is measured: its components have
	// periods of seconds.
	idleTime = 15 * time.Second
	// tailTime is how long the node goes on working for pods that are Ready.
	tailTime = 5 * time.Second
)

// Bound measures the terms of the node bound by the same herd with no work in
// it: what it costs to start its pods, with an init container that does nothing,
// and what the cluster uses when they are there. The chart must not be installed.
func (h Herd) Bound(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, limit time.Duration) (*record.Bound, error) {
	b := &record.Bound{Applications: s.CPU().Seconds(), Cores: float64(runtime.NumCPU())}
	empty, err := busy(ctx, c, idleTime)
	if err != nil {
		return nil, err
	}
	// What the node does for a pod does not end when the pod is Ready.
	var tail float64
	var measured error
	h.idle, h.Expected, h.During = true, nil, nil
	h.Done = func(ctx context.Context, _ string, _ *record.Run) {
		if tail, measured = busy(ctx, c, tailTime); measured == nil {
			b.Idle, measured = busy(ctx, c, idleTime)
		}
	}
	none := s.WithoutWork()
	run, err := h.Run(ctx, c, none, none.Policies[0], limit)
	if err != nil {
		return nil, fmt.Errorf("run the herd without work: %w", err)
	}
	if run.GaveUp {
		return nil, errors.New("the herd without work did not become Ready: this machine cannot run the scenario")
	}
	if measured != nil {
		return nil, measured
	}
	b.Overhead = max(0, record.CPU(run)-empty*run.Ended) + max(0, tail-b.Idle)*tailTime.Seconds()
	if len(run.Samples) == 0 {
		b.Note = "the cost of starting pods counts as 0: this machine does not tell its CPU use"
	}
	return b, nil
}

// busy is how many cores the machine uses, for a while.
func busy(ctx context.Context, c *cluster.Cluster, long time.Duration) (cores float64, err error) {
	before, err := c.Busy(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(long):
	}
	after, err := c.Busy(ctx)
	if err != nil {
		return 0, err
	}
	return (after - before) / time.Since(began).Seconds(), nil
}
