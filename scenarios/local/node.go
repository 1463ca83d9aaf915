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
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// On is the name of this place in records.
const On = spec.OnLocal

// Options are how herds are run.
type Options struct {
	// GiveUp ends a run without a lock that is not Ready by then; 0 means never.
	// A patient one gets there, and is let.
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
	meter    gauge
}

// New prepares the machine and builds the programs.
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
	auto := slices.ContainsFunc(s.Policies, func(p spec.Policy) bool { return p.Lock != nil && p.Lock.Auto })
	if n.launcher, err = newLauncher(s.Node, auto); err != nil {
		return nil, err
	}
	n.meter = gauge{Meter: machine.NewMeter(n.launcher.cpus), used: n.launcher.used()}
	if n.launcher.note != "" {
		opts.Progress.Note("%s", n.launcher.note)
	}
	opts.Progress.Note("building lock, init and app")
	if n.programs, err = build(ctx, filepath.Join(dir, "bin")); err != nil {
		return nil, err
	}
	return n, nil
}

// Close ends what is left of the herd and removes the programs.
func (n *Node) Close() error {
	var left error
	if n.launcher != nil {
		if left = n.launcher.close(); left != nil {
			left = fmt.Errorf("remove the cgroup of the node: %w", left)
		}
	}
	if err := os.RemoveAll(n.dir); err != nil {
		return errors.Join(left, fmt.Errorf("remove the programs: %w", err))
	}
	return left
}

// Machine describes the node.
func (n *Node) Machine() record.Machine {
	node := fmt.Sprintf("processes on %d of this machine's %d cores", n.cores(), runtime.NumCPU())
	if n.scenario.Node.Quota {
		node = fmt.Sprintf("processes with a CPU quota of %d cores on this machine's %d", n.cores(), runtime.NumCPU())
	}
	if n.launcher.note != "" {
		node += "; " + n.launcher.note
	}
	return machine.Describe(node)
}

// cores is how many CPUs the node has in fact.
func (n *Node) cores() int { return n.launcher.cores }

// Run runs the herd under a policy.
func (n *Node) Run(ctx context.Context, policy spec.Policy) (*record.Run, error) {
	if l := policy.Lock; l != nil && l.Oracle && l.Locks == 0 {
		return nil, fmt.Errorf("run %s with policy %s: the best number of slots is not known: it is found by simulation first", n.scenario.Name, policy.Name)
	}
	limit := n.opts.Limit
	if policy.Lock == nil && !policy.Patient && n.opts.GiveUp > 0 && (limit == 0 || n.opts.GiveUp < limit) {
		limit = n.opts.GiveUp
	}
	run, err := n.run(ctx, n.scenario.For(policy), policy, limit)
	if err != nil {
		return nil, fmt.Errorf("run %s with policy %s: %w", n.scenario.Name, policy.Name, err)
	}
	return run, nil
}
