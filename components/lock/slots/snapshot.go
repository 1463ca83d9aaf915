// The table across restarts.

package slots

import (
	"errors"
	"fmt"
	"time"
)

// Snapshot is all that a table must not forget, fit for JSON. Limit and gate
// are not in it: they are what they are when the lock comes back.
type Snapshot struct {
	Claims []SnapshotClaim `json:"claims"` // grants oldest first, then the queue, next first
}

// SnapshotClaim is one claim; one with ExpiresAt holds a slot.
type SnapshotClaim struct {
	ID string `json:"id"`
	Claim
	ClaimedAt time.Time `json:"claimedAt"`
	GrantedAt time.Time `json:"grantedAt,omitzero"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	Expected  bool      `json:"expected,omitempty"` // nobody has asked yet
}

// Snapshot copies the claims and grants.
func (t *Table) Snapshot() Snapshot {
	s := Snapshot{Claims: make([]SnapshotClaim, 0, len(t.grants)+len(t.queue))}
	for _, entries := range [][]*entry{t.grants, t.queue} {
		for _, e := range entries {
			s.Claims = append(s.Claims, SnapshotClaim{ID: e.id, Claim: e.Claim,
				ClaimedAt: e.claimedAt, GrantedAt: e.grantedAt, ExpiresAt: e.expiresAt, Expected: e.expected})
		}
	}
	return s
}

// Restore makes a table from a snapshot of an earlier life. Grants go on for
// what is left of their leases, claims keep their order and have the grace to
// come back. The time between the two lives is known from the wall clock only,
// so it is bounded: no lease grows and nobody has waited a negative time. The
// error names the first claim that makes no sense.
func Restore(cfg Config, limit int, now time.Time, s Snapshot) (*Table, error) {
	t := New(cfg, limit)
	t.now = now
	for _, c := range s.Claims {
		if err := t.restore(c); err != nil {
			return nil, fmt.Errorf("restore claim %q of pod %q: %w", c.ID, c.Pod.UID, err)
		}
	}
	return t, nil
}

func (t *Table) restore(c SnapshotClaim) error {
	switch {
	case c.ID == "":
		return errors.New("it has no id")
	case t.byID[c.ID] != nil:
		return errors.New("its id is there twice")
	case c.Pod.UID != "" && t.byUID[c.Pod.UID] != nil:
		return errors.New("its pod is there twice")
	case c.Weight < 1:
		return fmt.Errorf("its weight is %d", c.Weight)
	case c.Lease <= 0:
		return fmt.Errorf("its lease is %s", c.Lease)
	}
	t.seq++
	e := &entry{Claim: c.Claim, id: c.ID, seq: t.seq, claimedAt: t.past(c.ClaimedAt)}
	e.rank = e.claimedAt.Add(-time.Duration(c.Priority) * t.cfg.Aging)
	t.index(e)
	if c.ExpiresAt.IsZero() {
		e.presence, e.leaveAt, e.expected = away, t.now.Add(t.cfg.Grace), c.Expected
		t.insert(e)
		return nil
	}
	e.granted, e.delivered = true, true
	left := min(max(c.ExpiresAt.Sub(t.now), 0), c.Lease)
	e.expiresAt = t.now.Add(left)
	e.grantedAt = t.past(c.GrantedAt)
	t.held += e.Weight
	t.grants = append(t.grants, e)
	return nil
}

// past is a wall clock time of an earlier life on this life's clock, never in the future.
func (t *Table) past(wall time.Time) time.Time {
	return t.now.Add(-max(t.now.Sub(wall), 0))
}
