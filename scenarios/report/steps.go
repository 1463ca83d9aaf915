// steps.go draws numbers that change in steps.

package report

import (
	"fmt"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// at is the number at a moment; 0 before the first step.
func at(steps []record.Step, t float64) int {
	n := 0
	for _, step := range steps {
		if step.At <= t {
			n = step.N
		}
	}
	return n
}

// first is when a number was first there.
func first(steps []record.Step, n int) (at float64, ok bool) {
	for _, step := range steps {
		if step.N == n {
			return step.At, true
		}
	}
	return 0, false
}

// stepLine is the path of a number that is known from its first step on.
func stepLine(steps []record.Step, end float64, x func(float64) float64, y func(int) float64) string {
	var d strings.Builder
	for i, step := range steps {
		if step.At > end {
			break
		}
		if i == 0 {
			fmt.Fprintf(&d, "M%s %s", num(x(step.At)), num(y(step.N)))
			continue
		}
		fmt.Fprintf(&d, "H%sV%s", num(x(step.At)), num(y(step.N)))
	}
	fmt.Fprintf(&d, "H%s", num(x(end)))
	return d.String()
}

// stepArea is the outline of a number that begins with 0.
func stepArea(steps []record.Step, end float64, x func(float64) float64, y func(int) float64, bottom float64) string {
	var d strings.Builder
	fmt.Fprintf(&d, "M%s %s", num(x(0)), num(bottom))
	n := 0
	for _, step := range steps {
		at := min(step.At, end)
		fmt.Fprintf(&d, "L%s %sL%s %s", num(x(at)), num(y(n)), num(x(at)), num(y(step.N)))
		n = step.N
	}
	fmt.Fprintf(&d, "L%s %sL%s %sZ", num(x(end)), num(y(n)), num(x(end)), num(bottom))
	return d.String()
}
