// The table as others see it: grants, places, and how long the wait will be.

package slots

import (
	"container/heap"
	"slices"
	"time"
)

// Grant is a held slot, as the table shows it.
type Grant struct {
	ID string
	Claim
	ClaimedAt, GrantedAt, ExpiresAt time.Time
}

// Place is a waiting claim, as the table shows it.
type Place struct {
	ID string
	Claim
	Position  int // from 1
	ClaimedAt time.Time
	Here      bool // the client waits for an answer right now
	Expected  bool // it never asked: see Expect
	// ETA is the wait that is left if every lease is used up; negative when
	// nobody can tell, as with a closed gate.
	ETA time.Duration
}

// Limit is the number of slots.
func (t *Table) Limit() int { return t.limit }

// Held is the sum of the granted weights.
func (t *Table) Held() int { return t.held }

// Open tells whether the gate is open.
func (t *Table) Open() bool { return t.open }

// Waiting is the length of the queue.
func (t *Table) Waiting() int { return len(t.queue) }

// Knows tells whether this pod waits or holds a slot.
func (t *Table) Knows(uid string) bool { return t.byUID[uid] != nil }

// Grants are the slots held, oldest first.
func (t *Table) Grants() []Grant {
	grants := make([]Grant, 0, len(t.grants))
	for _, e := range t.grants {
		grants = append(grants, view(e))
	}
	return grants
}

// Grant is the slot held with this id.
func (t *Table) Grant(id string) (Grant, bool) {
	e := t.byID[id]
	if e == nil || !e.granted {
		return Grant{}, false
	}
	return view(e), true
}

// GrantOf is the slot that a pod holds.
func (t *Table) GrantOf(uid string) (Grant, bool) {
	if e := t.byUID[uid]; e != nil {
		return t.Grant(e.id)
	}
	return Grant{}, false
}

func view(e *entry) Grant {
	return Grant{ID: e.id, Claim: e.Claim, ClaimedAt: e.claimedAt, GrantedAt: e.grantedAt, ExpiresAt: e.expiresAt}
}

// Queue is every waiting claim, next first.
func (t *Table) Queue(now time.Time) []Place { return t.places(now, len(t.queue)) }

// Place is the waiting claim with this id.
func (t *Table) Place(now time.Time, id string) (Place, bool) {
	e := t.byID[id]
	if e == nil || e.granted {
		return Place{}, false
	}
	i, _ := slices.BinarySearchFunc(t.queue, e, order)
	return t.places(now, i+1)[i], true
}

// places plays the queue forward: whoever holds a slot keeps it for as long as
// slots are held by experience, or for the whole lease, and whoever waits gets
// the next one that is free.
func (t *Table) places(now time.Time, n int) []Place {
	if now.Before(t.now) {
		now = t.now
	}
	ends := make(ends, 0, len(t.grants)+n)
	for _, e := range t.grants {
		ends = append(ends, end{t.likelyEnd(e.grantedAt, e.Lease), e.Weight})
	}
	heap.Init(&ends)
	held, at := t.held, now
	places := make([]Place, n)
	for i, e := range t.queue[:n] {
		places[i] = Place{ID: e.id, Claim: e.Claim, Position: i + 1, ClaimedAt: e.claimedAt, Here: e.presence == here, Expected: e.expected, ETA: -1}
		if !t.open || t.limit < 1 {
			continue
		}
		for !fits(t.limit, held, e.Weight) {
			next := heap.Pop(&ends).(end)
			held -= next.weight
			if next.at.After(at) {
				at = next.at
			}
		}
		held += e.Weight
		heap.Push(&ends, end{t.likelyEnd(at, e.Lease), e.Weight})
		places[i].ETA = at.Sub(now)
	}
	return places
}

// likelyEnd is when a slot that is held since a time will be free.
func (t *Table) likelyEnd(since time.Time, lease time.Duration) time.Time {
	if t.hold > 0 {
		lease = min(lease, t.hold)
	}
	return since.Add(lease)
}

// end is when a grant ends and what it gives back.
type end struct {
	at     time.Time
	weight int
}

// ends is a heap of them, earliest first.
type ends []end

func (h ends) Len() int           { return len(h) }
func (h ends) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h ends) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ends) Push(x any)        { *h = append(*h, x.(end)) }
func (h *ends) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
