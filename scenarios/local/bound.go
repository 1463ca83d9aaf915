// bound.go measures what the fastest possible start on this node would take.

package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// idleTime is how long the node's use without the herd is measured.
const idleTime = 3 * time.Second

// Bound measures the terms of the node bound: the node's use without the herd,
// what the same herd costs with no work in it, and what noise there is takes by itself.
func (n *Node) Bound(ctx context.Context) (*record.Bound, error) {
	b := &record.Bound{Applications: n.scenario.CPU().Seconds(), Cores: float64(n.cores())}
	var notes []string
	note := func(format string, args ...any) {
		notes = append(notes, fmt.Sprintf(format, args...))
		b.Note = strings.Join(notes, "; ")
		n.opts.Progress.Note("%s", notes[len(notes)-1])
	}
	if n.scenario.Read() > 0 {
		note("the node bound knows of CPU time only, and nothing of the %s that the applications write and read", n.scenario.Read())
	}
	n.opts.Progress.Note("measuring for %s what this machine uses without the herd", idleTime)
	quiet, err := n.meter.Idle(ctx, idleTime)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		note("idle use and the cost of starting pods count as 0: %v", err)
		return b, nil
	}
	b.Idle = quiet
	if b.Overhead, err = n.overhead(ctx, quiet); err != nil {
		return nil, err
	}
	others := quiet
	if noise := n.scenario.Node.Noise; noise != nil {
		if b.Idle, err = n.loud(ctx, *noise); err != nil {
			return nil, err
		}
		others = max(others, b.Idle-share(*noise, n.cores()))
	}
	if others > b.Cores/4 {
		note("this machine was busy: without the herd %.1f of %g cores were in use, so neither the node bound nor a start-up time is worth much", others, b.Cores)
	}
	return b, nil
}

// overhead is the CPU-seconds that it takes to start the herd with no work in it.
func (n *Node) overhead(ctx context.Context, quiet float64) (float64, error) {
	before, err := n.meter.Read()
	if err != nil {
		return 0, err
	}
	empty := n.scenario.WithoutWork()
	empty.Node.Noise = nil // it is measured by itself, or its rhythm would decide
	run, err := n.run(ctx, empty, empty.Policies[0], n.opts.Limit)
	if err != nil {
		return 0, fmt.Errorf("run the herd without work: %w", err)
	}
	if run.GaveUp {
		return 0, errors.New("the herd without work did not become Ready: this machine cannot run the scenario")
	}
	after, err := n.meter.Read()
	if err != nil {
		return 0, err
	}
	return max(0, after.Used-before.Used-quiet*after.At.Sub(before.At).Seconds()), nil
}

// loud is how many cores the node uses with its noise and without the herd.
func (n *Node) loud(ctx context.Context, noise spec.Noise) (float64, error) {
	long := wholeRounds(noise)
	n.opts.Progress.Note("measuring for %s what the node uses with its noise", long)
	p, err := n.makeNoise(noise, filepath.Join(n.opts.Logs, spec.ZeroWork))
	if err != nil {
		return 0, err
	}
	defer p.Stop(0)
	return n.meter.Idle(ctx, long)
}
