// compare_page.go is a comparison as one HTML file.

package report

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

type compareView struct {
	Title, Lead, Where, Made string
	Style                    template.CSS
	Picture                  template.HTML
	Tables                   []tableView
}

type tableView struct {
	Title, All string
	Policies   []policyView
	Rows       []rowView
	Totals     []totalView
}

type policyView struct{ Name, Settings string }

type rowView struct {
	Name, Page, Description, Herd, Bound, Note string
	Cells                                      []cellView
}

type cellView struct {
	Tried, Best                        bool
	AllReady, Ratio, Never, Mean, Wait string
	Restarts                           int
	Broken                             []record.Check
}

type totalView struct {
	Never, Mean, Worst, Tried string
	Restarts                  int
}

// Page is the comparison as one HTML file that needs nothing else; it links to
// the pages of the scenarios where it knows them.
func (c *Comparison) Page() ([]byte, error) {
	t, err := template.ParseFS(files, ComparePage)
	if err != nil {
		return nil, fmt.Errorf("parse the comparison's page: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, c.view()); err != nil {
		return nil, fmt.Errorf("render the comparison's page: %w", err)
	}
	return out.Bytes(), nil
}

func (c *Comparison) view() compareView {
	v := compareView{
		Title:   "Startup policies side by side",
		Lead:    "The same herds of pods land on the same nodes under different policies: how long until all pods are Ready, next to the fastest that the CPUs of the node can possibly do it.",
		Style:   pageStyle(),
		Picture: template.HTML(c.inline()), //nolint:gosec // every text in it is escaped where it is drawn
	}
	var places []string
	var made time.Time
	for _, t := range c.tables {
		for _, r := range t.rows {
			if w := where(r.Result.On); !strings.Contains(strings.Join(places, "; "), w) {
				places = append(places, w)
			}
			if r.Result.Made.After(made) {
				made = r.Result.Made
			}
		}
		v.Tables = append(v.Tables, t.view())
	}
	v.Where, v.Made = strings.Join(places, " and "), moment(made)
	return v
}

func (t *table) view() tableView {
	v := tableView{Title: strings.Join(t.policies, ", ")}
	for i, name := range t.policies {
		v.Policies = append(v.Policies, policyView{name, t.settings(i)})
	}
	for _, r := range t.rows {
		row := rowView{Name: r.name, Page: r.Page, Description: r.Result.Scenario.Description, Herd: herd(r.Result.Scenario)}
		if b := r.Result.Bound; b != nil && b.Seconds() > 0 {
			row.Bound, row.Note = seconds(b.Seconds())+" s", b.Note
		}
		for _, c := range r.cells {
			row.Cells = append(row.Cells, c.view())
		}
		v.Rows = append(v.Rows, row)
	}
	if len(t.rows) < 2 {
		return v
	}
	v.All = fmt.Sprintf("all %d scenarios", len(t.rows))
	for _, sum := range t.totals {
		total := totalView{Restarts: sum.restarts}
		if sum.never > 0 {
			total.Never = fmt.Sprintf("in %d of %d", sum.never, sum.tried)
		}
		if sum.mean > 0 {
			total.Mean, total.Worst = ratio(&sum.mean), ratio(&sum.worst)
		}
		if sum.tried < len(t.rows) {
			total.Tried = fmt.Sprintf("of %d", sum.tried)
		}
		v.Totals = append(v.Totals, total)
	}
	return v
}

// settings says those of a policy that are the same in all scenarios.
func (t *table) settings(policy int) string {
	text := ""
	for _, r := range t.rows {
		c := r.cells[policy]
		if c == nil {
			continue
		}
		this := c.Run.Policy.String()
		if text != "" && text != this {
			return "settings differ"
		}
		text = this
	}
	return text
}

func (c *cell) view() cellView {
	if c == nil {
		return cellView{}
	}
	s := c.Summary
	v := cellView{
		Tried: true, Best: c.best, AllReady: since(s.AllReady), Mean: since(s.MeanReady), Wait: since(s.LongestWait),
		Restarts: s.Restarts, Broken: c.Broken(),
	}
	if s.Ratio != nil {
		v.Ratio = ratio(s.Ratio)
	}
	if s.AllReady == nil {
		v.Never = fmt.Sprintf("%d of %d%s Ready after %.0f s", s.Healthy, s.Sound, healthy(s), c.Run.Ended)
	}
	return v
}

// moment is when something was made, for people; nothing for what never was.
func moment(t time.Time) string {
	if t.IsZero() {
		return "at no time"
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}
