package pressure

import (
	"math"
	"testing"
	"time"
)

// load is what a node does while starts are held.
type load struct{ busy, demand, shown float64 }

var alone = load{1, 1, 1}

// run holds grants on a node with that load, from the time now on.
func (x *experience) run(now time.Time, d time.Duration, l load, cost float64, grants ...Grant) time.Time {
	for range int(d / Interval) {
		now = now.Add(Interval)
		x.learn(Interval, now, grants, l.busy, l.demand, l.shown, cost)
	}
	return now
}

// ended is an experience with starts that were held for so long each, one after the other, under that load.
func ended(l load, patience time.Duration, held ...time.Duration) (*experience, time.Time) {
	x := &experience{cost: 1}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, d := range held {
		x.learn(0, now, []Grant{{Since: now, Weight: 1, Patience: patience}}, 0, 0, 0, 1)
		now = x.run(now, d, l, 1, Grant{Since: now, Weight: 1, Patience: patience})
	}
	x.learn(0, now, nil, 0, 0, 0, 1)
	return x, now
}

func TestAStartIsKnownByThoseThatEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		load load
		held []time.Duration
		work float64 // in CPU-seconds
	}{
		"none":                               {alone, nil, 0},
		"one, alone on the node":             {alone, []time.Duration{10 * time.Second}, 10},
		"one of four on two cores":           {load{2, 4, 4}, []time.Duration{40 * time.Second}, 20},
		"one of two, with noise beside them": {load{2, 4, 2}, []time.Duration{40 * time.Second}, 20},
		"one that sleeps among forty":        {load{0.1, 0.1, 40}, []time.Duration{15 * time.Second}, 0.0375},
		"the hardest counts":                 {alone, []time.Duration{10 * time.Second, 20 * time.Second}, 20},
		"easier ones are believed later":     {alone, []time.Duration{20 * time.Second, 10 * time.Second}, 17.5},
		"one that was deleted at once is no": {alone, []time.Duration{20 * time.Second, Interval}, 15},
	} {
		x, _ := ended(tt.load, 0, tt.held...)
		if math.Abs(x.work-tt.work) > 0.1 {
			t.Errorf("%s: %.2f CPU-s, want %.2f", name, x.work, tt.work)
		}
	}
}

func TestThereAreAsManyAsTheirProbesHaveTimeFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		patience time.Duration
		held     []time.Duration
		cores    float64
		most     int // 0 for no bound
	}{
		"no probes":                         {0, []time.Duration{10 * time.Second}, 2, 0},
		"nothing known, on two cores":       {time.Minute, nil, 2, 4},
		"nothing known, on eight":           {time.Minute, nil, 8, 12},
		"time enough":                       {time.Minute, []time.Duration{5 * time.Second}, 2, 16},
		"twice the time that one takes":     {20 * time.Second, []time.Duration{10 * time.Second}, 2, 2},
		"less time than one takes, nearly":  {10 * time.Second, []time.Duration{11 * time.Second}, 2, 1},
		"four times that, on four cores":    {40 * time.Second, []time.Duration{10 * time.Second}, 4, 11},
		"hardly anything is used by anyone": {time.Minute, []time.Duration{Interval}, 2, 336},
	} {
		x, now := ended(alone, tt.patience, tt.held...)
		x.learn(Interval, now, []Grant{{Since: now, Weight: 1, Patience: tt.patience}}, 0, 0, 0, 1)
		most, ok := x.crowd(tt.cores)
		if ok != (tt.most > 0) || most != tt.most {
			t.Errorf("%s: %d, %v, want %d", name, most, ok, tt.most)
		}
	}
}

func TestOneThatStillStartsTellsThatItNeedsMore(t *testing.T) {
	t.Parallel()
	x, now := ended(alone, 30*time.Second, 5*time.Second)
	g := Grant{Since: now, Weight: 1, Patience: 30 * time.Second}
	x.learn(0, now, []Grant{g}, 0, 0, 0, 1)
	before, _ := x.crowd(2)
	x.run(now, 20*time.Second, alone, 1, g)
	after, _ := x.crowd(2)
	if before != 8 || after != 2 {
		t.Errorf("%d, and %d after 20 s", before, after)
	}
}

func TestThoseThatComputedAndNowWaitForAProbeAreNotCheap(t *testing.T) {
	t.Parallel()
	x := &experience{cost: 1}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var four []Grant
	for i := range 4 {
		four = append(four, Grant{Since: now.Add(time.Duration(i)), Weight: 1, Patience: 40 * time.Second})
	}
	x.learn(0, now, four, 0, 0, 0, 1)
	now = x.run(now, 30*time.Second, load{2, 4, 4}, 1, four...)
	x.run(now, 8*time.Second, load{0.1, 0.1, 4}, leastCost, four...)
	if most, ok := x.crowd(2); !ok || most != 3 {
		t.Errorf("room for %d starts of 15 CPU-seconds, %v; their probes have time for 3", most, ok)
	}
}

func TestThoseWhoLeaveMakeRoomAheadOfTime(t *testing.T) {
	t.Parallel()
	none := &experience{}
	if got := none.leaving(5); got != 0 {
		t.Errorf("%v of five leave, although none ever did", got)
	}
	x, _ := ended(alone, 0, 6*time.Second)
	if got := x.leaving(4); math.Abs(got-1) > 0.1 {
		t.Errorf("%v of four leave within %s when each takes 6 s", got, delay)
	}
}
