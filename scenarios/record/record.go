// Package record is what was measured when a herd started: what happened to
// each pod and when, how the node was, and what follows from it. It is the same
// for every way to run a herd, so that runs compare.
//
// Everything here is data and pure functions, except Log, which collects.
package record

import (
	"cmp"
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// What is something that happens to a pod.
type What string

// What happens to a pod. The first three are the lock's word, the others the node's.
const (
	Claimed  What = "claimed"  // its claim reached the lock
	Granted  What = "granted"  // it was given a slot
	Returned What = "returned" // its grant ended
	Started  What = "started"  // its application was started, the first time or again
	Ready    What = "ready"    // it became Ready
	Unready  What = "unready"  // it is Ready no more, although its application runs
	Stopped  What = "stopped"  // its application ended or was killed; Note says why
	Deleted  What = "deleted"  // it is not in the cluster any more
)

// Event is one thing that happened to a pod.
type Event struct {
	// At is in seconds since the herd appeared.
	At   float64 `json:"at"`
	What What    `json:"what"`
	Note string  `json:"note,omitempty"`
}

// Pod is one pod of the herd.
type Pod struct {
	Name     string `json:"name"`
	Group    string `json:"group"`
	UID      string `json:"uid"`
	Priority int    `json:"priority,omitempty"`
	Weight   int    `json:"weight,omitempty"`
	// Fault keeps it from becoming Ready; empty is a healthy pod.
	Fault spec.Fault `json:"fault,omitempty"`
	// Events are in order of time.
	Events []Event `json:"events"`
}

// DaemonSet is one that is there beside the herd.
type DaemonSet struct {
	Name string `json:"name"`
	// Elsewhere is why it is not meant for the node; empty is one that nobody may start before.
	Elsewhere spec.Elsewhere `json:"elsewhere,omitempty"`
	// ReadyAt is when it became Ready on the node, in seconds since the herd appeared.
	ReadyAt *float64 `json:"readyAt,omitempty"`
}

// Sample is the node's state at one moment.
type Sample struct {
	At float64 `json:"at"`
	// Pressure is the share of the time since the last sample in which some
	// task waited for a CPU: "some" of /proc/pressure/cpu. Nil where the system has none.
	Pressure *float64 `json:"pressure,omitempty"`
	// IO and Memory are the same of /proc/pressure/io and memory.
	IO     *float64 `json:"io,omitempty"`
	Memory *float64 `json:"memory,omitempty"`
	// Busy is how many cores were busy since the last sample.
	Busy float64 `json:"busy"`
}

// Run is one herd under one policy.
type Run struct {
	Scenario string      `json:"scenario"`
	On       string      `json:"on"`
	Policy   spec.Policy `json:"policy"`
	// Appeared is when the herd appeared: the zero of all times in the run.
	Appeared time.Time `json:"appeared"`
	// Ended is when the run was over, in seconds.
	Ended float64 `json:"ended"`
	// GaveUp is true if that was before every pod that can be Ready was.
	GaveUp bool `json:"gaveUp,omitempty"`
	// Rebooted is when the node was Ready again, in a run that begins with its reboot.
	Rebooted   *float64    `json:"rebooted,omitempty"`
	DaemonSets []DaemonSet `json:"daemonSets,omitempty"`
	Pods       []Pod       `json:"pods"`
	Samples    []Sample    `json:"samples,omitempty"`
	// Limits is how many slots there were, from each moment on at which that
	// changed; nothing for a run without a lock.
	Limits []Step `json:"limits,omitempty"`
}

// Bound is the node bound and the terms that it is made of.
type Bound struct {
	// Applications is the CPU-seconds that the applications themselves need.
	Applications float64 `json:"applications"`
	// Overhead is the CPU-seconds spent on starting the same pods with no work in
	// them, on kind with an init container that does nothing.
	Overhead float64 `json:"overhead"`
	Cores    float64 `json:"cores"`
	// Idle is how many cores the node uses when there is no work: on kind with the
	// herd on it, Ready and probed, locally without one.
	Idle float64 `json:"idle"`
	// Note says what could not be measured, if anything.
	Note string `json:"note,omitempty"`
}

// Seconds is the fastest that this node can possibly start the herd.
func (b Bound) Seconds() float64 {
	free := b.Cores - b.Idle
	if free <= 0 {
		return 0
	}
	return (b.Applications + b.Overhead) / free
}

// Machine is what the runs were made on.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	// Cores is what the machine has, which may be more than the node was given.
	Cores int    `json:"cores"`
	Go    string `json:"go"`
	// Node says how the node was made: pinned CPUs, a kind worker.
	Node string `json:"node"`
}

// First is when something first happened to the pod.
func (p *Pod) First(w What) (at float64, ok bool) {
	for _, e := range p.Events {
		if e.What == w {
			return e.At, true
		}
	}
	return 0, false
}

// Restarts are the times at which the application was started again.
func (p *Pod) Restarts() []float64 {
	var at []float64
	first := true
	for _, e := range p.Events {
		if e.What != Started {
			continue
		}
		if !first {
			at = append(at, e.At)
		}
		first = false
	}
	return at
}

// ReadyAt is since when the pod is Ready, if it is at the end of the run.
func (p *Pod) ReadyAt() (at float64, ok bool) {
	for _, e := range p.Events {
		switch e.What {
		case Ready:
			at, ok = e.At, true
		case Unready, Stopped, Deleted:
			ok = false
		}
	}
	return at, ok
}

// Sound tells whether the pod can be Ready: it has no fault and was not deleted.
func (p *Pod) Sound() bool {
	_, deleted := p.First(Deleted)
	return p.Fault == "" && !deleted
}

// State is what a pod is doing.
type State string

// The states of a pod, as a timeline shows them.
const (
	Waiting  State = "waiting"  // its application was not started yet
	Starting State = "starting" // its application runs and is not yet Ready
	Serving  State = "ready"
	BackOff  State = "back-off" // its application ended and is not yet started again
	Gone     State = "gone"     // it was deleted
)

// Span is a time in which a pod was in one state.
type Span struct {
	From, To float64
	State    State
}

// Spans are the states of the pod from 0 to end, without a gap. A pod that
// loses its readiness is shown as starting until it has it again.
func (p *Pod) Spans(end float64) []Span {
	spans := []Span{{State: Waiting}}
	for _, e := range p.Events {
		if e.At > end {
			break
		}
		state, changes := after(e.What)
		last := &spans[len(spans)-1]
		if !changes || state == last.State {
			continue
		}
		last.To = e.At
		if last.To <= last.From { // left at the moment it was entered
			*last = Span{From: last.From, State: state}
			continue
		}
		spans = append(spans, Span{From: e.At, State: state})
	}
	spans[len(spans)-1].To = max(end, spans[len(spans)-1].From)
	return spans
}

// after is the state that something brings a pod into.
func after(w What) (State, bool) {
	switch w {
	case Started, Unready:
		return Starting, true
	case Ready:
		return Serving, true
	case Stopped:
		return BackOff, true
	case Deleted:
		return Gone, true
	default:
		return "", false
	}
}

// ByClaim is the pods in the order in which they asked: claimed, then started,
// then as they are. It is the order of the rows of a timeline.
func ByClaim(pods []Pod) []Pod {
	sorted := slices.Clone(pods)
	slices.SortStableFunc(sorted, func(a, b Pod) int {
		return cmp.Compare(asked(&a), asked(&b))
	})
	return sorted
}

func asked(p *Pod) float64 {
	const never = 1e18
	if at, ok := p.First(Claimed); ok {
		return at
	}
	if at, ok := p.First(Granted); ok {
		return at
	}
	return never
}
