// probes.go is the kubelet's checks of a group's pods, and how long they let a start take.

package spec

import "time"

// Probes are the checks of the kubelet. A group without readiness is Ready when it has started.
type Probes struct {
	Liveness  *Probe `json:"liveness,omitempty"`
	Readiness *Probe `json:"readiness,omitempty"`
}

// Probe is an HTTP check as Kubernetes counts it.
type Probe struct {
	InitialDelay Duration `json:"initialDelay,omitzero"`
	Period       Duration `json:"period"`
	Timeout      Duration `json:"timeout"`
	Failures     int      `json:"failures"`
}

// Patience is how long after its start an application may be not alive before
// the kubelet kills it, at the least: the first check comes after the initial
// delay at the earliest, and so many have to fail in a row, a period apart. It
// is at least a second; 0 is without end: nothing checks whether it lives.
func (p Probes) Patience() Duration {
	l := p.Liveness
	if l == nil {
		return 0
	}
	return max(l.InitialDelay+l.Period*Duration(l.Failures-1), Duration(time.Second))
}
