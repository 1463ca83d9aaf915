// herd.go runs one herd from its appearance to its end.

package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// herd is one run: a node, the pods that land on it, and the time there.
type herd struct {
	model     Model
	policy    spec.Policy
	random    *rand.Rand // decides what happens
	chance    *rand.Rand // decides what is seen of it: looking changes nothing
	clock     clock
	cpu, disk *shares
	relist    time.Duration // where on the clock the kubelet looks for ended containers
	lock      *lock         // nil without one
	quota     bool          // the node is a share of a machine
	pods      []pod
	ready     int

	bustle  float64 // of the node itself, 1 on the average
	noisy   bool
	stalled float64 // seconds in which all that anybody did was wait for the disk
	since   time.Duration
	meter   meter
	samples []record.Sample
}

// epoch is when every herd appears: virtual time has no date.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// time is the virtual time as a date.
func (h *herd) time() time.Time { return epoch().Add(h.clock.now) }

// pick is a random number of the range.
func (h *herd) pick(r Range) float64 { return r.From + (r.To-r.From)*h.random.Float64() }

// spread is about that much.
func (h *herd) spread(work float64) float64 {
	return work * (1 + h.model.Spread*(2*h.random.Float64()-1))
}

// possible says what cannot be simulated.
func possible(s *spec.Scenario, policy spec.Policy) error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.Node.Cores < 1 {
		refuse("a node of %d cores", s.Node.Cores)
	}
	if len(s.DaemonSets) > 0 || s.Reboot || s.Healthy() < s.Count() {
		refuse("DaemonSets, reboots and faulty pods are not in the model")
	}
	if s.Count() == 0 {
		refuse("no pods")
	}
	for _, g := range s.Pods {
		for kind, p := range map[string]*spec.Probe{"liveness": g.Probes.Liveness, "readiness": g.Probes.Readiness} {
			if p != nil && (p.Period <= 0 || p.Failures < 1) {
				refuse("group %s: %s probe every %s, %d failures", g.Name, kind, p.Period, p.Failures)
			}
		}
	}
	if l := policy.Lock; l != nil && (l.Lease <= 0 || l.Locks < 1 && !l.Auto) {
		refuse("a lock with %s", l)
	}
	return errors.Join(problems...)
}

// newHerd lets a herd appear.
func newHerd(s *spec.Scenario, policy spec.Policy, m Model, seed uint64) *herd {
	h := &herd{
		model: m, policy: policy, quota: s.Node.Quota,
		random: rand.New(rand.NewPCG(seed, Version)), chance: rand.New(rand.NewPCG(seed, ^uint64(Version))),
	}
	h.cpu = &shares{clock: &h.clock, room: float64(s.Node.Cores), friction: m.Friction, changing: h.stall, taken: m.Background}
	h.disk = &shares{clock: &h.clock, room: m.Disk / m.Reader, changing: h.stall}
	h.relist = duration(h.pick(Range{0, m.Relist}))
	if policy.Lock != nil {
		h.lock = newLock(h, policy.Lock)
	}
	records := record.Pods(s, func(name string) string { return name })
	h.pods = make([]pod, len(records))
	i := 0
	for g := range s.Pods {
		for range s.Pods[g].Count {
			h.pods[i] = pod{herd: h, record: &records[i], group: &s.Pods[g]}
			if h.lock != nil {
				h.lock.byUID[records[i].UID] = &h.pods[i]
			}
			i++
		}
	}
	h.stir()
	if s.Node.Noise != nil {
		h.neighbour(s.Node.Noise)
	}
	for i := range h.pods {
		h.pods[i].appear()
	}
	return h
}

// neighbour is the noise turning on, or off, and so on.
func (h *herd) neighbour(n *spec.Noise) {
	h.noisy = !h.noisy
	threads, next := 0, n.Off.Std()
	if h.noisy {
		threads, next = n.Threads, n.On.Std()
	}
	h.cpu.set(h.cpu.taken, threads)
	if n.Off > 0 {
		h.clock.at(h.clock.now+next, func() { h.neighbour(n) })
	}
}

// stall counts the time in which the disk is all that anybody waits for.
func (h *herd) stall() {
	if h.disk.wanted() > 0 && h.cpu.wanted() == 0 {
		h.stalled += (h.clock.now - h.since).Seconds()
	}
	h.since = h.clock.now
}

// count notes that a pod is Ready, or is not.
func (h *herd) count(p *pod, ready bool) {
	if p.ready == ready {
		return
	}
	p.ready = ready
	if ready {
		h.ready++
	} else {
		h.ready--
	}
	h.cpu.set(h.background(), h.cpu.endless)
}

// background is how many cores the node uses besides the herd, now.
func (h *herd) background() float64 {
	return h.bustle * (h.model.Background + h.model.PerPod*float64(h.ready))
}

// stir changes how busy the node is with itself: the cluster's components do
// things in their own periods.
func (h *herd) stir() {
	h.bustle = h.random.ExpFloat64()
	h.cpu.set(h.background(), h.cpu.endless)
	h.clock.after(1, h.stir)
}

// look samples the node every Interval.
func (h *herd) look(keep bool) {
	h.clock.at(h.clock.now+pressure.Interval, func() {
		s := h.sample()
		if keep {
			h.samples = append(h.samples, recorded(h.clock.now.Seconds(), s))
		}
		if h.lock != nil && h.lock.controller != nil {
			h.lock.follow(s)
		}
		h.look(keep)
	})
}

// run lets the time pass until all pods are Ready, or until the limit.
func (h *herd) run(ctx context.Context, limit time.Duration) (gaveUp bool, err error) {
	const often = 1000
	for n := 0; h.ready < len(h.pods); n++ {
		if n%often == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		if !h.clock.step(limit) {
			return true, nil
		}
	}
	return false, nil
}

// simulate runs the herd of a scenario under a policy. Samples of the node are
// kept on demand: a fleet has no use for them.
func simulate(ctx context.Context, s *spec.Scenario, policy spec.Policy, m Model, seed uint64, limit time.Duration, samples bool) (*record.Run, error) {
	if err := possible(s, policy); err != nil {
		return nil, fmt.Errorf("simulate %s with policy %s: %w", s.Name, policy.Name, err)
	}
	h := newHerd(s.For(policy), policy, m, seed)
	if samples || h.lock != nil && h.lock.controller != nil {
		h.look(samples)
	}
	gaveUp, err := h.run(ctx, limit)
	if err != nil {
		return nil, err
	}
	run := &record.Run{
		Scenario: s.Name, On: On, Policy: policy, Appeared: epoch(),
		Ended: h.clock.now.Seconds(), GaveUp: gaveUp, Samples: h.samples,
	}
	for i := range h.pods {
		run.Pods = append(run.Pods, *h.pods[i].record)
	}
	if h.lock != nil {
		run.Limits = h.lock.limits
	}
	return run, nil
}
