// How long a freed slot is on its way to the next who waits.

package server

import (
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
)

// handOvers pairs the ends of grants with the grants that they made room for.
// The desk guards it.
type handOvers struct {
	begun time.Time            // leases that ended before are no delay of this lock's
	freed time.Time            // when the last grant ended; zero after a change of limit or gate
	since map[string]time.Time // when the slot was free, of grants on their way to who waited, by id
}

func newHandOvers(begun time.Time) handOvers {
	return handOvers{begun: begun, since: map[string]time.Time{}}
}

// note takes an event in.
func (h *handOvers) note(ev slots.Event) {
	switch ev.Kind {
	case slots.Ended:
		delete(h.since, ev.ID)
		h.freed = ev.At
		if ev.Reason == slots.LeaseEnded && ev.ExpiresAt.After(h.begun) {
			h.freed = ev.ExpiresAt // an alarm that comes late is a delay too
		}
	case slots.Granted:
		if ev.ClaimedAt.Before(h.freed) {
			h.since[ev.ID] = h.freed
		}
	case slots.LimitChanged, slots.GateChanged:
		h.freed = time.Time{} // who is granted something now does not owe it to an end
	}
}

// delivered is how long the slot of this grant was on its way; false when
// nobody waited for it.
func (h *handOvers) delivered(id string, now time.Time) (time.Duration, bool) {
	since, ok := h.since[id]
	delete(h.since, id)
	return now.Sub(since), ok
}
