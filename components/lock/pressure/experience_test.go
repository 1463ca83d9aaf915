package pressure

import (
	"math"
	"testing"
	"time"
)

// ended is an experience with starts that were held for so long each, one after
// the other, on a node with that load.
func ended(load float64, patience time.Duration, held ...time.Duration) (*experience, time.Time) {
	x := &experience{load: 1, cost: 1}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, d := range held {
		g := []Grant{{Since: now, Weight: 1, Patience: patience}}
		for range int(d / Interval) {
			x.learn(Interval, now, g, load, 1)
			now = now.Add(Interval)
		}
	}
	x.learn(Interval, now, nil, load, 1)
	return x, now
}

func TestAStartIsKnownByThoseThatEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		load  float64
		held  []time.Duration
		alone float64 // in seconds
	}{
		"none":                               {1, nil, 0},
		"one, alone on the node":             {1, []time.Duration{10 * time.Second}, 8.5},
		"one among two for each core":        {2, []time.Duration{41 * time.Second}, 20},
		"the longest counts":                 {1, []time.Duration{10 * time.Second, 20 * time.Second}, 18.5},
		"shorter ones are believed later":    {1, []time.Duration{20 * time.Second, 10 * time.Second}, 16},
		"one that was deleted at once is no": {1, []time.Duration{20 * time.Second, Interval}, 14},
	} {
		x, _ := ended(tt.load, 0, tt.held...)
		if got := x.alone.Seconds(); math.Abs(got-tt.alone) > 0.6 {
			t.Errorf("%s: %.1f s, want %.1f", name, got, tt.alone)
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
		"no probes":                              {0, []time.Duration{10 * time.Second}, 2, 0},
		"nothing known, on two cores":            {time.Minute, nil, 2, 4},
		"nothing known, on eight":                {time.Minute, nil, 8, 12},
		"time enough":                            {time.Minute, []time.Duration{5 * time.Second}, 2, 24},
		"twice the time that one takes alone":    {20 * time.Second, []time.Duration{11500 * time.Millisecond}, 2, 2},
		"less time than one takes alone, nearly": {10 * time.Second, []time.Duration{11500 * time.Millisecond}, 2, 1},
	} {
		x, now := ended(1, tt.patience, tt.held...)
		x.learn(Interval, now, []Grant{{Since: now, Weight: 1, Patience: tt.patience}}, 1, 1)
		most, ok := x.crowd(now, tt.cores)
		if ok != (tt.most > 0) || most != tt.most {
			t.Errorf("%s: %d, %v, want %d", name, most, ok, tt.most)
		}
	}
}

func TestOneThatStillStartsTellsThatItTakesLonger(t *testing.T) {
	t.Parallel()
	x, now := ended(1, 30*time.Second, 5*time.Second)
	g := []Grant{{Since: now, Weight: 1, Patience: 30 * time.Second}}
	x.learn(Interval, now, g, 1, 1)
	before, _ := x.crowd(now, 2)
	after, _ := x.crowd(now.Add(20*time.Second), 2)
	if before != 12 || after != 2 {
		t.Errorf("%d, and %d after 20 s", before, after)
	}
}

func TestThoseWhoLeaveMakeRoomAheadOfTime(t *testing.T) {
	t.Parallel()
	none := &experience{}
	if got := none.leaving(5); got != 0 {
		t.Errorf("%v of five leave, although none ever did", got)
	}
	x, _ := ended(1, 0, 6*time.Second)
	if got := x.leaving(4); math.Abs(got-1) > 0.1 {
		t.Errorf("%v of four leave within %s when each takes 6 s", got, delay)
	}
}
