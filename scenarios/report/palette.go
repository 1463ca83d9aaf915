// palette.go is the colours: few, and told apart by those who see red and green
// alike (blue against amber, after Okabe and Ito); shape tells the rest.

package report

import (
	_ "embed"
	"html/template"
	"strings"
)

// colour is one role in its light and its dark form.
type colour struct{ name, light, dark string }

func colours() []colour {
	return []colour{
		{"bg", "#ffffff", "#0e1116"},
		{"card", "#f6f7f9", "#161b22"},
		{"line", "#dfe3e8", "#2b323c"},
		{"ink", "#1b2128", "#e8ebef"},
		{"soft", "#5c6670", "#9aa5b1"},
		{"waiting", "#b9c0c8", "#505a66"},
		{"starting", "#e8a317", "#d99f2b"},
		{"ready", "#5aa9dc", "#3786bd"},
		{"crash", "#c8451b", "#ff7f57"},
		{"slot", "#1b2128", "#e8ebef"},
		{"press", "#a79dcb", "#7a6fb0"},
		{"io", "#00695c", "#4fd1b5"},
		{"memory", "#a3195b", "#ff8fc0"},
	}
}

//go:embed style.css
var style string

// pageStyle is what all pages share. Its colours are CSS variables that follow
// the reader's choice of light or dark.
func pageStyle() template.CSS {
	var light, dark strings.Builder
	for _, c := range colours() {
		light.WriteString("--" + c.name + ":" + c.light + ";")
		dark.WriteString("--" + c.name + ":" + c.dark + ";")
	}
	return template.CSS(":root{color-scheme:light dark;" + light.String() + "}" + //nolint:gosec // constants of this package
		"@media (prefers-color-scheme:dark){:root{" + dark.String() + "}}" + drawing + style)
}

// pictureColours are the light ones, written out: not every viewer of an SVG
// file knows CSS variables.
func pictureColours() string {
	var pairs []string
	for _, c := range colours() {
		pairs = append(pairs, "var(--"+c.name+")", c.light)
	}
	return strings.NewReplacer(pairs...).Replace(drawing)
}

// drawing styles the elements of a timeline.
const drawing = `
svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif;fill:var(--ink);font-size:11px}
svg .soft{fill:var(--soft)}
svg .end{text-anchor:end}
svg .mid{text-anchor:middle}
svg .bold{font-weight:650}
svg .h1{font-size:19px;font-weight:650}
svg .h2{font-size:15px;font-weight:650}
svg .body{font-size:13px}
svg .tag{font-weight:600;paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round}
svg .inside{font-weight:600;fill:#10151b}
svg .bg{fill:var(--bg)}
svg .grid{stroke:var(--line);stroke-width:1}
svg .mark{stroke:var(--ink);stroke-width:1.2}
svg .event{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:7 3}
svg .bound{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:2 3}
svg .waiting{fill:var(--waiting)}
svg .starting{fill:var(--starting)}
svg .ready{fill:var(--ready)}
svg .backoff{fill:none;stroke:var(--crash);stroke-width:1.4;stroke-dasharray:1.5 3}
svg .crash{fill:none;stroke:var(--crash);stroke-width:2;stroke-linecap:round}
svg .crashedge{fill:none;stroke:var(--bg);stroke-width:5;stroke-linecap:round}
svg .crashtext{fill:var(--crash)}
svg .slot{fill:var(--slot)}
svg .starters{fill:var(--starting)}
svg .press{fill:var(--press)}
svg .limit{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 3}
svg .moving{fill:none;stroke:var(--ink);stroke-width:1.6;stroke-linejoin:round}
svg .held{fill:var(--slot);fill-opacity:.22}
svg .io{fill:none;stroke:var(--io);stroke-width:1.5;stroke-linejoin:round}
svg .memory{fill:none;stroke:var(--memory);stroke-width:1.5;stroke-dasharray:4 2.5;stroke-linejoin:round}
svg .hit{fill:transparent}
svg .plainbar{fill:var(--waiting)}
svg .autobar{fill:var(--ready)}
svg .oraclebar{fill:none;stroke:var(--soft);stroke-width:1.4}
svg .never{fill:var(--crash);fill-opacity:.16;stroke:var(--crash);stroke-width:1.2}
svg .autoline{stroke:var(--ready);stroke-width:2.4}
svg .noneline{stroke:var(--soft);stroke-width:1.4;stroke-dasharray:6 4}
svg .curve{stroke-linecap:round;stroke:var(--ink);stroke-width:1.6;stroke-linejoin:round}
svg .dot{fill:var(--bg);stroke:var(--ink);stroke-width:1.6}
svg .bestdot{fill:var(--starting);stroke:var(--ink);stroke-width:1.8}
svg .off{fill:var(--soft)}
svg .restarts{fill:var(--crash)}
svg .onbar{fill:var(--ink);font-size:10.5px}
`
