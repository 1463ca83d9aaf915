// run.go checks what is to be run, and runs it policy by policy.

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/local"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/sim"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// onKind is the place that not every build has.
const onKind = spec.OnKind

//go:embed *.yaml
var committed embed.FS

// settings are what the command line says.
type settings struct {
	names         []string
	policies      []string
	on            string
	giveUp, limit string
	out           string
	cluster       string
	nodes         int
	repeat        int
}

// plan is settings that make sense.
type plan struct {
	scenario      *spec.Scenario
	policies      []spec.Policy
	on            string
	giveUp, limit time.Duration
	out           string
	cluster       string
	nodes         int           // a fleet; 0 is one node and its report
	progress      live.Progress // nil shows nothing
}

// plan checks the settings and names everything that is wrong with them.
func (s settings) plan() (plan, error) {
	p := plan{on: s.on, out: s.out, cluster: s.cluster, nodes: s.nodes}
	var problems []error
	if len(s.names) != 1 {
		problems = append(problems, fmt.Errorf("run: want the name of one scenario, not %d: see the command list", len(s.names)))
	} else if scenario, err := load(s.names[0]); err != nil {
		problems = append(problems, err)
	} else {
		p.scenario = scenario
		if p.policies, err = scenario.Select(s.policies...); err != nil {
			problems = append(problems, err)
		}
	}
	if s.on != local.On && s.on != onKind && s.on != sim.On {
		problems = append(problems, fmt.Errorf("--on %q: want %s, %s or %s", s.on, local.On, onKind, sim.On))
	} else if p.scenario != nil && !p.scenario.RunsOn(s.on) {
		problems = append(problems, fmt.Errorf("--on %s: the scenario %s runs on %s only", s.on, p.scenario.Name, strings.Join(p.scenario.On, " and ")))
	}
	if s.repeat < 1 || s.repeat > maxRepeat {
		problems = append(problems, fmt.Errorf("--repeat %d: want 1 to %d", s.repeat, maxRepeat))
	} else {
		p.policies = repeated(p.policies, s.repeat)
	}
	if s.nodes < 0 || s.nodes > 0 && s.on != sim.On {
		problems = append(problems, fmt.Errorf("--nodes %d: want a number from 1, and --on %s", s.nodes, sim.On))
	}
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"--give-up", s.giveUp, &p.giveUp}, {"--limit", s.limit, &p.limit}} {
		if d.text == "" {
			continue
		}
		v, err := lockapi.ParseDuration(d.text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", d.flag, err))
		}
		*d.into = v.Std()
	}
	if p.out == "" && p.scenario != nil {
		p.out = filepath.Join("_artifacts", "scenarios", p.scenario.Name+"-"+p.on)
	}
	return p, errors.Join(problems...)
}

// maxRepeat is more often than anybody has the time for.
const maxRepeat = 100

// repeated is every policy as often as wished, each under a name of its own.
func repeated(policies []spec.Policy, times int) []spec.Policy {
	if times == 1 {
		return policies
	}
	var all []spec.Policy
	for _, policy := range policies {
		for i := range times {
			again := policy
			again.Name = fmt.Sprintf("%s-%d", policy.Name, i+1)
			all = append(all, again)
		}
	}
	return all
}

// load reads a scenario of ours by its name, or any by its file.
func load(name string) (*spec.Scenario, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		return spec.ReadFile(name)
	}
	data, err := committed.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no scenario is named %q: see the command list, or give a file that ends with .yaml", name)
	}
	return spec.Parse(name+".yaml", data)
}

// ours are the names of the scenarios that come with the project.
func ours() ([]string, error) {
	entries, err := committed.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list scenarios: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names, nil
}

// list writes the scenarios of ours.
func list(out io.Writer) error {
	names, err := ours()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, name := range names {
		s, err := load(name)
		if err != nil {
			return err
		}
		var policies []string
		for _, p := range s.Policies {
			policies = append(policies, p.Name)
		}
		where := ""
		if len(s.On) > 0 {
			where = "; on " + strings.Join(s.On, " and ") + " only"
		}
		fmt.Fprintf(table, "%s\t%s\t(policies: %s%s)\n", s.Name, s.Description, strings.Join(policies, ", "), where)
	}
	return table.Flush()
}

// place is where herds run.
type place interface {
	// Bound measures the terms of the node bound.
	Bound(ctx context.Context) (*record.Bound, error)
	// Run runs the herd under one policy.
	Run(ctx context.Context, policy spec.Policy) (*record.Run, error)
	// Machine describes what it runs on.
	Machine() record.Machine
	Close() error
}

// execute runs all policies of the plan, one after the other, and reports.
func execute(ctx context.Context, p plan, progress live.Progress, out io.Writer) (err error) {
	p.progress = progress
	if p.nodes > 0 {
		return fleet(ctx, p, out)
	}
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return fmt.Errorf("make folder for the report: %w", err)
	}
	where, err := open(ctx, p, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, where.Close()) }()
	result, err := measure(ctx, where, p)
	if err != nil {
		return err
	}
	return conclude(out, p.out, result)
}

// measure runs all policies of the plan, one after the other, in a place.
func measure(ctx context.Context, where place, p plan) (*record.Result, error) {
	var err error
	result := &record.Result{Made: time.Now(), On: p.on, Scenario: p.scenario, Machine: where.Machine()}
	if result.Bound, err = where.Bound(ctx); err != nil {
		return nil, err
	}
	for _, policy := range p.policies {
		if policy.Lock, err = p.foresee(ctx, policy.Lock); err != nil {
			return nil, err
		}
		run, err := where.Run(ctx, policy)
		if err != nil {
			return nil, err
		}
		result.Add(run)
	}
	return result, nil
}

// foresee gives an oracle's lock the number of slots that is best in the
// simulator, on a node like that of the place; any other is as it was.
func (p plan) foresee(ctx context.Context, lock *spec.Lock) (*spec.Lock, error) {
	if lock == nil || !lock.Oracle {
		return lock, nil
	}
	model := sim.Calibrated()
	if p.on == local.On {
		model = sim.Local()
	}
	seen := *lock
	var err error
	if seen.Locks, err = model.Best(ctx, p.scenario, seen, nil); err != nil {
		return nil, fmt.Errorf("find the best number of slots for %s: %w", p.scenario.Name, err)
	}
	if p.progress != nil {
		p.progress.Note("%s: of 1 to %d slots, %d are best in the simulator", p.scenario.Name, p.scenario.Count(), seen.Locks)
	}
	return &seen, nil
}

// open prepares the place that the plan names.
func open(ctx context.Context, p plan, progress live.Progress) (place, error) {
	switch p.on {
	case onKind:
		return openKind(ctx, p, progress)
	case sim.On:
		return sim.New(p.scenario, sim.Options{GiveUp: p.giveUp, Limit: p.limit, Progress: progress}), nil
	}
	return local.New(ctx, p.scenario, local.Options{
		GiveUp: p.giveUp, Limit: p.limit, Logs: filepath.Join(p.out, "logs"), Progress: progress,
	})
}
