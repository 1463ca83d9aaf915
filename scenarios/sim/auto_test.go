package sim

import (
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// follows is the policy of a lock that follows its node.
func follows() spec.Policy { return spec.Policy{Name: "auto", Lock: auto()} }

// One start needs half of the time that the probes of Kubernetes' defaults give
// it: whoever lets more than three of them compete for two cores kills them all.
func TestStartsThatNeedHalfOfTheirProbesTimeAreGivenIt(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	s := &spec.Scenario{Name: "long", Node: spec.Node{Cores: 2}, Pods: []spec.Group{{
		Name: "long", Count: 12, Weight: 1, Startup: spec.Startup{CPU: 15 * second},
		Probes: spec.Probes{
			Liveness:  &spec.Probe{InitialDelay: 10 * second, Period: 10 * second, Timeout: second, Failures: 3},
			Readiness: &spec.Probe{Period: 10 * second, Timeout: second, Failures: 3},
		},
	}}}
	restarts, worst := 0, 0.0
	const seeds = 10
	for seed := range uint64(seeds) {
		node := New(s, Options{Seed: seed + 1})
		run, err := node.Run(t.Context(), follows())
		if err != nil {
			t.Fatal(err)
		}
		bound, err := node.Bound(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum := record.Summarize(run, bound)
		if sum.AllReady == nil {
			t.Fatalf("seed %d: not all were Ready", seed)
		}
		restarts += sum.Restarts
		worst = max(worst, *sum.Ratio)
	}
	if restarts > seeds || worst > 1.7 {
		t.Errorf("%d restarts in %d runs, %.2f times the node bound at worst", restarts, seeds, worst)
	}
}

// Starts that only wait are no load: within twice and a half of one's own time
// all are Ready, where one slot would need forty times.
func TestSleepersGoNearlyAllAtOnce(t *testing.T) {
	t.Parallel()
	s := load(t, "sleepers")
	run, err := New(s, Options{Seed: 1}).Run(t.Context(), follows())
	if err != nil {
		t.Fatal(err)
	}
	sum := record.Summarize(run, nil)
	if one := s.Pods[0].Startup.Idle.Std().Seconds(); sum.AllReady == nil || *sum.AllReady > 2.5*one {
		t.Errorf("all Ready after %v s, one alone after %v", *sum.AllReady, one)
	}
}

// What the lock finds untuned is nearly what trying all numbers of slots finds,
// and in no herd worse than the better of the two numbers that people would choose.
func TestAutoIsNearTheBestNumberOfSlots(t *testing.T) {
	t.Parallel()
	const seeds = 5
	mean := func(s *spec.Scenario, lock *spec.Lock) float64 {
		sum := 0.0
		for seed := range uint64(seeds) {
			got := record.Summarize(run(t, s, spec.Policy{Lock: lock}, Options{Seed: seed + 1}), nil)
			if got.AllReady == nil || got.Restarts > 0 {
				t.Fatalf("%s, %s: %d restarts", s.Name, lock, got.Restarts)
			}
			sum += *got.AllReady
		}
		return sum / seeds
	}
	for _, name := range []string{"herd", "heavy", "mixed", "disk", "noisy", "tiny", "sleepers", "big"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t, name)
			got := mean(s, auto())
			if better := min(mean(s, untilReady(1)), mean(s, untilReady(s.Node.Cores))); got > 1.1*better {
				t.Errorf("all Ready after %.1f s, with one slot or as many as cores after %.1f s", got, better)
			}
			if name == "sleepers" { // held to the time that one takes: see above
				return
			}
			slots, err := Best(t.Context(), s, *untilReady(1), func(int, int) {})
			if err != nil {
				t.Fatal(err)
			}
			if best := mean(s, untilReady(slots)); got > 1.15*best {
				t.Errorf("all Ready after %.1f s, with the best number of slots, %d, after %.1f s", got, slots, best)
			}
		})
	}
}
