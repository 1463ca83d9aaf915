// Package local runs a herd as processes on this machine: a real lock, real init
// clients, and applications that burn real CPU time, with a supervisor per pod
// that does what the kubelet does. It needs Go and nothing else.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// On is the name of this place in records.
const On = spec.OnLocal

// idleTime is how long the machine's use without the herd is measured.
const idleTime = 3 * time.Second

// Options are how herds are run.
type Options struct {
	// GiveUp ends a run without a lock that is not Ready by then; 0 means never.
	GiveUp time.Duration
	// Limit ends any run that is not Ready by then; 0 means never.
	Limit time.Duration
	// Logs is the folder for the output of the processes.
	Logs string
	// Progress is told what happens.
	Progress live.Progress
}

// Node is this machine as the node that the herd lands on. Close it.
type Node struct {
	scenario *spec.Scenario
	opts     Options
	dir      string
	programs programs
	launcher *launcher
	meter    *machine.Meter
}

// New builds the programs and prepares the machine.
func New(ctx context.Context, s *spec.Scenario, opts Options) (_ *Node, err error) {
	dir, err := os.MkdirTemp("", "psl-scenarios-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the programs: %w", err)
	}
	n := &Node{scenario: s, opts: opts, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	opts.Progress.Note("building lock, init and app")
	if n.programs, err = build(ctx, filepath.Join(dir, "bin")); err != nil {
		return nil, err
	}
	if n.launcher, err = newLauncher(s.Node.Cores); err != nil {
		return nil, err
	}
	n.meter = machine.NewMeter(n.launcher.cpus)
	if n.launcher.note != "" {
		opts.Progress.Note("%s", n.launcher.note)
	}
	return n, nil
}

// Close ends what is left of the herd and removes the programs.
func (n *Node) Close() error {
	if n.launcher != nil {
		n.launcher.close()
	}
	if err := os.RemoveAll(n.dir); err != nil {
		return fmt.Errorf("remove the programs: %w", err)
	}
	return nil
}

// Machine describes the node.
func (n *Node) Machine() record.Machine {
	node := fmt.Sprintf("processes on %d of this machine's %d cores", n.cores(), runtime.NumCPU())
	if n.launcher.note != "" {
		node += "; " + n.launcher.note
	}
	return machine.Describe(node)
}

// cores is how many CPUs the node has in fact.
func (n *Node) cores() int { return n.launcher.cores }

// Bound measures the terms of the node bound: the machine's use without the
// herd, then what the same herd costs with no work in it.
func (n *Node) Bound(ctx context.Context) (*record.Bound, error) {
	b := &record.Bound{Applications: n.scenario.CPU().Seconds(), Cores: float64(n.cores())}
	n.opts.Progress.Note("measuring for %s what this machine uses without the herd", idleTime)
	idle, err := n.meter.Idle(ctx, idleTime)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		b.Note = fmt.Sprintf("idle use and the cost of starting pods count as 0: %v", err)
		n.opts.Progress.Note("%s", b.Note)
		return b, nil
	}
	b.Idle = idle
	if idle > b.Cores/4 {
		b.Note = fmt.Sprintf("this machine was busy: without the herd %.1f of %g cores were in use, so neither the node bound nor a start-up time is worth much", idle, b.Cores)
		n.opts.Progress.Note("%s", b.Note)
	}
	before, err := n.meter.Read()
	if err != nil {
		return nil, err
	}
	empty := n.scenario.WithoutWork()
	run, err := n.run(ctx, empty, empty.Policies[0], n.opts.Limit)
	if err != nil {
		return nil, fmt.Errorf("run the herd without work: %w", err)
	}
	if run.GaveUp {
		return nil, errors.New("the herd without work did not become Ready: this machine cannot run the scenario")
	}
	after, err := n.meter.Read()
	if err != nil {
		return nil, err
	}
	b.Overhead = max(0, after.Busy-before.Busy-idle*after.At.Sub(before.At).Seconds())
	return b, nil
}

// Run runs the herd under a policy.
func (n *Node) Run(ctx context.Context, policy spec.Policy) (*record.Run, error) {
	limit := n.opts.Limit
	if policy.Lock == nil && n.opts.GiveUp > 0 && (limit == 0 || n.opts.GiveUp < limit) {
		limit = n.opts.GiveUp
	}
	run, err := n.run(ctx, n.scenario, policy, limit)
	if err != nil {
		return nil, fmt.Errorf("run %s with policy %s: %w", n.scenario.Name, policy.Name, err)
	}
	return run, nil
}
