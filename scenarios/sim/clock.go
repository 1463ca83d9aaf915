// clock.go is virtual time: it passes from one thing to do to the next.

package sim

import (
	"math"
	"time"
)

// timer is something that will happen.
type timer = item[time.Duration]

// clock is the time since the herd appeared, and what will happen.
type clock struct {
	now time.Duration
	due queue[time.Duration]
}

// at does something at a time, or now if that is over.
func (c *clock) at(when time.Duration, do func()) *timer { return c.due.add(max(when, c.now), do) }

// after does something in that many seconds.
func (c *clock) after(seconds float64, do func()) *timer { return c.at(c.now+duration(seconds), do) }

// stop keeps it from happening; nothing happens when it has, or is nil.
func (c *clock) stop(t *timer) { c.due.remove(t) }

// step goes on to the next thing and does it, unless that is after the end, or
// there is none; then the time is the end, and the answer false.
func (c *clock) step(end time.Duration) bool {
	next := c.due.first()
	if next == nil || next.key > end {
		c.now = end
		return false
	}
	c.due.remove(next)
	c.now = next.key
	next.do()
	return true
}

// duration is a number of seconds, rounded up, so that work that takes so long
// is done by then.
func duration(seconds float64) time.Duration {
	const most = 100 * 365 * 24 * 3600 // anything longer is never
	return time.Duration(math.Ceil(min(max(seconds, 0), most) * 1e9))
}

// onGrid is the first time from when on that is a whole number of periods from the phase.
func onGrid(when, phase, period time.Duration) time.Duration {
	if period <= 0 {
		return when
	}
	rest := (when - phase) % period // negative before the phase
	if rest > 0 {
		rest -= period
	}
	return when - rest
}
