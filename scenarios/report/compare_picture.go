// compare_picture.go draws a comparison as small multiples: a panel for each
// scenario, in it a bar for each policy, all to the same scale in node bounds.

package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Geometry of the panels, in pixels.
const (
	barRow    = 19.0 // from bar to bar
	barHeight = 13.0
	panelHead = 44.0
	panelFoot = 32.0
	nameRoom  = 62.0  // for the policies' names
	endRoom   = 108.0 // for the figure behind a bar
)

// Picture is the comparison as an SVG file with a background of its own: it
// reads on light and dark pages alike.
func (c *Comparison) Picture() []byte {
	const wide, margin = 900.0, 24.0
	var s svg
	s.text("h1", margin, 40, "time until all pods are Ready, in node bounds")
	s.text("body soft", margin, 61, "1 is the node bound: the fastest that the CPUs of the node can possibly do it")
	var panels svg
	height := c.panels(&panels, margin, 88, wide-2*margin, 2)
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img">`, num(wide), num(height))
	fmt.Fprintf(&out, "<title>%s</title><style>%s</style>", html.EscapeString("startup policies side by side"), pictureColours())
	fmt.Fprintf(&out, `<rect width="%s" height="%s" rx="10" class="bg"/>`, num(wide), num(height))
	out.WriteString(s.String())
	out.WriteString(panels.String())
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

// inline is the panels as an element of a page.
func (c *Comparison) inline() string {
	const wide = 1120.0
	var s svg
	height := c.panels(&s, 0, 4, wide, 3)
	return fmt.Sprintf(`<svg viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" aria-label="time until all pods are Ready, in node bounds">%s</svg>`,
		num(wide), num(height), s.String())
}

// panels draws all panels in columns, and returns where they end.
func (c *Comparison) panels(s *svg, left, top, width float64, columns int) float64 {
	const gap = 28.0
	each := (width - gap*float64(columns-1)) / float64(columns)
	scale := bars{most: c.most(), width: each - nameRoom - endRoom}
	column, tallest := 0, 0.0
	for _, t := range c.tables {
		for _, r := range t.rows {
			if column == columns {
				column, top, tallest = 0, top+tallest, 0
			}
			scale.left = left + float64(column)*(each+gap) + nameRoom
			tallest = max(tallest, scale.panel(s, r, t.policies, top))
			column++
		}
	}
	return top + tallest
}

// most is the ratio that a whole bar stands for. Longer ones break off: one that
// is ten times too slow should not make the others unreadable.
func (c *Comparison) most() float64 {
	const least, limit = 1.5, 3.0
	most := least
	for _, t := range c.tables {
		for _, r := range t.rows {
			for _, cell := range r.cells {
				if cell != nil && cell.Summary.Ratio != nil {
					most = max(most, *cell.Summary.Ratio)
				}
			}
		}
	}
	return min(most, limit)
}

// bars is where bars begin, and their scale.
type bars struct{ left, width, most float64 }

func (b bars) x(ratio float64) float64 { return b.left + ratio/b.most*b.width }

// panel draws one scenario, and returns how high it is.
func (b bars) panel(s *svg, r row, policies []string, top float64) float64 {
	s.text("h2", b.left-nameRoom, top+12, r.name)
	s.text("soft", b.left-nameRoom, top+28, herd(r.Result.Scenario))
	y := top + panelHead
	for i, c := range r.cells {
		if c == nil {
			continue
		}
		b.bar(s, c, policies[i], y)
		if c.Summary.Ratio != nil { // elsewhere a bar has text in it
			s.line("bound", b.x(1), y-3, b.x(1), y+barRow-3)
		}
		y += barRow
	}
	s.text("soft mid", b.x(1), y+8, "1")
	return y - top + panelFoot
}

// bar draws how one policy did.
func (b bars) bar(s *svg, c *cell, policy string, y float64) {
	base, mid := y+10.5, b.left+b.width
	name := "end"
	if c.best {
		name = "end bold"
	}
	s.text(name, b.left-8, base, policy)
	tip := fmt.Sprintf("%s: all Ready %s, %s", policy, allReady(c.Outcome), plural(c.Summary.Restarts, "restart", "restarts"))
	restarts := ""
	if n := c.Summary.Restarts; n > 0 {
		restarts = plural(n, "restart", "restarts")
	}
	switch r := c.Summary.Ratio; {
	case c.Summary.AllReady == nil:
		b.broken(s, "never", y, tip)
		text := fmt.Sprintf("%d of %d Ready", c.Summary.Healthy, c.Summary.Sound)
		if restarts != "" {
			text += ", " + restarts
		}
		s.text("onbar", b.left+8, base, text)
		s.text("crashtext bold", mid+8, base, "never")
	case r == nil: // the node bound is not known
		s.text("", b.left+8, base, allReady(c.Outcome)+" "+restarts)
	case *r > b.most:
		b.broken(s, barClass(c), y, tip)
		b.figure(s, mid+8, base, c, restarts)
	default:
		s.rect(barClass(c), b.left, y, b.x(*r)-b.left, barHeight, tip)
		b.figure(s, b.x(max(*r, 1))+6, base, c, restarts)
	}
}

func (b bars) figure(s *svg, x, y float64, c *cell, restarts string) {
	class, text := "", ratio(c.Summary.Ratio)
	if c.best {
		class = "bold"
	}
	s.text(class, x, y, text)
	if restarts != "" {
		s.text("crashtext", x+width(text, 12)+5, y, restarts)
	}
}

// barClass sets the policies apart that need nobody to tune them, and those
// that nobody can have.
func barClass(c *cell) string {
	p := c.Run.Policy
	switch {
	case p.Patient, p.Lock != nil && p.Lock.Oracle:
		return "oraclebar"
	case p.Lock != nil && p.Lock.Auto:
		return "autobar"
	default:
		return "plainbar"
	}
}

// broken draws a bar that is longer than there is room: it breaks off.
func (b bars) broken(s *svg, class string, y float64, tip string) {
	const teeth = 3
	right, h := b.left+b.width, barHeight/(2*teeth)
	var d strings.Builder
	fmt.Fprintf(&d, "M%s %sH%s", num(b.left), num(y), num(right))
	for i := range 2 * teeth {
		dx := 4.0
		if i%2 == 0 {
			dx = -4
		}
		fmt.Fprintf(&d, "L%s %s", num(right+math.Min(0, dx)), num(y+h*float64(i+1)))
	}
	fmt.Fprintf(&d, "H%sZ", num(b.left))
	s.path(class, d.String(), tip)
}
