// outlook_plot.go draws what a fixed number of slots leads to, from 1 on, beside
// what slots that follow the node, and no lock, lead to.

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// curve is the geometry and the scales of the plot.
type curve struct {
	left, top, width, height float64
	slots                    int     // at the right end; the axis is logarithmic
	most                     float64 // seconds at the top
}

func (c curve) x(slots int) float64 {
	if c.slots <= 1 {
		return c.left + c.width/2
	}
	return c.left + math.Log(float64(slots))/math.Log(float64(c.slots))*c.width
}

func (c curve) y(t float64) float64 { return c.top + c.height*(1-t/c.most) }

// inline is the plot as an element of a page.
func (o *Outlook) inline() string {
	const wide, restarts = 1120.0, 70.0
	c := curve{left: 64, top: 24, width: wide - 64 - 236, height: 300, slots: o.Fixed[len(o.Fixed)-1].Run.Policy.Lock.Locks, most: o.top()}
	var s svg
	bottom := c.top + c.height
	c.axes(&s)
	o.lines(&s, c)
	o.dots(&s, c)
	end := o.restarts(&s, c, bottom+54, restarts)
	for _, n := range c.ticks() {
		s.text("soft mid", c.x(n), end+16, strconv.Itoa(n))
	}
	s.text("soft", c.left+c.width+14, end+16, "slots, fixed (logarithmic)")
	height := end + 28
	return fmt.Sprintf(`<svg viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" aria-label="all-Ready time and restarts over the number of slots">%s</svg>`,
		num(wide), num(height), s.String())
}

// top is the time at the top of the plot: some times the best one. What is worse
// is worse, and need not be seen in full.
func (o *Outlook) top() float64 {
	const times = 3.5
	least, most := math.Inf(1), 0.0
	for _, r := range append(slices.Clone(o.Fixed), o.Auto, o.None) {
		if t := r.Summary.AllReady; t != nil {
			least, most = min(least, *t), max(most, *t)
		}
	}
	if most == 0 && o.Bound != nil {
		most = o.Bound.Seconds() * 2
	}
	return max(1, min(most, least*times)) * 1.06
}

// axes draws the times.
func (c curve) axes(s *svg) {
	step := 1.0
	for _, candidate := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200} {
		if step = candidate; c.most/step <= 7 {
			break
		}
	}
	for t := 0.0; t <= c.most; t += step {
		s.line("grid", c.left, c.y(t), c.left+c.width, c.y(t))
		s.text("soft end", c.left-8, c.y(t)+4, fmt.Sprintf("%.0f s", t))
	}
	s.text("bold", c.left-56, c.top-10, "time until all pods are Ready")
}

// ticks are the numbers of slots that are written: as many as there is room for.
func (c curve) ticks() []int {
	var ticks []int
	last := math.Inf(-1)
	for n := 1; n <= c.slots; n++ {
		round := n < 10 || n%10 == 0 || n == c.slots
		if x := c.x(n); round && x-last >= 26 && (n == c.slots || c.x(c.slots)-x >= 26) {
			ticks, last = append(ticks, n), x
		}
	}
	return ticks
}

// lines draws what does not depend on a number: the node bound, auto, and no lock.
func (o *Outlook) lines(s *svg, c curve) {
	type line struct {
		class, label, text string
		t                  float64
	}
	var lines []line
	if o.Bound != nil && o.Bound.Seconds() > 0 {
		lines = append(lines, line{"bound", "soft", "node bound " + seconds(o.Bound.Seconds()) + " s", o.Bound.Seconds()})
	}
	for _, r := range []struct {
		outcome      record.Outcome
		class, label string
		name         string
	}{{o.Auto, "autoline", "bold", "auto"}, {o.None, "noneline", "", "no lock"}} {
		text := r.name + " " + allReady(r.outcome)
		if n := r.outcome.Summary.Restarts; n > 0 {
			text += ", " + plural(n, "restart", "restarts")
		}
		t := orNever(r.outcome.Summary.AllReady)
		lines = append(lines, line{r.class, r.label, text, t})
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(b.t, a.t) })
	const apart = 16.0
	below := c.top - apart
	for _, l := range lines {
		y := max(c.y(l.t), c.top)
		if math.IsInf(l.t, 1) {
			y = c.top
		}
		if l.t <= c.most {
			s.line(l.class, c.left, y, c.left+c.width, y)
		} else { // it lies above the plot
			l.text = "↑ " + l.text
		}
		below = max(y, below+apart)
		if below-y > 1 {
			s.line("grid", c.left+c.width+1, y, c.left+c.width+11, below)
		}
		s.text(l.label, c.left+c.width+14, below+4, l.text)
	}
}

// dots draws the fixed numbers, joined by a line where all pods became Ready.
func (o *Outlook) dots(s *svg, c curve) {
	for i := 1; i < len(o.Fixed); i++ {
		c.join(s, &o.Fixed[i-1], &o.Fixed[i])
	}
	best := o.Best()
	for i := range o.Fixed {
		r := &o.Fixed[i]
		n, t := r.Run.Policy.Lock.Locks, r.Summary.AllReady
		x := c.x(n)
		tip := fmt.Sprintf("%s: %s", plural(n, "slot", "slots"), ends(r.Summary))
		switch {
		case t == nil:
			s.path("crash", fmt.Sprintf("M%s %sl6 6m0 -6l-6 6", num(x-3), num(c.top-3)), tip)
		case *t > c.most:
			s.path("off", fmt.Sprintf("M%s %sl4 7h-8Z", num(x), num(c.top-4)), tip)
		case r == best:
			s.circle("bestdot", x, c.y(*t), 6, tip)
		default:
			s.circle("dot", x, c.y(*t), 3.4, tip)
		}
	}
	if t := best.Summary.AllReady; t != nil { // under the line of what is possible, where nothing else is
		n, low := best.Run.Policy.Lock.Locks, *t
		if o.Bound != nil {
			low = min(low, max(0, o.Bound.Seconds()))
		}
		x := min(max(c.x(n), c.left+80), c.left+c.width-80)
		s.tag("mid", x, min(c.y(low)+22, c.top+c.height-5), fmt.Sprintf("best fixed: %s, %s", plural(n, "slot", "slots"), since(t)))
	}
}

// join draws the line from one number to the next, as far as it lies in the plot.
func (c curve) join(s *svg, a, b *record.Outcome) {
	ta, tb := orNever(a.Summary.AllReady), orNever(b.Summary.AllReady)
	if math.IsInf(ta, 1) || math.IsInf(tb, 1) || min(ta, tb) > c.most {
		return
	}
	xa, xb := c.x(a.Run.Policy.Lock.Locks), c.x(b.Run.Policy.Lock.Locks)
	at := func(t float64) float64 { return xa + (xb-xa)*(t-ta)/(tb-ta) } // where the line is at a time
	switch {
	case ta > c.most:
		xa, ta = at(c.most), c.most
	case tb > c.most:
		xb, tb = at(c.most), c.most
	}
	s.line("curve", xa, c.y(ta), xb, c.y(tb))
}

// restarts draws how many there are with each fixed number. It returns where it ends.
func (o *Outlook) restarts(s *svg, c curve, top, height float64) float64 {
	bottom, most, at := top+height, 1, -1
	for i, r := range o.Fixed {
		if n := r.Summary.Restarts; n > most || n == most && at < 0 {
			most, at = n, i
		}
	}
	s.text("bold", c.left-56, top-10, "restarts")
	s.text("soft end", c.left-14, bottom+4, "0")
	s.line("grid", c.left, bottom, c.left+c.width, bottom)
	for _, r := range o.Fixed {
		n, x := r.Run.Policy.Lock.Locks, c.x(r.Run.Policy.Lock.Locks)
		half := min(9, (c.x(n+1)-x)*0.4)
		tip := fmt.Sprintf("%s: %s", plural(n, "slot", "slots"), plural(r.Summary.Restarts, "restart", "restarts"))
		high := height * float64(r.Summary.Restarts) / float64(most)
		s.rect("restarts", x-half, bottom-high, 2*half, high, tip)
	}
	if at < 0 {
		s.text("soft", c.left+8, bottom-8, "none with any number of slots")
		return bottom
	}
	s.tag("end crashtext", c.x(o.Fixed[at].Run.Policy.Lock.Locks)+9, top-6, strconv.Itoa(most))
	return bottom
}
