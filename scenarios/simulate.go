// simulate.go runs scenarios in the simulator, several at once, and puts them side by side.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/sim"
)

func simulateCommand() *cli.Command {
	var out string
	return &cli.Command{
		Name:         "simulate",
		Usage:        "run scenarios on a model of a node, in virtual time, and compare all policies",
		ArgsUsage:    "[NAME or FILE.yaml ...] (default: all that come with the project and run there)",
		OnUsageError: badUsage,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "policy", Usage: "run only the policy `NAME`, where there is one; repeatable (default: all)"},
			&cli.StringFlag{Name: "out", Destination: &out, Value: filepath.Join("_artifacts", "scenarios", "simulate"), Usage: "`FOLDER` for the reports and the comparison"},
		},
		Action: func(c *cli.Context) error {
			plans, err := simulations(c.Args().Slice(), c.StringSlice("policy"), out)
			if err != nil {
				return cli.Exit(err, exitBadInput)
			}
			results, err := simulate(c.Context, plans, os.Stderr)
			if err != nil {
				return err
			}
			return weigh(c.App.Writer, out, plans, results)
		},
	}
}

// simulations are the plans of what is to be simulated, or everything that is wrong.
func simulations(names, policies []string, out string) ([]plan, error) {
	chosen := names
	if len(names) == 0 {
		var err error
		if chosen, err = ours(); err != nil {
			return nil, err
		}
	}
	var plans []plan
	var problems []error
	seen, known := map[string]bool{}, map[string]bool{}
	for _, name := range chosen {
		s, err := load(name)
		switch {
		case err != nil:
			problems = append(problems, err)
			continue
		case !s.RunsOn(sim.On):
			if len(names) > 0 {
				problems = append(problems, fmt.Errorf("%s: it runs on %s only", s.Name, strings.Join(s.On, " and ")))
			}
			continue
		case seen[s.Name]:
			problems = append(problems, fmt.Errorf("%s: named twice", s.Name))
			continue
		}
		seen[s.Name] = true
		p := plan{scenario: s, on: sim.On, out: filepath.Join(out, s.Name)}
		for _, policy := range s.Policies {
			known[policy.Name] = true
			if len(policies) == 0 || slices.Contains(policies, policy.Name) {
				p.policies = append(p.policies, policy)
			}
		}
		if len(p.policies) > 0 {
			plans = append(plans, p)
		}
	}
	for _, name := range policies {
		if !known[name] && len(seen) > 0 {
			problems = append(problems, fmt.Errorf("--policy %s: none of the scenarios has such a policy", name))
		}
	}
	return plans, errors.Join(problems...)
}

// simulate runs the plans on all cores, and tells of each when it and all before it are done.
func simulate(ctx context.Context, plans []plan, progress io.Writer) ([]*record.Result, error) {
	results := make([]*record.Result, len(plans))
	var mu sync.Mutex
	told := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range plans {
		group.Go(func() error {
			node := sim.New(p.scenario, sim.Options{GiveUp: p.giveUp, Limit: p.limit})
			result, err := measure(ctx, node, p)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			results[i] = result
			for ; told < len(plans) && results[told] != nil; told++ {
				fmt.Fprintln(progress, brief(results[told]))
			}
			return nil
		})
	}
	return results, group.Wait()
}

// brief is a result in a line.
func brief(r *record.Result) string {
	var parts []string
	for _, o := range r.Outcomes {
		text := o.Run.Policy.Name + " never"
		if o.Summary.AllReady != nil {
			text = fmt.Sprintf("%s %.1f s", o.Run.Policy.Name, *o.Summary.AllReady)
		}
		parts = append(parts, text)
	}
	return fmt.Sprintf("%-10s %s", r.Scenario.Name, strings.Join(parts, " · "))
}

// weigh writes the reports of all results and their comparison, and fails if an
// expectation does not hold in one of them.
func weigh(out io.Writer, dir string, plans []plan, results []*record.Result) error {
	var entries []report.Entry
	var broken []string
	for i, r := range results {
		if err := r.Write(plans[i].out); err != nil {
			return err
		}
		if _, err := report.Write(plans[i].out, r); err != nil {
			return err
		}
		entries = append(entries, report.Entry{Result: r, Page: r.Scenario.Name + "/" + report.PageFile})
		for _, o := range r.Outcomes {
			for _, c := range o.Broken() {
				broken = append(broken, fmt.Sprintf("%s, policy %s: %s", r.Scenario.Name, o.Run.Policy.Name, c))
			}
		}
	}
	if err := compare(out, dir, entries); err != nil {
		return err
	}
	return refuse(broken)
}

// compare writes the comparison of results, to a folder and as a table.
func compare(out io.Writer, dir string, entries []report.Entry) error {
	side := report.Compare(entries...)
	page, err := side.Write(dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := side.Text(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "comparison: %s\n", page)
	return nil
}
