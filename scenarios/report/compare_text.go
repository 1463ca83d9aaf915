// compare_text.go is a comparison as text: for the terminal, and as Markdown.

package report

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// Text writes a line per scenario and policy, and one per policy for all of them.
func (c *Comparison) Text(out io.Writer) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\tpolicy\tReady\tall Ready\t× bound\tmean\tlongest wait\trestarts\t")
	for _, t := range c.tables {
		for _, r := range t.rows {
			name := r.name
			for i, cell := range r.cells {
				if cell == nil {
					continue
				}
				s := cell.Summary
				note := ""
				switch {
				case len(cell.Broken()) > 0:
					note = "✗ not as expected"
				case cell.best:
					note = "← best"
				}
				fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s\t%s\t%s\t%d\t%s\n", name, t.policies[i], s.Healthy, s.Sound,
					allReady(cell.Outcome), ratio(s.Ratio), since(s.MeanReady), since(s.LongestWait), s.Restarts, note)
				name = ""
			}
			fmt.Fprintln(w, "\t\t\t\t\t\t\t\t")
		}
		if len(t.rows) < 2 {
			continue
		}
		name := fmt.Sprintf("all %d", len(t.rows))
		for i, sum := range t.totals {
			fmt.Fprintf(w, "%s\t%s\t\t%s\t%s\t\t\t%d\t%s\n", name, t.policies[i], sum.fate(), ratio(positive(sum.mean)), sum.restarts, sum.extreme())
			name = ""
		}
		fmt.Fprintln(w, "\t\t\t\t\t\t\t\t")
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("write the comparison: %w", err)
		}
	}
	return nil
}

// Markdown is a table per family of policies: a row per scenario, a column per policy.
func (c *Comparison) Markdown() []byte {
	var b strings.Builder
	for i, t := range c.tables {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "| scenario | %s |\n|---|%s\n", strings.Join(t.policies, " | "), strings.Repeat("---|", len(t.policies)))
		for _, r := range t.rows {
			fmt.Fprintf(&b, "| %s: %s |", r.name, herd(r.Result.Scenario))
			for _, cell := range r.cells {
				b.WriteString(" " + cell.markdown() + " |")
			}
			b.WriteString("\n")
		}
		if len(t.rows) < 2 {
			continue
		}
		fmt.Fprintf(&b, "| *all %d* |", len(t.rows))
		for _, sum := range t.totals {
			fmt.Fprintf(&b, " %s |", sum.markdown(len(t.rows)))
		}
		b.WriteString("\n")
	}
	return []byte(b.String())
}

func (c *cell) markdown() string {
	if c == nil {
		return ""
	}
	s := c.Summary
	text := allReady(c.Outcome)
	if s.AllReady == nil {
		text = fmt.Sprintf("never: %d of %d Ready after %.0f s", s.Healthy, s.Sound, c.Run.Ended)
	}
	if c.best {
		text = "**" + text + "**"
	}
	if s.Ratio != nil {
		text += " (" + ratio(s.Ratio) + "×)"
	}
	if s.Restarts > 0 {
		text += ", " + plural(s.Restarts, "restart", "restarts")
	}
	return text
}

func (t total) markdown(rows int) string {
	var parts []string
	only := ""
	if t.tried < rows && t.never == 0 {
		only = fmt.Sprintf("in %d: ", t.tried)
	}
	if t.never > 0 {
		parts = append(parts, t.fate())
	}
	if t.mean > 0 {
		parts = append(parts, fmt.Sprintf("mean %.2f×, %s", t.mean, t.extreme()))
	}
	if t.restarts > 0 {
		parts = append(parts, plural(t.restarts, "restart", "restarts"))
	}
	return only + strings.Join(parts, ", ")
}

// fate says in how many scenarios not everybody became Ready.
func (t total) fate() string {
	if t.never > 0 {
		return fmt.Sprintf("never in %d of %d", t.never, t.tried)
	}
	return fmt.Sprintf("all in %d of %d", t.tried, t.tried)
}

func (t total) extreme() string {
	if t.worst == 0 {
		return ""
	}
	return fmt.Sprintf("worst %.2f×", t.worst)
}

func allReady(o record.Outcome) string {
	if o.Summary.AllReady == nil {
		return "never"
	}
	return since(o.Summary.AllReady)
}

// since is a time that may not be known.
func since(t *float64) string {
	if t == nil {
		return "–"
	}
	return seconds(*t) + " s"
}

func ratio(r *float64) string {
	if r == nil {
		return "–"
	}
	return strconv.FormatFloat(*r, 'f', 2, 64)
}

func positive(v float64) *float64 {
	if v <= 0 {
		return nil
	}
	return &v
}
