package sim

import (
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// seeds is how many runs have to be right, each by itself.
const seeds = 10

const second = spec.Duration(time.Second)

// load reads a scenario of the project.
func load(t testing.TB, name string) *spec.Scenario {
	t.Helper()
	s, err := spec.ReadFile("../" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func untilReady(locks int) *spec.Lock {
	return &spec.Lock{Locks: locks, Lease: 120 * second, ReleaseOn: lockapi.ReleaseOnReady}
}

// The figures are of herd.yaml on kind, with Kubernetes 1.36, on a machine of two
// cores that it had to itself. Of three slots there were two runs.
func TestModelIsWithinAFifthOfWhatWasMeasuredOnKind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lock        *spec.Lock
		from, to    float64 // the all-Ready times that were measured, in seconds
		mostStarter int
	}{
		"one slot by time":        {&spec.Lock{Locks: 1, Lease: 4 * second}, 102, 102, 2},
		"two slots by time":       {&spec.Lock{Locks: 2, Lease: 8 * second, ReleaseOn: lockapi.ReleaseOnTimeout}, 97.8, 97.8, 2},
		"two slots until Ready":   {untilReady(2), 65.4, 65.4, 2},
		"three slots until Ready": {untilReady(3), 53.6, 65.6, 3},
		"four slots until Ready":  {untilReady(4), 53.1, 53.1, 4},
		"five slots until Ready":  {untilReady(5), 49.4, 49.4, 5},
		"six slots until Ready":   {untilReady(6), 49.7, 49.7, 6},
	}
	s := load(t, "herd")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				run, err := New(s, Options{Seed: seed}).Run(t.Context(), spec.Policy{Lock: test.lock})
				if err != nil {
					t.Fatal(err)
				}
				sum := record.Summarize(run, nil)
				if run.GaveUp || run.Ended < 0.8*test.from || run.Ended > 1.2*test.to || sum.Restarts != 0 || sum.Starters > test.mostStarter {
					t.Errorf("seed %d: %.1f s, %d restarts, %d starters; measured %g to %g s, 0, %d",
						seed, run.Ended, sum.Restarts, sum.Starters, test.from, test.to, test.mostStarter)
				}
				// A slot is not there before the sandboxes of all are, which share the CPU.
				if first := record.Grants(run)[0].At; first < 0.8*5 || first > 1.2*5 {
					t.Errorf("seed %d: first grant after %.1f s, measured 5.0", seed, first)
				}
			}
		})
	}
}

func TestModelDrownsAsTheNodeDid(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		after       time.Duration
		least, most int // restarts
	}{
		"herd":  {100 * time.Second, 70, 104},  // measured: 87, and nobody Ready
		"heavy": {250 * time.Second, 1, 10000}, // measured: it never ends
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t, name)
			for seed := range uint64(seeds) {
				run, err := New(s, Options{Seed: seed, GiveUp: test.after}).Run(t.Context(), spec.Policy{})
				if err != nil {
					t.Fatal(err)
				}
				sum := record.Summarize(run, nil)
				if !run.GaveUp || sum.AllReady != nil || sum.Restarts < test.least || sum.Restarts > test.most || sum.Starters != s.Count() {
					t.Errorf("seed %d: %d of %d Ready after %.0f s, %d restarts, %d starters", seed, sum.Ready, sum.Pods, run.Ended, sum.Restarts, sum.Starters)
				}
			}
		})
	}
}

// The figures are of herd.yaml as processes on a machine of two cores.
func TestLocalModelIsWithinAFifthOfWhatWasMeasured(t *testing.T) {
	t.Parallel()
	s, m := load(t, "herd"), Local()
	for seed := range uint64(seeds) {
		fixed := run(t, s, spec.Policy{Lock: &spec.Lock{Locks: 1, Lease: 4 * second}}, Options{Seed: seed, Model: &m})
		if sum := record.Summarize(fixed, nil); fixed.Ended < 0.8*95.7 || fixed.Ended > 1.2*95.7 || *sum.MeanReady < 0.8*49.7 || *sum.MeanReady > 1.2*49.7 || sum.Starters != 1 || sum.Restarts != 0 {
			t.Errorf("seed %d: %.1f s, mean %.1f s, %d starters, %d restarts; measured 95.7, 49.7, 1, 0", seed, fixed.Ended, *sum.MeanReady, sum.Starters, sum.Restarts)
		}
		none := run(t, s, spec.Policy{}, Options{Seed: seed, Model: &m, GiveUp: time.Minute})
		if sum := record.Summarize(none, nil); sum.Ready != 0 || sum.Restarts < 58 || sum.Restarts > 86 {
			t.Errorf("seed %d: %d Ready after a minute without a lock, %d restarts; measured 0, 72", seed, sum.Ready, sum.Restarts)
		}
	}
}

// The figures are of the policy auto, one run each, on machines of two cores:
//
//	go run ./scenarios run NAME --on kind --policy auto
//	go run ./scenarios run NAME --on local --policy auto
func TestEveryScenarioEndsWithinAFifthOfWhatWasMeasured(t *testing.T) {
	t.Parallel()
	local, cluster := Local(), Calibrated()
	tests := map[string]struct {
		model    *Model
		scenario string
		measured float64 // until all were Ready, in seconds
	}{
		"herd on kind":      {&cluster, "herd", 50.6},
		"heavy on kind":     {&cluster, "heavy", 59.9},
		"sleepers on kind":  {&cluster, "sleepers", 36.7},
		"mixed on kind":     {&cluster, "mixed", 48.0},
		"disk on kind":      {&cluster, "disk", 19.0},
		"sleepers on local": {&local, "sleepers", 23.2},
		"mixed on local":    {&local, "mixed", 32.7},
		"disk on local":     {&local, "disk", 14.2},
		"noisy on local":    {&local, "noisy", 30.7},
		"tiny on local":     {&local, "tiny", 25.2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t, test.scenario)
			policies, err := s.Select("auto")
			if err != nil {
				t.Fatal(err)
			}
			var sum float64
			for seed := range uint64(seeds) {
				sum += run(t, s, policies[0], Options{Seed: seed, Model: test.model}).Ended
			}
			ended := sum / seeds
			t.Logf("%.1f s, measured %.1f: %+.0f %%", ended, test.measured, 100*(ended/test.measured-1))
			if ended < 0.8*test.measured || ended > 1.2*test.measured {
				t.Errorf("%.1f s on average, measured %.1f", ended, test.measured)
			}
		})
	}
}

func TestBoundIsTheOneMeasured(t *testing.T) {
	t.Parallel()
	b, err := New(load(t, "herd"), Options{}).Bound(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, v := range map[string][2]float64{
		"seconds": {b.Seconds(), 45.8}, "overhead": {b.Overhead, 12.5}, "idle": {b.Idle, 0.16}, "applications": {b.Applications, 72},
	} {
		if got, measured := v[0], v[1]; got < 0.95*measured || got > 1.05*measured {
			t.Errorf("%s: %.2f, measured %g", what, got, measured)
		}
	}
}

func TestNoiseIsInTheBound(t *testing.T) {
	t.Parallel()
	s := load(t, "noisy")
	b, err := New(s, Options{}).Bound(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Node.Noise = nil
	quiet, err := New(s, Options{}).Bound(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if more := b.Idle - quiet.Idle; more < 0.599 || more > 0.601 || b.Note == "" || quiet.Note != "" {
		t.Errorf("one thread for 3 of 5 s adds %.3f cores (%q, %q)", more, b.Note, quiet.Note)
	}
}
