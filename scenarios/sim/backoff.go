// backoff.go is the kubelet's crash back-off, as the room local has it, on the
// virtual clock.

package sim

import "time"

// The kubelet's numbers.
const (
	firstDelay  = 10 * time.Second
	longDelay   = 300 * time.Second
	forgetAfter = 2 * longDelay
)

// backOff says how long a container that the kubelet killed has to wait. It is
// judged by what was known before it was killed: its delay counts from the end
// of the container before it, so one that lived longer is restarted at once.
type backOff struct {
	delay     time.Duration
	restarted time.Duration
	ended     time.Duration // the end before the last one
	any       bool          // there was one
}

// next is the delay of a container that was killed now.
func (b *backOff) next(now time.Duration) time.Duration {
	lived, first := now-b.ended, !b.any
	b.ended, b.any = now, true
	switch {
	case first:
		return 0 // no container has ended as far as the kubelet knows: not even counted
	case b.delay == 0 || now-b.restarted > forgetAfter:
		b.delay, b.restarted = firstDelay, now
		return 0
	case lived >= b.delay:
		b.delay, b.restarted = min(2*b.delay, longDelay), now
		return 0
	}
	delay := b.delay
	b.delay, b.restarted = min(2*delay, longDelay), now+delay
	return delay
}

// late is how long a back-off lasts in fact. The kubelet puts off looking again
// for that long and a random part of it more, but for no more than its resync
// period at a time.
func (h *herd) late(left float64) float64 {
	const resync = 60
	slept := 0.0
	for left > 0 {
		nap := min(left, resync) * (1 + h.pick(Range{0, h.model.Late}))
		slept, left = slept+nap, left-nap
	}
	return slept
}
