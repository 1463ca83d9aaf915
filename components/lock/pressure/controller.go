// The controller: how many slots there may be.

package pressure

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Interval is how often the controller wants a sample.
const Interval = 250 * time.Millisecond

// Config bounds the limit.
type Config struct {
	// Min is the least, at least 1: a node that is busy with other things starts
	// its pods nevertheless.
	Min int
	// Max is the most; 0 takes it from the cores of the first sample.
	Max int
}

// MaxPerCore is the most slots for each core that a Config without Max allows:
// starts that only wait fit on a node by the dozen.
const MaxPerCore = 32

// What the controller believes of any node. All of it was found in the
// simulator and tried on real nodes; make simulate shows what it is worth.
const (
	// A grant is load to come for so long: the kubelet looks for containers that
	// ended once a second, and then has to start the next one.
	unseen, seen = time.Second, 2 * time.Second
	delay        = (unseen + seen) / 2
	// Over so long demand is averaged.
	settling = 300 * time.Millisecond
	// deafening is how many for each core may want it: more tell nothing more, and a
	// crowd that has gone, such as that of starting sandboxes, is to be forgotten soon.
	deafening = 4
	// learning is how long it takes to believe that a start costs less than was
	// thought. That it costs more is believed at once.
	learning = 700 * time.Millisecond
	// forgetting is how long that is remembered when nobody starts.
	forgetting = 5 * time.Second
	// leastCost is the least that a start is taken to cost, in cores or readers:
	// what is cheap now may only be about to begin.
	leastCost = 0.05
	// queueing is on how many of the cores a task should wait: fewer, and cores are
	// idle while one start ends and the next is on its way; more slow all down.
	queueing = 1
	// unproven is how many for each core may start before any was seen to run.
	unproven = 1.5
	// last is how many for each core are the last of a herd.
	last = 1
	// drowning is how many tasks for each core must not wait for longer than patience.
	drowning, patience = 1.5, time.Second
	// enough is the part of a start that there must be room for.
	enough = 0.25
	// turnover bounds the starts, by their cost, that are counted on to end soon.
	turnover = 0.75
	// looks is in how many looks a task has to be seen.
	looks = 4
	// most is the share of what pressure can show from which on it may be more.
	most = 0.9
	// crowding times the cores, and of that the root, is how many more starts than
	// cores may compete, by their cost, before any has ended. Afterwards they have
	// to be done in the share slack of the time that their probes give them.
	crowding, slack = 2, 0.7
	// crowd is the most tasks that one look is believed to see waiting for the
	// disk, when the kernel's pressure says that there always are some.
	crowd = 16
	// readers is how many starts may wait for the disk at once.
	readers = 4
	// blind is how much of the cores may be in use where nobody counts who waits.
	blind = 0.9
	// Memory pressure above these shares lets nobody start for a while: there,
	// one more start makes all of them slow.
	memorySome, memoryFull = 0.2, 0.05
	memoryPause            = 5 * time.Second
	// stale is the age at which the last sample says nothing any more.
	stale = 2 * time.Second
)

// Controller finds the limit for a node from what it sees of it. It is pure: no
// clock, no I/O. Not safe for concurrent use.
//
// It asks one question about each sample: how many more starts would find the
// CPUs just busy? Demand is the cores in use and the tasks that wait for one, so
// it goes on growing where utilisation ends. Wanted is a demand a little above
// the cores: enough that no core is idle while one start ends and the next is on
// its way, not so much that starts slow each other down. What is missing between
// the two, divided by what a start was found to cost, less the grants that are
// too young to show, is how many may go now; and never more go unproven than
// have been seen to run, so that the number at most doubles until it shows.
type Controller struct {
	cfg       Config
	last      time.Time // of the sample before
	cores     float64   // of the last sample
	cpu, disk resource
	looks     []float64 // the last few numbers of tasks that run
	past      experience
	full      time.Duration // for how long as much waited as pressure can show
	braked    time.Time     // until then, for the sake of memory
	why       string
}

// resource is one thing that starts compete for.
type resource struct {
	demand float64 // how much of it is wanted
	cost   float64 // how much of it a start wants, for each unit of weight
}

// NewController makes a controller that has seen nothing yet.
func NewController(cfg Config) *Controller {
	cfg.Min = max(cfg.Min, 1)
	return &Controller{cfg: cfg, cpu: resource{cost: 1}, disk: resource{cost: leastCost},
		past: experience{cost: 1}, why: "the node was not looked at yet"}
}

// Limit takes in a sample and answers with the limit from now on. The grants are
// those held now, waiting is how many wait for one. It wants to be called about
// every Interval.
func (c *Controller) Limit(s Sample, grants []Grant, waiting int) int {
	if c.cfg.Max == 0 {
		c.cfg.Max = max(c.cfg.Min, MaxPerCore*int(math.Ceil(s.Cores)))
	}
	c.cores = s.Cores
	held, shown := weigh(grants, s.At)
	c.learn(s, grants, held, shown)
	coming := float64(held) - shown
	leaving := min(c.past.leaving(shown), turnover*s.Cores/c.cpu.cost)
	room := min(
		(wanted(s, waiting)-c.cpu.demand)/c.cpu.cost,
		(readers+s.Cores/2-c.disk.demand)/c.disk.cost,
	) - coming + leaving
	room = min(room, max(s.Cores*unproven, shown)-coming)
	limit := held
	switch {
	case s.At.Before(c.braked):
		limit = c.cfg.Min
	case room >= enough:
		limit += max(1, int(room))
	case c.full >= patience: // far too many: one of those that end is not replaced
		limit--
	}
	if crowd, ok := c.past.crowd(s.Cores); ok && limit > crowd {
		limit = max(crowd, held-1)
	}
	c.why = c.explain(s, limit, held)
	return min(max(limit, c.cfg.Min), c.cfg.Max)
}

// Blind answers with the limit while the node cannot be sampled: a number that
// does no harm to a node of so many cores.
func (c *Controller) Blind(why error) int {
	limit := min(max(int(math.Ceil(c.cores)), c.cfg.Min), max(c.cfg.Max, c.cfg.Min))
	c.why = fmt.Sprintf("one for each core, because the node cannot be looked at: %v", why)
	return limit
}

// Why says in words why the limit is what it is.
func (c *Controller) Why() string { return c.why }

// weigh is the weight of all grants, and how much of it shows in a sample.
func weigh(grants []Grant, now time.Time) (held int, shown float64) {
	for _, g := range grants {
		held += g.Weight
		age := min(max(now.Sub(g.Since), unseen), seen)
		shown += float64(g.Weight) * float64(age-unseen) / float64(seen-unseen)
	}
	return held, shown
}

// wanted is the demand for CPU at which the node is just busy. The last of a herd
// need not leave room for anybody: the sooner they go, the less is the node idle
// while the very last one ends.
func wanted(s Sample, waiting int) float64 {
	if !s.PSI && s.Running < 0 { // nobody counts who waits
		return s.Cores * blind
	}
	if waiting > 0 && float64(waiting) <= s.Cores*last {
		return s.Cores * (1 + drowning)
	}
	return s.Cores * (1 + queueing)
}

// brim is the demand from which on there are too many starts, or may be far more
// than can be seen.
func brim(s Sample) float64 {
	switch {
	case s.Running >= 0:
		return s.Cores * (1 + drowning)
	case s.PSI:
		return s.Cores * (1 + most)
	default:
		return s.Cores * 0.95
	}
}

// waiting is how many tasks wait for a core. The kernel's pressure is the mean of
// all cores: a share of one half on two of them is one task at least; more may
// wait on the same core. A look at how many tasks run sees all of them, but it is
// one moment, and often that of a timer that woke others too: of the last few
// looks the least counts.
func (c *Controller) waiting(s Sample) float64 {
	waits := s.Cores * s.CPU
	if s.Running < 0 {
		c.looks = nil
		return waits
	}
	if len(c.looks) == looks {
		c.looks = c.looks[1:]
	}
	c.looks = append(c.looks, s.Running)
	return max(waits, slices.Min(c.looks)-s.Busy)
}

// reading is how many tasks wait for the disk. The kernel's pressure is the
// share of the time in which any did; how many they were tells a look only.
func reading(s Sample) float64 {
	if s.Blocked < 0 {
		return s.IO
	}
	return min(max(s.Blocked, s.IO), crowd*s.IO)
}

// learn takes in what a sample says of the resources.
func (c *Controller) learn(s Sample, grants []Grant, held int, shown float64) {
	dt := s.At.Sub(c.last)
	if c.last.IsZero() || dt < 0 || dt > stale {
		c.cpu.demand, c.disk.demand = s.Busy, 0 // what was before is no part of it
		dt = Interval
	}
	c.last = s.At
	waits, reads := min(c.waiting(s), deafening*s.Cores-s.Busy), reading(s)
	c.cpu.learn(dt, s.Busy+waits, held, shown, 1, s.Running >= 0 || waits < most*s.Cores)
	c.disk.learn(dt, reads, held, shown, leastCost, s.Blocked >= 0 || reads < most)
	c.past.learn(dt, s.At, grants, s.Busy, c.cpu.demand, shown, c.cpu.cost)
	if c.full += dt; c.cpu.demand < brim(s) {
		c.full = 0
	}
	if s.Memory > memorySome || s.MemoryFull > memoryFull {
		c.braked = s.At.Add(memoryPause)
	}
}

// learn takes in a measured demand. A start is taken to cost as much as
// unknown ones do when there was none for a while. A demand that is not the
// whole one does not make starts cheap.
func (r *resource) learn(dt time.Duration, demand float64, held int, shown, unknown float64, whole bool) {
	r.demand += part(dt, settling) * (demand - r.demand)
	switch {
	case shown >= 0.5:
		cost := min(max(r.demand/shown, leastCost), 1)
		if whole || cost > r.cost {
			r.cost = max(cost, r.cost+part(dt, learning)*(cost-r.cost))
		}
	case held == 0:
		r.cost += part(dt, forgetting) * (unknown - r.cost)
	}
}

// part is how much of the way to a new value an average over tau goes in dt.
func part(dt, tau time.Duration) float64 { return 1 - math.Exp(-dt.Seconds()/tau.Seconds()) }

// explain says why the limit is what it is.
func (c *Controller) explain(s Sample, limit, held int) string {
	switch {
	case s.At.Before(c.braked):
		return "held at the minimum: memory is short on this node"
	case limit < c.cfg.Min:
		return fmt.Sprintf("at the minimum: %s", c.describe(s))
	case limit > c.cfg.Max:
		return fmt.Sprintf("at the maximum: %s", c.describe(s))
	case limit > held:
		return fmt.Sprintf("room for %d more: %s", limit-held, c.describe(s))
	case limit < held:
		return fmt.Sprintf("too many start at once: %s", c.describe(s))
	default:
		return fmt.Sprintf("busy: %s", c.describe(s))
	}
}

// describe is the node in a few figures.
func (c *Controller) describe(s Sample) string {
	text := fmt.Sprintf("%.1f of %.4g cores in use", s.Busy, s.Cores)
	if waits := c.cpu.demand - s.Busy; waits > 0.05 {
		text += fmt.Sprintf(", %.1f tasks wait for one", waits)
	}
	if c.disk.demand > 0.05 {
		text += fmt.Sprintf(", %.1f wait for the disk", c.disk.demand)
	}
	return text
}
