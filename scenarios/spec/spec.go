// Package spec is what a scenario says: which pods land on a node, what their
// starts cost, under which lock policies they are tried, and what must hold.
//
// A scenario is a YAML file. It is read strictly: every unknown key and every
// impossible value is named, with its line, in one answer.
package spec

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// Duration is a length of time, written as everywhere else in the product: 4 or 4s or 1m30s.
type Duration = lockapi.Duration

// Scenario is a herd and the ways in which it is tried.
type Scenario struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// On names the places where it can run; none is all of them.
	On   []string `json:"on,omitempty"`
	Node Node     `json:"node"`
	// DaemonSets are in the cluster before the node is.
	DaemonSets []DaemonSet `json:"daemonSets,omitempty"`
	Pods       []Group     `json:"pods"`
	// Reboot restarts the node once all pods are Ready. What is recorded, and
	// judged, is the second life of the pods.
	Reboot   bool     `json:"reboot,omitempty"`
	Policies []Policy `json:"policies"`
}

// The places where herds run.
const (
	OnLocal = "local" // processes on this machine
	OnKind  = "kind"  // pods on a kind cluster
	OnSim   = "sim"   // a model of a node, in virtual time
)

// RunsOn tells whether the scenario can run in a place.
func (s *Scenario) RunsOn(place string) bool {
	return len(s.On) == 0 || slices.Contains(s.On, place)
}

// Node is the machine that the herd lands on.
type Node struct {
	// Cores limits the node to that many CPUs.
	Cores int `json:"cores"`
	// Quota limits it by a cgroup's CPU quota instead of giving it these CPUs and
	// no others: all of the machine's can be seen, and used until the quota is.
	Quota bool `json:"quota,omitempty"`
	// Noise is what runs on the node besides; nil is nothing.
	Noise *Noise `json:"noise,omitempty"`
}

// Noise is a neighbour that computes, again and again, whatever the herd does.
type Noise struct {
	// Threads is how many cores it would use if it could.
	Threads int `json:"threads"`
	// On and Off are how long it computes and then rests. It never rests when
	// Off is 0; it begins with On.
	On  Duration `json:"on"`
	Off Duration `json:"off,omitzero"`
}

// DaemonSet is one of the cluster. No pod may start before those that are
// meant for the node are Ready on it.
type DaemonSet struct {
	Name string `json:"name"`
	// ReadyAfter is how long its pod takes to become Ready.
	ReadyAfter Duration `json:"readyAfter,omitzero"`
	// Elsewhere is why it is not meant for the node; empty is one that is.
	Elsewhere Elsewhere `json:"elsewhere,omitempty"`
}

// Elsewhere is a way to keep a DaemonSet away from a node.
type Elsewhere string

// The ways.
const (
	ByAffinity Elsewhere = "affinity" // it requires a node of another name
	ByTaint    Elsewhere = "taint"    // the node has a taint that it does not tolerate
)

// Group is a number of pods that are alike.
type Group struct {
	Name     string  `json:"name"`
	Count    int     `json:"count"`
	Startup  Startup `json:"startup"`
	Probes   Probes  `json:"probes"`
	Weight   int     `json:"weight"`
	Priority int     `json:"priority"`
	// Fault keeps its pods from ever becoming Ready; empty is a healthy group.
	Fault Fault `json:"fault,omitempty"`
}

// Fault is a way in which a pod does not become Ready.
type Fault string

// The faults.
const (
	NeverReady Fault = "never-ready" // it runs and lives, and never says that it is ready
	NoImage    Fault = "no-image"    // its image cannot be pulled
	CrashLoop  Fault = "crash-loop"  // it ends as soon as its startup work is done
)

// Startup is what an application does before it serves.
type Startup struct {
	// CPU is CPU time, on one thread.
	CPU Duration `json:"cpu,omitzero"`
	// Idle is time in which the application waits for something else.
	Idle Duration `json:"idle,omitzero"`
	// Read is the number of bytes read from the disk.
	Read Bytes `json:"read,omitempty"`
}

// Policy is one way to start the herd, and what is expected of it.
type Policy struct {
	Name string `json:"name"`
	// Lock is nil for the policy without a lock.
	Lock *Lock `json:"lock,omitempty"`
	// Patient leaves the liveness probes out: nothing is killed, however long it
	// takes to start. It is what others are compared with, and no way to run a cluster.
	Patient bool   `json:"patient,omitempty"`
	Expect  Expect `json:"expect"`
	// Only is what is expected in one place and not in the others, by the place's name.
	Only map[string]Expect `json:"only,omitempty"`
}

// Lock is the settings of the node's lock.
type Lock struct {
	// Locks is the fixed number of slots; 0 when Auto or Oracle finds it.
	Locks int `json:"locks"`
	// Auto lets the lock follow the node, within Min and Max; 0 leaves a bound to the lock.
	Auto bool `json:"auto,omitempty"`
	Min  int  `json:"min,omitempty"`
	Max  int  `json:"max,omitempty"`
	// Oracle is the fixed number that turns out best when all of them are tried
	// in the simulator. Whoever runs the policy sets Locks to it.
	Oracle bool     `json:"oracle,omitempty"`
	Lease  Duration `json:"lease"`
	// ReleaseOn ends a grant before its lease does; empty is the same as timeout: nothing does.
	ReleaseOn lockapi.ReleaseOn `json:"releaseOn,omitempty"`
}

// String says the settings in a few words.
func (l *Lock) String() string {
	if l == nil {
		return "no lock"
	}
	slots := fmt.Sprintf("%d slots", l.Locks)
	switch {
	case l.Auto:
		slots = "slots follow the node"
	case l.Locks == 0:
		slots = "the best number of slots"
	case l.Locks == 1:
		slots = "1 slot"
	}
	if l.Early() {
		return fmt.Sprintf("%s, lease %s, released on %s", slots, l.Lease, l.ReleaseOn)
	}
	return fmt.Sprintf("%s, lease %s", slots, l.Lease)
}

// Early tells whether a grant may end before its lease does.
func (l *Lock) Early() bool {
	return l.ReleaseOn == lockapi.ReleaseOnStarted || l.ReleaseOn == lockapi.ReleaseOnReady
}

// Expect is what must hold at the end of a run. A nil range expects nothing.
type Expect struct {
	// Ready is how many pods are Ready.
	Ready *Range `json:"ready,omitempty"`
	// Healthy is how many of the pods without a fault are Ready.
	Healthy *Range `json:"healthy,omitempty"`
	// Restarts is how many times containers were restarted, all pods together.
	Restarts *Range `json:"restarts,omitempty"`
	// Starters is the most starters at once.
	Starters *Range `json:"starters,omitempty"`
	// Grants is the most grants held at once.
	Grants *Range `json:"grants,omitempty"`
	// Inversions is how many claims were passed by a later one of the same priority.
	Inversions *Range `json:"inversions,omitempty"`
	// Ratio is the all-Ready time in node bounds.
	Ratio *Range `json:"ratio,omitempty"`
	// Spacing is the shortest time between two starts, in seconds.
	Spacing *Range `json:"spacing,omitempty"`
	// Gate is the time from when the last DaemonSet meant for the node was Ready
	// to the first grant, in seconds. It is negative where somebody could not wait.
	Gate *Range `json:"gate,omitempty"`
}

// Range is what a measured number may be; nil is no bound on that side.
type Range struct {
	Least *float64 `json:"least,omitempty"`
	Most  *float64 `json:"most,omitempty"`
}

// Holds tells whether v is within the range.
func (r Range) Holds(v float64) bool {
	return !math.IsNaN(v) && (r.Least == nil || v >= *r.Least) && (r.Most == nil || v <= *r.Most)
}

// String says the range in words.
func (r Range) String() string {
	switch {
	case r.Least != nil && r.Most != nil && *r.Least == *r.Most:
		return fmt.Sprintf("exactly %v", *r.Least)
	case r.Least != nil && r.Most != nil:
		return fmt.Sprintf("%v to %v", *r.Least, *r.Most)
	case r.Least != nil:
		return fmt.Sprintf("at least %v", *r.Least)
	case r.Most != nil:
		return fmt.Sprintf("at most %v", *r.Most)
	default:
		return "anything"
	}
}

// Count is the number of pods of all groups.
func (s *Scenario) Count() int {
	n := 0
	for _, g := range s.Pods {
		n += g.Count
	}
	return n
}

// Healthy is the number of pods without a fault.
func (s *Scenario) Healthy() int {
	n := 0
	for _, g := range s.Pods {
		if g.Fault == "" {
			n += g.Count
		}
	}
	return n
}

// CPU is the CPU time that the applications of all healthy pods need to start, once each.
func (s *Scenario) CPU() time.Duration {
	var d time.Duration
	for _, g := range s.Pods {
		if g.Fault == "" {
			d += time.Duration(g.Count) * g.Startup.CPU.Std()
		}
	}
	return d
}

// Read is how much the applications of all healthy pods write and read to start, once each.
func (s *Scenario) Read() Bytes {
	var b Bytes
	for _, g := range s.Pods {
		if g.Fault == "" {
			b += Bytes(g.Count) * g.Startup.Read
		}
	}
	return b
}

// ZeroWork is the name of the policy of a herd without work.
const ZeroWork = "zero-work"

// WithoutWork is the same herd with nothing to do at its start: what is left
// is the cost of starting pods as such, and of probing them. Nothing else is in
// it: no faulty pods, no DaemonSets, no reboot.
func (s *Scenario) WithoutWork() *Scenario {
	idle := *s
	idle.Pods, idle.DaemonSets, idle.Reboot = nil, nil, false
	for _, g := range s.Pods {
		if g.Fault != "" {
			continue
		}
		g.Startup = Startup{}
		idle.Pods = append(idle.Pods, g)
	}
	idle.Policies = []Policy{{Name: ZeroWork}}
	return &idle
}

// For is the scenario as a policy tries it: a patient one has no liveness probes in it.
func (s *Scenario) For(p Policy) *Scenario {
	if !p.Patient {
		return s
	}
	patient := *s
	patient.Pods = slices.Clone(s.Pods)
	for i := range patient.Pods {
		patient.Pods[i].Probes.Liveness = nil
	}
	return &patient
}

// String says the policy in a few words: its lock, and whether it is patient.
func (p Policy) String() string {
	if p.Patient {
		return p.Lock.String() + ", no liveness probes"
	}
	return p.Lock.String()
}

// Select keeps the named policies, in the scenario's order; without names all
// of them. It names every name that the scenario does not have.
func (s *Scenario) Select(names ...string) ([]Policy, error) {
	if len(names) == 0 {
		return s.Policies, nil
	}
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[n] = true
	}
	var found []Policy
	var have []string
	for _, p := range s.Policies {
		have = append(have, p.Name)
		if wanted[p.Name] {
			found = append(found, p)
			delete(wanted, p.Name)
		}
	}
	var problems Problems
	for _, n := range names {
		if wanted[n] {
			delete(wanted, n)
			problems = append(problems, Problem{Text: fmt.Sprintf("--policy %s: the scenario %s has no such policy; it has %v", n, s.Name, have)})
		}
	}
	return found, problems.err()
}
