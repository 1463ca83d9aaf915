// frame.go lays out one picture of a run in lines of text.

package live

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// frame is where a picture has to fit.
type frame struct {
	width, height int
	horizon       float64
	paint         func(colour, text string) string
}

// look is how a state is drawn. The signs differ as much as the colours do, for
// those who see no colours.
type look struct{ sign, colour string }

func looks(s record.State) look {
	switch s {
	case record.Waiting:
		return look{"·", "90"}
	case record.Starting:
		return look{"█", "33"}
	case record.Serving:
		return look{"━", "36"}
	case record.Gone:
		return look{" ", ""}
	default:
		return look{"░", "31"}
	}
}

// lines is the picture: a title, a line per pod or per few pods, the time axis, the counts.
func (f frame) lines(title string, run *record.Run) []string {
	const around = 3 // title, axis, counts
	pods := record.ByClaim(run.Pods)
	each := 1
	for rows := max(1, f.height-around); (len(pods)+each-1)/each > rows; {
		each++
	}
	labels, label := make([]string, 0, len(pods)), 0
	for i := 0; i < len(pods); i += each {
		name := pods[i].Name
		if last := min(i+each, len(pods)) - 1; last > i {
			name += fmt.Sprintf(" +%d", last-i)
		}
		labels = append(labels, name)
		label = max(label, utf8.RuneCountInString(name))
	}
	label = min(label, f.width/3)
	cells := max(1, f.width-label-1)
	scale := f.scale(run.Ended) / float64(cells)

	out := []string{f.paint("1", clip(title, f.width))}
	for row, name := range labels {
		group := pods[row*each : min((row+1)*each, len(pods))]
		colour := ""
		if group[0].Fault != "" {
			colour = "31"
		}
		out = append(out, f.paint(colour, pad(clip(name, label), label))+" "+f.bar(group, run.Ended, scale, cells))
	}
	out = append(out, f.paint("90", pad("", label)+" "+axis(scale, cells)))
	return append(out, clip(f.footer(run), f.width))
}

// scale is the time that the whole width stands for: the horizon, or in steps
// more than what has passed, so that the picture does not shrink all the time.
func (f frame) scale(passed float64) float64 {
	span := max(f.horizon, 20)
	for span*1.02 < passed { // a run that ends at its horizon ends a little after it
		span *= 1.5
	}
	return span
}

// bar is one line of states; of several pods, each moment shows the most eventful one.
func (f frame) bar(pods []record.Pod, end, scale float64, cells int) string {
	row := make([]look, 0, cells)
	spans := make([][]record.Span, len(pods))
	for i := range pods {
		spans[i] = pods[i].Spans(end)
	}
	for c := 0; c < cells && float64(c)*scale <= end; c++ {
		from, to := float64(c)*scale, min(float64(c+1)*scale, math.Nextafter(end, math.Inf(1)))
		best, rank := looks(record.Serving), -1
		for i := range pods {
			if stopped(&pods[i], from, to) {
				best, rank = look{"x", "1;31"}, 9
				continue
			}
			if s := stateAt(spans[i], to); weight(s) > rank {
				best, rank = looks(s), weight(s)
			}
		}
		row = append(row, best)
	}
	var b strings.Builder
	for i := 0; i < len(row); {
		j := i
		for j < len(row) && row[j] == row[i] {
			j++
		}
		b.WriteString(f.paint(row[i].colour, strings.Repeat(row[i].sign, j-i)))
		i = j
	}
	return b.String()
}

// weight orders states by how much they deserve to be seen.
func weight(s record.State) int {
	switch s {
	case record.Starting:
		return 3
	case record.BackOff:
		return 2
	case record.Waiting:
		return 1
	default:
		return 0
	}
}

// stateAt is the state just before a moment.
func stateAt(spans []record.Span, at float64) record.State {
	state := spans[0].State
	for _, s := range spans {
		if s.From < at {
			state = s.State
		}
	}
	return state
}

func stopped(p *record.Pod, from, to float64) bool {
	for _, e := range p.Events {
		if e.What == record.Stopped && e.At >= from && e.At < to {
			return true
		}
	}
	return false
}

// axis marks round times under the bars.
func axis(scale float64, cells int) string {
	step := 5.0
	for step/scale < 10 {
		step *= 2
	}
	line := []rune(strings.Repeat(" ", cells))
	for t := 0.0; ; t += step {
		at := int(t / scale)
		text := []rune(fmt.Sprintf("╵%.0f s", t))
		if at+len(text) > cells {
			break
		}
		copy(line[at:], text)
	}
	return strings.TrimRight(string(line), " ")
}

func (f frame) footer(run *record.Run) string {
	text := fmt.Sprintf("%.0f s · %s · most starters %d", run.Ended, tally(run), record.Peak(record.Starters(run)))
	if l, n := run.Policy.Lock, len(run.Limits); l != nil && l.Auto && n > 0 {
		text += fmt.Sprintf(" · %d slots", run.Limits[n-1].N)
	}
	if n := len(run.Samples); n > 0 && run.Samples[n-1].Pressure != nil {
		text += fmt.Sprintf(" · CPU pressure %.0f %%", *run.Samples[n-1].Pressure*100)
	}
	return text
}

func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
