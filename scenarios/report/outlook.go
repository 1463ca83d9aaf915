// outlook.go answers what a herd is to expect of a node under each policy, and
// which setting to use.

package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Outlook is how a herd fares on a node under every policy that there is to choose.
type Outlook struct {
	Scenario *spec.Scenario
	Bound    *record.Bound
	// None is without a lock, Auto with slots that follow the node.
	None, Auto record.Outcome
	// Fixed is with a fixed number of slots, in rising order; never empty.
	Fixed []record.Outcome
}

// Better orders outcomes, the best one first: everybody Ready before not, then
// fewer restarts, then the time.
func Better(a, b *record.Outcome) int {
	return cmp.Or(
		cmp.Compare(b.Summary.Healthy, a.Summary.Healthy),
		cmp.Compare(a.Summary.Restarts, b.Summary.Restarts),
		cmp.Compare(orNever(a.Summary.AllReady), orNever(b.Summary.AllReady)),
		cmp.Compare(orNever(a.Summary.MeanReady), orNever(b.Summary.MeanReady)),
	)
}

func orNever(t *float64) float64 {
	if t == nil {
		return math.Inf(1)
	}
	return *t
}

// Best is the best fixed number of slots: of those that are as good as the best
// one, the smallest, because too many slots do more harm than too few.
func (o *Outlook) Best() *record.Outcome {
	best := &o.Fixed[0]
	for i := range o.Fixed {
		if Better(&o.Fixed[i], best) < 0 {
			best = &o.Fixed[i]
		}
	}
	for i := range o.Fixed {
		s := o.Fixed[i].Summary
		if s.Healthy == best.Summary.Healthy && s.Restarts <= best.Summary.Restarts && orNever(s.AllReady) <= orNever(best.Summary.AllReady)*asGood {
			return &o.Fixed[i]
		}
	}
	return best
}

// What is close enough to be called the same, in all-Ready and mean times.
const (
	// muchBetter is how much slower than the best fixed number the slots that
	// follow the node may be before a number is worth the trouble of knowing it.
	muchBetter = 1.10
	// noWorse is by how much a herd without a lock may be slower than one with.
	noWorse = 1.05
)

// Advice says in a sentence or two which setting to use, by the figures.
func (o *Outlook) Advice() string {
	best := o.Best()
	locks := best.Run.Policy.Lock.Locks
	fixed, auto, none := best.Summary, o.Auto.Summary, o.None.Summary
	winner, follow := fixed, as(auto, fixed, muchBetter)
	if follow {
		winner = auto
	}
	switch {
	case winner.AllReady == nil && none.AllReady == nil:
		least := slices.MinFunc([]*record.Outcome{&o.Auto, best, &o.None}, Better)
		return o.hopeless(least.Summary)
	case winner.AllReady == nil:
		return fmt.Sprintf("No lock, for once: without one %s; with one it would be %s.", ends(none), ends(winner))
	case as(none, winner, noWorse) && orNever(none.MeanReady) <= orNever(winner.MeanReady)*noWorse:
		return fmt.Sprintf("No lock is needed: without one %s; with one it would be %s.", ends(none), ends(winner))
	case follow:
		return fmt.Sprintf("Leave lock.locks at auto: %s. If you must fix it: %d (%s).", ends(auto), locks, ends(fixed))
	default:
		return fmt.Sprintf("Set lock.locks to %d: %s. With auto it would be: %s.", locks, ends(fixed), ends(auto))
	}
}

// as tells whether one is as good as another: everybody Ready where the other
// has everybody, and then no more restarts and nearly as fast.
func as(one, other record.Summary, factor float64) bool {
	if other.AllReady == nil {
		return true
	}
	return one.AllReady != nil && one.Restarts <= other.Restarts && *one.AllReady <= *other.AllReady*factor
}

// ends says how a run went.
func ends(s record.Summary) string {
	restarts := plural(s.Restarts, "restart", "restarts")
	if s.AllReady == nil {
		return fmt.Sprintf("%d of %d Ready in the end, %s", s.Healthy, s.Sound, restarts)
	}
	return fmt.Sprintf("all Ready after %.0f s, %s", *s.AllReady, restarts)
}

// hopeless is the advice where no setting helps: it is the probes, then.
func (o *Outlook) hopeless(s record.Summary) string {
	text := fmt.Sprintf("No setting gets all pods Ready (at best %s).", ends(s))
	for _, g := range o.Scenario.Pods {
		l := g.Probes.Liveness
		if l == nil {
			continue
		}
		alone := (g.Startup.CPU + g.Startup.Idle).Std().Seconds()
		patience := l.InitialDelay.Std().Seconds() + float64(l.Failures)*l.Period.Std().Seconds()
		if alone >= patience-l.Period.Std().Seconds() {
			return text + fmt.Sprintf(" A start takes %g s even alone, and the liveness probe kills it after about %g s: give it more time.", alone, patience)
		}
	}
	return text
}

// rows are the policies to show, the best fixed one last.
func (o *Outlook) rows() []record.Outcome {
	rows := []record.Outcome{o.None}
	for _, n := range []struct {
		name  string
		locks int
	}{{"one", 1}, {"cores", o.Scenario.Node.Cores}} {
		if i := slices.IndexFunc(o.Fixed, func(f record.Outcome) bool { return f.Run.Policy.Lock.Locks == n.locks }); i >= 0 {
			rows = append(rows, renamed(o.Fixed[i], n.name))
		}
	}
	return append(rows, o.Auto, renamed(*o.Best(), "oracle"))
}

func renamed(o record.Outcome, name string) record.Outcome {
	run := *o.Run
	run.Policy.Name = name
	o.Run = &run
	return o
}

// slots says how many there were.
func slots(o record.Outcome) string {
	switch l := o.Run.Policy.Lock; {
	case l == nil:
		return "–"
	case l.Auto:
		return fmt.Sprintf("up to %d", record.Peak(record.Held(o.Run)))
	default:
		return strconv.Itoa(l.Locks)
	}
}

// Headline says what lands on what.
func (o *Outlook) Headline() string { return herd(o.Scenario) }

// Text writes the figures of the policies, and the advice.
func (o *Outlook) Text(out io.Writer) error {
	var bound string
	if o.Bound != nil && o.Bound.Seconds() > 0 {
		bound = fmt.Sprintf("; node bound %s s", seconds(o.Bound.Seconds()))
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s%s\n\n", o.Headline(), bound)
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "policy\tslots\tReady\tall Ready\t× bound\tmean\tlongest wait\trestarts")
	for _, r := range o.rows() {
		s := r.Summary
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s\t%s\t%s\t%d\n",
			r.Run.Policy.Name, slots(r), s.Healthy, s.Sound, allReady(r), ratio(s.Ratio), since(s.MeanReady), since(s.LongestWait), s.Restarts)
	}
	_ = w.Flush() // into memory
	fmt.Fprintf(&text, "\n%s\n", o.Advice())
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("write the outlook: %w", err)
	}
	return nil
}
