// fleet.go runs the same herd on many nodes.

package sim

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Quantiles are a distribution over the nodes of a fleet, in seconds.
type Quantiles struct{ Median, P90, P99, Most float64 }

// FleetSummary is what became of a herd on many nodes.
type FleetSummary struct {
	Nodes int
	// Ready is on how many nodes every pod became Ready before the limit.
	Ready int
	// AllReady and MeanReady are of these nodes; zero when there is none.
	AllReady, MeanReady Quantiles
	// Restarts is of all pods on all nodes; Restarted on how many nodes there was one.
	Restarts, Restarted int
}

// outcome is what a fleet keeps of a node.
type outcome struct {
	ready     bool
	all, mean float64
	restarts  int
}

// Fleet runs the herd on that many nodes, at least 1, on all cores. Each has a
// seed of its own, counted from that of the options, so the answer is the same
// every time. Progress is told how many are done; it may be nil, and is called
// by one goroutine at a time. The Progress of the options is not used.
func Fleet(ctx context.Context, s *spec.Scenario, policy spec.Policy, nodes int, opts Options, progress func(done int)) (*FleetSummary, error) {
	if nodes < 1 {
		return nil, fmt.Errorf("simulate %s on %d nodes: want at least 1", s.Name, nodes)
	}
	node := New(s, opts)
	limit := opts.limit(policy)
	outcomes := make([]outcome, nodes)
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range outcomes {
		group.Go(func() error {
			run, err := simulate(ctx, s, policy, node.model, opts.Seed+uint64(i), limit, false)
			if err != nil {
				return err
			}
			var c candidate
			c.add(run)
			outcomes[i] = outcome{ready: !run.GaveUp, all: c.all, mean: c.mean, restarts: c.restarts}
			mu.Lock()
			defer mu.Unlock()
			if done++; progress != nil {
				progress(done)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return summarize(outcomes), nil
}

func summarize(outcomes []outcome) *FleetSummary {
	f := &FleetSummary{Nodes: len(outcomes)}
	var all, mean []float64
	for _, o := range outcomes {
		f.Restarts += o.restarts
		if o.restarts > 0 {
			f.Restarted++
		}
		if o.ready {
			f.Ready++
			all, mean = append(all, o.all), append(mean, o.mean)
		}
	}
	f.AllReady, f.MeanReady = quantiles(all), quantiles(mean)
	return f
}

// quantiles are values that were measured: at least that part of all is no higher.
func quantiles(values []float64) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	at := func(part float64) float64 { return values[int(math.Ceil(part*float64(len(values))))-1] }
	return Quantiles{Median: at(0.5), P90: at(0.9), P99: at(0.99), Most: at(1)}
}
