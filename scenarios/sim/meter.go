// meter.go samples the model as pressure.Meter samples a node.

package sim

import (
	"math"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// meter makes a sample of the difference between two moments.
type meter struct {
	at        time.Duration
	cpu, disk totals
	stalled   float64
}

// sample is what the node did since the sample before.
func (h *herd) sample() pressure.Sample {
	h.cpu.advance()
	h.disk.advance()
	m := &h.meter
	dt := (h.clock.now - m.at).Seconds()
	share := func(now, before float64) float64 { // of the time
		part := (now - before) / dt
		if part > 0 && part < 1 {
			part += h.noise(0.5)
		}
		return min(max(0, part), 1)
	}
	room := h.cpu.room
	s := pressure.Sample{
		At: h.time(), Cores: room, PSI: true,
		Busy:    min(max(0, (h.cpu.total.busy-m.cpu.busy)/dt+h.noise(room)), room),
		Running: float64(h.cpu.wanted() + h.woken()),
		Blocked: float64(h.disk.wanted()),
		CPU:     share(h.cpu.total.waited, m.cpu.waited) * (1 - h.model.Skew*h.chance.Float64()),
		IO:      share(h.disk.total.used, m.disk.used),
		IOFull:  share(h.stalled, m.stalled),
	}
	if h.quota { // tasks are counted for the whole machine
		s.Running, s.Blocked = -1, -1
	}
	*m = meter{at: h.clock.now, cpu: h.cpu.total, disk: h.disk.total, stalled: h.stalled}
	return s
}

// noise is a random error for a measured number of about that size.
func (h *herd) noise(size float64) float64 {
	return h.chance.NormFloat64() * h.model.Noise * size
}

// woken is how many tasks beside the herd's run at the moment of a look: mostly
// none or one, but sometimes the look's own timer woke many.
func (h *herd) woken() int {
	few := h.poisson(h.cpu.taken)
	if h.chance.Float64() < h.model.Woken {
		few += 1 + h.poisson(3)
	}
	return few
}

// poisson is a random number with that mean.
func (h *herd) poisson(mean float64) int {
	n, p := 0, h.chance.Float64()
	for least := math.Exp(-mean); p > least && n < 1000; n++ {
		p *= h.chance.Float64()
	}
	return n
}

// recorded is the sample as a run has it.
func recorded(at float64, s pressure.Sample) record.Sample {
	return record.Sample{At: at, Pressure: &s.CPU, IO: &s.IO, Busy: s.Busy}
}
