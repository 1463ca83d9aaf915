// compare.go puts the results of several scenarios side by side: which policy
// did how well in which, and in all of them.

package report

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// The names of the files of a comparison.
const (
	ComparePage     = "compare.html"
	ComparePicture  = "compare.svg"
	CompareMarkdown = "compare.md"
)

// Entry is a result to compare.
type Entry struct {
	Result *record.Result
	// Page is where its report is, seen from the comparison's page; empty for nowhere.
	Page string
}

// Comparison is results side by side. Scenarios that were tried with the same
// policies, or with some of the same, share a table.
type Comparison struct{ tables []table }

type table struct {
	policies []string
	rows     []row
	totals   []total // one per policy
}

// row is a result; it has a cell for each policy of its table.
type row struct {
	Entry
	name  string
	cells []*cell // nil where the policy was not tried
}

// cell is how one policy did.
type cell struct {
	record.Outcome
	best bool
}

// total is how one policy did in all scenarios of a table.
type total struct {
	tried, never, restarts int
	mean, worst            float64 // of the ratios, geometric mean; 0 when one of them is not known
}

// asGood is how far from the fastest a policy may be to be called the best, too:
// nobody would choose one over the other for it.
const asGood = 1.01

// Compare puts results side by side, in the order in which they are given.
func Compare(entries ...Entry) *Comparison {
	places := map[string]bool{}
	for _, e := range entries {
		places[e.Result.On] = true
	}
	var c Comparison
	for _, policies := range families(entries) {
		rank(policies, entries)
		c.tables = append(c.tables, table{policies: policies})
	}
	for _, e := range entries {
		r := row{Entry: e, name: e.Result.Scenario.Name}
		if len(places) > 1 {
			r.name += " on " + e.Result.On
		}
		t := &c.tables[slices.IndexFunc(c.tables, func(t table) bool { return covers(t.policies, policiesOf(e.Result)) })]
		for _, name := range t.policies {
			r.cells = append(r.cells, cellOf(e.Result, name))
		}
		r.mark()
		t.rows = append(t.rows, r)
	}
	for i := range c.tables {
		c.tables[i].add()
	}
	slices.SortStableFunc(c.tables, func(a, b table) int { return cmp.Compare(len(b.rows), len(a.rows)) })
	return &c
}

// families are the sets of policies of which none is part of another.
func families(entries []Entry) [][]string {
	var sets [][]string
	for _, e := range entries {
		set := policiesOf(e.Result)
		if slices.ContainsFunc(sets, func(known []string) bool { return covers(known, set) }) {
			continue
		}
		sets = append(slices.DeleteFunc(sets, func(known []string) bool { return covers(set, known) }), set)
	}
	return sets
}

// rank puts first the policies that were tried most often: those are to be compared.
func rank(policies []string, entries []Entry) {
	tried := map[string]int{}
	for _, e := range entries {
		for _, name := range policiesOf(e.Result) {
			tried[name]++
		}
	}
	slices.SortStableFunc(policies, func(a, b string) int { return cmp.Compare(tried[b], tried[a]) })
}

func policiesOf(r *record.Result) []string {
	var names []string
	for _, o := range r.Outcomes {
		names = append(names, o.Run.Policy.Name)
	}
	return names
}

func covers(set, part []string) bool {
	return !slices.ContainsFunc(part, func(name string) bool { return !slices.Contains(set, name) })
}

func cellOf(r *record.Result, policy string) *cell {
	for _, o := range r.Outcomes {
		if o.Run.Policy.Name == policy {
			return &cell{Outcome: o}
		}
	}
	return nil
}

// mark finds the best of a row: the first to have everybody Ready. It takes two
// to compare. A patient policy is no way to run a cluster, so it competes with nobody.
func (r *row) mark() {
	var rivals []*cell
	fastest := math.Inf(1)
	for _, c := range r.cells {
		if c == nil || c.Run.Policy.Patient {
			continue
		}
		rivals = append(rivals, c)
		if c.Summary.AllReady != nil {
			fastest = min(fastest, *c.Summary.AllReady)
		}
	}
	for _, c := range rivals {
		c.best = len(rivals) > 1 && c.Summary.AllReady != nil && *c.Summary.AllReady <= fastest*asGood
	}
}

// add makes the totals.
func (t *table) add() {
	for i := range t.policies {
		var sum total
		logs, n := 0.0, 0
		for _, r := range t.rows {
			c := r.cells[i]
			if c == nil {
				continue
			}
			sum.tried++
			sum.restarts += c.Summary.Restarts
			if c.Summary.AllReady == nil {
				sum.never++
			}
			if ratio := c.Summary.Ratio; ratio != nil && *ratio > 0 {
				logs, n = logs+math.Log(*ratio), n+1
				sum.worst = max(sum.worst, *ratio)
			}
		}
		if n > 0 && n == sum.tried {
			sum.mean = math.Exp(logs / float64(n))
		} else { // what is left is the easy part
			sum.worst = 0
		}
		t.totals = append(t.totals, sum)
	}
}

// herd says in a few words what lands on what. Groups that start alike are one.
func herd(s *spec.Scenario) string {
	var kinds []string
	count := map[string]int{}
	for _, g := range s.Pods {
		kind := work(g.Startup)
		if count[kind] == 0 {
			kinds = append(kinds, kind)
		}
		count[kind] += g.Count
	}
	var parts []string
	for _, kind := range kinds {
		parts = append(parts, plural(count[kind], "pod", "pods")+kind)
	}
	if len(parts) > 2 { // one can say it, but nobody would read it
		parts = []string{fmt.Sprintf("%d pods of %d kinds", s.Count(), len(kinds))}
	}
	node := plural(s.Node.Cores, "core", "cores")
	if s.Node.Quota {
		node += " by quota"
	}
	if s.Node.Noise != nil {
		node += ", a noisy neighbour"
	}
	return strings.Join(append(parts, node), ", ")
}

// work is what each pod has to do, as a factor.
func work(w spec.Startup) string {
	var parts []string
	if w.CPU > 0 {
		parts = append(parts, fmt.Sprintf("%g CPU-s", w.CPU.Std().Seconds()))
	}
	if w.Idle > 0 {
		parts = append(parts, fmt.Sprintf("%g s idle", w.Idle.Std().Seconds()))
	}
	if w.Read > 0 {
		parts = append(parts, w.Read.String()+" read")
	}
	if len(parts) == 0 {
		return ""
	}
	return " × " + strings.Join(parts, " + ")
}

// Write writes the page, the picture and the Markdown table into a folder, which
// it makes. It returns the page's path.
func (c *Comparison) Write(dir string) (string, error) {
	page, err := c.Page()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make folder for the comparison: %w", err)
	}
	for name, data := range map[string][]byte{ComparePage: page, ComparePicture: c.Picture(), CompareMarkdown: c.Markdown()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", fmt.Errorf("write comparison: %w", err)
		}
	}
	return filepath.Join(dir, ComparePage), nil
}
