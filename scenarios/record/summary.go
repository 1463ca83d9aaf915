// summary.go derives from a run the numbers by which policies are compared.

package record

import (
	"math"
	"slices"
)

// Summary is a run in a few numbers.
type Summary struct {
	Pods  int `json:"pods"`
	Ready int `json:"ready"`
	// Sound is how many pods could be Ready: neither faulty nor deleted.
	Sound int `json:"sound"`
	// Healthy is how many of those without a fault are Ready.
	Healthy int `json:"healthy"`
	// AllReady is when the last sound pod became Ready, in seconds; nil when some never did.
	AllReady *float64 `json:"allReady,omitempty"`
	// MeanReady is the mean time to Ready of the pods that became Ready; nil when none did.
	MeanReady *float64 `json:"meanReady,omitempty"`
	// Ratio is AllReady in node bounds; nil when either is unknown.
	Ratio    *float64 `json:"ratio,omitempty"`
	Restarts int      `json:"restarts"`
	// LongestWait is the longest that a pod without a fault waited for its start, in
	// seconds: from its claim to its first grant, and where there is no lock from when
	// the herd appeared to when its application was first started. Who waits in vain
	// waits until the end. Nil when there is no such pod.
	LongestWait *float64 `json:"longestWait,omitempty"`
	// Starters is the most starters at once, Grants the most grants held at once.
	Starters int `json:"starters"`
	Grants   int `json:"grants"`
	// Inversions counts the claims that were passed by a later claim of the same priority.
	Inversions int `json:"inversions"`
	// Spacing is the shortest time between two grants, in seconds, or between the
	// first starts of two applications where there is no lock; nil with fewer than two.
	// A lock spaces permissions; the milliseconds that a process then takes to appear are not its own.
	Spacing *float64 `json:"spacing,omitempty"`
	// Gate is the time from the last DaemonSet that is meant for the node to the
	// first grant, in seconds; nil when there is none, or one was not Ready.
	Gate *float64 `json:"gate,omitempty"`
	// Pressure is the mean CPU pressure until the run ended; nil when it was not measured.
	Pressure *float64 `json:"pressure,omitempty"`
}

// Summarize derives the summary of a run. Bound may be nil.
func Summarize(r *Run, bound *Bound) Summary {
	s := Summary{
		Pods:       len(r.Pods),
		Starters:   Peak(Starters(r)),
		Grants:     Peak(Grants(r)),
		Inversions: Inversions(r.Pods),
		Spacing:    spacing(r.Pods, Granted),
		Gate:       gate(r),
		Pressure:   meanPressure(r.Samples),
	}
	if s.Spacing == nil {
		s.Spacing = spacing(r.Pods, Started)
	}
	sum, last := 0.0, 0.0
	for i := range r.Pods {
		p := &r.Pods[i]
		s.Restarts += len(p.Restarts())
		if p.Sound() {
			s.Sound++
		}
		if w := waited(p, r.Ended); p.Fault == "" && (s.LongestWait == nil || w > *s.LongestWait) {
			s.LongestWait = &w
		}
		at, ok := p.ReadyAt()
		if !ok {
			continue
		}
		s.Ready++
		if p.Fault == "" {
			s.Healthy++
			sum += at
			last = max(last, at)
		}
	}
	if s.Healthy > 0 {
		mean := sum / float64(s.Healthy)
		s.MeanReady = &mean
	}
	if s.Healthy == s.Sound && s.Sound > 0 {
		s.AllReady = &last
		if bound != nil && bound.Seconds() > 0 {
			ratio := last / bound.Seconds()
			s.Ratio = &ratio
		}
	}
	return s
}

// waited is how long a pod waited until it was granted a slot, or started without
// one, or was not waited for any more.
func waited(p *Pod, end float64) float64 {
	claimed, _ := p.First(Claimed) // 0, when the herd appeared, without a lock
	for _, w := range []What{Granted, Started, Deleted} {
		if at, ok := p.First(w); ok {
			return max(0, at-claimed)
		}
	}
	return max(0, end-claimed)
}

// Inversions counts the claims that were passed: granted after, or not at all,
// while a later claim of the same priority was granted.
func Inversions(pods []Pod) int {
	type claim struct {
		claimed, granted float64
		open             bool // no grant
		priority         int
	}
	var claims []claim
	for i := range pods {
		c := claim{priority: pods[i].Priority}
		var ok bool
		if c.claimed, ok = pods[i].First(Claimed); !ok {
			continue
		}
		c.granted, ok = pods[i].First(Granted)
		c.open = !ok
		claims = append(claims, c)
	}
	passed := 0
	for _, a := range claims {
		if slices.ContainsFunc(claims, func(b claim) bool {
			return b.priority == a.priority && !b.open && b.claimed > a.claimed && (a.open || b.granted < a.granted)
		}) {
			passed++
		}
	}
	return passed
}

// spacing is the shortest time between two events of the kind.
func spacing(pods []Pod, w What) *float64 {
	var starts []float64
	for i := range pods {
		if at, ok := pods[i].First(w); ok {
			starts = append(starts, at)
		}
	}
	if len(starts) < 2 {
		return nil
	}
	slices.Sort(starts)
	least := starts[1] - starts[0]
	for i := 2; i < len(starts); i++ {
		least = min(least, starts[i]-starts[i-1])
	}
	least = math.Round(least*1e6) / 1e6 // a difference of what is 1 s apart is not always 1
	return &least
}

// gate is how long after the DaemonSets of the node the first grant was.
func gate(r *Run) *float64 {
	last, first := math.Inf(-1), math.Inf(1)
	for _, d := range r.DaemonSets {
		if d.Elsewhere != "" {
			continue
		}
		if d.ReadyAt == nil {
			return nil
		}
		last = max(last, *d.ReadyAt)
	}
	for i := range r.Pods {
		if at, ok := r.Pods[i].First(Granted); ok {
			first = min(first, at)
		}
	}
	if since := first - last; !math.IsInf(since, 0) {
		return &since
	}
	return nil
}

// CPU is the CPU-seconds that the node was busy during the run, by its samples.
func CPU(r *Run) float64 {
	used, last := 0.0, 0.0
	for _, s := range r.Samples {
		if s.At > 0 && s.At <= r.Ended {
			used += s.Busy * (s.At - max(0, last))
		}
		last = s.At
	}
	return used
}

// meanPressure weighs each sample with the time that it stands for.
func meanPressure(samples []Sample) *float64 {
	weighed, time := 0.0, 0.0
	for i, s := range samples {
		if i == 0 || s.Pressure == nil {
			continue
		}
		dt := s.At - samples[i-1].At
		weighed += *s.Pressure * dt
		time += dt
	}
	if time <= 0 {
		return nil
	}
	mean := weighed / time
	return &mean
}
