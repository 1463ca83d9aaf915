package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a herd on a node like Calibrated.
func run(t testing.TB, s *spec.Scenario, policy spec.Policy, opts Options) *record.Run {
	t.Helper()
	r, err := New(s, opts).Run(t.Context(), policy)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// group is pods that take that long, with ordinary probes.
func group(count int, cpu, idle time.Duration) spec.Group {
	return spec.Group{
		Name: fmt.Sprintf("g%d", count), Count: count, Weight: 1, Startup: spec.Startup{CPU: spec.Duration(cpu), Idle: spec.Duration(idle)},
		Probes: spec.Probes{
			Liveness:  &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 2},
			Readiness: &spec.Probe{Period: second, Timeout: second, Failures: 3},
		},
	}
}

func on(cores int, groups ...spec.Group) *spec.Scenario {
	return &spec.Scenario{Name: "test", Node: spec.Node{Cores: cores}, Pods: groups}
}

func auto() *spec.Lock {
	return &spec.Lock{Auto: true, Lease: 120 * second, ReleaseOn: lockapi.ReleaseOnReady}
}

func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	s := load(t, "mixed")
	for name, policy := range map[string]spec.Policy{"none": {}, "fixed": {Lock: untilReady(12)}, "auto": {Lock: auto()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, same, other := run(t, s, policy, Options{Seed: 7}), run(t, s, policy, Options{Seed: 7}), run(t, s, policy, Options{Seed: 8})
			if !reflect.DeepEqual(one, same) {
				t.Error("two runs with one seed differ")
			}
			if reflect.DeepEqual(one.Pods, other.Pods) {
				t.Error("two seeds make the same run")
			}
		})
	}
}

// Virtual time stands still in the bubble unless somebody sleeps.
func TestVirtualTimeCostsNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := on(2, group(10, time.Second, time.Hour))
		s.Pods[0].Probes.Liveness = nil
		began := time.Now()
		r := run(t, s, spec.Policy{Lock: untilReady(2)}, Options{Limit: 24 * time.Hour})
		if r.GaveUp || r.Ended < 3600 || time.Since(began) != 0 {
			t.Errorf("%.0f virtual seconds took %s", r.Ended, time.Since(began))
		}
	})
}

func TestWorkDoneIsWorkAskedFor(t *testing.T) {
	t.Parallel()
	s := on(2, group(9, 2*time.Second, time.Second))
	m := Calibrated()
	m.Spread = 0
	h := newHerd(s, spec.Policy{Lock: untilReady(3)}, m, 1)
	if gaveUp, err := h.run(t.Context(), time.Hour); gaveUp || err != nil {
		t.Fatal(gaveUp, err)
	}
	h.cpu.advance()
	b := m.bound(s)
	if got, want := h.cpu.total.done, b.Applications+b.Overhead; math.Abs(got-want) > 1e-6 {
		t.Errorf("%.6f CPU-seconds done, want %.6f", got, want)
	}
	if all := h.cpu.total; math.Abs(all.busy-all.done-all.lost-all.beside) > 1e-6 || all.lost <= 0 || all.beside <= 0 {
		t.Errorf("%+v: want busy to be the sum of the others", all)
	}
}

func TestEasyHerdBecomesReadyOnceAndInOrder(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]spec.Policy{
		"no lock": {}, "timeout": {Lock: &spec.Lock{Locks: 2, Lease: 5 * second}}, "ready": {Lock: untilReady(2)}, "auto": {Lock: auto()},
		"started": {Lock: &spec.Lock{Locks: 2, Lease: 60 * second, ReleaseOn: lockapi.ReleaseOnStarted}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, on(4, group(8, time.Second, 0)), policy, Options{Seed: 3})
			for _, p := range r.Pods {
				var whats []string
				for _, e := range p.Events {
					if e.What != record.Returned { // before or after the others, as the policy says
						whats = append(whats, string(e.What))
					}
				}
				want := "claimed granted started ready"
				if policy.Lock == nil {
					want = "started ready"
				}
				if got := strings.Join(whats, " "); got != want {
					t.Errorf("%s: %s, want %s", p.Name, got, want)
				}
			}
			if sum := record.Summarize(r, nil); r.GaveUp || sum.Inversions != 0 {
				t.Errorf("%+v", sum)
			}
		})
	}
}

func TestGrantsEndAsThePolicySays(t *testing.T) {
	t.Parallel()
	s := on(2, group(6, time.Second, 0))
	tests := map[string]struct {
		lock     *spec.Lock
		note     slots.Reason
		from, to float64 // seconds that a grant is held
	}{
		"timeout":        {&spec.Lock{Locks: 2, Lease: 5 * second, ReleaseOn: lockapi.ReleaseOnTimeout}, slots.LeaseEnded, 5, 5},
		"started":        {&spec.Lock{Locks: 2, Lease: 60 * second, ReleaseOn: lockapi.ReleaseOnStarted}, slots.PodStarted, 0.1, 2.5},
		"ready":          {untilReady(2), slots.PodReady, 1.2, 5},
		"lease is short": {&spec.Lock{Locks: 2, Lease: second, ReleaseOn: lockapi.ReleaseOnReady}, slots.LeaseEnded, 1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := 0
			for _, p := range run(t, s, spec.Policy{Lock: test.lock}, Options{}).Pods {
				granted, _ := p.First(record.Granted)
				for _, e := range p.Events {
					if e.What != record.Returned {
						continue
					}
					ended++
					if held := e.At - granted; e.Note != string(test.note) || held < test.from-1e-6 || held > test.to+1e-6 {
						t.Errorf("%s: held for %.3f s, ended by %s", p.Name, held, e.Note)
					}
				}
			}
			if ended < 4 {
				t.Errorf("%d grants ended", ended)
			}
		})
	}
}

func TestWhatIsNotInTheModelIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(s *spec.Scenario)
		lock   *spec.Lock
		want   string
	}{
		"no cores":       {func(s *spec.Scenario) { s.Node.Cores = 0 }, nil, "0 cores"},
		"no pods":        {func(s *spec.Scenario) { s.Pods = nil }, nil, "no pods"},
		"a fault":        {func(s *spec.Scenario) { s.Pods[0].Fault = spec.NoImage }, nil, "faulty pods"},
		"a reboot":       {func(s *spec.Scenario) { s.Reboot = true }, nil, "reboots"},
		"a DaemonSet":    {func(s *spec.Scenario) { s.DaemonSets = make([]spec.DaemonSet, 1) }, nil, "DaemonSets"},
		"an odd probe":   {func(s *spec.Scenario) { s.Pods[0].Probes.Liveness = &spec.Probe{} }, nil, "liveness probe every 0s"},
		"no slots":       {func(*spec.Scenario) {}, &spec.Lock{Lease: second}, "a lock"},
		"no lease":       {func(*spec.Scenario) {}, &spec.Lock{Locks: 1}, "a lock"},
		"nobody foresaw": {func(*spec.Scenario) {}, &spec.Lock{Oracle: true, Lease: second}, "the best number of slots"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := on(1, group(1, time.Second, 0))
			test.change(s)
			if r, err := New(s, Options{}).Run(t.Context(), spec.Policy{Lock: test.lock}); err == nil || r != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v: want %q", r, err, test.want)
			}
		})
	}
}

func TestRunsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s := on(1, group(2, time.Second, 0))
	_, err := New(s, Options{}).Run(over, spec.Policy{})
	_, best := Best(over, s, *untilReady(0), nil)
	_, fleet := Fleet(over, s, spec.Policy{}, 3, Options{}, nil)
	for what, err := range map[string]error{"run": err, "best": best, "fleet": fleet} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts   Options
		policy spec.Policy
		want   time.Duration
	}{
		"none":             {Options{}, spec.Policy{}, time.Hour},
		"limit":            {Options{Limit: time.Minute}, spec.Policy{}, time.Minute},
		"give up":          {Options{GiveUp: time.Second, Limit: time.Minute}, spec.Policy{}, time.Second},
		"give up too late": {Options{GiveUp: time.Hour, Limit: time.Minute}, spec.Policy{}, time.Minute},
		"patient":          {Options{GiveUp: time.Second, Limit: time.Minute}, spec.Policy{Patient: true}, time.Minute},
		"with a lock":      {Options{GiveUp: time.Second, Limit: time.Minute}, spec.Policy{Lock: untilReady(1)}, time.Minute},
	} {
		if got := test.opts.limit(test.policy); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// watcher is told of runs.
type watcher struct {
	titles []string
	runs   []*record.Run
}

func (*watcher) Note(string, ...any) {}

func (w *watcher) Follow(title string, _ time.Duration, now func() *record.Run) func() {
	w.titles = append(w.titles, title)
	return func() { w.runs = append(w.runs, now()) }
}

func TestProgressSeesTheRun(t *testing.T) {
	t.Parallel()
	var w watcher
	var _ live.Progress = &w
	s := on(1, group(2, time.Second, 0))
	r := run(t, s, spec.Policy{Name: "p"}, Options{Progress: &w})
	if want := live.Title(s, spec.Policy{Name: "p"}); !slices.Equal(w.titles, []string{want}) || len(w.runs) != 1 || w.runs[0] != r {
		t.Errorf("%q, %d runs", w.titles, len(w.runs))
	}
}
