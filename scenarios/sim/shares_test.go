package sim

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFairShares(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		room, taken, friction float64
		endless               int
		work                  []float64
		want                  []float64 // when each is done, in seconds
	}{
		"alone":              {room: 2, work: []float64{3}, want: []float64{3}},
		"as many as fit":     {room: 2, work: []float64{3, 1}, want: []float64{3, 1}},
		"too many":           {room: 1, work: []float64{1, 1}, want: []float64{2, 2}},
		"the short one ends": {room: 1, work: []float64{1, 3}, want: []float64{2, 4}},
		"something taken":    {room: 2, taken: 0.5, work: []float64{3, 3}, want: []float64{4, 4}},
		"all taken":          {room: 1, taken: 5, work: []float64{1}, want: []float64{10}},
		"beside the endless": {room: 1, endless: 3, work: []float64{1}, want: []float64{4}},
		"friction":           {room: 1, friction: 0.5, work: []float64{1, 1}, want: []float64{3, 3}},
		"nothing to do":      {room: 1, work: []float64{0}, want: []float64{0}},
		"parts of a core":    {room: 2.5, work: []float64{1, 1, 1, 1, 1}, want: []float64{2, 2, 2, 2, 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &clock{}
			s := &shares{clock: c, room: test.room, friction: test.friction}
			s.set(test.taken, test.endless)
			got := make([]float64, len(test.work))
			for i, w := range test.work {
				s.add(w, func() { got[i] = c.now.Seconds() })
			}
			for c.step(time.Hour) {
			}
			for i := range got {
				if math.Abs(got[i]-test.want[i]) > 1e-6 {
					t.Fatalf("done at %v, want %v", got, test.want)
				}
			}
		})
	}
}

// Whatever comes and goes: time does not run backwards, nothing is done before it
// can be, and what was used is what was done, what was lost and what was taken.
func TestNothingIsLostAndNothingIsFree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{}
		s := &shares{clock: c, room: rapid.Float64Range(0.5, 9).Draw(t, "room"), friction: rapid.Float64Range(0, 0.1).Draw(t, "friction")}
		var began, work []float64
		open := map[int]*task{}
		ended, done := time.Duration(0), 0.0
		attained := func(x *task) float64 { return s.served - x.key }
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				i, w := len(work), rapid.Float64Range(0, 5).Draw(t, "work")
				began, work = append(began, c.now.Seconds()), append(work, w)
				open[i] = s.add(w, func() {
					delete(open, i)
					done += w
					if c.now < ended || c.now.Seconds() < began[i]+w-1e-6 {
						t.Fatalf("work of %g s, begun at %g, is done at %s", w, began[i], c.now)
					}
					ended = c.now
				})
			case 1:
				if len(open) > 0 {
					i := slices.Min(slices.Collect(maps.Keys(open)))
					s.drop(open[i])
					done += work[i] + attained(open[i])
					delete(open, i)
				}
			case 2:
				s.set(rapid.Float64Range(0, 3).Draw(t, "taken"), 0)
			default:
				c.step(c.now + time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "later")))
			}
		}
		s.advance()
		for i, x := range open {
			done += work[i] + attained(x)
		}
		const slack = 1e-5
		if all := s.total; math.Abs(all.done-done) > slack || math.Abs(all.busy-all.done-all.lost-all.beside) > slack || all.busy > s.room*c.now.Seconds()+slack {
			t.Fatalf("%+v, and %g was done in %s", all, done, c.now)
		}
	})
}

func TestQueueGivesTheLeastFirstAndForgetsWhatIsRemoved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var q queue[int]
		var want, got []int
		var all []*item[int]
		for _, k := range rapid.SliceOf(rapid.IntRange(0, 20)).Draw(t, "keys") {
			all = append(all, q.add(k, func() {}))
		}
		for _, i := range all {
			if rapid.Bool().Draw(t, "remove") {
				q.remove(i)
				q.remove(i) // it is out
			} else {
				want = append(want, i.key)
			}
		}
		q.remove(nil)
		slices.Sort(want)
		last := uint64(0)
		for i := q.first(); i != nil; i = q.first() {
			if n := len(got); n > 0 && got[n-1] == i.key && i.seq < last {
				t.Fatalf("equal keys in another order than they came")
			}
			got, last = append(got, i.key), i.seq
			q.remove(i)
		}
		if !slices.Equal(got, want) || q.len() != 0 {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestOnGrid(t *testing.T) {
	t.Parallel()
	for in, want := range map[[3]time.Duration]time.Duration{
		{0, 0, 10}: 0, {1, 0, 10}: 10, {10, 0, 10}: 10, {11, 3, 10}: 13, {13, 3, 10}: 13, {14, 3, 10}: 23,
		{1, 3, 10}: 3, {0, 3, 10}: 3, {7, 0, 0}: 7,
	} {
		if got := onGrid(in[0], in[1], in[2]); got != want {
			t.Errorf("from %d on, phase %d, period %d: %d, want %d", in[0], in[1], in[2], got, want)
		}
	}
}

func TestDurationIsNeverTooShort(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]time.Duration{0: 0, -1: 0, 1: time.Second, 1e-10: 1, 0.1: 100 * time.Millisecond} {
		if got := duration(in); got != want {
			t.Errorf("%g s are %s, want %s", in, got, want)
		}
	}
	if got := duration(math.Inf(1)); got < 10*365*24*time.Hour {
		t.Errorf("never is %s", got)
	}
}

func TestCrowdingIsTheShareOfCoresOnWhichATaskWaits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ taken, tasks, room, want float64 }{
		{0, 2, 2, 0}, {0, 3, 2, 0.5}, {0, 4, 2, 1}, {0, 9, 2, 1}, {0, 20, 16, 0.25},
		{1, 0, 1, 1 - 2*math.Exp(-1)}, {1, 1, 1, 1 - math.Exp(-1)}, {0.1, 0, 1000, 0}, {30, 0, 15, 0.855},
	} {
		if got := crowding(test.taken, test.tasks, test.room); math.Abs(got-test.want) > 1e-2 {
			t.Errorf("%g taken, %g tasks, room for %g: %.4f, want %.4f", test.taken, test.tasks, test.room, got, test.want)
		}
	}
}
