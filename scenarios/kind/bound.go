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
	// idleTime is how long the cluster's use without the herd is measured: its
	// components have periods of seconds.
	idleTime = 15 * time.Second
	// tailTime is how long the node goes on working for pods that are Ready.
	tailTime = 5 * time.Second
)

// Bound measures the terms of the node bound: the cluster's use without the
// herd, then what the same herd costs with no work in it. The chart must not be
// installed.
func (h Herd) Bound(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, limit time.Duration) (*record.Bound, error) {
	b := &record.Bound{Applications: s.CPU().Seconds(), Cores: float64(runtime.NumCPU())}
	used, err := busyBeyond(ctx, c, 0, idleTime)
	if err != nil {
		return nil, err
	}
	b.Idle = used / idleTime.Seconds()

	h.Expected, h.During = nil, nil // they are about the herd with its work
	// What the node does for a pod does not end when the pod is Ready.
	var tail float64
	var tailErr error
	h.Done = func(ctx context.Context, _ string, _ *record.Run) {
		tail, tailErr = busyBeyond(ctx, c, b.Idle, tailTime)
	}
	empty := s.WithoutWork()
	run, err := h.Run(ctx, c, empty, empty.Policies[0], limit)
	if err != nil {
		return nil, fmt.Errorf("run the herd without work: %w", err)
	}
	if run.GaveUp {
		return nil, errors.New("the herd without work did not become Ready: this machine cannot run the scenario")
	}
	if tailErr != nil {
		return nil, tailErr
	}
	b.Overhead = max(0, record.CPU(run)-b.Idle*run.Ended+tail)
	if len(run.Samples) == 0 {
		b.Note = "the cost of starting pods counts as 0: this machine does not tell its CPU use"
	}
	return b, nil
}

// busyBeyond is the CPU-seconds that the machine uses in a time, beyond so many cores.
func busyBeyond(ctx context.Context, c *cluster.Cluster, cores float64, long time.Duration) (float64, error) {
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
	// For the time asked for, as the commands that read the figures take a while themselves.
	return ((after-before)/time.Since(began).Seconds() - cores) * long.Seconds(), nil
}
