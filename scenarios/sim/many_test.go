package sim

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestBestIsTheBestOfAll(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scenario    *spec.Scenario
		least, most int
	}{
		// All together, because nothing is contended.
		"sleepers": {on(2, group(6, 10*time.Millisecond, 8*time.Second)), 6, 6},
		// More than that many share too little CPU to live.
		"heavy":   {on(1, group(6, 6*time.Second, 0)), 1, 2},
		"one pod": {on(1, group(1, time.Second, 0)), 1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen []int
			best, err := Best(t.Context(), test.scenario, *untilReady(0), func(done, all int) {
				if all != test.scenario.Count() {
					t.Errorf("of %d", all)
				}
				seen = append(seen, done)
			})
			if err != nil || best < test.least || best > test.most {
				t.Fatalf("%d slots, %v; want %d to %d", best, err, test.least, test.most)
			}
			var want []int
			for i := range test.scenario.Count() {
				want = append(want, i+1)
			}
			if !slices.Equal(seen, want) {
				t.Errorf("progress %v", seen)
			}
			// No other number is better, run for run.
			quality := func(locks int) (restarts int, all float64) {
				for seed := range uint64(tries) {
					r := run(t, test.scenario, spec.Policy{Lock: untilReady(locks)}, Options{Seed: seed})
					restarts += record.Summarize(r, nil).Restarts
					all += r.Ended
				}
				return restarts, all
			}
			restarts, all := quality(best)
			for locks := range test.scenario.Count() {
				if r, a := quality(locks + 1); r < restarts || r == restarts && a < all {
					t.Errorf("%d slots: %d restarts, %.1f s; %d slots are said to be best: %d, %.1f s", locks+1, r, a, best, restarts, all)
				}
			}
		})
	}
	if _, err := Best(t.Context(), on(1), *untilReady(0), nil); err == nil {
		t.Error("no pods, no error")
	}
}

func TestFewerFailuresBeatFewerRestartsBeatTime(t *testing.T) {
	t.Parallel()
	inOrder := []candidate{
		{locks: 5, all: 90, mean: 10}, {locks: 1, all: 90, mean: 20}, {locks: 2, all: 90, mean: 20}, {locks: 3, all: 95, mean: 5},
		{locks: 4, restarts: 1, all: 50}, {locks: 6, failed: 1, all: 10},
	}
	if !slices.IsSortedFunc(inOrder, better) {
		t.Error("in another order")
	}
}

func TestFleetIsManyNodes(t *testing.T) {
	t.Parallel()
	s := load(t, "mixed")
	policy := spec.Policy{Lock: untilReady(9)} // a little too bold for some
	var seen []int
	fleet := func(progress func(int)) *FleetSummary {
		f, err := Fleet(t.Context(), s, policy, 12, Options{Seed: 5}, progress)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := fleet(func(done int) { seen = append(seen, done) })
	if !slices.Equal(seen, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}) {
		t.Errorf("progress %v", seen)
	}
	if again := fleet(nil); !reflect.DeepEqual(f, again) {
		t.Errorf("%+v, then %+v", f, again)
	}
	want, last := FleetSummary{Nodes: 12}, 0.0
	for seed := range uint64(12) {
		sum := record.Summarize(run(t, s, policy, Options{Seed: 5 + seed}), nil)
		want.Restarts += sum.Restarts
		want.Restarted += min(1, sum.Restarts)
		if sum.AllReady != nil {
			want.Ready++
			last = max(last, *sum.AllReady)
		}
	}
	if f.Nodes != want.Nodes || f.Ready != want.Ready || f.Restarts != want.Restarts || f.Restarted != want.Restarted || math.Abs(f.AllReady.Most-last) > 1e-6 {
		t.Errorf("%+v, want as the runs one by one %+v, the last after %g", *f, want, last)
	}
}

func TestFleetOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := Fleet(t.Context(), on(1, group(1, 0, 0)), spec.Policy{}, 0, Options{}, nil); err == nil {
		t.Error("0 nodes, no error")
	}
	f, err := Fleet(t.Context(), on(1, group(2, time.Minute, 0)), spec.Policy{}, 3, Options{Limit: time.Minute}, nil)
	if err != nil || f.Ready != 0 || f.AllReady != (Quantiles{}) || f.Restarted != 3 {
		t.Errorf("%+v, %v: nobody can be Ready", f, err)
	}
}

func TestQuantilesAreMeasuredValues(t *testing.T) {
	t.Parallel()
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for _, test := range []struct {
		values []float64
		want   Quantiles
	}{
		{nil, Quantiles{}}, {[]float64{7}, Quantiles{7, 7, 7, 7}}, {[]float64{3, 1}, Quantiles{1, 3, 3, 3}}, {hundred, Quantiles{50, 90, 99, 100}},
	} {
		if got := quantiles(test.values); got != test.want {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
}
