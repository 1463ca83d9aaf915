package report_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// fate is how a run went: all Ready and mean in seconds, 0 for never, and restarts.
type fate struct {
	all, mean float64
	restarts  int
}

// outlook has fixed numbers of slots from 1 on.
func outlook(none, auto fate, fixed ...fate) *report.Outlook {
	o := &report.Outlook{
		Scenario: &spec.Scenario{Name: "made-up", Node: spec.Node{Cores: 2}, Pods: []spec.Group{{
			Name: "pod <a>", Count: 10, Startup: spec.Startup{CPU: spec.Duration(8 * time.Second)},
			Probes: spec.Probes{Liveness: &spec.Probe{InitialDelay: spec.Duration(10 * time.Second), Period: spec.Duration(10 * time.Second), Failures: 3}},
		}}},
		Bound: &record.Bound{Applications: 80, Cores: 2},
		None:  came(none, nil),
		Auto:  came(auto, &spec.Lock{Auto: true, ReleaseOn: "ready"}),
	}
	for i, f := range fixed {
		o.Fixed = append(o.Fixed, came(f, &spec.Lock{Locks: i + 1, ReleaseOn: "ready"}))
	}
	return o
}

func came(f fate, lock *spec.Lock) record.Outcome {
	name := "fixed"
	switch {
	case lock == nil:
		name = "none"
	case lock.Auto:
		name = "auto"
	}
	s := record.Summary{Pods: 10, Sound: 10, Healthy: 4, Restarts: f.restarts}
	if f.mean > 0 {
		s.MeanReady = &f.mean
	}
	if f.all > 0 {
		ratio := f.all / 40
		s.Healthy, s.AllReady, s.Ratio = 10, &f.all, &ratio
	}
	return record.Outcome{Summary: s, Run: &record.Run{Policy: spec.Policy{Name: name, Lock: lock}, Ended: 3600}}
}

func TestAdviceFollowsFromTheFigures(t *testing.T) {
	t.Parallel()
	storm := fate{400, 300, 70}
	tests := map[string]struct {
		outlook *report.Outlook
		want    string
	}{
		"auto is as good as any number": {
			outlook(storm, fate{44, 22, 0}, fate{80, 40, 0}, fate{50, 25, 0}, fate{43, 22, 0}),
			"Leave lock.locks at auto: all Ready after 44 s, no restarts. If you must fix it: 3 (all Ready after 43 s, no restarts).",
		},
		"of numbers as good the smallest": {
			outlook(storm, fate{44, 22, 0}, fate{80, 40, 0}, fate{43.1, 25, 0}, fate{43, 22, 0}),
			"Leave lock.locks at auto: all Ready after 44 s, no restarts. If you must fix it: 2 (all Ready after 43 s, no restarts).",
		},
		"a number is much better": {
			outlook(storm, fate{60, 30, 0}, fate{80, 40, 0}, fate{43, 22, 0}, fate{90, 60, 12}),
			"Set lock.locks to 2: all Ready after 43 s, no restarts. With auto it would be: all Ready after 60 s, no restarts.",
		},
		"auto restarts pods": {
			outlook(storm, fate{42, 21, 3}, fate{80, 40, 0}, fate{43, 22, 0}),
			"Set lock.locks to 2: all Ready after 43 s, no restarts. With auto it would be: all Ready after 42 s, 3 restarts.",
		},
		"auto fails": {
			outlook(storm, fate{0, 21, 30}, fate{80, 40, 0}, fate{0, 22, 20}),
			"Set lock.locks to 1: all Ready after 80 s, no restarts. With auto it would be: 4 of 10 Ready in the end, 30 restarts.",
		},
		"fast with restarts is not the best number": {
			outlook(storm, fate{50, 30, 0}, fate{49, 40, 0}, fate{41, 22, 1}),
			"Leave lock.locks at auto: all Ready after 50 s, no restarts. If you must fix it: 1 (all Ready after 49 s, no restarts).",
		},
		"without a lock it is as good": {
			outlook(fate{24, 23, 0}, fate{34, 31, 0}, fate{600, 300, 0}, fate{300, 150, 0}),
			"No lock is needed: without one all Ready after 24 s, no restarts; with one it would be all Ready after 34 s, no restarts.",
		},
		"without a lock all are Ready together, and late": {
			outlook(fate{44, 43, 0}, fate{45, 22, 0}, fate{46, 23, 0}),
			"Leave lock.locks at auto: all Ready after 45 s, no restarts. If you must fix it: 1 (all Ready after 46 s, no restarts).",
		},
		"only without a lock": {
			outlook(fate{100, 60, 5}, fate{0, 0, 1}, fate{0, 0, 1}),
			"No lock, for once: without one all Ready after 100 s, 5 restarts; with one it would be 4 of 10 Ready in the end, 1 restart.",
		},
		"nothing helps": {
			outlook(fate{0, 0, 70}, fate{0, 0, 60}, fate{0, 0, 50}),
			"No setting gets all pods Ready (at best 4 of 10 Ready in the end, 50 restarts).",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.outlook.Advice(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAdviceNamesAProbeThatNoStartCanPass(t *testing.T) {
	t.Parallel()
	o := outlook(fate{}, fate{}, fate{})
	o.Scenario.Pods[0].Startup.CPU = spec.Duration(time.Minute)
	if got := o.Advice(); !strings.Contains(got, "A start takes 60 s even alone, and the liveness probe kills it after about 40 s") {
		t.Error(got)
	}
}

func TestOutlookShowsEveryPolicy(t *testing.T) {
	t.Parallel()
	o := outlook(fate{0, 300, 70}, fate{44, 22, 0}, fate{80, 40, 0}, fate{50, 25, 0}, fate{43, 22, 0}, fate{200, 60, 9})
	var out bytes.Buffer
	if err := o.Text(&out); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(` {2,}`).ReplaceAllString(out.String(), "|")
	for _, want := range []string{
		"10 pods × 8 CPU-s, 2 cores; node bound 40.0 s\n", "none|–|4 of 10|never|–|300.0 s|–|70\n", "one|1|10 of 10|80.0 s|2.00|40.0 s|–|0\n",
		"cores|2|10 of 10|50.0 s|1.25|", "auto|up to 0|10 of 10|44.0 s|1.10|", "oracle|3|10 of 10|43.0 s|1.07|", o.Advice(),
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("the text lacks %q:\n%s", want, lines)
		}
	}
	page, err := o.Page()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		o.Advice(), ">auto 44.0 s</text>", ">node bound 40.0 s</text>", ">↑ no lock never, 70 restarts</text>", ">best fixed: 3 slots, 43.0 s</text>",
		"<title>1 slot: all Ready after 80 s, no restarts</title>", "<title>4 slots: 9 restarts</title>", "<td class=\"bad\">never</td>", "pod &lt;a&gt;",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`(?i)(src|href)=|url\(|@import|https?:|<script|ZgotmplZ|NaN|Inf|%!`).FindString(string(page)); found != "" {
		t.Errorf("the page has %q in it", found)
	}
}

func TestOutlooksOfAllKindsAreDrawn(t *testing.T) {
	t.Parallel()
	many := make([]fate, 200)
	for i := range many {
		many[i] = fate{float64(1000 - 4*i), 10, i / 20}
	}
	noBound := outlook(fate{80, 60, 0}, fate{44, 22, 0}, fate{44, 22, 0})
	noBound.Bound = nil
	for name, o := range map[string]*report.Outlook{
		"one pod": outlook(fate{10, 10, 0}, fate{10, 10, 0}, fate{10, 10, 0}),
		"nothing": outlook(fate{}, fate{}, fate{}, fate{}),
		"gaps":    outlook(fate{}, fate{50, 25, 0}, fate{5000, 25, 0}, fate{45, 25, 0}, fate{}, fate{44, 20, 1}, fate{900, 30, 20}),
		"many":    outlook(fate{90, 90, 0}, fate{50, 25, 0}, many...),
		"unbound": noBound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, err := o.Write(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			plot := regexp.MustCompile(`(?s)<svg.*?</svg>`).Find(page)
			wellFormed(t, plot)
			if found := regexp.MustCompile(`NaN|Inf|"-?\d{6,}`).Find(plot); found != nil {
				t.Errorf("%q in the plot", found)
			}
		})
	}
}
