// backoff.go is the kubelet's crash back-off.

package kubelet

import "time"

// The kubelet's numbers: flowcontrol.NewBackOff(10s, 300s), forgotten after twice the longest.
const (
	firstDelay  = 10 * time.Second
	longDelay   = 300 * time.Second
	forgetAfter = 2 * longDelay
)

// backOff says how long a container that ended has to wait. As in the kubelet,
// the first restart is immediate: the delay grows from the second on.
type backOff struct {
	delay     time.Duration
	restarted time.Time
}

// next is the delay of a container that ended now.
func (b *backOff) next(now time.Time) time.Duration {
	if b.delay == 0 || now.Sub(b.restarted) > forgetAfter {
		b.delay, b.restarted = firstDelay, now
		return 0
	}
	delay := b.delay
	b.delay = min(2*delay, longDelay)
	b.restarted = now.Add(delay)
	return delay
}
