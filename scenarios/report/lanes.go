// lanes.go draws what lies under the rows of a timeline, on the same time axis:
// how many pods start at once, how many slots there are where that moves, and
// the node's pressure.

package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// moves tells whether the limit of a run is a line of its own.
func moves(run *record.Run) bool { return len(run.Limits) > 1 }

// lanesHeight is how much room the lanes take, each with a gap above it.
func (p plot) lanesHeight(gap float64) float64 {
	n := 1.0
	if moves(p.run) {
		n++
	}
	if p.pressure {
		n++
	}
	return n * (gap + p.lane)
}

// lanes draws them from a height downwards.
func (p plot) lanes(s *svg, top, gap float64) {
	top += gap
	p.startersLane(s, top)
	if moves(p.run) {
		top += p.lane + gap
		p.slotsLane(s, top)
	}
	if p.pressure {
		p.pressureLane(s, top+p.lane+gap)
	}
}

// startersLane draws how many pods are starting at once, and the limit if it is fixed.
func (p plot) startersLane(s *svg, top float64) {
	bottom := top + p.lane
	scale := p.lane / float64(p.starters)
	steps := record.Starters(p.run)
	s.path("starters", stepArea(steps, p.run.Ended, p.x, func(n int) float64 { return bottom - float64(n)*scale }, bottom), "")
	s.line("grid", p.left, bottom, p.left+p.width, bottom)
	if p.side { // elsewhere the peak's label says it
		s.text("soft end", p.left-8, top+1, "starters")
	}
	peak := record.Peak(steps)
	if at, ok := first(steps, peak); ok {
		s.tag("", p.x(at)+4, bottom-float64(peak)*scale-4, plural(peak, "starter", "starters")+" at once")
	}
	if n := p.fixed(); n > 0 && n <= p.starters {
		y := bottom - float64(n)*scale
		s.line("limit", p.left, y, p.left+p.width, y)
	}
	p.hits(s, top, func(_, to float64) string {
		return fmt.Sprintf("%s s: %s", seconds(to), plural(at(steps, to), "starter", "starters"))
	})
}

// fixed is the limit of a run in which it never moves; 0 where it does, and without a lock.
func (p plot) fixed() int {
	switch {
	case len(p.run.Limits) == 1:
		return p.run.Limits[0].N
	case len(p.run.Limits) == 0 && p.run.Policy.Lock != nil:
		return p.run.Policy.Lock.Locks
	default:
		return 0
	}
}

// slotsLane draws the limit as a line in steps, and under it the slots that are
// held. It has a scale of its own: next to a herd without a lock nobody could read it.
func (p plot) slotsLane(s *svg, top float64) {
	bottom := top + p.lane
	scale := p.lane / float64(p.slots)
	y := func(n int) float64 { return bottom - float64(n)*scale }
	if scale >= 6 {
		for n := 1; n <= p.slots; n++ {
			s.line("grid", p.left, y(n), p.left+p.width, y(n))
		}
	}
	held := record.Held(p.run)
	s.path("held", stepArea(held, p.run.Ended, p.x, y, bottom), "")
	s.line("grid", p.left, bottom, p.left+p.width, bottom)
	s.path("moving", stepLine(p.run.Limits, p.run.Ended, p.x, y), "")
	least := p.run.Limits[0].N
	for _, step := range p.run.Limits {
		least = min(least, step.N)
	}
	peak := record.Peak(p.run.Limits)
	if at, ok := first(p.run.Limits, peak); ok {
		s.tag("", p.x(at)+4, y(peak)-4, fmt.Sprintf("limit %d to %d", least, peak))
	}
	if p.side {
		s.text("soft end", p.left-8, top+1, "slots")
		s.text("soft end", p.left-8, top+15, fmt.Sprintf("0–%d", p.slots))
		p.key(s, "limit", top+29, func(x, y float64) { s.line("moving", x, y, x+14, y) })
		p.key(s, "held", top+43, func(x, y float64) { s.rect("held", x, y-4, 14, 8, "") })
	}
	p.hits(s, top, func(_, to float64) string {
		return fmt.Sprintf("%s s: %s, %d held", seconds(to), plural(at(p.run.Limits, to), "slot", "slots"), at(held, to))
	})
}

// key writes a word at the left side, with the sign for it drawn next to it.
func (p plot) key(s *svg, text string, y float64, sign func(x, y float64)) {
	s.text("soft end", p.left-28, y, text)
	sign(p.left-22, y-4)
}

// pressures are what may be drawn in the pressure lane beside the CPU's.
func pressures() []struct {
	name, class string
	of          func(record.Sample) *float64
} {
	return []struct {
		name, class string
		of          func(record.Sample) *float64
	}{
		{"IO", "io", func(s record.Sample) *float64 { return s.IO }},
		{"memory", "memory", func(s record.Sample) *float64 { return s.Memory }},
	}
}

// pressureLane draws the share of the time in which some task waited: for a CPU
// as an area; for the disk and for memory, where anybody ever did, as lines.
func (p plot) pressureLane(s *svg, top float64) {
	bottom := top + p.lane
	cpu := func(s record.Sample) *float64 { return s.Pressure }
	if line, from, to := p.line(cpu, 0, bottom); line != "" {
		s.path("press", fmt.Sprintf("M%s %s%sL%s %[2]sZ", num(from), num(bottom), strings.Replace(line, "M", "L", 1), num(to)), "")
	}
	s.line("grid", p.left, top, p.left+p.width, top)
	s.line("grid", p.left, bottom, p.left+p.width, bottom)
	s.text("soft end", p.left-8, top+1, "CPU pressure")
	s.text("soft end", p.left-8, top+15, "0–100 %")
	y := top + 29
	for _, other := range pressures() {
		if !p.ever(other.of) {
			continue
		}
		line, _, _ := p.line(other.of, p.span/p.width*3, bottom)
		s.path(other.class, line, "")
		p.key(s, other.name, y, func(x, y float64) { s.path(other.class, fmt.Sprintf("M%s %sh14", num(x), num(y)), "") })
		y += 14
	}
	p.hits(s, top, func(from, to float64) string {
		share, ok := p.mean(cpu, from, to)
		if !ok {
			return ""
		}
		busy, _ := p.mean(func(s record.Sample) *float64 { return &s.Busy }, from, to)
		parts := []string{fmt.Sprintf("%s s: CPU pressure %.0f %%", seconds(to), share*100)}
		for _, other := range pressures() {
			if v, ok := p.mean(other.of, from, to); ok && p.ever(other.of) {
				parts = append(parts, fmt.Sprintf("%s %.0f %%", other.name, v*100))
			}
		}
		return strings.Join(append(parts, fmt.Sprintf("%.1f cores busy", busy)), ", ")
	})
}

// ever tells whether a pressure was ever there.
func (p plot) ever(of func(record.Sample) *float64) bool {
	for _, sample := range p.run.Samples {
		if v := of(sample); v != nil && *v > 0 {
			return true
		}
	}
	return false
}

// mean is that of the samples within a time, if there are any.
func (p plot) mean(of func(record.Sample) *float64, from, to float64) (float64, bool) {
	sum, n := 0.0, 0
	for _, sample := range p.run.Samples {
		if v := of(sample); v != nil && sample.At > from && sample.At <= to {
			sum, n = sum+*v, n+1
		}
	}
	return sum / float64(max(n, 1)), n > 0
}

// line is the path of a share of 0 to 1 over time, and where it begins and ends.
// Samples closer than a time are one point: their mean.
func (p plot) line(of func(record.Sample) *float64, every, bottom float64) (path string, from, to float64) {
	var d strings.Builder
	sum, n, since := 0.0, 0, math.NaN()
	for i, sample := range p.run.Samples {
		v := of(sample)
		if v == nil || sample.At > p.run.Ended {
			continue
		}
		if n == 0 {
			since = sample.At
		}
		sum, n = sum+*v, n+1
		if last := i == len(p.run.Samples)-1; sample.At-since < every && !last {
			continue
		}
		letter := "L"
		if d.Len() == 0 {
			letter, from = "M", p.x(sample.At)
		}
		to = p.x(sample.At)
		fmt.Fprintf(&d, "%s%s %s", letter, num(to), num(bottom-sum/float64(n)*p.lane))
		sum, n = 0, 0
	}
	return d.String(), from, to
}

// hits lays transparent strips of a second or so over a lane, for tooltips.
func (p plot) hits(s *svg, top float64, tip func(from, to float64) string) {
	if !p.tips {
		return
	}
	step := max(1, math.Ceil(p.run.Ended/150))
	for t := 0.0; t < p.run.Ended; t += step {
		to := min(t+step, p.run.Ended)
		if text := tip(t, to); text != "" {
			s.rect("hit", p.x(t), top, p.x(to)-p.x(t), p.lane, text)
		}
	}
}
