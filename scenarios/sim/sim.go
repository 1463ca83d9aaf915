// Package sim runs a herd on a model of a node, in virtual time, with the real
// slots.Table and the real pressure.Controller. A run takes milliseconds, and the
// same seed gives the same run: so many nodes, many numbers of slots and many
// start-up costs can be tried before a cluster is.
//
// The model is in Model: CPU and disk are shared fairly among those who want
// them, and the kubelet does things at its own pace. Memory is not modelled.
package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// On is the name of this place in records.
const On = spec.OnSim

// horizon ends a run that has no limit: some herds never become Ready, and
// virtual time has no other end.
const horizon = time.Hour

// Options are how herds are run.
type Options struct {
	// Seed makes the chances of the run: jitter, phases, noise of the samples.
	Seed uint64
	// GiveUp ends a run without a lock that is not Ready by then; 0 means Limit does.
	// A patient one gets there, and is let.
	GiveUp time.Duration
	// Limit ends any run that is not Ready by then; 0 means an hour.
	Limit time.Duration
	// Model is what the node is like; nil is Calibrated.
	Model *Model
	// Progress is told what happens; nil shows nothing.
	Progress live.Progress
}

// Node is a model of a node that herds land on. Its methods may be called concurrently.
type Node struct {
	scenario *spec.Scenario
	opts     Options
	model    Model
}

// New makes a node for the scenario.
func New(s *spec.Scenario, opts Options) *Node {
	n := &Node{scenario: s, opts: opts, model: Calibrated()}
	if opts.Model != nil {
		n.model = *opts.Model
	}
	return n
}

// Close does nothing: there is nothing but memory.
func (n *Node) Close() error { return nil }

// Machine describes the node.
func (n *Node) Machine() record.Machine {
	return machine.Describe(fmt.Sprintf("a model of a node with %d cores, in virtual time", n.scenario.Node.Cores))
}

// Bound is the terms of the node bound, by the model. What the noise would use
// if it could counts as in use.
func (n *Node) Bound(context.Context) (*record.Bound, error) {
	return n.model.bound(n.scenario), nil
}

// Run runs the herd under a policy. It fails for what is not in the model, and
// when the context ends.
func (n *Node) Run(ctx context.Context, policy spec.Policy) (*record.Run, error) {
	run, err := simulate(ctx, n.scenario, policy, n.model, n.opts.Seed, n.opts.limit(policy), true)
	if err != nil {
		return nil, err
	}
	if n.opts.Progress != nil { // it is over before anybody can follow it
		n.opts.Progress.Follow(live.Title(n.scenario, policy), 0, func() *record.Run { return run })()
	}
	return run, nil
}

// limit is how long a run may take in virtual time.
func (o Options) limit(policy spec.Policy) time.Duration {
	limit := o.Limit
	if limit <= 0 {
		limit = horizon
	}
	if policy.Lock == nil && !policy.Patient && o.GiveUp > 0 {
		limit = min(limit, o.GiveUp)
	}
	return limit
}
