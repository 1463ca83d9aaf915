// Package machine reads how contended the CPUs of this machine are, and what machine it is.
package machine

import (
	"context"
	"runtime"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// Reading is the state of counters at one moment; two of them make a measurement.
type Reading struct {
	At time.Time
	// Busy is the CPU-seconds used so far, by everyone, on the CPUs that count.
	Busy float64
	// Stalled is the seconds in which some task waited for a CPU; nil where the system does not count them.
	Stalled *float64
}

// Since is what happened from an earlier reading to this one: the mean number
// of busy cores, and the share of the time under CPU pressure.
func (r Reading) Since(earlier Reading) (busy float64, pressure *float64) {
	dt := r.At.Sub(earlier.At).Seconds()
	if dt <= 0 {
		return 0, nil
	}
	// Counters of idle CPUs may step back a little; nobody has used less than nothing.
	busy = max(0, r.Busy-earlier.Busy) / dt
	if r.Stalled != nil && earlier.Stalled != nil {
		p := min(1, max(0, *r.Stalled-*earlier.Stalled)/dt)
		pressure = &p
	}
	return busy, pressure
}

// Watch reads about four times per second and hands every measurement to keep,
// until the context ends. It returns at once where nothing can be read.
func (m *Meter) Watch(ctx context.Context, keep func(at time.Time, s record.Sample)) {
	const every = 250 * time.Millisecond
	last, err := m.Read()
	if err != nil {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := m.Read()
		if err != nil {
			continue // the next one may succeed; a gap in the samples shows
		}
		busy, pressure := now.Since(last)
		keep(now.At, record.Sample{Pressure: pressure, Busy: busy})
		last = now
	}
}

// Idle measures for a while how many cores are busy.
func (m *Meter) Idle(ctx context.Context, long time.Duration) (cores float64, err error) {
	before, err := m.Read()
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(long):
	}
	after, err := m.Read()
	if err != nil {
		return 0, err
	}
	cores, _ = after.Since(before)
	return cores, nil
}

// Describe is this machine as a report names it.
func Describe(node string) record.Machine {
	kernel, cpu := identify()
	return record.Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernel, CPU: cpu,
		Cores: runtime.NumCPU(), Go: runtime.Version(), Node: node,
	}
}
