package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
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

// tried is a policy, and when its two pods are Ready; 0 is never.
type tried struct {
	policy        spec.Policy
	first, second float64
	restarts      int
}

func none(first, second float64, restarts int) tried {
	return tried{spec.Policy{Name: "none"}, first, second, restarts}
}

func locked(name string, first, second float64) tried {
	return tried{spec.Policy{Name: name, Lock: &spec.Lock{Auto: name == "auto", Oracle: name == "oracle", Locks: 1, Lease: spec.Duration(time.Minute)}}, first, second, 0}
}

// of is a result with a node bound of 10 s.
func of(name, on string, runs ...tried) *record.Result {
	s := &spec.Scenario{
		Name: name, Description: "Pods of <" + name + ">.", Node: spec.Node{Cores: 1},
		Pods: []spec.Group{{Name: "pod", Count: 2, Startup: spec.Startup{CPU: spec.Duration(5 * time.Second)}}},
	}
	r := &record.Result{
		Made: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), On: on, Scenario: s, Bound: &record.Bound{Applications: 10, Cores: 1},
	}
	for _, t := range runs {
		run := &record.Run{Policy: t.policy, Ended: 100, Pods: record.Pods(s, strings.ToUpper)}
		for i, ready := range []float64{t.first, t.second} {
			p := &run.Pods[i]
			p.Events = append(p.Events, record.Event{What: record.Started})
			for range t.restarts * (1 - i) {
				p.Events = append(p.Events, record.Event{At: 1, What: record.Stopped}, record.Event{At: 1, What: record.Started})
			}
			if ready > 0 {
				p.Events = append(p.Events, record.Event{At: ready, What: record.Ready})
			}
		}
		r.Add(run)
	}
	return r
}

func wellFormed(t *testing.T, picture []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(picture))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
	}
}

// text is the comparison in lines for the terminal, each without needless spaces.
func text(t *testing.T, c *report.Comparison) string {
	t.Helper()
	var out bytes.Buffer
	if err := c.Text(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), " \n") {
		t.Error("spaces at the end of a line")
	}
	return regexp.MustCompile(` {2,}`).ReplaceAllString(out.String(), "  ")
}

func TestTheBestIsTheFirstToHaveEverybodyReady(t *testing.T) {
	t.Parallel()
	patient := locked("patient", 2, 5)
	patient.policy.Patient = true
	tests := map[string]struct {
		runs []tried
		want []string // policies marked
	}{
		"the fastest":                            {[]tried{none(9, 30, 0), locked("one", 9, 20), locked("auto", 9, 11)}, []string{"auto"}},
		"and who is as good":                     {[]tried{locked("one", 9, 20), locked("auto", 9, 11), locked("oracle", 9, 10.95)}, []string{"auto", "oracle"}},
		"without everybody Ready nobody is best": {[]tried{none(9, 0, 3), locked("one", 9, 0)}, nil},
		"alone nobody is":                        {[]tried{locked("one", 9, 12)}, nil},
		"nobody can have a patient one":          {[]tried{none(9, 30, 0), locked("one", 9, 20), patient}, []string{"one"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := report.Compare(report.Entry{Result: of("s", "sim", test.runs...)})
			var marked []string
			for line := range strings.Lines(text(t, c)) {
				if strings.Contains(line, "← best") {
					fields := strings.Split(strings.TrimPrefix(line, "s"), "  ")
					marked = append(marked, fields[1])
				}
			}
			if strings.Join(marked, " ") != strings.Join(test.want, " ") {
				t.Errorf("marked %v, want %v", marked, test.want)
			}
			page, err := c.Page()
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(page), `class="best"`); n != len(test.want) {
				t.Errorf("the page marks %d, want %d", n, len(test.want))
			}
			if n := strings.Count(string(c.Markdown()), "**") / 2; n != len(test.want) {
				t.Errorf("the Markdown table marks %d, want %d", n, len(test.want))
			}
		})
	}
}

// several are scenarios that share policies, and one that does not.
func several() *report.Comparison {
	return report.Compare(
		report.Entry{Result: of("paced", "sim", tried{spec.Policy{Name: "paced"}, 5, 40, 0})},
		report.Entry{Result: of("small", "sim", none(9, 40, 3), locked("auto", 9, 11)), Page: "small/report.html"},
		report.Entry{Result: of("big", "sim", none(9, 0, 70), locked("one", 9, 22.5), locked("auto", 9, 12), locked("oracle", 9, 10))},
	)
}

func TestScenariosWithTheSamePoliciesShareATable(t *testing.T) {
	t.Parallel()
	c := several()
	page, err := c.Page()
	if err != nil {
		t.Fatal(err)
	}
	markdown := string(c.Markdown())
	for _, got := range []struct {
		what string
		n    int
	}{
		{"tables of the page", strings.Count(string(page), "<table>")},
		{"tables in Markdown", strings.Count(markdown, "| scenario |")},
		{"rows for all of a table", strings.Count(markdown, "| *all ") + 1},
	} {
		if got.n != 2 {
			t.Errorf("%d %s, want 2", got.n, got.what)
		}
	}
	want := `| scenario | none | auto | one | oracle |
|---|---|---|---|---|
| small: 2 pods × 5 CPU-s, 1 core | 40.0 s (4.00×), 3 restarts | **11.0 s** (1.10×) |  |  |
| big: 2 pods × 5 CPU-s, 1 core | never: 1 of 2 Ready after 100 s, 70 restarts | 12.0 s (1.20×) | 22.5 s (2.25×) | **10.0 s** (1.00×) |
| *all 2* | never in 1 of 2, 73 restarts | mean 1.15×, worst 1.20× | in 1: mean 2.25×, worst 2.25× | in 1: mean 1.00×, worst 1.00× |

| scenario | paced |
|---|---|
| paced: 2 pods × 5 CPU-s, 1 core | 40.0 s (4.00×) |
`
	if markdown != want {
		t.Errorf("got\n%s\nwant\n%s", markdown, want)
	}
}

func TestComparisonShowsFailuresAsSuch(t *testing.T) {
	t.Parallel()
	zero := 0.0
	strict := none(9, 40, 3)
	strict.policy.Expect = spec.Expect{Restarts: &spec.Range{Most: &zero}}
	c := report.Compare(
		report.Entry{Result: of("strict", "sim", strict, locked("auto", 9, 11)), Page: "strict/report.html"},
		report.Entry{Result: of("lost", "local", none(9, 0, 70), locked("auto", 9, 12))},
	)
	page, err := c.Page()
	if err != nil {
		t.Fatal(err)
	}
	for where, of := range map[string]struct {
		text string
		want []string
	}{
		"page": {string(page), []string{
			"strict on sim", "lost on local", "Pods of &lt;lost&gt;.", `<p class="figure bad">never</p><p class="small">1 of 2 Ready after 100 s</p>`,
			"✗ restarts: expected at most 0, measured 3", "in 1 of 2", `<a href="strict/report.html">`, "on a model of a node and as processes on one machine",
			"prefers-color-scheme:dark", "node bound 10.0 s",
		}},
		"picture": {string(c.Picture()), []string{">never</text>", ">1 of 2 Ready, 70 restarts</text>", ">4.00</text>", ">3 restarts</text>", `class="bg"`}},
		"text": {text(t, c), []string{
			"strict on sim  none  2 of 2  40.0 s  4.00  24.5 s  0.00 s  3  ✗ not as expected", "none  1 of 2  never  –  9.00 s  0.00 s  70\n",
			"all 2  none  never in 1 of 2  –  73\n", "auto  all in 2 of 2  1.15  0  worst 1.20×",
		}},
	} {
		for _, want := range of.want {
			if !strings.Contains(of.text, want) {
				t.Errorf("the %s lacks %q:\n%s", where, want, of.text)
			}
		}
	}
	if found := regexp.MustCompile(`(?i)src=|url\(|@import|https?:|<script|ZgotmplZ|NaN|%!`).FindString(string(page)); found != "" {
		t.Errorf("the page has %q in it", found)
	}
	if strings.Contains(string(c.Picture()), "var(") {
		t.Error("the picture depends on what it is shown in")
	}
}

func TestComparisonsOfAnySizeAreWellFormed(t *testing.T) {
	t.Parallel()
	noBound := of("unmeasured", "kind", none(9, 40, 3))
	noBound.Bound = nil
	noBound.Outcomes[0].Summary.Ratio = nil
	for name, entries := range map[string][]report.Entry{
		"none":    nil,
		"one":     {{Result: of("a", "sim", none(9, 40, 0))}},
		"no runs": {{Result: of("a", "sim")}},
		"no bound": {
			{Result: noBound}, {Result: of("a", "sim", locked("one", 9, 400))},
		},
		"many": func() (many []report.Entry) {
			for i := range 20 {
				many = append(many, report.Entry{Result: of(fmt.Sprintf("s-%d", i), "sim", none(9, float64(5*i), i), locked("auto", 9, 11))})
			}
			return many
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := report.Compare(entries...)
			page, err := c.Page()
			if err != nil {
				t.Fatal(err)
			}
			pictures := append(regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(page, -1), c.Picture())
			if len(pictures) != 2 {
				t.Fatalf("%d pictures, want that of the page and that of the file", len(pictures))
			}
			for _, p := range pictures {
				wellFormed(t, p)
			}
			text(t, c)
			c.Markdown()
		})
	}
}

func TestWriteComparison(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	page, err := several().Write(dir)
	if err != nil || page != filepath.Join(dir, report.ComparePage) {
		t.Fatal(page, err)
	}
	for _, name := range []string{report.ComparePage, report.ComparePicture, report.CompareMarkdown} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := several().Write(page); err == nil {
		t.Error("a file instead of a folder, no error")
	}
}
