package sim

import (
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// crowd is as many pods as a node may have.
func crowd() *spec.Scenario {
	const second = spec.Duration(time.Second)
	return &spec.Scenario{Name: "crowd", Node: spec.Node{Cores: 8}, Pods: []spec.Group{{
		Name: "pod", Count: 110, Weight: 1, Startup: spec.Startup{CPU: 3 * second},
		Probes: spec.Probes{
			Liveness:  &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 2},
			Readiness: &spec.Probe{Period: second, Timeout: second, Failures: 3},
		},
	}}}
}

func BenchmarkNode(b *testing.B) {
	lease := spec.Duration(2 * time.Minute)
	for name, lock := range map[string]*spec.Lock{
		"none":  nil,
		"fixed": {Locks: 8, Lease: lease, ReleaseOn: lockapi.ReleaseOnReady},
		"auto":  {Auto: true, Lease: lease, ReleaseOn: lockapi.ReleaseOnReady},
	} {
		b.Run(name, func(b *testing.B) {
			s := crowd()
			for seed := uint64(0); b.Loop(); seed++ {
				if _, err := simulate(b.Context(), s, spec.Policy{Lock: lock}, Calibrated(), seed, horizon, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
