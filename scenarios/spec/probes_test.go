// How long probes let a start take.

package spec_test

import (
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestPatienceIsTheTimeToTheLastOfTheFailuresInARow(t *testing.T) {
	t.Parallel()
	const second = spec.Duration(time.Second)
	readiness := &spec.Probe{InitialDelay: second, Period: second, Timeout: second, Failures: 1}
	for name, test := range map[string]struct {
		liveness *spec.Probe
		want     spec.Duration
	}{
		"no liveness probe":                 {nil, 0},
		"three failures after a delay":      {&spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 3}, 20 * second},
		"no delay":                          {&spec.Probe{Period: 10 * second, Timeout: second, Failures: 3}, 20 * second},
		"the timeout does not count":        {&spec.Probe{Period: 10 * second, Timeout: 9 * second, Failures: 3}, 20 * second},
		"one failure: the delay":            {&spec.Probe{InitialDelay: 7 * second, Period: 10 * second, Timeout: second, Failures: 1}, 7 * second},
		"the first check may be at once":    {&spec.Probe{Period: 10 * second, Timeout: second, Failures: 1}, second},
		"a probe that cannot be is no pass": {&spec.Probe{}, second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range []spec.Probes{{Liveness: test.liveness}, {Liveness: test.liveness, Readiness: readiness}} {
				if got := p.Patience(); got != test.want {
					t.Errorf("with readiness %v: %s, want %s", p.Readiness != nil, got, test.want)
				}
			}
		})
	}
}
