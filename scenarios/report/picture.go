// picture.go draws report.svg: all policies of a result, one under the other on
// one time axis, small enough for a README.

package report

import (
	"fmt"
	"html"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// Picture is the result as an SVG file with a background of its own: it reads
// on light and dark pages alike.
func Picture(r *record.Result) []byte {
	const wide, margin = 900, 24
	var s svg
	y := 40.0
	s.text("h1", margin, y, headlineOf(r))
	y += 4
	plots := newPlots(r)
	for i, p := range plots {
		p.left, p.width, p.lane = margin+2, wide-2*margin-4, 30
		p.side, p.names, p.tips, p.pressure = false, false, false, false
		p.row = 8
		if n := len(p.run.Pods); n > 30 {
			p.row = max(2, 240/float64(n))
		}
		y += 34
		s.text("h2", margin, y, panelTitle(r.Outcomes[i]))
		s.text("body soft", margin, y+18, sentence(r.Outcomes[i]))
		top := y + 44
		bottom := top + p.row*float64(len(p.run.Pods))
		end := bottom + p.lanesHeight(22)
		p.grid(&s, top, end, i == len(plots)-1)
		p.rows(&s, top)
		p.marks(&s, top, bottom)
		p.lanes(&s, bottom, 22)
		y = end + 8
	}
	height := y + 36
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %s" width="%[1]d" height="%[2]s" role="img">`, wide, num(height))
	fmt.Fprintf(&out, "<title>%s</title><style>%s</style>", html.EscapeString(headlineOf(r)), pictureColours())
	fmt.Fprintf(&out, `<rect width="%d" height="%s" rx="10" class="bg"/>`, wide, num(height))
	out.WriteString(s.String())
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

func headlineOf(r *record.Result) string {
	if r.Scenario.Reboot {
		return fmt.Sprintf("a node of %d cores reboots, and its %d pods start again at once", r.Scenario.Node.Cores, r.Scenario.Count())
	}
	return fmt.Sprintf("%d pods land on one node of %d cores at once", r.Scenario.Count(), r.Scenario.Node.Cores)
}

func panelTitle(o record.Outcome) string {
	if p := o.Run.Policy; p.String() != noLock {
		return fmt.Sprintf("%s: %s", title(p), p)
	}
	return title(o.Run.Policy)
}

// noLock is what the settings of a policy say that has none of interest.
const noLock = "no lock"

// sentence says how the run went.
func sentence(o record.Outcome) string {
	s := o.Summary
	var parts []string
	switch {
	case s.AllReady != nil:
		parts = append(parts, fmt.Sprintf("all %d%s Ready after %.0f s", s.Sound, healthy(s), *s.AllReady))
	default:
		parts = append(parts, fmt.Sprintf("%d of %d%s Ready after %.0f s", s.Healthy, s.Sound, healthy(s), o.Run.Ended))
	}
	parts = append(parts, plural(s.Restarts, "restart", "restarts"))
	if s.Starters == 1 {
		parts = append(parts, "never more than one starter")
	} else {
		parts = append(parts, fmt.Sprintf("up to %d starters at once", s.Starters))
	}
	if o.Run.Policy.Lock != nil && s.Inversions == 0 {
		parts = append(parts, "in the order of arrival")
	}
	return strings.Join(parts, " · ")
}

// healthy says which pods are meant where some cannot be Ready.
func healthy(s record.Summary) string {
	if s.Sound < s.Pods {
		return " healthy"
	}
	return ""
}

func plural(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + many
	case 1:
		return "1 " + one
	default:
		return fmt.Sprintf("%d %s", n, many)
	}
}
