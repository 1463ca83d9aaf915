package sim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// limited checks that nobody was granted a slot that was not there, by weights.
func limited(r *record.Run) error {
	type change struct {
		at     float64
		order  int
		weight int
	}
	var changes []change
	for _, p := range r.Pods {
		for _, e := range p.Events {
			switch e.What {
			case record.Granted:
				changes = append(changes, change{e.At, 2, max(1, p.Weight)})
			case record.Returned:
				changes = append(changes, change{e.At, 1, -max(1, p.Weight)})
			}
		}
	}
	for i, l := range r.Limits {
		order := 0
		if i > 0 && l.N < r.Limits[i-1].N {
			order = 3 // grants of the same moment may have been before
		}
		changes = append(changes, change{l.At, order, l.N})
	}
	slices.SortStableFunc(changes, func(a, b change) int {
		if a.at != b.at {
			return int(math.Copysign(1, a.at-b.at))
		}
		return a.order - b.order
	})
	limit, held := 0, 0
	for _, c := range changes {
		if c.order == 0 || c.order == 3 {
			limit = c.weight
			continue
		}
		held += c.weight
		if c.order == 2 && held > limit && held != c.weight { // one that is too heavy goes alone
			return fmt.Errorf("%d held of %d at %g s", held, limit, c.at)
		}
	}
	return nil
}

func TestAnySmallHerdComesToAnEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, policy := anyScenario(t), spec.Policy{}
		switch rapid.IntRange(0, 2).Draw(t, "lock") {
		case 1:
			policy.Lock = &spec.Lock{Auto: true, Min: rapid.IntRange(0, 2).Draw(t, "min")}
		case 2:
			policy.Lock = &spec.Lock{Locks: rapid.IntRange(1, 6).Draw(t, "locks")}
		}
		if l := policy.Lock; l != nil {
			l.Lease = spec.Duration(rapid.IntRange(1, 30).Draw(t, "lease")) * second
			l.ReleaseOn = rapid.SampledFrom([]lockapi.ReleaseOn{"", lockapi.ReleaseOnTimeout, lockapi.ReleaseOnStarted, lockapi.ReleaseOnReady}).Draw(t, "release")
		}
		model := rapid.SampledFrom([]Model{Calibrated(), Local()}).Draw(t, "model")
		const limit = 5 * time.Minute
		r, err := New(s, Options{Seed: rapid.Uint64().Draw(t, "seed"), Limit: limit, Model: &model}).Run(context.Background(), policy)
		if err != nil {
			t.Fatal(err)
		}
		sum := record.Summarize(r, nil)
		switch {
		case r.Ended > limit.Seconds(), r.GaveUp != (sum.Ready < sum.Pods), r.GaveUp && r.Ended != limit.Seconds():
			t.Fatalf("ended after %g s, gave up %t, %d of %d Ready", r.Ended, r.GaveUp, sum.Ready, sum.Pods)
		case sum.Inversions != 0:
			t.Fatalf("%d inversions", sum.Inversions)
		}
		if err := limited(r); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Pods {
			sensible(t, p, policy.Lock != nil, r.Ended)
		}
		for i, sample := range r.Samples {
			if sample.At != float64(i+1)*0.25 || sample.Busy < 0 || sample.Busy > float64(s.Node.Cores) || !share(sample.Pressure) || !share(sample.IO) {
				t.Fatalf("sample %d: %+v", i, sample)
			}
		}
	})
}

func share(v *float64) bool { return v != nil && *v >= 0 && *v <= 1 }

// sensible checks that the events of a pod can follow each other.
func sensible(t *rapid.T, p record.Pod, locked bool, end float64) {
	last, state := 0.0, record.What("")
	for _, e := range p.Events {
		if e.At < last || e.At > end {
			t.Fatalf("%s: %s at %g, after %g of %g", p.Name, e.What, e.At, last, end)
		}
		last = e.At
		if e.What == record.Returned {
			continue
		}
		before := map[record.What][]record.What{
			record.Claimed: {""}, record.Granted: {record.Claimed}, record.Ready: {record.Started},
			record.Started: {record.Granted, record.Stopped}, record.Stopped: {record.Started, record.Ready},
		}[e.What]
		if !locked && e.What == record.Started {
			before = append(before, "")
		}
		if !slices.Contains(before, state) {
			t.Fatalf("%s: %s after %q", p.Name, e.What, state)
		}
		state = e.What
	}
}

func anyScenario(t *rapid.T) *spec.Scenario {
	s := on(rapid.IntRange(1, 4).Draw(t, "cores"))
	for i := range rapid.IntRange(1, 3).Draw(t, "groups") {
		g := group(rapid.IntRange(1, 8).Draw(t, "count"),
			time.Duration(rapid.IntRange(0, 6000).Draw(t, "cpu"))*time.Millisecond, time.Duration(rapid.IntRange(0, 4).Draw(t, "idle"))*time.Second)
		g.Name = fmt.Sprintf("g%d", i)
		g.Startup.Read = spec.Bytes(rapid.SampledFrom([]int64{0, 0, 64 << 20, 1 << 30}).Draw(t, "read"))
		g.Weight, g.Priority = rapid.IntRange(0, 3).Draw(t, "weight"), rapid.IntRange(-2, 2).Draw(t, "priority")
		if rapid.Bool().Draw(t, "no readiness") {
			g.Probes.Readiness = nil
		}
		if rapid.Bool().Draw(t, "no liveness") {
			g.Probes.Liveness = nil
		}
		s.Pods = append(s.Pods, g)
	}
	if rapid.Bool().Draw(t, "noise") {
		s.Node.Noise = &spec.Noise{Threads: rapid.IntRange(1, 4).Draw(t, "threads"), On: second, Off: spec.Duration(rapid.IntRange(0, 2).Draw(t, "off")) * second}
	}
	return s
}
