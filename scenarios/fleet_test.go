package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestManyNodesMakeOneTable(t *testing.T) {
	out, text, code := app(t, "run", "herd", "--on", "sim", "--nodes", "20", "--policy", "ready3", "--policy", "none", "--limit", "60s")
	if code != 0 {
		t.Fatalf("code %d: %s", code, text)
	}
	for policy, line := range map[string]string{
		"ready3": `ready3 +20 of 20 +5\d\.\d s +5\d\.\d s +5\d\.\d s +5\d\.\d s +1\.[12]\d +3\d\.\d s +0 +0 +\d+\.\d s +\d+`,
		"none":   `none +0 of 20 +– +– +– +– +– +– +[1-9]\d+ +20 +\d+\.\d s +\d+`, // a herd that drowned is no error here
	} {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(out) {
			t.Errorf("no line of policy %s:\n%s", policy, out)
		}
	}
}

func TestManyNodesAreForTheSimulator(t *testing.T) {
	for _, args := range []string{"run herd --on local --nodes 3", "run herd --on sim --nodes -1"} {
		if _, text, code := app(t, strings.Fields(args)...); code != exitBadInput || !strings.Contains(text, "--nodes") {
			t.Errorf("%s: code %d, %q", args, code, text)
		}
	}
}

// notes keeps what is said.
type notes []string

func (n *notes) Note(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

func (*notes) Follow(string, time.Duration, func() *record.Run) func() { return func() {} }

func TestOracleIsAskedBeforeItsPolicyRuns(t *testing.T) {
	t.Parallel()
	s, err := load("sleepers")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"sim", "local", "kind"} {
		var said notes
		p := plan{scenario: s, on: place, progress: &said}
		asked := &spec.Lock{Oracle: true, Lease: spec.Duration(time.Minute), ReleaseOn: "ready"}
		lock, err := p.foresee(t.Context(), asked)
		// Nothing is contended, so all of them may go at once, or nearly.
		if err != nil || lock.Locks < 30 || !lock.Oracle || lock.Lease != asked.Lease || asked.Locks != 0 || len(said) != 1 {
			t.Errorf("on %s: %+v, %v, said %q", place, lock, err, said)
		}
	}
	fixed := &spec.Lock{Locks: 2}
	for _, lock := range []*spec.Lock{nil, fixed} {
		if got, err := (plan{scenario: s}).foresee(t.Context(), lock); got != lock || err != nil {
			t.Errorf("%v becomes %v, %v", lock, got, err)
		}
	}
}
