// table.go is the report in a few lines of text, for the end of a run.

package report

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// Table writes one line per policy, and the node bound.
func Table(out io.Writer, r *record.Result) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "policy\tReady\tall Ready\tmean\t× bound\tlongest wait\trestarts\tmost starters\tmost grants\tinversions")
	for _, o := range r.Outcomes {
		s := o.Summary
		all := fmt.Sprintf("not after %.0f s", o.Run.Ended)
		if s.AllReady != nil {
			all = since(s.AllReady)
		}
		grants, inversions := "–", "–"
		if o.Run.Policy.Lock != nil {
			grants, inversions = strconv.Itoa(s.Grants), strconv.Itoa(s.Inversions)
		}
		fmt.Fprintf(table, "%s\t%d of %d%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n",
			o.Run.Policy.Name, s.Healthy, s.Sound, healthy(s), all, since(s.MeanReady), ratio(s.Ratio), since(s.LongestWait), s.Restarts, s.Starters, grants, inversions)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	if b := r.Bound; b != nil {
		fmt.Fprintf(out, "node bound %s s = (%.1f CPU-s of the applications + %.2f to start them) / (%g cores − %.2f in use without work)\n",
			seconds(b.Seconds()), b.Applications, b.Overhead, b.Cores, b.Idle)
		if b.Note != "" {
			fmt.Fprintln(out, b.Note)
		}
	}
	return nil
}
