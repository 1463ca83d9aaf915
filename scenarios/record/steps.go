// steps.go counts over time: pods that start, grants, and the slots that they hold.

package record

import (
	"cmp"
	"slices"
)

// Step is a moment at which a number, of pods or of slots, changes.
type Step struct {
	At float64 `json:"at"`
	N  int     `json:"n"`
}

// Peak is the highest number of the steps.
func Peak(steps []Step) int {
	most := 0
	for _, s := range steps {
		most = max(most, s.N)
	}
	return most
}

// Starters counts over time the pods that hold a grant, or have started their
// application and are not yet Ready.
func Starters(r *Run) []Step {
	var all []span
	for i := range r.Pods {
		all = append(all, union(append(held(&r.Pods[i], r.Ended), starting(&r.Pods[i], r.Ended)...))...)
	}
	return count(all)
}

// Grants counts over time the pods that hold a grant.
func Grants(r *Run) []Step {
	var all []span
	for i := range r.Pods {
		all = append(all, held(&r.Pods[i], r.Ended)...)
	}
	return count(all)
}

// Held counts over time the slots that are held: a grant takes as many as its pod weighs.
func Held(r *Run) []Step {
	var all []span
	for i := range r.Pods {
		for range max(1, r.Pods[i].Weight) {
			all = append(all, held(&r.Pods[i], r.Ended)...)
		}
	}
	return count(all)
}

// span is from when to when something was so.
type span struct{ from, to float64 }

// held is when the pod held a grant.
func held(p *Pod, end float64) []span {
	var spans []span
	for _, e := range p.Events {
		switch e.What {
		case Granted:
			spans = append(spans, span{e.At, max(end, e.At)})
		case Returned:
			if n := len(spans); n > 0 {
				spans[n-1].to = e.At
			}
		}
	}
	return spans
}

// starting is when the pod's application ran and had not yet been Ready. A pod
// that was Ready and is not for a while has started all the same.
func starting(p *Pod, end float64) []span {
	var spans []span
	open := false
	for _, e := range p.Events {
		switch e.What {
		case Started:
			spans, open = append(spans, span{e.At, max(end, e.At)}), true
		case Ready, Stopped, Deleted:
			if open {
				spans[len(spans)-1].to, open = e.At, false
			}
		}
	}
	return spans
}

// union joins spans that touch or overlap, so that one pod counts once.
func union(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var joined []span
	for _, s := range spans {
		if n := len(joined); n > 0 && s.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// count turns spans into the number of them over time. Where one ends as
// another begins, the end comes first: a slot that is handed over is one slot.
func count(spans []span) []Step {
	var steps []Step
	for _, s := range spans {
		if s.to > s.from {
			steps = append(steps, Step{s.from, 1}, Step{s.to, -1})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.N, b.N))
	})
	var counted []Step
	n := 0
	for _, s := range steps {
		n += s.N
		if last := len(counted) - 1; last >= 0 && counted[last].At == s.At {
			counted[last].N = n
			continue
		}
		counted = append(counted, Step{s.At, n})
	}
	return counted
}
