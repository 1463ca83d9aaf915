// Package machine reads how contended this machine is, and what machine it is.
package machine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// Meter reads the counters of this machine, with the lock's own meter. Safe for
// concurrent use.
type Meter struct {
	mu    sync.Mutex
	meter *pressure.Meter
}

// NewMeter makes a meter of the given CPUs, or of those that this program may use.
func NewMeter(cpus []int) *Meter { return newMeter(pressure.MeterOptions{CPUs: cpus}) }

func newMeter(opts pressure.MeterOptions) *Meter { return &Meter{meter: pressure.NewMeter(opts)} }

// Reading is the state of the counters at one moment; two of them make a
// measurement. Pressure is the whole machine's, as the kernel keeps no other.
type Reading struct{ pressure.Counters }

// Read takes a reading. It fails where the system does not count CPU use.
func (m *Meter) Read() (Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.meter.Count(time.Now())
	return Reading{c}, err
}

// Since is what happened from an earlier reading to this one, without its time;
// not ok if the two cannot be compared. What nobody counted is nil.
func (r Reading) Since(earlier Reading) (s record.Sample, ok bool) {
	happened, ok := r.Counters.Since(earlier.Counters)
	if !ok {
		return record.Sample{}, false
	}
	s.Busy = happened.Busy
	if happened.PSI {
		s.Pressure = &happened.CPU
	}
	if r.IO.Known() && earlier.IO.Known() {
		s.IO = &happened.IO
	}
	if r.Memory.Known() && earlier.Memory.Known() {
		s.Memory = &happened.Memory
	}
	return s, true
}

// Watch reads as often as the lock does and hands every measurement to keep,
// until the context ends. It returns at once where nothing can be read.
func (m *Meter) Watch(ctx context.Context, keep func(at time.Time, s record.Sample)) {
	last, err := m.Read()
	if err != nil {
		return
	}
	tick := time.NewTicker(pressure.Interval)
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
		if s, ok := now.Since(last); ok {
			keep(now.At, s)
		}
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
	s, ok := after.Since(before)
	if !ok {
		return 0, errors.New("measure how busy this machine is: its CPU quota was changed meanwhile")
	}
	return s.Busy, nil
}

// Describe is this machine as a report names it.
func Describe(node string) record.Machine {
	kernel, cpu := identify()
	return record.Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernel, CPU: cpu,
		Cores: runtime.NumCPU(), Go: runtime.Version(), Node: node,
	}
}
