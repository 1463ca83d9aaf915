// How many events one node may write: the API server has many nodes.

package events

import "time"

const (
	// burst is how many events may be written at once, after a long silence.
	burst = 10
	// refill is the time after which there may be one more.
	refill = 5 * time.Second
)

// bucket holds at most burst tokens and gets one more every refill. The zero
// value is full.
type bucket struct{ full time.Time } // when it will be full again

// take takes a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	full := b.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(refill)
	if full.Sub(now) > burst*refill {
		return false
	}
	b.full = full
	return true
}
