package machine

import (
	"math"
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	t.Parallel()
	f := func(v float64) *float64 { return &v }
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		before, after Reading
		busy          float64
		pressure      *float64
	}{
		"a second":         {Reading{t0, 10, f(5)}, Reading{t0.Add(time.Second), 11.5, f(5.25)}, 1.5, f(0.25)},
		"half a second":    {Reading{t0, 10, f(5)}, Reading{t0.Add(time.Second / 2), 11, f(5.5)}, 2, f(1)},
		"no pressure":      {Reading{t0, 10, nil}, Reading{t0.Add(time.Second), 11, nil}, 1, nil},
		"counter reset":    {Reading{t0, 10, f(5)}, Reading{t0.Add(time.Second), 9, f(0)}, 0, f(0)},
		"counter overruns": {Reading{t0, 10, f(5)}, Reading{t0.Add(time.Second), 11, f(7)}, 1, f(1)},
		"no time passed":   {Reading{t0, 10, f(5)}, Reading{t0, 11, f(6)}, 0, nil},
	}
	for name, test := range tests {
		busy, pressure := test.after.Since(test.before)
		if math.Abs(busy-test.busy) > 1e-9 || (pressure == nil) != (test.pressure == nil) || pressure != nil && math.Abs(*pressure-*test.pressure) > 1e-9 {
			t.Errorf("%s: busy %v, pressure %v", name, busy, pressure)
		}
	}
}
