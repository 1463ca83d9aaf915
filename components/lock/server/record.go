// The grants that ended.

package server

import "github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"

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
