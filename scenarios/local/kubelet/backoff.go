// backoff.go is the kubelet's crash back-off.

package kubelet

import "time"

// The kubelet's numbers: flowcontrol.NewBackOff(10s, 300s), forgotten after twice the longest.
const (
	firstDelay  = 10 * time.Second
	longDelay   = 300 * time.Second
	forgetAfter = 2 * longDelay
)

// backOff says how long a container that ended has to wait. Two things of the
// kubelet are less known than its 10 s, 20 s, 40 s: the first restart is
// immediate, and one whose liveness probe failed is judged by what was known
// before it was killed. Its delay counts from the end of the container before
// it, so a container that lived longer than the delay is restarted at once.
type backOff struct {
	delay     time.Duration
	restarted time.Time
	ended     time.Time // the end before the last one
}

// next is the delay of a container that ended now, by itself or killed by the kubelet.
func (b *backOff) next(now time.Time, killed bool) time.Duration {
	since := now
	if killed {
		since = b.ended
	}
	b.ended = now
	switch {
	case since.IsZero():
		return 0 // no container has ended as far as the kubelet knows: not even counted
	case b.delay == 0 || now.Sub(b.restarted) > forgetAfter:
		b.delay, b.restarted = firstDelay, now
		return 0
	case now.Sub(since) >= b.delay:
		b.delay, b.restarted = min(2*b.delay, longDelay), now
		return 0
	}
	delay := b.delay
	b.delay, b.restarted = min(2*delay, longDelay), now.Add(delay)
	return delay
}
