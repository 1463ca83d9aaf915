package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestPlanTellsWhatToExpectAndWhatToUse(t *testing.T) {
	dir := t.TempDir()
	out, text, code := app(t, "plan", "--cores", "2", "--pods", "12", "--cpu", "4s", "--readiness-period", "1s", "--liveness-period", "5s", "--out", dir)
	if code != 0 {
		t.Fatalf("code %d: %s", code, text)
	}
	for _, want := range []string{
		`(?m)^12 pods × 4 CPU-s, 2 cores; node bound \d+\.\d s$`, `(?m)^none +– `, `(?m)^one +1 +12 of 12 `, `(?m)^cores +2 +12 of 12 `,
		`(?m)^auto +up to \d+ +12 of 12 `, `(?m)^oracle +\d+ +12 of 12 `, `lock\.locks`, regexp.QuoteMeta(filepath.Join(dir, report.OutlookPage)),
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, report.OutlookPage)); err != nil || !strings.Contains(string(page), "12 pods × 4 CPU-s") {
		t.Errorf("the page: %v", err)
	}
}

func TestPlanAdvisesDifferentlyOnDifferentHerds(t *testing.T) {
	for advice, args := range map[string]string{
		"No lock is needed":            "--pods 6 --idle 2s --readiness-period 1s",     // nothing is contended
		"lock.locks":                   "--pods 24 --cpu 3s --readiness-period 1s",     // a stampede
		"No setting gets all pods":     "--pods 3 --cpu 90s --liveness-delay 20s",      // killed before it can be Ready
		"all Ready":                    "--pods 3 --cpu 90s --no-liveness --lease 10m", // nobody kills it
		"the liveness probe kills it ": "--pods 2 --idle 60s --liveness-failures 2",    // however long it has the node for itself
		"24 pods × 3 CPU-s + 64Mi":     "--pods 24 --cpu 3s --read 64Mi --lease 2m --no-liveness",
	} {
		t.Run(advice, func(t *testing.T) {
			out, text, code := app(t, append([]string{"plan", "--cores", "2", "--out", t.TempDir()}, strings.Fields(args)...)...)
			if code != 0 || !strings.Contains(out, advice) {
				t.Errorf("code %d %s, output\n%s", code, text, out)
			}
		})
	}
}

func TestPlanOfARecordedResult(t *testing.T) {
	dir := t.TempDir()
	r := &record.Result{On: "kind", Scenario: &spec.Scenario{
		Name: "seen", Node: spec.Node{Cores: 2}, Reboot: true, DaemonSets: []spec.DaemonSet{{Name: "slow"}},
		Pods: []spec.Group{
			{Name: "good", Count: 5, Startup: spec.Startup{CPU: lockapi.Duration(2 * time.Second)}, Probes: spec.Probes{Readiness: &spec.Probe{Period: lockapi.Duration(time.Second), Timeout: lockapi.Duration(time.Second), Failures: 3}}},
			{Name: "bad", Count: 3, Fault: spec.CrashLoop},
		},
	}}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"its folder":                {[]string{"--from", dir}, "5 pods × 2 CPU-s, 2 cores"},
		"its file, on another node": {[]string{"--from", filepath.Join(dir, record.File), "--cores", "8"}, "5 pods × 2 CPU-s, 8 cores"},
	} {
		t.Run(name, func(t *testing.T) {
			out, text, code := app(t, append([]string{"plan", "--out", t.TempDir()}, test.args...)...)
			if code != 0 || !strings.HasPrefix(out, test.want) {
				t.Errorf("code %d %s, output\n%s", code, text, out)
			}
		})
	}
}

func TestPlanNamesEveryProblem(t *testing.T) {
	broken := t.TempDir()
	r := &record.Result{Scenario: &spec.Scenario{Pods: []spec.Group{{Name: "g", Count: 2000, Probes: spec.Probes{Liveness: &spec.Probe{}}}}}}
	if err := r.Write(broken); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args string
		want []string
	}{
		"nothing given": {"", []string{"--cores: want a number of 1 to 1024", "--pods: want a number of 1 to 1000", "what does a start cost?"}},
		"everything wrong": {
			"--cores 0 --pods many --cpu 2h --idle -1s --read 3Ti --liveness-delay 1500ms --liveness-failures 0 --readiness-period 0 --lease 100h",
			[]string{
				`--cores: want a number of 1 to 1024, not "0"`, `not "many"`, "--cpu: want 0s to 1h, not 2h", `--idle: "-1s" is negative`, `--read: "3Ti"`,
				"--liveness-delay: want whole seconds", `--liveness-failures: want a number of 1 to 1000, not "0"`, "--readiness-period: want 1s to 1h, not 0s", "--lease: want 1s to 24h",
			},
		},
		"much too much":      {"--cores 1 --pods 1000 --cpu 1h", []string{"cannot be planned"}},
		"too large a file":   {"--cores 1 --pods 1 --read 17Gi", []string{"--read: 17Gi is more than 16Gi"}},
		"a probe, and none":  {"--cores 1 --pods 1 --cpu 1s --no-liveness --liveness-period 5s", []string{"--no-liveness"}},
		"twice":              {"--from " + broken + " --pods 3 --cpu 1s --no-liveness", []string{"--pods: --from brings", "--cpu: --from brings", "--no-liveness: --from brings"}},
		"an impossible file": {"--from " + broken, []string{"a node of 0 cores", "2000 pods", "no such probe can be"}},
		"no such result":     {"--from " + filepath.Join(broken, "there"), []string{"--from: read result"}},
		"an argument":        {"--cores 1 --pods 1 --cpu 1s herd", []string{`"herd" is one`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, text, code := app(t, append([]string{"plan", "--out", t.TempDir()}, strings.Fields(test.args)...)...)
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

func TestNumbersToTry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ pods, cores int }{{1, 1}, {1, 8}, {3, 64}, {24, 2}, {60, 4}, {110, 8}, {1000, 1}, {1000, 1024}} {
		all := numbers(test.pods, test.cores)
		if all[0] != 1 || all[len(all)-1] != test.pods || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("%+v: %v, want 1 to the number of pods in rising order", test, all)
		}
		if !slices.Contains(all, min(test.cores, test.pods)) {
			t.Errorf("%+v: %v lacks the number of cores", test, all)
		}
		for n := 1; n <= min(test.pods, 24); n++ {
			if !slices.Contains(all, n) {
				t.Errorf("%+v: %v lacks %d", test, all, n)
			}
		}
	}
	if n := len(numbers(1000, 4)); n > 120 {
		t.Errorf("%d numbers to try for 1000 pods", n)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add("4", "60", "8s", "3s", "64Mi", "10s", "10s", "1s", "3", "10s", "2m", false)
	f.Add("", "-1", "1h1ns", "NaN", "9Gi", "1500ms", "0", "", "1000001", "1e3", "25h", true)
	f.Fuzz(func(t *testing.T, cores, pods, cpu, idle, read, delay, period, timeout, failures, readiness, lease string, noLiveness bool) {
		q := question{
			cores: cores, pods: pods, cpu: cpu, idle: idle, read: read, delay: delay, period: period, timeout: timeout,
			failures: failures, readiness: readiness, lease: lease, noLiveness: noLiveness,
		}
		s, given, err := q.herd()
		if err != nil {
			return
		}
		n, g := s.Count(), s.Pods[0]
		if s.Node.Cores < 1 || s.Node.Cores > mostCores || n < 1 || n > mostPods || given.Std() < time.Second || g.Probes.Readiness.Period.Std() < time.Second ||
			g.Startup.CPU < 0 || g.Startup.Idle < 0 || g.Startup.Read < 0 || (g.Probes.Liveness == nil) != noLiveness || patience(s) > 3*mostWork {
			t.Errorf("%+v is accepted as %+v with a lease of %s", q, s, given)
		}
	})
}
