// lock.go is the node's lock: the real table, and the real controller where
// there is one, called as the lock's server calls them.

package sim

import (
	"strconv"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// The lock's defaults.
const (
	aging = 30 * time.Second
	grace = 10 * time.Second
)

// lock is the lock of a node.
type lock struct {
	herd       *herd
	table      *slots.Table
	controller *pressure.Controller // nil for a fixed number of slots
	policy     lockapi.ReleaseOn
	byUID      map[string]*pod
	due        *timer // the end of the next lease
	limits     []record.Step
}

func newLock(h *herd, set *spec.Lock) *lock {
	l := &lock{herd: h, policy: set.ReleaseOn, byUID: map[string]*pod{}}
	limit := set.Locks
	if set.Auto {
		l.controller = pressure.NewController(pressure.Config{Min: set.Min, Max: set.Max})
		limit = max(1, set.Min)
	}
	ids := 0
	l.table = slots.New(slots.Config{Grace: grace, Aging: aging, NewID: func() string {
		ids++
		return strconv.Itoa(ids)
	}}, limit)
	l.limits = []record.Step{{N: limit}}
	return l
}

// do changes the table and lets happen what follows.
func (l *lock) do(change func(t *slots.Table, now time.Time)) {
	now := l.herd.time()
	change(l.table, now)
	for _, e := range l.table.Drain() {
		p := l.byUID[e.Pod.UID]
		switch e.Kind {
		case slots.Claimed:
			p.note(record.Claimed, "")
		case slots.Granted:
			p.note(record.Granted, "")
			l.table.Delivered(now, e.ID)
			p.granted()
		case slots.Ended:
			p.note(record.Returned, string(e.Reason))
		case slots.LimitChanged:
			l.limits = append(l.limits, record.Step{At: l.herd.clock.now.Seconds(), N: l.table.Limit()})
		}
	}
	l.herd.clock.stop(l.due)
	if at, ok := l.table.Next(); ok {
		l.due = l.herd.clock.at(at.Sub(epoch()), func() { l.do((*slots.Table).Advance) })
	}
}

// tell is health saying, a little later, what became of a pod: that ends its
// grant if the release policy says so.
func (l *lock) tell(p *pod, what slots.Reason) {
	if l.policy != lockapi.ReleaseOnStarted && l.policy != lockapi.ReleaseOnReady || what == slots.PodStarted && l.policy == lockapi.ReleaseOnReady {
		return
	}
	l.herd.clock.after(l.herd.pick(l.herd.model.Tell), func() {
		l.do(func(t *slots.Table, now time.Time) { t.End(now, p.record.UID, what) })
	})
}

// follow lets the controller decide on the limit.
func (l *lock) follow(s pressure.Sample) {
	held := l.table.Grants()
	grants := make([]pressure.Grant, len(held))
	for i, g := range held {
		grants[i] = pressure.Grant{Since: g.GrantedAt, Weight: g.Weight, Patience: l.byUID[g.Pod.UID].group.Probes.Patience().Std()}
	}
	limit := l.controller.Limit(s, grants, l.table.Waiting())
	l.do(func(t *slots.Table, now time.Time) { t.SetLimit(now, limit) })
}
