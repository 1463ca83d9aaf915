// Package slots is the domain: who may start, and who is next. It is pure: no
// I/O, no goroutine, no clock. Every method is given the time, Next tells when
// the table wants to be called again, and Drain tells what changed. A Table is
// not safe for concurrent use.
//
// Two rules carry everything. The queue has one strict order: a claim's rank is
// the time of its arrival, moved ahead by Aging for each level of priority, so
// higher priorities go first, nobody passes an earlier claim of its own
// priority, and no low priority starves. And hand-over is direct: every method
// leaves the table settled, so a free slot is always with the head of the queue.
package slots

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// ErrUnknown says that no claim or grant has this id: it never had, or it ended.
var ErrUnknown = errors.New("no place and no grant has this id")

// Pod is who claims. UID is the identity; a claim with an empty one is
// anonymous and never the same as another.
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// Claim is one pod's wish for a slot.
type Claim struct {
	Pod Pod `json:"pod"`
	// Weight is how much of the limit the claim takes, at least 1. One that is
	// heavier than the whole limit is granted when it is alone.
	Weight int `json:"weight"`
	// Priority orders the queue, higher first; each level is worth Aging of waiting.
	Priority int `json:"priority,omitempty"`
	// Lease is the longest time the grant may be held, more than 0.
	Lease time.Duration `json:"lease"`
	// ReleaseOn is the release policy. The table only keeps it: who sees the
	// pods calls End.
	ReleaseOn string `json:"releaseOn,omitempty"`
	// Adopted marks a start that the table did not grant: it was granted, at the
	// latest, within the second that begins when it is said to be.
	Adopted bool `json:"adopted,omitempty"`
	// Since is when the claim was made, if that was to an earlier table; zero
	// for now. It is not kept: the entry has it.
	Since time.Time `json:"-"`
	// Legacy marks a claim that cannot wait: it is granted at once or not at all.
	Legacy bool `json:"legacy,omitempty"`
}

// Config is fixed for the life of a table.
type Config struct {
	// Grace is how long a claim keeps its place while its client is away.
	Grace time.Duration
	// Aging is how much earlier a claim counts as arrived for each level of priority.
	Aging time.Duration
	// NewID makes ids that nobody can guess: an id is the right to release.
	NewID func() string
}

// presence is what the table knows of a waiting claim's client.
type presence int

const (
	here presence = iota // it waits for an answer
	away                 // it was answered with a place and will ask again at once: the queue waits for it
	gone                 // its connection broke: its place is kept, but nobody waits for it
)

// entry is a claim in the table: in the queue until it is granted.
type entry struct {
	Claim
	id        string
	seq       uint64    // ties of rank, in order of arrival
	rank      time.Time // see the package comment
	claimedAt time.Time

	presence presence
	leaveAt  time.Time // end of the grace, when not here
	expected bool      // nobody has asked yet: see Expect

	granted   bool
	delivered bool // the client has its grant: from now on only a release or the lease ends it
	grantedAt time.Time
	expiresAt time.Time
}

// Table holds the claims and grants of one node.
type Table struct {
	cfg    Config
	now    time.Time // the latest time seen: time never runs backwards in here
	limit  int
	open   bool
	hold   time.Duration // how long grants are held, by experience; 0 when there is none
	seq    uint64
	held   int               // sum of the granted weights
	queue  []*entry          // waiting, in grant order
	grants []*entry          // granted, oldest first
	byUID  map[string]*entry // both, except the anonymous
	byID   map[string]*entry
	events []Event
}

// New is an empty table with the gate open.
func New(cfg Config, limit int) *Table {
	return &Table{cfg: cfg, limit: limit, open: true, byUID: map[string]*entry{}, byID: map[string]*entry{}}
}

// Acquire claims a slot, or asks again for one: a pod that holds a grant gets
// that grant, one that waits keeps its place, whatever else the new claim says.
// Afterwards the client counts as waiting for an answer, until Leave or Hangup.
// The second result tells whether the first is a grant.
func (t *Table) Acquire(now time.Time, c Claim) (id string, granted bool) {
	t.tick(now)
	e := t.byUID[c.Pod.UID]
	if e != nil && e.expected { // now it is known what is wished, and since when
		t.forget(e)
		e = nil
	}
	if e == nil || c.Pod.UID == "" {
		e = t.enqueue(c)
		t.note(Event{Kind: Claimed, entry: e})
	}
	e.presence = here
	t.settle()
	return e.id, e.granted
}

// TryAcquire grants a slot to a client that cannot wait, if one is free and
// nobody in the queue is ahead of it; otherwise nothing happens.
func (t *Table) TryAcquire(now time.Time, c Claim) (id string, granted bool) {
	t.tick(now)
	e := t.enqueue(c)
	t.settle()
	if !e.granted {
		t.forget(e)
	}
	return e.id, e.granted
}

// Leave says that the client was answered with its place and is expected to
// ask again within the grace; the queue waits for it.
func (t *Table) Leave(now time.Time, id string) { t.depart(now, id, away) }

// Hangup says that the client's connection broke before it had an answer. A
// grant that was on its way is taken back and goes to the next at once; the
// place is kept for the grace, but nobody waits for it.
func (t *Table) Hangup(now time.Time, id string) { t.depart(now, id, gone) }

func (t *Table) depart(now time.Time, id string, p presence) {
	t.tick(now)
	e := t.byID[id]
	if e == nil || e.delivered {
		return
	}
	if e.granted {
		t.revoke(e, Undelivered)
		if e.Legacy {
			t.forget(e)
			t.settle()
			return
		}
		e.granted = false
		e.grantedAt, e.expiresAt = time.Time{}, time.Time{}
		t.insert(e)
	}
	e.presence, e.leaveAt = p, t.now.Add(t.cfg.Grace)
	t.settle()
}

// Delivered says that the client has its grant.
func (t *Table) Delivered(now time.Time, id string) {
	t.tick(now)
	if e := t.byID[id]; e != nil && e.granted {
		e.delivered = true
	}
	t.settle()
}

// Release ends the grant or gives up the place that has this id; ErrUnknown
// when there is none.
func (t *Table) Release(now time.Time, id string) error {
	t.tick(now)
	defer t.settle()
	e := t.byID[id]
	if e == nil {
		return ErrUnknown
	}
	t.end(e, Released)
	return nil
}

// End ends the grant of a pod, or withdraws its claim, because of what became
// of the pod. Nothing happens when the table does not know it.
func (t *Table) End(now time.Time, uid string, why Reason) {
	t.tick(now)
	if e := t.byUID[uid]; e != nil {
		t.end(e, why)
	}
	t.settle()
}

// Adopt makes a grant of a start that this table never granted, since a time in
// the past: by an earlier table, or by nobody. It may exceed the limit. Nothing
// happens when the pod holds a grant, or when its lease would be over.
func (t *Table) Adopt(now time.Time, c Claim, since time.Time) {
	t.tick(now)
	e := t.byUID[c.Pod.UID]
	if e != nil && !e.expected { // it has said what it wishes
		c = e.Claim
	}
	if c.Pod.UID == "" || e != nil && e.granted || !since.Add(c.Lease).After(t.now) {
		return
	}
	if e != nil {
		t.forget(e)
	}
	c.Adopted = true
	t.seq++
	e = &entry{Claim: c, id: t.cfg.NewID(), seq: t.seq, claimedAt: t.past(since), granted: true, delivered: true}
	e.grantedAt = e.claimedAt
	e.expiresAt = e.grantedAt.Add(c.Lease)
	t.index(e)
	t.held += e.Weight
	t.grants = append(t.grants, e)
	t.note(Event{Kind: Adopted, entry: e})
	t.settle()
}

// Expect keeps a place for a pod that waited at an earlier table, since a time
// in the past, for the grace: until its client asks here. Nothing happens when
// the table knows the pod.
func (t *Table) Expect(now time.Time, c Claim) {
	t.tick(now)
	if c.Pod.UID != "" && t.byUID[c.Pod.UID] == nil {
		e := t.enqueue(c)
		e.expected, e.presence, e.leaveAt = true, away, t.now.Add(t.cfg.Grace)
	}
	t.settle()
}

// SetHold tells how long grants are held, by experience, for the estimates of
// Queue and Place; 0 takes the whole lease for it.
func (t *Table) SetHold(d time.Duration) { t.hold = d }

// SetLimit changes the number of slots. Grants that are out stay out; below 1
// nobody is granted anything.
func (t *Table) SetLimit(now time.Time, limit int) {
	t.tick(now)
	if limit != t.limit {
		t.limit = limit
		t.note(Event{Kind: LimitChanged})
	}
	t.settle()
}

// SetGate opens or closes the gate; while it is closed nobody is granted anything.
func (t *Table) SetGate(now time.Time, open bool) {
	t.tick(now)
	if open != t.open {
		t.open = open
		t.note(Event{Kind: GateChanged})
	}
	t.settle()
}

// Advance ends what is due at now and hands its slots on.
func (t *Table) Advance(now time.Time) {
	t.tick(now)
	t.settle()
}

// Next is when the table wants to be called again, at the latest; false when
// nothing happens by the passing of time alone.
func (t *Table) Next() (at time.Time, ok bool) {
	earliest := func(candidate time.Time) {
		if !ok || candidate.Before(at) {
			at, ok = candidate, true
		}
	}
	for _, e := range t.grants {
		earliest(e.expiresAt)
	}
	for _, e := range t.queue {
		if e.presence != here {
			earliest(e.leaveAt)
		}
	}
	return at, ok
}

// tick moves the time on and ends what is due.
func (t *Table) tick(now time.Time) {
	if now.After(t.now) {
		t.now = now
	}
	for _, e := range slices.Clone(t.grants) {
		if !t.now.Before(e.expiresAt) {
			t.end(e, LeaseEnded)
		}
	}
	var left []*entry
	for _, e := range t.queue {
		if e.presence != here && !t.now.Before(e.leaveAt) {
			left = append(left, e)
		}
	}
	for _, e := range left {
		t.end(e, GraceEnded)
	}
}

// settle hands every free slot to the head of the queue.
func (t *Table) settle() {
	for i := 0; i < len(t.queue) && t.open; {
		e := t.queue[i]
		switch {
		case e.presence == gone:
			i++
		case e.presence == away || !t.fits(e):
			return
		default:
			t.queue = slices.Delete(t.queue, i, i+1)
			t.grant(e)
		}
	}
}

func (t *Table) fits(e *entry) bool { return fits(t.limit, t.held, e.Weight) }

// fits tells whether weight goes beside what is held. The heaviest claim must
// not wait for ever, hence one that is alone always fits.
func fits(limit, held, weight int) bool {
	return limit > 0 && (held == 0 || held+weight <= limit)
}

func (t *Table) grant(e *entry) {
	e.granted = true
	e.grantedAt, e.expiresAt = t.now, t.now.Add(e.Lease)
	t.held += e.Weight
	t.grants = append(t.grants, e)
	t.note(Event{Kind: Granted, entry: e})
}

// revoke ends a grant; the caller decides whether the claim lives on.
func (t *Table) revoke(e *entry, why Reason) {
	t.held -= e.Weight
	t.grants = slices.DeleteFunc(t.grants, func(g *entry) bool { return g == e })
	t.note(Event{Kind: Ended, Reason: why, entry: e})
}

// end takes a claim out of the table, granted or not.
func (t *Table) end(e *entry, why Reason) {
	switch {
	case e.granted:
		t.revoke(e, why)
	case e.expected: // nobody claimed
	default:
		t.note(Event{Kind: Withdrawn, Reason: why, entry: e})
	}
	t.forget(e)
}

func (t *Table) enqueue(c Claim) *entry {
	t.seq++
	e := &entry{Claim: c, id: t.cfg.NewID(), seq: t.seq, claimedAt: t.now}
	if !c.Since.IsZero() {
		e.claimedAt = t.past(c.Since)
	}
	e.rank = e.claimedAt.Add(-time.Duration(c.Priority) * t.cfg.Aging)
	t.index(e)
	t.insert(e)
	return e
}

func (t *Table) index(e *entry) {
	t.byID[e.id] = e
	if e.Pod.UID != "" {
		t.byUID[e.Pod.UID] = e
	}
}

func (t *Table) insert(e *entry) {
	i, _ := slices.BinarySearchFunc(t.queue, e, order)
	t.queue = slices.Insert(t.queue, i, e)
}

func order(a, b *entry) int {
	return cmp.Or(a.rank.Compare(b.rank), cmp.Compare(a.seq, b.seq))
}

// forget removes every trace of a claim that is not granted any more.
func (t *Table) forget(e *entry) {
	if i, found := slices.BinarySearchFunc(t.queue, e, order); found {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
	delete(t.byID, e.id)
	if e.Pod.UID != "" {
		delete(t.byUID, e.Pod.UID)
	}
}
