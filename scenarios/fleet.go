// fleet.go lets a herd land on many nodes at once, in the simulator.

package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/sim"
)

// fleet runs all policies of the plan on its nodes, and writes how they fared.
func fleet(ctx context.Context, p plan, out io.Writer) error {
	opts := sim.Options{GiveUp: p.giveUp, Limit: p.limit}
	bound, err := sim.New(p.scenario, opts).Bound(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "policy\tnodes all Ready\tall Ready: median\t90 %\t99 %\tlast\tmedian × bound\tmean: median\trestarts\ton nodes\ttook\tnodes/s")
	for _, policy := range p.policies {
		if policy.Lock, err = p.foresee(ctx, policy.Lock); err != nil {
			return err
		}
		p.progress.Note("%s, on %d nodes", live.Title(p.scenario, policy), p.nodes)
		began := time.Now()
		f, err := sim.Fleet(ctx, p.scenario, policy, p.nodes, opts, follow(p.progress, p.nodes, began))
		if err != nil {
			return err
		}
		took := time.Since(began)
		times := "–\t–\t–\t–\t–\t–"
		if all := f.AllReady; f.Ready > 0 {
			ratio := "–"
			if bound.Seconds() > 0 {
				ratio = fmt.Sprintf("%.2f", all.Median/bound.Seconds())
			}
			times = fmt.Sprintf("%.1f s\t%.1f s\t%.1f s\t%.1f s\t%s\t%.1f s", all.Median, all.P90, all.P99, all.Most, ratio, f.MeanReady.Median)
		}
		fmt.Fprintf(table, "%s\t%d of %d\t%s\t%d\t%d\t%.1f s\t%.0f\n",
			policy.Name, f.Ready, f.Nodes, times, f.Restarts, f.Restarted, took.Seconds(), float64(f.Nodes)/took.Seconds())
	}
	fmt.Fprintln(out)
	return table.Flush()
}

// follow notes how many nodes are done, once a second at most, and all of them at the end.
func follow(progress live.Progress, nodes int, began time.Time) func(done int) {
	last := began
	return func(done int) {
		now := time.Now()
		if now.Sub(last) < time.Second && done < nodes {
			return
		}
		last = now
		progress.Note("%6.1f s  %d of %d nodes", now.Sub(began).Seconds(), done, nodes)
	}
}
