// svg.go writes the few SVG elements that a timeline is made of.

package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// svg collects elements. Colours and fonts are classes, so that the same
// drawing serves a light page, a dark page and a file of its own.
type svg struct{ strings.Builder }

// rect draws a box, with a tooltip if there is one.
func (s *svg) rect(class string, x, y, w, h float64, tip string) {
	if w <= 0 || h <= 0 {
		return
	}
	fmt.Fprintf(s, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"`, class, num(x), num(y), num(w), num(h))
	s.end("rect", tip)
}

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(s, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, num(x1), num(y1), num(x2), num(y2))
}

func (s *svg) circle(class string, x, y, r float64, tip string) {
	fmt.Fprintf(s, `<circle class="%s" cx="%s" cy="%s" r="%s"`, class, num(x), num(y), num(r))
	s.end("circle", tip)
}

// path draws SVG path data, with a tooltip if there is one.
func (s *svg) path(class, d, tip string) {
	fmt.Fprintf(s, `<path class="%s" d="%s"`, class, d)
	s.end("path", tip)
}

// text writes at a base line; the class says the anchor.
func (s *svg) text(class string, x, y float64, text string) {
	fmt.Fprintf(s, `<text class="%s" x="%s" y="%s">%s</text>`, class, num(x), num(y), html.EscapeString(text))
}

// tag writes on a patch of the background, so that it reads on top of bars. The
// patch is as wide as the text probably is; the outline of the text covers the rest.
func (s *svg) tag(class string, x, y float64, text string) {
	w := width(text, 11.5)
	left := x
	switch {
	case strings.Contains(class, "end"):
		left = x - w
	case strings.Contains(class, "mid"):
		left = x - w/2
	}
	s.rect("bg", left-2, y-9.5, w+4, 12, "")
	s.text("tag "+class, x, y, text)
}

func (s *svg) end(element, tip string) {
	if tip == "" {
		s.WriteString("/>")
		return
	}
	fmt.Fprintf(s, "><title>%s</title></%s>", html.EscapeString(tip), element)
}

// num writes a coordinate with a tenth of a pixel, which is all one can see.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// width is about how wide a text of that size is, in the fonts we ask for.
func width(text string, size float64) float64 {
	return float64(len([]rune(text))) * size * 0.54
}
