// gauge.go measures what the node uses: by the CPUs that it was given, or by the
// cgroup whose quota it lives on.

package local

import (
	"context"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// gauge is a meter of the node. Pressure is always the machine's.
type gauge struct {
	*machine.Meter
	// used is the CPU-seconds of the node so far; nil are those of the meter's CPUs.
	used func() (float64, error)
}

// Read takes a reading.
func (g gauge) Read() (machine.Reading, error) {
	r, err := g.Meter.Read()
	if err == nil && g.used != nil {
		r.Used, err = g.used()
	}
	return r, err
}

// Idle measures for a while how many cores are busy.
func (g gauge) Idle(ctx context.Context, long time.Duration) (cores float64, err error) {
	before, err := g.Read()
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(long):
	}
	after, err := g.Read()
	if err != nil {
		return 0, err
	}
	s, _ := after.Since(before)
	return s.Busy, nil
}

// Watch reads about four times per second and hands every measurement to keep,
// until the context ends. It returns at once where nothing can be read.
func (g gauge) Watch(ctx context.Context, keep func(at time.Time, s record.Sample)) {
	if g.used == nil {
		g.Meter.Watch(ctx, keep)
		return
	}
	last, err := g.Read()
	if err != nil {
		return
	}
	g.Meter.Watch(ctx, func(at time.Time, s record.Sample) {
		now, err := g.Read()
		if err != nil {
			return // a gap in the samples shows
		}
		used, _ := now.Since(last)
		s.Busy = used.Busy
		keep(at, s)
		last = now
	})
}
