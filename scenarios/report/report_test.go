package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// result is a herd of some pods, made up: without a lock each is killed once and
// does not become Ready, with it one after the other starts.
func result(pods int) *record.Result {
	one := 1.0
	s := &spec.Scenario{
		Name: "made-up", Description: "Pods <b>&</b> more.", Node: spec.Node{Cores: 2},
		Pods: []spec.Group{{Name: "pod", Count: pods, Startup: spec.Startup{CPU: spec.Duration(3 * time.Second)}}},
	}
	r := &record.Result{
		Made: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), On: "local", Scenario: s,
		Machine: record.Machine{OS: "linux", Arch: "amd64", Cores: 2, Node: "a <node>"},
		Bound:   &record.Bound{Applications: 6, Overhead: 1, Cores: 2, Idle: 0.25},
	}
	none := &record.Run{Policy: spec.Policy{Name: "none"}, Ended: 30, GaveUp: true, Pods: record.Pods(s, strings.ToUpper)}
	fixed := &record.Run{
		Policy: spec.Policy{
			Name: "fixed", Lock: &spec.Lock{Locks: 1, Lease: spec.Duration(4 * time.Second)},
			Expect: spec.Expect{Restarts: &spec.Range{Most: &one}, Starters: &spec.Range{Least: &one, Most: &one}},
		},
		Ended: float64(4 * pods), Pods: record.Pods(s, strings.ToUpper),
	}
	for i := range pods {
		none.Pods[i].Events = []record.Event{
			{At: 0, What: record.Started}, {At: 15, What: record.Stopped, Note: "liveness probe failed <2> times"}, {At: 25, What: record.Started},
		}
		at := float64(4 * i)
		fixed.Pods[i].Events = []record.Event{
			{At: 0.1, What: record.Claimed}, {At: at, What: record.Granted}, {At: at + 0.1, What: record.Started},
			{At: at + 3.5, What: record.Ready}, {At: at + 4, What: record.Returned},
		}
	}
	for i := range 100 {
		p := float64(i%10) / 10
		none.Samples = append(none.Samples, record.Sample{At: float64(i) / 4, Pressure: &p, Busy: 2})
	}
	r.Add(none)
	r.Add(fixed)
	return r
}

func TestPageIsWholeAndSelfContained(t *testing.T) {
	t.Parallel()
	page, err := report.Page(result(24))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{
		"Without the lock", "With the lock", "fixed: 1 slot, lease 4s", "Pods &lt;b&gt;&amp;&lt;/b&gt; more.", "a &lt;node&gt;",
		"gave up after 30 s: 0 of 24 Ready", "all Ready 95.5 s", "24 starters at once", "1 starter at once", "CPU pressure",
		"pod-07: starting from 24.1 s to 27.5 s (3.40 s)", "pod-07 held a slot from 24.0 s to 28.0 s (4.00 s)",
		"pod-01: stopped at 15.0 s: liveness probe failed &lt;2&gt; times", "waiting for its slot", "holds the slot", "crash back-off",
		"The node bound: 4.00 s", "prefers-color-scheme:dark", "width=device-width", "expected exactly 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`(?i)(src|href)=|url\(|@import|https?:|<script`).FindString(text); found != "" {
		t.Errorf("the page asks for something: %q", found)
	}
	if strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "NaN") || strings.Contains(text, "%!") {
		t.Error("the page has a value that could not be written")
	}
}

func TestDrawingsAreWellFormed(t *testing.T) {
	t.Parallel()
	for name, pods := range map[string]int{"one": 1, "a few": 3, "herd": 24, "node": 110, "many": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := result(pods)
			page, err := report.Page(r)
			if err != nil {
				t.Fatal(err)
			}
			pictures := append(regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(page, -1), report.Picture(r))
			if len(pictures) != 3 {
				t.Fatalf("%d pictures, want a timeline for each policy and the picture", len(pictures))
			}
			for _, p := range pictures {
				decoder := xml.NewDecoder(bytes.NewReader(p))
				for {
					if _, err := decoder.Token(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// rough is a run with faulty pods behind a gate on a node that was rebooted.
func rough() *record.Result {
	ready, back := 20.0, 8.0
	s := &spec.Scenario{
		Name: "rough", Node: spec.Node{Cores: 2}, Reboot: true,
		DaemonSets: []spec.DaemonSet{
			{Name: "slow", ReadyAfter: spec.Duration(20 * time.Second)}, {Name: "far", Elsewhere: spec.ByAffinity}, {Name: "off", Elsewhere: spec.ByTaint},
		},
		Pods: []spec.Group{
			{Name: "a", Count: 1, Fault: spec.NeverReady}, {Name: "b", Count: 1, Fault: spec.NoImage}, {Name: "c", Count: 1, Fault: spec.CrashLoop},
			{Name: "d", Count: 2},
		},
	}
	run := &record.Run{
		Policy: spec.Policy{Name: "ready1", Lock: &spec.Lock{Locks: 1, ReleaseOn: "ready"}}, Ended: 40, Pods: record.Pods(s, strings.ToUpper),
		Rebooted: &back, DaemonSets: []record.DaemonSet{{Name: "slow", ReadyAt: &ready}, {Name: "far", Elsewhere: spec.ByAffinity}},
	}
	run.Pods[0].Events = []record.Event{{At: 21, What: record.Granted}, {At: 22, What: record.Started}}
	run.Pods[2].Events = []record.Event{{At: 23, What: record.Started}, {At: 24, What: record.Stopped, Note: "exit code 1"}}
	run.Pods[3].Events = []record.Event{{At: 25, What: record.Started}, {At: 30, What: record.Ready}}
	run.Pods[4].Events = []record.Event{{At: 26, What: record.Started}, {At: 33, What: record.Deleted}}
	r := &record.Result{On: "kind", Scenario: s}
	r.Add(run)
	return r
}

func TestFaultsTheGateAndTheRebootAreShown(t *testing.T) {
	t.Parallel()
	r := rough()
	page, err := report.Page(r)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := report.Table(&table, r); err != nil {
		t.Fatal(err)
	}
	for where, of := range map[string]struct {
		text string
		want []string
	}{
		"page": {string(page), []string{
			">rebooted 8.00 s<", ">DaemonSet slow Ready 20.0 s<", `<text class="crashtext end"`, ">never ready<", ">no image<", ">crash loop<",
			"never says that it is ready", "until all 1 healthy pods were Ready", "deleted at 33.0 s",
			"slow, Ready 20s after its start", "far, meant for another node", "off, kept off the node by a taint",
			"first grant after the DaemonSets</dt><dd>1.00 s", "1 slot, lease 0s, released on ready",
		}},
		"picture": {string(report.Picture(r)), []string{
			"a node of 2 cores reboots, and its 5 pods start again at once", "all 1 healthy Ready after 30 s", ">rebooted 8.00 s<",
		}},
		"table": {table.String(), []string{"1 of 1 healthy"}},
	} {
		for _, want := range of.want {
			if !strings.Contains(of.text, want) {
				t.Errorf("the %s lacks %q", where, want)
			}
		}
	}
	if strings.Contains(string(page), "far Ready") {
		t.Error("a DaemonSet of another node is marked")
	}
}

// following is a run whose limit moves, on a node with a slow disk.
func following() *record.Result {
	s := &spec.Scenario{Name: "following", Node: spec.Node{Cores: 2}, Pods: []spec.Group{{Name: "a", Count: 3, Weight: 1}}}
	run := &record.Run{
		Policy: spec.Policy{Name: "auto", Lock: &spec.Lock{Auto: true, ReleaseOn: "ready"}}, Ended: 20, Pods: record.Pods(s, strings.ToUpper),
		Limits: []record.Step{{At: 0, N: 2}, {At: 6, N: 4}, {At: 12, N: 1}},
	}
	for i := range run.Pods {
		at := 4 * float64(i)
		run.Pods[i].Events = []record.Event{
			{At: 0, What: record.Claimed}, {At: at, What: record.Granted}, {At: at, What: record.Started},
			{At: at + 5, What: record.Ready}, {At: at + 5, What: record.Returned},
		}
	}
	cpu, io, zero := 0.5, 0.25, 0.0
	for i := range 80 {
		run.Samples = append(run.Samples, record.Sample{At: float64(i) / 4, Pressure: &cpu, IO: &io, Memory: &zero, Busy: 1})
	}
	r := &record.Result{On: "sim", Scenario: s}
	r.Add(run)
	return r
}

func TestALimitThatMovesIsDrawnOverTheSlotsHeld(t *testing.T) {
	t.Parallel()
	moving := following()
	page, err := report.Page(moving)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{">limit 1 to 4<", ">0–4<", "<title>5.00 s: 2 slots, 1 held</title>", "<title>9.00 s: 4 slots, 1 held</title>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	steps := regexp.MustCompile(`class="moving" d="(M[^"]*)"`)
	line := steps.FindSubmatch(page)
	if line == nil || strings.Count(string(line[1]), "V") != 2 {
		t.Errorf("the limit changes twice, its line is %s", line)
	}
	if strings.Contains(string(page), `class="limit"`) {
		t.Error("a fixed limit is drawn, too")
	}
	if picture := string(report.Picture(moving)); !strings.Contains(picture, ">limit 1 to 4<") || !steps.MatchString(picture) {
		t.Error("the picture lacks the limit")
	}
	moving.Outcomes[0].Run.Limits = moving.Outcomes[0].Run.Limits[:1]
	if page, err = report.Page(moving); err != nil || steps.Match(page) || !strings.Contains(string(page), `class="limit"`) {
		t.Errorf("a limit that never moves is not a dashed line: %v", err)
	}
}

func TestPressureIsShownWhereThereIsAny(t *testing.T) {
	t.Parallel()
	page, err := report.Page(following())
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for want, shown := range map[string]bool{
		`class="press"`: true, `class="io"`: true, `class="memory"`: false,
		"<title>5.00 s: CPU pressure 50 %, IO 25 %, 1.0 cores busy</title>": true,
	} {
		if strings.Contains(text, want) != shown {
			t.Errorf("%s is there: %v, want %v", want, !shown, shown)
		}
	}
}

func TestPictureNeedsNoVariablesAndHasABackground(t *testing.T) {
	t.Parallel()
	picture := string(report.Picture(result(24)))
	if strings.Contains(picture, "var(") || !strings.Contains(picture, `class="bg"`) {
		t.Error("the picture depends on what it is shown in")
	}
	for _, want := range []string{
		"24 pods land on one node of 2 cores at once", "0 of 24 Ready after 30 s · 24 restarts · up to 24 starters at once",
		"all 24 Ready after 96 s · no restarts · never more than one starter · in the order of arrival",
	} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestResultWithoutRunsOrBound(t *testing.T) {
	t.Parallel()
	r := &record.Result{Scenario: &spec.Scenario{Name: "empty"}}
	if _, err := report.Page(r); err != nil {
		t.Error(err)
	}
	var table bytes.Buffer
	report.Picture(r)
	if err := report.Table(&table, r); err != nil {
		t.Error(err)
	}
	if strings.Count(table.String(), "\n") != 1 {
		t.Errorf("table:\n%s", &table)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := report.Table(&out, result(24)); err != nil {
		t.Fatal(err)
	}
	want := `policy   Ready      all Ready        mean     × bound   longest wait   restarts   most starters   most grants   inversions
none     0 of 24    not after 30 s   –        –         0.00 s         24         24              –             –
fixed    24 of 24   95.5 s           49.5 s   23.88     91.9 s         0          1               1             0
node bound 4.00 s = (6.0 CPU-s of the applications + 1.00 to start them) / (2 cores − 0.25 in use without work)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page, err := report.Write(dir, result(2))
	if err != nil || page != filepath.Join(dir, report.PageFile) {
		t.Fatal(page, err)
	}
	for _, name := range []string{report.PageFile, report.PictureFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := report.Write(filepath.Join(dir, "not there"), result(2)); err == nil {
		t.Error("nowhere to write, no error")
	}
}
