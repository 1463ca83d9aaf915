package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestNameLast(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"x":                                  "x",
		"x list":                             "x list",
		"x run herd":                         "x run herd",
		"x run herd --on local --give-up 1m": "x run --on local --give-up 1m herd",
		"x run --on local herd":              "x run --on local herd",
		"x --help run herd":                  "x --help run herd",
	}
	for in, want := range tests {
		if got := strings.Join(nameLast(strings.Fields(in)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	p, err := settings{names: []string{"herd"}, on: "local", giveUp: "60s", limit: "5m", policies: []string{"fixed"}, repeat: 2}.plan()
	if err != nil {
		t.Fatal(err)
	}
	if p.scenario.Name != "herd" || len(p.policies) != 2 || p.policies[1].Name != "fixed-2" || p.giveUp != time.Minute || p.limit != 5*time.Minute ||
		p.out != filepath.Join("_artifacts", "scenarios", "herd-local") {
		t.Errorf("%+v", p)
	}
}

// app runs the program and returns its output, error text and exit code. Its
// tests take turns: the library keeps its help flag in a global variable.
func app(t *testing.T, args ...string) (string, string, int) {
	t.Helper()
	a := newApp()
	var out bytes.Buffer
	a.Writer, a.ErrWriter = &out, &out
	err := a.RunContext(t.Context(), nameLast(append([]string{"scenarios"}, args...)))
	var exit cli.ExitCoder
	switch {
	case err == nil:
		return out.String(), "", 0
	case errors.As(err, &exit):
		return out.String(), err.Error(), exit.ExitCode()
	default:
		return out.String(), err.Error(), exitFailed
	}
}

func TestBadInputExits2AndNamesEveryProblem(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("name: a\nsize: 1\nnode: {cores: 0}\npods: 3\npolicies: 4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want []string
	}{
		"no command":       {[]string{"walk"}, []string{`"walk" is no command`}},
		"unknown flag":     {[]string{"run", "herd", "--fast"}, []string{"-fast"}},
		"nothing to run":   {[]string{"run"}, []string{"want the name of one scenario", `--on ""`}},
		"unknown scenario": {[]string{"run", "herb", "--on", "local"}, []string{`no scenario is named "herb"`}},
		"everything at once": {
			[]string{"run", "herd", "--on", "moon", "--policy", "a", "--policy", "b", "--give-up", "soon", "--limit", "-1", "--repeat", "0"},
			[]string{`--on "moon"`, "--policy a", "--policy b", `--give-up: "soon"`, `--limit: "-1" is negative`, "--repeat 0: want 1"},
		},
		"a broken file":       {[]string{"run", broken, "--on", "local"}, []string{"broken.yaml:2", "broken.yaml:3", "broken.yaml:4", "broken.yaml:5"}},
		"a file not there":    {[]string{"run", "nope.yaml", "--on", "local"}, []string{"nope.yaml"}},
		"another place":       {[]string{"run", "reboot", "--on", "local"}, []string{"--on local: the scenario reboot runs on kind only"}},
		"report of what":      {[]string{"report"}, []string{"want one folder"}},
		"report of nothing":   {[]string{"report", t.TempDir()}, []string{"read result"}},
		"two scenarios":       {[]string{"run", "--on", "local", "herd", "light"}, []string{"not 2"}},
		"file with no lock":   {[]string{"run", "--on", "local", "--policy", "x", "light"}, []string{"it has [none paced]"}},
		"limit without units": {[]string{"run", "herd", "--on", "local", "--limit", "1x"}, []string{`--limit: "1x"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, text, code := app(t, test.args...)
			if code != exitBadInput {
				t.Errorf("exit code %d\n%s", code, out)
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q lacks %q", text, want)
				}
			}
		})
	}
}

func TestList(t *testing.T) {
	out, _, code := app(t, "list")
	for _, want := range []string{"herd ", "light ", "(policies: none, patient, fixed, timeout2, one, cores, ready3, auto, oracle)", "(policies: ready1; on kind only)"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("code %d, lacks %q:\n%s", code, want, out)
		}
	}
}

func TestReportIsRenderedAnewAndJudgedAnew(t *testing.T) {
	zero := 0.0
	for name, test := range map[string]struct {
		restarts int
		code     int
	}{"holds": {0, 0}, "does not hold": {2, exitFailed}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := &record.Result{Scenario: &spec.Scenario{Name: "s"}, On: "local"}
			events := []record.Event{{What: record.Started}, {At: 1, What: record.Ready}}
			for range test.restarts {
				events = slices.Insert(events, 1, record.Event{What: record.Stopped}, record.Event{What: record.Started})
			}
			r.Add(&record.Run{
				Policy: spec.Policy{Name: "p", Expect: spec.Expect{Restarts: &spec.Range{Most: &zero}}}, Ended: 2,
				Pods: []record.Pod{{Name: "a", Events: events}},
			})
			if err := r.Write(dir); err != nil {
				t.Fatal(err)
			}
			out, text, code := app(t, "report", dir)
			if code != test.code || !strings.Contains(out, filepath.Join(dir, report.PageFile)) {
				t.Errorf("code %d, output %s", code, out)
			}
			if test.code != 0 && !strings.Contains(text, "policy p: restarts: expected at most 0, measured 2") {
				t.Errorf("says %q", text)
			}
		})
	}
}
