// experience.go is what starts that ended tell of those that are to come.

package pressure

import (
	"math"
	"slices"
	"time"
)

// experience is what was learned of starts.
type experience struct {
	held []Grant // at the last sample, oldest first
	load float64 // demand for each core over the time of a start, 1 at least
	// hold is how long grants are held, and alone how long a start would take with
	// the node for itself; 0 while none has ended.
	hold, alone time.Duration
	patience    time.Duration // the least of the starts seen last; 0 is without end
	cost        float64       // of a start, slow to fall
}

const (
	// loading is over how long the load of a node is averaged, and relaxing how
	// long it takes to believe that all starts cost less.
	loading, relaxing = 5 * time.Second, 1500 * time.Millisecond
	// rounding is what the kubelet adds to a start at its beginning and its end.
	rounding = 1500 * time.Millisecond
)

// learn takes in the grants that are held now, and so those that are not any more.
func (x *experience) learn(dt time.Duration, now time.Time, held []Grant, load, cost float64) {
	x.load += part(dt, loading) * (max(load, 1) - x.load)
	tau := relaxing
	if x.alone == 0 { // nobody has ended, so what they want has not ended either
		tau = learning
	}
	x.cost = max(cost, x.cost+part(dt, tau)*(cost-x.cost))
	for _, g := range x.held {
		if slices.ContainsFunc(held, func(h Grant) bool { return h.Since.Equal(g.Since) }) {
			continue
		}
		hold := max(now.Sub(g.Since), 0)
		alone := x.unslowed(hold)
		if x.hold == 0 {
			x.hold, x.alone = hold, alone
			continue
		}
		x.hold += (hold - x.hold) / 4
		x.alone = max(alone, x.alone+(alone-x.alone)/4)
	}
	x.held = slices.Clone(held)
	least := time.Duration(0)
	for _, g := range held {
		if g.Patience > 0 && (least == 0 || g.Patience < least) {
			least = g.Patience
		}
	}
	if len(held) > 0 {
		x.patience = least
	}
}

// unslowed is how long a start that took so long had needed alone.
func (x *experience) unslowed(hold time.Duration) time.Duration {
	return time.Duration(float64(max(hold-rounding, rounding/10)) / x.load)
}

// crowd is for how many starts at once there is time: all of them have to be
// done before their probes lose patience, at the cost that they have. It is not
// ok if they have all the time in the world.
func (x *experience) crowd(now time.Time, cores float64) (most int, ok bool) {
	if x.patience == 0 {
		return 0, false
	}
	share := 1 + math.Sqrt(crowding/cores)
	if alone := x.alone; alone > 0 {
		for _, g := range x.held {
			alone = max(alone, x.unslowed(now.Sub(g.Since)))
		}
		share = slack * float64(x.patience) / float64(alone)
	}
	return max(1, int(cores*share/x.cost+0.1)), true
}

// leaving is how many of those who are seen will have ended by the time at which
// a grant of now is seen.
func (x *experience) leaving(shown float64) float64 {
	if x.hold == 0 {
		return 0
	}
	return shown * float64(delay) / float64(max(x.hold, delay))
}
