// The grants that ended.

package server

import (
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
)

// recordSize is more than a node's herd: 110 pods by default.
const recordSize = 256

// record is the bounded memory of grants that ended, oldest first.
type record struct{ events []slots.Event }

func (r *record) add(ev slots.Event) {
	if len(r.events) == recordSize {
		r.events = append(r.events[:0], r.events[1:]...)
	}
	r.events = append(r.events, ev)
}

// list is a copy.
func (r *record) list() []slots.Event { return append([]slots.Event{}, r.events...) }

func (r *record) restore(events []slots.Event) {
	r.events = append(r.events[:0], events[max(0, len(events)-recordSize):]...)
}

// holdSample is how many of the last grants tell how long the next will be held.
const holdSample = 15

// hold is how long slots are held, by experience: the median of the last
// grants; 0 without any.
func (r *record) hold() time.Duration {
	var holds []time.Duration
	for _, ev := range slices.Backward(r.events) {
		if ev.Reason == slots.Undelivered {
			continue
		}
		if holds = append(holds, ev.At.Sub(ev.GrantedAt)); len(holds) == holdSample {
			break
		}
	}
	if len(holds) == 0 {
		return 0
	}
	slices.Sort(holds)
	return max(holds[len(holds)/2], 1) // 0 would mean that nothing is known
}

// exitTime is more than an init container that has its slot takes to end.
const exitTime = 10 * time.Second

// covers tells whether the pod passed its init container, at a whole second,
// with a grant that is among those that ended.
func (r *record) covers(uid string, passed time.Time) bool {
	return slices.ContainsFunc(r.events, func(ev slots.Event) bool {
		return ev.Pod.UID == uid && ev.Reason != slots.Undelivered &&
			!ev.GrantedAt.Truncate(time.Second).After(passed) && !ev.At.Add(exitTime).Before(passed)
	})
}
