package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
)

// scenario writes one for the simulator, and what it expects of its lock.
func scenario(t *testing.T, name, expect string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".yaml")
	text := `name: ` + name + `
node: {cores: 2}
pods:
  - name: pod
    count: 4
    startup: {cpu: 1s}
    probes: {readiness: {period: 1s}}
policies:
  - {name: none, lock: none, expect: {ready: all}}
  - {name: ready1, lock: {locks: 1, lease: 60s, releaseOn: ready}, expect: ` + expect + `}
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSimulateReportsAndCompares(t *testing.T) {
	dir := t.TempDir()
	out, text, code := app(t, "simulate", scenario(t, "first", "{ready: all, grants: 1}"), scenario(t, "second", "{ready: all}"), "--out", dir)
	if code != 0 {
		t.Fatalf("code %d: %s", code, text)
	}
	first, second := strings.Index(out, "\nfirst "), strings.Index(out, "\nsecond ")
	if first < 0 || second < first || !strings.Contains(out, "ready1") || !strings.Contains(out, filepath.Join(dir, report.ComparePage)) {
		t.Errorf("output\n%s", out)
	}
	for _, file := range []string{report.ComparePage, report.ComparePicture, report.CompareMarkdown, "first/" + report.PageFile, "second/" + record.File} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, report.ComparePage))
	if err != nil || !bytes.Contains(page, []byte(`href="second/report.html"`)) {
		t.Errorf("the comparison does not lead to the reports: %v", err)
	}
}

func TestSimulateFailsWhenAnExpectationDoesNotHold(t *testing.T) {
	_, text, code := app(t, "simulate",
		scenario(t, "fine", "{ready: all}"), scenario(t, "slow", "{ratio: {most: 0.1}}"), scenario(t, "wild", "{restarts: {least: 1}}"), "--out", t.TempDir())
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"slow, policy ready1: ratio to the node bound: expected at most 0.1, measured ", "wild, policy ready1: restarts: expected at least 1, measured 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if strings.Contains(text, "fine, ") {
		t.Errorf("what holds is named, too: %q", text)
	}
}

func TestSimulateTakesAllThatRunThere(t *testing.T) {
	t.Parallel()
	plans, err := simulations(nil, []string{"auto"}, "somewhere")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, p := range plans {
		found[p.scenario.Name] = true
		if len(p.policies) != 1 || p.policies[0].Name != "auto" || p.out != filepath.Join("somewhere", p.scenario.Name) {
			t.Errorf("%s: policies %v, out %s", p.scenario.Name, p.policies, p.out)
		}
	}
	if !found["herd"] || !found["big"] || found["gate"] || found["light"] {
		t.Errorf("planned: %v; want those with a policy auto that run in the simulator", found)
	}
}

func TestTheSameResultWhateverRunsBeside(t *testing.T) {
	t.Parallel()
	plans, err := simulations([]string{"tiny", "disk"}, []string{"auto", "none"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var told [2]bytes.Buffer
	for i := range told {
		if _, err := simulate(t.Context(), plans, &told[i]); err != nil {
			t.Fatal(err)
		}
	}
	if lines := strings.Split(told[0].String(), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "tiny ") || !strings.HasPrefix(lines[1], "disk ") {
		t.Errorf("progress: %q", lines)
	}
	if told[0].String() != told[1].String() {
		t.Errorf("first\n%s\nand then\n%s", &told[0], &told[1])
	}
}

func TestCompareReadsFoldersAndFoldersOfThem(t *testing.T) {
	dir := t.TempDir()
	results, side := filepath.Join(dir, "results"), filepath.Join(dir, "side by side")
	if _, text, code := app(t, "simulate", scenario(t, "first", "{}"), scenario(t, "second", "{}"), "--out", results); code != 0 {
		t.Fatal(text)
	}
	for name, args := range map[string][]string{
		"one by one":  {filepath.Join(results, "first"), filepath.Join(results, "second")},
		"all at once": {results},
	} {
		t.Run(name, func(t *testing.T) {
			out, text, code := app(t, append(append([]string{"compare"}, args...), "--out", side)...)
			if code != 0 || !strings.Contains(out, "\nfirst ") || !strings.Contains(out, "\nsecond ") {
				t.Errorf("code %d %s, output\n%s", code, text, out)
			}
			page, err := os.ReadFile(filepath.Join(side, report.ComparePage))
			if err != nil || !bytes.Contains(page, []byte(`href="../results/first/report.html"`)) {
				t.Errorf("the way to the report: %v", err)
			}
		})
	}
}

func TestBadInputOfSimulateAndCompare(t *testing.T) {
	same, empty := scenario(t, "same", "{}"), t.TempDir()
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"everything at once": {
			[]string{"simulate", "herb", "gate", same, same, "--policy", "magic"},
			[]string{`no scenario is named "herb"`, "gate: it runs on kind only", "same: named twice", "--policy magic: none of the scenarios"},
		},
		"an unknown flag":    {[]string{"simulate", "--fast"}, []string{"-fast"}},
		"nothing to compare": {[]string{"compare"}, []string{"want folders"}},
		"folders without results": {
			[]string{"compare", empty, filepath.Join(empty, "not there")}, []string{empty + ": read result", "not there: read result"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, text, code := app(t, test.args...)
			if code != exitBadInput {
				t.Errorf("exit code %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q lacks %q", text, want)
				}
			}
		})
	}
}
