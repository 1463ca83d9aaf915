// check.go holds a run against what the scenario expects of it.

package record

import (
	"fmt"
	"math"
	"strconv"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Check is one expectation and what was measured.
type Check struct {
	What     string `json:"what"`
	Expected string `json:"expected"`
	Measured string `json:"measured"`
	Holds    bool   `json:"holds"`
}

// String says the check in one line.
func (c Check) String() string {
	return fmt.Sprintf("%s: expected %s, measured %s", c.What, c.Expected, c.Measured)
}

// Judge checks everything that is expected of a policy in a place.
func Judge(p spec.Policy, on string, s Summary) []Check {
	return append(judge(p.Expect, s), judge(p.Only[on], s)...)
}

// judge checks each expectation. What could not be measured does not hold.
func judge(e spec.Expect, s Summary) []Check {
	var checks []Check
	check := func(what string, want *spec.Range, measured float64, unit string) {
		if want == nil {
			return
		}
		got := "nothing"
		if !math.IsNaN(measured) {
			got = strconv.FormatFloat(math.Round(measured*1e4)/1e4, 'f', -1, 64) + unit
		}
		checks = append(checks, Check{What: what, Expected: want.String() + unit, Measured: got, Holds: want.Holds(measured)})
	}
	check("pods Ready", e.Ready, float64(s.Ready), "")
	check("healthy pods Ready", e.Healthy, float64(s.Healthy), "")
	check("restarts", e.Restarts, float64(s.Restarts), "")
	check("most starters at once", e.Starters, float64(s.Starters), "")
	check("most grants at once", e.Grants, float64(s.Grants), "")
	check("order inversions", e.Inversions, float64(s.Inversions), "")
	check("ratio to the node bound", e.Ratio, value(s.Ratio), "")
	check("shortest time between two starts", e.Spacing, value(s.Spacing), " s")
	check("first grant after the node's DaemonSets", e.Gate, value(s.Gate), " s")
	return checks
}

func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
