// experience.go is what starts that ended tell of those that are to come.

package pressure

import (
	"math"
	"time"
)

// experience is what was learned of starts.
type experience struct {
	held []begun // at the last sample
	used float64 // CPU-seconds that a start has used that was always there
	cost float64 // of a start that was not seen to end, slow to fall
	// hold is how long grants are held, and work how many CPU-seconds a start needs;
	// 0 while none has ended.
	hold     time.Duration
	work     float64
	patience time.Duration // the least of the starts seen last; 0 is without end
}

// begun is a grant that is held, and what was used when it began.
type begun struct {
	Grant
	before float64
}

// learn takes in the grants that are held now, and so those that are not any
// more, and what a start has used since the last time: of the cores in use, its
// part among all who want one, or among the starts alone where those want less.
func (x *experience) learn(dt time.Duration, now time.Time, held []Grant, busy, demand, shown, cost float64) {
	x.cost = max(cost, x.cost+part(dt, learning)*(cost-x.cost))
	if shown >= 0.5 {
		x.used += busy * dt.Seconds() / max(demand, shown, 1)
	}
	began := make(map[time.Time]float64, len(x.held))
	for _, s := range x.held {
		began[s.Since] = s.before
	}
	still := make([]begun, 0, len(held))
	least := time.Duration(0)
	for _, g := range held {
		before, known := began[g.Since]
		if !known {
			before = x.used
		}
		still = append(still, begun{g, before})
		if g.Patience > 0 && (least == 0 || g.Patience < least) {
			least = g.Patience
		}
	}
	for _, s := range x.held {
		if !holds(still, s.Since) {
			x.ended(max(now.Sub(s.Since), 0), x.used-s.before)
		}
	}
	x.held = still
	if len(held) > 0 {
		x.patience = least
	}
}

func holds(starts []begun, since time.Time) bool {
	for _, s := range starts {
		if s.Since.Equal(since) {
			return true
		}
	}
	return false
}

// ended takes in a start from its beginning to its end. That they need more is
// believed at once, that they need less by and by.
func (x *experience) ended(hold time.Duration, work float64) {
	if x.hold == 0 {
		x.hold, x.work = hold, work
		return
	}
	x.hold += (hold - x.hold) / 4
	x.work = max(work, x.work+(work-x.work)/4)
}

// crowd is for how many starts at once there is time: all of them have to be
// done before their probes lose patience. It is not ok if they have all the time
// in the world. Those that only wait for their next probe any more look cheap:
// it is what a start used from its beginning on that tells what the next will.
func (x *experience) crowd(cores float64) (most int, ok bool) {
	if x.patience == 0 {
		return 0, false
	}
	starts := math.Inf(1)
	if x.hold == 0 {
		starts = cores * (1 + math.Sqrt(crowding/cores)) / x.cost
	}
	if work := max(x.work, x.soFar()); work > 0 {
		starts = min(starts, slack*x.patience.Seconds()*cores/work)
	}
	return max(1, int(min(starts, math.MaxInt32)+0.1)), true
}

// soFar is what those that are held now have used, on the average.
func (x *experience) soFar() float64 {
	sum := 0.0
	for _, s := range x.held {
		sum += x.used - s.before
	}
	return sum / float64(max(len(x.held), 1))
}

// leaving is how many of those who are seen will have ended by the time at which
// a grant of now is seen.
func (x *experience) leaving(shown float64) float64 {
	if x.hold == 0 {
		return 0
	}
	return shown * float64(delay) / float64(max(x.hold, delay))
}
