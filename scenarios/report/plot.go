// plot.go draws the timeline of one run: a row per pod, and underneath, on the
// same time axis, the lanes of lanes.go.

package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// plot is the timeline of one run. All plots of a result share their scales, so
// that they compare by eye.
type plot struct {
	run   *record.Run
	sum   record.Summary
	bound float64 // the node bound in seconds, 0 for none

	span     float64 // seconds that the whole width stands for
	starters int     // the top of the starters' axis
	slots    int     // the top of the slots' axis
	pressure bool    // some run has pressure figures

	// Geometry, in pixels.
	left, width, row, lane float64
	side                   bool // there is room at the left side, for names of lanes
	names                  bool // and of pods
	tips                   bool // tooltips over the lanes
}

// newPlots makes the page's plots, one per outcome.
func newPlots(r *record.Result) []plot {
	plots := make([]plot, len(r.Outcomes))
	span, starters, slots, pressure := 1.0, 1, 1, false
	for _, o := range r.Outcomes {
		span = max(span, o.Run.Ended)
		starters = max(starters, o.Summary.Starters)
		if moves(o.Run) {
			slots = max(slots, record.Peak(o.Run.Limits), record.Peak(record.Held(o.Run)))
		}
		pressure = pressure || o.Summary.Pressure != nil
	}
	for i, o := range r.Outcomes {
		p := plot{
			run: o.Run, sum: o.Summary, span: span * 1.02, starters: starters, slots: slots, pressure: pressure,
			left: 96, width: 1000, row: 15, lane: 56, side: true, names: true, tips: true,
		}
		if n := len(o.Run.Pods); n > 40 { // a big herd gets thinner rows
			p.row = max(3, 600/float64(n))
			p.names = p.row >= 11
		}
		if r.Bound != nil && r.Bound.Seconds() <= span {
			p.bound = r.Bound.Seconds()
		}
		plots[i] = p
	}
	return plots
}

// inline is the timeline as an element of a page.
func (p plot) inline() string {
	var s svg
	height := p.draw(&s, 26) + 22
	total := p.left + p.width + 8
	return fmt.Sprintf(`<svg viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" aria-label="timeline of %d pods">%s</svg>`,
		num(total), num(height), len(p.run.Pods), s.String())
}

// draw draws everything from a height downwards and returns where it ends.
func (p plot) draw(s *svg, top float64) float64 {
	bottom := top + p.row*float64(len(p.run.Pods))
	end := bottom + p.lanesHeight(26)
	p.grid(s, top, end, true)
	p.rows(s, top)
	p.marks(s, top, bottom)
	p.lanes(s, bottom, 26)
	return end
}

// x is where a time lies.
func (p plot) x(t float64) float64 { return p.left + t/p.span*p.width }

// grid draws the time axis.
func (p plot) grid(s *svg, top, bottom float64, labels bool) {
	step := 1.0
	for _, candidate := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600} {
		if step = candidate; p.x(step)-p.left >= 56 {
			break
		}
	}
	for t := 0.0; t <= p.span; t += step {
		s.line("grid", p.x(t), top, p.x(t), bottom)
		if labels {
			s.text("soft mid", p.x(t), bottom+15, fmt.Sprintf("%.0f s", t))
		}
	}
}

// rows draws the pods in the order of their claims.
func (p plot) rows(s *svg, top float64) {
	pods := record.ByClaim(p.run.Pods)
	for i := range pods {
		p.pod(s, &pods[i], top+float64(i)*p.row)
	}
	p.labels(s, pods, top)
}

// pod draws one row: thin while it waits, a bar from its start on, a cross for
// each end of its application, and under it a line for as long as it held a slot.
func (p plot) pod(s *svg, pod *record.Pod, y float64) {
	bar := max(2, p.row*0.62)
	mid := y + p.row/2
	if p.names {
		class := "soft end"
		if pod.Fault != "" {
			class = "crashtext end"
		}
		s.text(class, p.left-8, mid+4, pod.Name)
	}
	for _, span := range pod.Spans(p.run.Ended) {
		x, w := p.x(span.From), p.x(span.To)-p.x(span.From)
		tip := fmt.Sprintf("%s: %s from %s s to %s s (%s s)", pod.Name, span.State, seconds(span.From), seconds(span.To), seconds(span.To-span.From))
		switch span.State {
		case record.Waiting:
			s.rect("waiting", x, mid-0.75, w, 1.5, "")
			s.rect("hit", x, y, w, p.row, tip)
		case record.Starting:
			s.rect("starting", x, mid-bar/2, w, bar, tip)
		case record.Serving:
			s.rect("ready", x, mid-bar/2, w, bar, tip)
		case record.BackOff:
			s.line("backoff", x, mid, x+w, mid)
			s.rect("hit", x, y, w, p.row, tip)
		}
	}
	granted := math.NaN()
	for _, e := range pod.Events {
		switch e.What {
		case record.Granted:
			granted = e.At
		case record.Returned:
			p.slot(s, pod.Name, granted, e.At, mid+bar/2)
			granted = math.NaN()
		case record.Stopped:
			c, x := min(3.2, bar/2), p.x(e.At)
			cross := fmt.Sprintf("M%s %sl%s %[3]sm0 -%[3]sl-%[3]s %[3]s", num(x-c), num(mid-c), num(2*c))
			s.path("crashedge", cross, "") // sets it off from the bar
			s.path("crash", cross, fmt.Sprintf("%s: stopped at %s s: %s", pod.Name, seconds(e.At), e.Note))
		}
	}
	p.slot(s, pod.Name, granted, p.run.Ended, mid+bar/2)
}

// slot draws how long a slot was held.
func (p plot) slot(s *svg, name string, from, to, y float64) {
	if math.IsNaN(from) || p.row < 6 {
		return
	}
	s.rect("slot", p.x(from), y, p.x(to)-p.x(from), 1.6,
		fmt.Sprintf("%s held a slot from %s s to %s s (%s s)", name, seconds(from), seconds(to), seconds(to-from)))
}

// labels writes the name of each state once, into or beside the span where it reads best.
func (p plot) labels(s *svg, pods []record.Pod, top float64) {
	names := []struct {
		state      record.State
		text, kind string
	}{
		{record.Serving, "ready", "soft"}, {record.Starting, "starting", ""},
		{record.Waiting, "waiting for its slot", "soft"}, {record.BackOff, "crash back-off", "crashtext"},
	}
	const size = 11
	used := map[int]bool{}
	p.faults(s, pods, top, used)
	for _, n := range names {
		row, at, ok := longest(pods, n.state, p.run.Ended, used)
		if !ok {
			continue
		}
		from, to, y := p.x(at.From), p.x(at.To), top+(float64(row)+0.5)*p.row+4
		wide := width(n.text, size) + 8
		switch {
		case to-from > wide && p.row >= 11 && (n.state == record.Serving || n.state == record.Starting):
			s.text("inside", from+6, y, n.text)
		case to-from > wide:
			s.tag("mid "+n.kind, (from+to)/2, y, n.text)
		case from-wide > p.left:
			s.tag("end "+n.kind, from-6, y, n.text)
		default:
			continue
		}
		p.occupy(used, row)
	}
	p.firstCrash(s, pods, top, used)
	p.firstSlot(s, pods, top, used)
}

// occupy notes that a label stands in a row; where rows are thin it covers its neighbours too.
func (p plot) occupy(used map[int]bool, row int) {
	around := int(13 / p.row)
	for r := row - around; r <= row+around; r++ {
		used[r] = true
	}
}

// faults says of each faulty pod why it never becomes Ready.
func (p plot) faults(s *svg, pods []record.Pod, top float64, used map[int]bool) {
	for row := range pods {
		if fault := pods[row].Fault; fault != "" && !used[row] {
			s.tag("end crashtext", p.x(p.run.Ended)-14, top+(float64(row)+0.5)*p.row+4, strings.ReplaceAll(string(fault), "-", " "))
			p.occupy(used, row)
		}
	}
}

// firstCrash says once what a cross means, beside the first one in a row without a label.
func (p plot) firstCrash(s *svg, pods []record.Pod, top float64, used map[int]bool) {
	for row := range pods {
		for _, e := range pods[row].Events {
			if e.What != record.Stopped || used[row] {
				continue
			}
			s.tag("crashtext", p.x(e.At)+7, top+(float64(row)+0.5)*p.row+4, e.Note)
			p.occupy(used, row)
			return
		}
	}
}

// firstSlot says once what the line under a bar means, where there is room before it.
func (p plot) firstSlot(s *svg, pods []record.Pod, top float64, used map[int]bool) {
	const text = "holds the slot"
	for row := range pods {
		at, ok := pods[row].First(record.Granted)
		if !ok || used[row] || p.row < 6 || p.x(at)-width(text, 11)-8 < p.left {
			continue
		}
		s.tag("end", p.x(at)-6, top+(float64(row)+0.5)*p.row+6, text)
		return
	}
}

// longest finds the longest span of a state in a row that has no label yet.
func longest(pods []record.Pod, state record.State, end float64, used map[int]bool) (row int, at record.Span, ok bool) {
	for i := range pods {
		if used[i] {
			continue
		}
		for _, span := range pods[i].Spans(end) {
			if span.State == state && span.To-span.From > (at.To-at.From)*1.001 {
				row, at, ok = i, span, true
			}
		}
	}
	return row, at, ok
}

// marks draws the moments that count: the node bound, all Ready, the end of
// patience, and what happened to the node.
func (p plot) marks(s *svg, top, bottom float64) {
	p.nodeMarks(s, top, bottom)
	if p.bound > 0 {
		x := p.x(p.bound)
		s.line("bound", x, top-8, x, bottom)
		text, class := fmt.Sprintf("node bound %s s", seconds(p.bound)), "soft end" // beside it, all are often Ready
		if x-5-width(text, 11.5) < 0 {
			class = "soft mid"
		}
		s.text(class, x-5, top-12, text)
	}
	var at float64
	var text string
	switch {
	case p.sum.AllReady != nil:
		at, text = *p.sum.AllReady, fmt.Sprintf("all Ready %s s", seconds(*p.sum.AllReady))
	case p.run.GaveUp:
		at = p.run.Ended
		text = fmt.Sprintf("gave up after %.0f s: %d of %d Ready", at, p.sum.Healthy, p.sum.Sound)
	default:
		return
	}
	x := p.x(at)
	s.line("mark", x, top-8, x, bottom)
	anchor, dx := "bold end", -5.0
	if room := p.left + p.width - x; room > width(text, 12) {
		anchor, dx = "bold", 5
	}
	s.text(anchor, x+dx, top-12, text)
}

// nodeMarks draws when the node was back, and when the DaemonSets were Ready
// that everybody waits for.
func (p plot) nodeMarks(s *svg, top, bottom float64) {
	mark := func(at float64, text string) {
		text = fmt.Sprintf("%s %s s", text, seconds(at))
		x, class, dx := p.x(at), "soft end", -4.0 // what begins then has its labels at the right
		if x-width(text, 11.5) < p.left {
			class, dx = "soft", 4
		}
		s.line("event", x, top-2, x, bottom+11)
		s.text(class, x+dx, bottom+10, text)
	}
	if at := p.run.Rebooted; at != nil && *at <= p.run.Ended {
		mark(*at, "rebooted")
	}
	for _, d := range p.run.DaemonSets {
		if d.Elsewhere == "" && d.ReadyAt != nil && *d.ReadyAt <= p.run.Ended {
			mark(max(0, *d.ReadyAt), "DaemonSet "+d.Name+" Ready")
		}
	}
}
