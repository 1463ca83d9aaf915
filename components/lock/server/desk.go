// The table in real time: who waits, who is woken, who is told.

package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/statefile"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// desk is the table in real time: it gives the table its clock, wakes those
// who wait, and sees to it that nothing is told to a client before it would
// survive a kill -9. Safe for concurrent use.
type desk struct {
	log     *slog.Logger
	metrics *metrics
	folder  *statefile.Folder // nil: no memory across restarts

	maxQueue int

	mu       sync.Mutex
	table    *slots.Table
	reasons  reasons
	node     node
	waiters  map[string]*waiter // by id of the claim
	answers  map[string]int     // grants on their way to clients, by id
	recent   record
	handed   handOvers
	opened   failOpens
	alarm    *time.Timer
	closed   bool
	changes  uint64 // counts what the state file must know
	lateSave bool   // a save is due soon

	saveMu sync.Mutex // held while saving; taken before mu
	saved  uint64     // the change up to which the file is good
	broken bool       // the last save failed
}

// waiter is one long poll.
type waiter struct {
	wake       chan struct{} // closed when there is something to answer
	superseded bool
}

// reasons are the words for what the table only knows as numbers.
type reasons struct {
	limit string
	node  *lockapi.Node // what the limit follows; nil when it is fixed, or the node cannot be seen
	gate  []string
	// news counts the changes of gate, and told is how many of them the clients
	// of waiting claims have heard of, by the pod's UID.
	news int
	told map[string]int
}

var (
	errQueueFull  = errors.New("the queue is full")
	errClosed     = errors.New("the lock is shutting down")
	errHungUp     = errors.New("the client is gone")
	errSuperseded = errors.New("the client asked again on another connection")
	errPodGone    = errors.New("the pod is gone, or on its way")
)

func newDesk(cfg Config, now time.Time, log *slog.Logger, m *metrics) *desk {
	d := &desk{log: log, metrics: m, folder: cfg.Folder, maxQueue: cfg.MaxQueue, waiters: map[string]*waiter{}, answers: map[string]int{},
		reasons: reasons{limit: cfg.LimitReason, told: map[string]int{}}, node: newNode(cfg, now),
		handed: newHandOvers(now)}
	d.table = d.remember(cfg, now)
	d.alarm = time.AfterFunc(time.Hour, d.ring)
	d.mu.Lock()
	defer d.mu.Unlock()
	if cfg.GateReason != "" {
		d.reasons.gate = []string{cfg.GateReason}
	}
	m.gate(d.reasons.gate)
	d.table.SetGate(now, cfg.GateReason == "")
	d.settle()
	return d
}

// acquire claims a slot and waits for it, at most for wait. It returns a grant
// or a place; with a grant, the caller must say delivered or hungUp.
func (d *desk) acquire(ctx context.Context, c slots.Claim, wait time.Duration) (*slots.Grant, *slots.Place, error) {
	id, w, err := d.claim(c)
	if err != nil {
		return nil, nil, err
	}
	if w != nil && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return d.answer(ctx, id, w)
}

// claim enters the table. The waiter is nil when there is an answer already: the
// slot is granted, or the gate is closed for a reason that the client did not hear of.
func (d *desk) claim(c slots.Claim) (string, *waiter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return "", nil, errClosed
	}
	if d.table.Waiting() >= d.maxQueue && !d.table.Knows(c.Pod.UID) {
		return "", nil, errQueueFull
	}
	if d.node.over(c.Pod.UID) {
		return "", nil, errPodGone
	}
	now := time.Now()
	c.Since = d.node.believe(c, now)
	id, granted := d.table.Acquire(now, c)
	if old := d.waiters[id]; old != nil { // its connection is most likely dead: nobody hangs up twice
		old.superseded = true
		close(old.wake)
		delete(d.waiters, id)
	}
	told, again := d.reasons.told[c.Pod.UID]
	var w *waiter
	if !granted && (d.table.Open() || !again || told == d.reasons.news) {
		w = &waiter{wake: make(chan struct{})}
		d.waiters[id] = w
	}
	d.settle()
	return id, w, nil
}

// answer finds out what to tell the client.
func (d *desk) answer(ctx context.Context, id string, w *waiter) (*slots.Grant, *slots.Place, error) {
	d.mu.Lock()
	if w != nil {
		if w.superseded {
			d.mu.Unlock()
			return nil, nil, errSuperseded
		}
		delete(d.waiters, id)
	}
	now := time.Now()
	if ctx.Err() != nil {
		d.table.Hangup(now, id)
		d.settle()
		d.mu.Unlock()
		return nil, nil, errHungUp
	}
	if g, ok := d.table.Grant(id); ok {
		d.answers[id]++
		upTo := d.changes
		d.mu.Unlock()
		d.save(upTo)
		return &g, nil, nil
	}
	d.table.Leave(now, id)
	p, ok := d.table.Place(now, id)
	if ok {
		d.reasons.told[p.Pod.UID] = d.reasons.news
	}
	d.settle()
	d.mu.Unlock()
	if !ok {
		return nil, nil, errSuperseded // given up through another connection
	}
	return nil, &p, nil
}

// tryAcquire is for legacy clients: now or never. With a grant, the caller
// must say delivered or hungUp.
func (d *desk) tryAcquire(c slots.Claim) (*slots.Grant, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errClosed
	}
	id, granted := d.table.TryAcquire(time.Now(), c)
	d.settle()
	if !granted {
		d.mu.Unlock()
		return nil, nil
	}
	g, _ := d.table.Grant(id)
	d.answers[id]++
	upTo := d.changes
	d.mu.Unlock()
	d.save(upTo)
	return &g, nil
}

// delivered says that a grant was written to a client that was still there.
func (d *desk) delivered(id string) {
	d.do(func(t *slots.Table, now time.Time) {
		d.answered(id)
		t.Delivered(now, id)
		if took, waited := d.handed.delivered(id, now); waited {
			d.metrics.handOver.Observe(seconds(took))
		}
	})
}

// hungUp says that the client was gone before its grant was written. As long
// as the same grant is on its way over another connection, it stays.
func (d *desk) hungUp(id string) {
	d.do(func(t *slots.Table, now time.Time) {
		if d.answered(id) == 0 {
			t.Hangup(now, id)
		}
	})
}

// answered counts one answer less on its way. Needs mu.
func (d *desk) answered(id string) int {
	d.answers[id]--
	left := d.answers[id]
	if left <= 0 {
		delete(d.answers, id)
	}
	return left
}

func (d *desk) release(id string) error {
	var err error
	d.do(func(t *slots.Table, now time.Time) {
		err = t.Release(now, id)
		if w := d.waiters[id]; err == nil && w != nil {
			w.superseded = true
			close(w.wake)
			delete(d.waiters, id)
		}
	})
	return err
}

// setGate opens the gate, or closes it for these reasons. Those who wait are
// told when the reasons change: they will ask again at once.
func (d *desk) setGate(open bool, why []string) {
	d.do(func(t *slots.Table, now time.Time) {
		news := !slices.Equal(why, d.reasons.gate)
		d.reasons.gate = why
		d.metrics.gate(why)
		t.SetGate(now, open)
		if news {
			d.reasons.news++
		}
		if news && !open {
			d.wakeAll()
		}
	})
}

// wakeAll answers all who wait with their places. Needs mu.
func (d *desk) wakeAll() {
	for id, w := range d.waiters {
		close(w.wake)
		delete(d.waiters, id)
	}
}

// ring is the table's alarm.
func (d *desk) ring() { d.do(func(t *slots.Table, now time.Time) { t.Advance(now) }) }

// do runs f on the table and takes care of what follows from it.
func (d *desk) do(f func(t *slots.Table, now time.Time)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	f(d.table, time.Now())
	d.settle()
}

// settle follows up on what changed: wakes, records, counts, saves, sets the alarm. Needs mu.
func (d *desk) settle() {
	for _, ev := range d.table.Drain() {
		d.tell(ev)
		d.handed.note(ev)
		if ev.Kind == slots.LimitChanged || ev.Kind == slots.GateChanged {
			continue // they are what they are when the lock comes back
		}
		d.changes++
		d.metrics.count(ev)
		if ev.Kind == slots.Ended {
			d.recent.add(ev)
			d.table.SetHold(d.recent.hold())
		}
		if ev.Kind == slots.Granted || ev.Kind == slots.Withdrawn || ev.Kind == slots.Adopted {
			delete(d.reasons.told, ev.Pod.UID)
			if w := d.waiters[ev.ID]; w != nil {
				close(w.wake)
				delete(d.waiters, ev.ID)
			}
		}
		d.saveSoon()
	}
	d.metrics.observe(d.table)
	if at, ok := d.table.Next(); ok && !d.closed {
		d.alarm.Reset(time.Until(at))
	} else {
		d.alarm.Stop()
	}
}

// saveSoon sees to it that the state is saved, without waiting for it. Needs mu.
func (d *desk) saveSoon() {
	if !d.lateSave && d.folder != nil {
		d.lateSave = true
		time.AfterFunc(saveDelay, d.saveLate)
	}
}

// tell logs what an operator wants to know.
func (d *desk) tell(ev slots.Event) {
	pod := slog.String("pod", apiPod(ev.Pod).String())
	switch ev.Kind {
	case slots.Claimed:
		d.log.Debug("slot claimed", pod, "priority", ev.Priority, "queue", d.table.Waiting())
	case slots.Granted:
		d.log.Info("slot granted", pod, "waited", ev.GrantedAt.Sub(ev.ClaimedAt).Round(time.Millisecond).String(),
			"lease", ev.Lease.String(), "held", d.table.Held(), "limit", d.table.Limit(), "queue", d.table.Waiting())
	case slots.Adopted:
		d.log.Info("slot taken by a pod that started without a grant of this lock", pod, "since", ev.GrantedAt,
			"held", d.table.Held(), "limit", d.table.Limit())
	case slots.Ended:
		d.log.Info("slot free again", pod, "reason", ev.Reason, "heldFor", ev.At.Sub(ev.GrantedAt).Round(time.Millisecond).String())
	case slots.Withdrawn:
		d.log.Info("claim withdrawn", pod, "reason", ev.Reason, "waited", ev.At.Sub(ev.ClaimedAt).Round(time.Millisecond).String())
	case slots.LimitChanged:
		d.log.Debug("limit changed", "limit", d.table.Limit(), "reason", d.reasons.limit)
	case slots.GateChanged:
		if d.table.Open() {
			d.log.Info("gate opened")
		} else {
			d.log.Info("gate closed", "reasons", d.reasons.gate)
		}
	}
}

// close stops time and answers all who wait with their places, which the
// next life knows from the state file.
func (d *desk) close() {
	d.mu.Lock()
	d.closed = true
	d.alarm.Stop()
	d.wakeAll()
	upTo := d.changes + 1
	d.changes = upTo
	d.mu.Unlock()
	d.save(upTo)
}
