package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// quiet is a node where nothing is left to chance and nothing costs anything:
// what remains is the kubelet.
func quiet() *Model {
	return &Model{Disk: 400 << 20, Reader: 100 << 20}
}

func events(t *testing.T, s *spec.Scenario, policy spec.Policy, opts Options) []record.Event {
	t.Helper()
	return run(t, s, policy, opts).Pods[0].Events
}

func TestProbesDecideWhenAPodIsReady(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(g *spec.Group)
		want   []record.Event
	}{
		"on the grid":           {func(g *spec.Group) { g.Startup.CPU = 2500 * spec.Duration(time.Millisecond) }, []record.Event{{What: record.Started}, {At: 3, What: record.Ready}}},
		"two cores do not help": {func(*spec.Group) {}, []record.Event{{What: record.Started}, {At: 3, What: record.Ready}}},
		"computes, then waits":  {func(g *spec.Group) { g.Startup.Idle = 4 * second }, []record.Event{{What: record.Started}, {At: 7, What: record.Ready}}},
		"reads, then computes":  {func(g *spec.Group) { g.Startup.Read = 200 << 20 }, []record.Event{{What: record.Started}, {At: 5, What: record.Ready}}},
		"a slow probe":          {func(g *spec.Group) { g.Probes.Readiness.Period = 10 * second }, []record.Event{{What: record.Started}, {At: 10, What: record.Ready}}},
		"a late probe":          {func(g *spec.Group) { g.Probes.Readiness.InitialDelay = 8 * second }, []record.Event{{What: record.Started}, {At: 8, What: record.Ready}}},
		"no probe":              {func(g *spec.Group) { g.Probes.Readiness = nil }, []record.Event{{What: record.Started}, {What: record.Ready, Note: "no readiness probe"}}},
		"in the nick of time":   {func(g *spec.Group) { g.Startup.CPU = 14 * second }, []record.Event{{What: record.Started}, {At: 14, What: record.Ready}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := group(1, 3*time.Second, 0)
			test.change(&g)
			if got := events(t, on(2, g), spec.Policy{}, Options{Model: quiet()}); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestSlowStarterIsKilledAgainAndAgainAndLosesAllItDid(t *testing.T) {
	t.Parallel()
	const why = "liveness probe failed 2 times"
	want := []record.Event{
		{What: record.Started}, {At: 15, What: record.Stopped, Note: why}, {At: 15, What: record.Started}, {At: 30, What: record.Stopped, Note: why},
		{At: 30, What: record.Started}, {At: 45, What: record.Stopped, Note: why}, {At: 45, What: record.Started}, {At: 60, What: record.Stopped, Note: why},
		{At: 80, What: record.Started}, {At: 95, What: record.Stopped, Note: why},
	}
	s := on(1, group(1, 16*time.Second, 0))
	if got := events(t, s, spec.Policy{}, Options{Model: quiet(), Limit: 100 * time.Second}); !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	patient := []record.Event{{What: record.Started}, {At: 16, What: record.Ready}}
	if got := events(t, s, spec.Policy{Patient: true}, Options{Model: quiet()}); !slices.Equal(got, patient) {
		t.Errorf("patient: %v", got)
	}
}

// A start that no slot helps any more gives its slot back, as health says.
func TestCrashLoopGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	s := on(1, group(1, 16*time.Second, 0))
	got := events(t, s, spec.Policy{Lock: untilReady(1)}, Options{Model: quiet(), Limit: 100 * time.Second})
	if !slices.Contains(got, record.Event{At: 60, What: record.Returned, Note: "stuck"}) {
		t.Errorf("%v", got)
	}
}

func TestKubeletSeesTheGrantWhenItLooks(t *testing.T) {
	t.Parallel()
	m := quiet()
	m.Relist = 1
	for seed := range uint64(20) {
		h := newHerd(on(1, group(1, 0, 0)), spec.Policy{Lock: untilReady(1)}, *m, seed)
		if gaveUp, err := h.run(t.Context(), time.Hour); gaveUp || err != nil {
			t.Fatal(gaveUp, err)
		}
		if at, _ := h.pods[0].record.First(record.Started); at != h.relist.Seconds() {
			t.Errorf("seed %d: started at %g, the kubelet looks at %s", seed, at, h.relist)
		}
	}
}

func TestHigherPrioritiesGoFirstWhoeverAsks(t *testing.T) {
	t.Parallel()
	low, high := group(3, time.Second, 0), group(2, time.Second, 0)
	high.Priority = 1
	r := run(t, on(2, low, high), spec.Policy{Lock: untilReady(1)}, Options{Model: quiet()})
	var order []float64
	for _, p := range r.Pods {
		at, _ := p.First(record.Granted)
		order = append(order, at)
	}
	// All ask at once; the very first has its slot before anybody else is there.
	if order[0] != 0 || max(order[3], order[4]) > min(order[1], order[2]) {
		t.Errorf("granted at %v", order)
	}
}

func TestHeavyClaimsTakeMoreSlots(t *testing.T) {
	t.Parallel()
	g := group(4, time.Second, 0)
	g.Weight = 2
	r := run(t, on(4, g), spec.Policy{Lock: untilReady(3)}, Options{})
	if most := record.Peak(record.Grants(r)); most != 1 {
		t.Errorf("%d claims of weight 2 held slots at once, of 3", most)
	}
}

func TestDiskIsShared(t *testing.T) {
	t.Parallel()
	for pods, want := range map[int]float64{1: 4, 4: 4, 8: 8} { // 400 MiB at 100 each, 400 together
		g := group(pods, 0, 0)
		g.Startup.Read = 400 << 20
		r := run(t, on(1, g), spec.Policy{}, Options{Model: quiet()})
		if r.Ended != want {
			t.Errorf("%d readers: %g s, want %g", pods, r.Ended, want)
		}
		if io := r.Samples[2].IO; *io != 1 || *r.Samples[2].Pressure != 0 {
			t.Errorf("%d readers: IO pressure %g, CPU pressure %g", pods, *io, *r.Samples[2].Pressure)
		}
	}
}

func TestNoiseTakesItsShareAndRests(t *testing.T) {
	t.Parallel()
	s := on(1, group(1, 3*time.Second, 0))
	// On for 2 s, in which the pod gets half, then off for 1 s: 2 CPU-seconds in 3 s.
	s.Node.Noise = &spec.Noise{Threads: 1, On: 2 * second, Off: second}
	if r := run(t, s, spec.Policy{}, Options{Model: quiet()}); r.Ended != 5 {
		t.Errorf("Ready after %g s, want 5", r.Ended)
	}
	s.Node.Noise.Off = 0
	if r := run(t, s, spec.Policy{}, Options{Model: quiet()}); r.Ended != 6 {
		t.Errorf("without a rest: Ready after %g s, want 6", r.Ended)
	}
}

func TestSamplesShowWhoWaits(t *testing.T) {
	t.Parallel()
	h := newHerd(on(2, group(5, 10*time.Second, 0)), spec.Policy{}, *quiet(), 1)
	for h.clock.step(time.Second) {
	}
	s := h.sample()
	if s.CPU != 1 || s.Busy != 2 || s.Running != 5 || s.Blocked != 0 || s.IO != 0 || s.IOFull != 0 || !s.PSI || s.Cores != 2 || s.At != epoch().Add(h.clock.now) {
		t.Errorf("%+v", s)
	}
}

func TestControllerMovesTheLimit(t *testing.T) {
	t.Parallel()
	r := run(t, load(t, "herd"), spec.Policy{Lock: auto()}, Options{})
	if len(r.Limits) < 3 || r.Limits[0].At != 0 || r.Limits[0].N != 1 {
		t.Errorf("limits %v", r.Limits)
	}
	if err := limited(r); err != nil {
		t.Error(err)
	}
	fixed := run(t, load(t, "herd"), spec.Policy{Lock: untilReady(3)}, Options{})
	if !slices.Equal(fixed.Limits, []record.Step{{N: 3}}) {
		t.Errorf("fixed: %v", fixed.Limits)
	}
}

// The waits are those of the room local, which are a real kubelet's.
func TestBackOff(t *testing.T) {
	t.Parallel()
	for lives, want := range map[time.Duration][]int{
		15 * time.Second: {0, 0, 0, 20, 40, 80, 160, 300}, 25 * time.Second: {0, 0, 0, 0, 40, 80, 160, 300}, 5 * time.Second: {0, 0, 10, 20, 40, 80, 160, 300},
	} {
		var b backOff
		now := time.Duration(0)
		for i, seconds := range want {
			now += lives
			got := b.next(now)
			if got != time.Duration(seconds)*time.Second {
				t.Fatalf("lives %s, restart %d after %s, want %d s", lives, i, got, seconds)
			}
			now += got
		}
		now += 2 * forgetAfter
		if got := b.next(now); got != 0 {
			t.Errorf("lives %s: long after, %s", lives, got)
		}
	}
}

func TestKubeletIsLateByAPartOfTheBackOff(t *testing.T) {
	t.Parallel()
	h := newHerd(on(1, group(1, 0, 0)), spec.Policy{}, Calibrated(), 1)
	for _, left := range []float64{10, 40, 80, 300} {
		least, most := 1e9, 0.0
		for range 1000 {
			late := h.late(left)
			least, most = min(least, late), max(most, late)
		}
		if least < left || most > 1.5*left || most < 1.09*left {
			t.Errorf("%g s last %.1f to %.1f s", left, least, most)
		}
	}
	if h.late(0) != 0 {
		t.Error("late for nothing")
	}
}
