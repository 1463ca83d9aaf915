// What happens to claims, as events.

package slots

import "time"

// Kind is what happened.
type Kind string

// What can happen to a claim, and to the table.
const (
	Claimed      Kind = "claimed"
	Granted      Kind = "granted"
	Adopted      Kind = "adopted"   // a start that this table did not grant holds a slot now
	Ended        Kind = "ended"     // a grant
	Withdrawn    Kind = "withdrawn" // a claim that waited
	LimitChanged Kind = "limit changed"
	GateChanged  Kind = "gate changed"
)

// Reason is why a grant ended or a claim was withdrawn.
type Reason string

// The reasons; a closed set.
const (
	LeaseEnded  Reason = "lease"
	Released    Reason = "released"
	Undelivered Reason = "undelivered" // the client was gone before it had its grant; its claim goes back to its place
	GraceEnded  Reason = "grace"
	PodStarted  Reason = "started"
	PodReady    Reason = "ready"
	PodStuck    Reason = "stuck" // in a state that no slot helps
	PodEnded    Reason = "ended"
	PodGone     Reason = "gone" // deleted, or being deleted
)

// Event is one change, as Drain tells it.
type Event struct {
	Kind   Kind
	Reason Reason // of Ended and Withdrawn
	At     time.Time
	// The claim as it was at that time; empty for changes of the table.
	ID string
	Claim
	ClaimedAt, GrantedAt, ExpiresAt time.Time

	entry *entry
}

func (t *Table) note(ev Event) {
	ev.At = t.now
	if e := ev.entry; e != nil {
		ev.ID, ev.Claim = e.id, e.Claim
		ev.ClaimedAt, ev.GrantedAt, ev.ExpiresAt = e.claimedAt, e.grantedAt, e.expiresAt
		ev.entry = nil
	}
	t.events = append(t.events, ev)
}

// Drain is what changed since the last call, in order.
func (t *Table) Drain() []Event {
	events := t.events
	t.events = nil
	return events
}
