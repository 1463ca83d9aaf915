// pod.go is the life of a pod: its sandbox, its wait for a slot, its application,
// the kubelet's probes.

package sim

import (
	"fmt"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// pod is one pod of a herd.
type pod struct {
	herd   *herd
	record *record.Pod
	group  *spec.Group

	liveness time.Duration // where in their period its liveness probes fall
	backOff  backOff
	ready    bool

	// What ends with the container.
	cpu, disk  *task
	idle, kill *timer
	probe      *timer
	readiness  time.Duration // where on the clock its readiness probes fall
}

// note records that something happened.
func (p *pod) note(what record.What, note string) {
	p.record.Events = append(p.record.Events, record.Event{At: p.herd.clock.now.Seconds(), What: what, Note: note})
}

// appear is the pod on the node: its sandbox is made, and its init container started.
func (p *pod) appear() {
	m := &p.herd.model
	if l := p.group.Probes.Liveness; l != nil {
		p.liveness = duration(p.herd.pick(m.Liveness) * l.Period.Std().Seconds())
	}
	work, then := m.Sandbox, p.launch
	if p.herd.lock != nil {
		work, then = work+m.Init, p.claim
	}
	p.herd.cpu.add(p.herd.spread(work), then)
}

// claim is the init container asking for a slot.
func (p *pod) claim() {
	set := p.herd.policy.Lock
	p.herd.lock.do(func(t *slots.Table, now time.Time) {
		t.Acquire(now, slots.Claim{
			Pod:    slots.Pod{Name: p.record.Name, UID: p.record.UID},
			Weight: max(1, p.group.Weight), Priority: p.group.Priority,
			Lease: set.Lease.Std(), ReleaseOn: string(set.ReleaseOn),
		})
	})
}

// granted is the end of the wait: the init container ends, and the kubelet finds
// that out when it looks the next time.
func (p *pod) granted() {
	h := p.herd
	h.clock.after(h.pick(h.model.Exit), func() {
		h.clock.at(onGrid(h.clock.now, h.relist, duration(h.model.Relist)), func() {
			h.clock.after(h.pick(h.model.Sync), p.launch)
		})
	})
}

// launch is the runtime starting the application's container.
func (p *pod) launch() { p.herd.cpu.add(p.herd.spread(p.herd.model.App), p.started) }

// started is the application beginning its work: it reads, computes, waits.
func (p *pod) started() {
	h := p.herd
	p.note(record.Started, "")
	if l := p.group.Probes.Liveness; l != nil {
		due := h.clock.now + l.InitialDelay.Std()
		first := onGrid(due, p.liveness, l.Period.Std())
		if h.model.FromStart {
			first = due + p.liveness
		}
		p.kill = h.clock.at(first+time.Duration(l.Failures-1)*l.Period.Std(), p.killed)
	}
	if r := p.group.Probes.Readiness; r != nil {
		p.readiness = h.clock.now + duration(h.pick(h.model.Readiness)*r.Period.Std().Seconds())
	} else {
		p.becomeReady("no readiness probe")
	}
	if h.lock != nil {
		h.lock.tell(p, slots.PodStarted)
	}
	work := p.group.Startup
	p.disk = h.disk.add(float64(work.Read)/h.model.Reader, func() {
		p.cpu = h.cpu.add(work.CPU.Std().Seconds(), func() {
			p.idle = h.clock.after(work.Idle.Std().Seconds(), p.serve)
		})
	})
}

// serve is the end of the work: from now on probes find somebody.
func (p *pod) serve() {
	h := p.herd
	h.clock.stop(p.kill)
	r := p.group.Probes.Readiness
	if r == nil {
		return
	}
	// The first probe is due after the delay; readiness is where the first would
	// be without one, less than a period after the start.
	first := max(h.clock.now, p.readiness+r.InitialDelay.Std())
	p.probe = h.clock.at(onGrid(first, p.readiness, r.Period.Std()), func() { p.becomeReady("") })
}

func (p *pod) becomeReady(note string) {
	p.note(record.Ready, note)
	p.herd.count(p, true)
	if p.herd.lock != nil {
		p.herd.lock.tell(p, slots.PodReady)
	}
}

// killed is the last of the failed liveness probes in a row: all that was done is lost.
func (p *pod) killed() {
	h := p.herd
	h.clock.stop(p.idle)
	h.clock.stop(p.probe)
	h.cpu.drop(p.cpu)
	h.disk.drop(p.disk)
	p.note(record.Stopped, fmt.Sprintf("liveness probe failed %d times", p.group.Probes.Liveness.Failures))
	h.count(p, false)
	delay := p.backOff.next(h.clock.now)
	if delay > 0 && h.lock != nil {
		h.lock.tell(p, slots.PodStuck)
	}
	h.clock.after(h.late(delay.Seconds())+h.pick(h.model.Sync), p.launch)
}
