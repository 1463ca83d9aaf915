// log.go collects a run while it happens, for the record and for whoever watches.

package record

import (
	"slices"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Log collects a run. It is safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	run    Run
	ledger Ledger
	over   bool
}

// NewLog begins the record of a herd that appears at the given time.
func NewLog(on string, s *spec.Scenario, policy spec.Policy, pods []Pod, appeared time.Time) *Log {
	l := &Log{run: Run{
		Scenario: s.Name, On: on, Policy: policy,
		Appeared: appeared, Pods: slices.Clone(pods),
	}}
	for _, d := range s.DaemonSets {
		l.run.DaemonSets = append(l.run.DaemonSets, DaemonSet{Name: d.Name, Elsewhere: d.Elsewhere})
	}
	return l
}

// Pods are the pods of a scenario before anything happens to them. Each gets
// its UID from the function.
func Pods(s *spec.Scenario, uid func(name string) string) []Pod {
	var pods []Pod
	for _, g := range s.Pods {
		for i := range g.Count {
			name := g.Name + "-" + number(i+1, g.Count)
			pods = append(pods, Pod{Name: name, Group: g.Name, UID: uid(name), Priority: g.Priority, Weight: g.Weight, Fault: g.Fault})
		}
	}
	return pods
}

// number writes i with as many digits as most has, so that names sort and align.
func number(i, most int) string {
	digits := 1
	for ; most >= 10; most /= 10 {
		digits++
	}
	s := make([]byte, digits)
	for d := digits - 1; d >= 0; d-- {
		s[d] = byte('0' + i%10)
		i /= 10
	}
	return string(s)
}

// Add notes that something happened to the pod with that index.
func (l *Log) Add(pod int, at time.Time, what What, note string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.run.Pods[pod]
	p.Events = append(p.Events, Event{At: at.Sub(l.run.Appeared).Seconds(), What: what, Note: note})
	sortEvents(p.Events)
}

// DaemonSet notes that a DaemonSet became Ready on the node. The first time counts.
func (l *Log) DaemonSet(name string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.run.DaemonSets {
		if d := &l.run.DaemonSets[i]; d.Name == name && d.ReadyAt == nil {
			since := at.Sub(l.run.Appeared).Seconds()
			d.ReadyAt = &since
		}
	}
}

// Rebooted notes that the node is Ready again.
func (l *Log) Rebooted(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := at.Sub(l.run.Appeared).Seconds()
	l.run.Rebooted = &since
}

// Sample adds a sample of the node, taken at that time: s.At need not be set.
func (l *Log) Sample(at time.Time, s Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.At = at.Sub(l.run.Appeared).Seconds()
	l.run.Samples = append(l.run.Samples, s)
}

// Merge adds what the lock says about itself.
func (l *Log) Merge(s *lockapi.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Merge(s)
}

// AllReady tells whether every pod is Ready now of those that count.
func (l *Log) AllReady(counts func(pod *Pod) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.run.Pods {
		p := &l.run.Pods[i]
		if _, ok := p.ReadyAt(); !ok && counts(p) {
			return false
		}
	}
	return true
}

// Finish ends the run: nothing that happens later counts.
func (l *Log) Finish(at time.Time, gaveUp bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.run.Ended = at.Sub(l.run.Appeared).Seconds()
	l.run.GaveUp = gaveUp
}

// Snapshot is the run as it is known at a moment; after Finish, the run.
func (l *Log) Snapshot(now time.Time) *Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.run
	if !l.over {
		run.Ended = max(0, now.Sub(run.Appeared).Seconds())
	}
	run.Samples = slices.Clone(run.Samples)
	run.DaemonSets = slices.Clone(run.DaemonSets)
	run.Pods = slices.Clone(run.Pods)
	for i := range run.Pods {
		run.Pods[i].Events = slices.Clone(run.Pods[i].Events)
	}
	l.ledger.Apply(run.Pods, run.Appeared, run.Ended)
	run.Limits = l.ledger.Limits(run.Appeared, run.Ended)
	for i := range run.Pods {
		run.Pods[i].Events = slices.DeleteFunc(run.Pods[i].Events, func(e Event) bool { return e.At > run.Ended })
	}
	return &run
}
