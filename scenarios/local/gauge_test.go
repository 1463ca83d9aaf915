package local

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// half is a gauge of a node that uses half a core.
func half(t *testing.T) gauge {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("nothing to read from")
	}
	began := time.Now()
	return gauge{Meter: machine.NewMeter(nil), used: func() (float64, error) { return time.Since(began).Seconds() / 2, nil }}
}

func TestANodeWithAQuotaIsMeasuredByItsCgroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := half(t)
		if busy, err := g.Idle(t.Context(), 4*time.Second); err != nil || busy != 0.5 {
			t.Errorf("%v cores, %v, want 0.5", busy, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		samples := 0
		g.Watch(ctx, func(_ time.Time, s record.Sample) {
			if samples++; s.Busy != 0.5 {
				t.Errorf("a sample of %v cores, want 0.5", s.Busy)
			}
		})
		if samples < 30 {
			t.Errorf("%d samples in 10 s", samples)
		}
	})
}

func TestACgroupThatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	g := half(t)
	g.used = func() (float64, error) { return 0, errors.New("gone") }
	if _, err := g.Read(); err == nil {
		t.Error("no error")
	}
	g.Watch(t.Context(), func(time.Time, record.Sample) { t.Error("a sample") }) // ends by itself
}
