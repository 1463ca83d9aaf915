package pressure_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
)

// node is a very small model of one: pods wait without end, each start uses the
// same of the CPU from a moment after its grant on, and lasts until it had its
// share of the CPU.
type node struct {
	cores float64
	noise float64       // cores that others want
	cost  float64       // cores that a start wants
	work  time.Duration // how much CPU it needs; 0 never ends
	psi   bool
	looks bool // the tasks that run are counted
	stuck *pressure.Sample

	now     time.Time
	starts  []start
	limit   int
	control *pressure.Controller
}

type start struct {
	since time.Time
	done  time.Duration
}

func newNode(cores float64, cfg pressure.Config) *node {
	return &node{cores: cores, cost: 1, psi: true, looks: true, limit: 1,
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), control: pressure.NewController(cfg)}
}

// lag is from a grant until its application runs.
const lag = time.Second

// step lives for one interval.
func (n *node) step() {
	for len(n.starts) < n.limit {
		n.starts = append(n.starts, start{since: n.now})
	}
	n.now = n.now.Add(pressure.Interval)
	wanted := n.noise
	for _, s := range n.starts {
		if n.now.Sub(s.since) > lag {
			wanted += n.cost
		}
	}
	share := min(1, n.cores/max(wanted, 1e-9))
	var left []start
	for _, s := range n.starts {
		if n.now.Sub(s.since) > lag {
			s.done += time.Duration(share * float64(pressure.Interval) * n.cost)
		}
		if n.work == 0 || s.done < n.work {
			left = append(left, s)
		}
	}
	n.starts = left
	s := pressure.Sample{At: n.now, Cores: n.cores, Busy: min(wanted, n.cores), Running: -1, Blocked: -1, PSI: n.psi}
	if n.looks {
		s.Running, s.Blocked = wanted, 0
	}
	if n.psi && wanted > n.cores {
		s.CPU = min(1, (wanted-n.cores)/n.cores)
	}
	if n.stuck != nil {
		at := s.At
		s = *n.stuck
		s.At = at
	}
	n.decide(s)
}

func (n *node) decide(s pressure.Sample) {
	var grants []pressure.Grant
	for _, s := range n.starts {
		grants = append(grants, pressure.Grant{Since: s.since, Weight: 1})
	}
	n.limit = n.control.Limit(s, grants, 1000)
}

// live lives for a while and tells between what the limit was.
func (n *node) live(d time.Duration) (least, most int) {
	least = math.MaxInt
	for range int(d / pressure.Interval) {
		n.step()
		least, most = min(least, n.limit), max(most, n.limit)
	}
	return least, most
}

func TestTheLimitSettlesALittleAboveTheCores(t *testing.T) {
	t.Parallel()
	for _, cores := range []float64{1, 2, 4, 16, 64} {
		n := newNode(cores, pressure.Config{})
		n.live(20 * time.Second)
		least, most := n.live(20 * time.Second)
		if float64(least) < cores || float64(most) > cores*2.1+2 {
			t.Errorf("%v cores: between %d and %d", cores, least, most)
		}
		if most-least > 2 {
			t.Errorf("%v cores: swings between %d and %d at constant load", cores, least, most)
		}
	}
}

func TestTheLimitStaysWithinOneAtConstantLoad(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cores := float64(rapid.IntRange(1, 32).Draw(t, "cores"))
		n := newNode(cores, pressure.Config{})
		n.cost = rapid.Float64Range(0.3, 1).Draw(t, "cost")
		n.noise = rapid.Float64Range(0, cores).Draw(t, "noise")
		n.live(30 * time.Second)
		least, most := n.live(30 * time.Second)
		if most-least > 2 {
			t.Errorf("between %d and %d", least, most)
		}
	})
}

func TestStartsThatOnlyWaitAreAllLetGoWithinSeconds(t *testing.T) {
	t.Parallel()
	n := newNode(2, pressure.Config{})
	n.cost = 0.01
	n.live(12 * time.Second)
	if n.limit < 40 {
		t.Errorf("%d after 12 s", n.limit)
	}
}

func TestAStepInLoadIsAnsweredWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	n := newNode(4, pressure.Config{})
	n.work = 3 * time.Second
	n.live(30 * time.Second)
	calm := len(n.starts)
	n.noise = 12 // neighbours take three quarters of the node
	n.live(2 * time.Second)
	if n.limit >= calm || n.limit >= len(n.starts)+1 {
		t.Errorf("limit %d with %d starting, %d before", n.limit, len(n.starts), calm)
	}
	n.live(30 * time.Second)
	if n.limit > 2 {
		t.Errorf("limit %d on a node that is busy with other things", n.limit)
	}
	n.noise = 0
	before := n.limit
	n.live(2 * time.Second)
	if n.limit <= before {
		t.Errorf("limit %d two seconds after the neighbours were gone, %d before", n.limit, before)
	}
}

func TestAStuckReadingIsGotOver(t *testing.T) {
	t.Parallel()
	for name, stuck := range map[string]pressure.Sample{
		"idle": {Cores: 2, PSI: true}, "busy": {Cores: 2, Busy: 2, CPU: 1, Running: 30, PSI: true},
	} {
		n := newNode(2, pressure.Config{})
		n.work = 3 * time.Second
		n.live(20 * time.Second)
		least, most := n.live(20 * time.Second)
		n.stuck = &stuck
		n.live(time.Minute)
		n.stuck = nil
		n.live(4 * time.Minute) // those who started meanwhile have to end
		if l, m := n.live(20 * time.Second); l < least-1 || m > most+1 {
			t.Errorf("%s: between %d and %d, before between %d and %d", name, l, m, least, most)
		}
	}
}

func TestTheLimitEndsAtItsBoundsUnderConstantExtremes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cores := float64(rapid.IntRange(1, 64).Draw(t, "cores"))
		cfg := pressure.Config{Min: rapid.IntRange(1, 4).Draw(t, "min")}
		cfg.Max = cfg.Min + rapid.IntRange(0, 60).Draw(t, "more")
		n := newNode(cores, cfg)
		n.psi, n.looks = rapid.Bool().Draw(t, "psi"), rapid.Bool().Draw(t, "looks")
		n.cost = 0
		n.live(30 * time.Second)
		if n.limit != cfg.Max {
			t.Errorf("%d on a node where starts cost nothing, want %d", n.limit, cfg.Max)
		}
		n.cost, n.work, n.noise = 1, time.Second, 100*cores
		for range 400 { // by then all that started before have ended, however slowly
			n.starts = nil
			n.step()
		}
		if n.limit != cfg.Min {
			t.Errorf("%d on a node that is busy with other things, want %d", n.limit, cfg.Min)
		}
	})
}

func TestTheLimitIsAlwaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := pressure.Config{Min: rapid.IntRange(0, 4).Draw(t, "min"), Max: rapid.IntRange(4, 20).Draw(t, "max")}
		n := newNode(2, cfg)
		share := rapid.Float64Range(0, 1)
		for range 50 {
			n.now = n.now.Add(time.Duration(rapid.Int64Range(-1e9, 5e9).Draw(t, "dt")))
			for len(n.starts) < n.limit {
				n.starts = append(n.starts, start{since: n.now})
			}
			n.starts = n.starts[:rapid.IntRange(0, len(n.starts)).Draw(t, "left")]
			n.decide(pressure.Sample{At: n.now, Cores: float64(rapid.IntRange(0, 64).Draw(t, "cores")),
				Busy: rapid.Float64Range(0, 64).Draw(t, "busy"), Running: rapid.Float64Range(-1, 500).Draw(t, "running"),
				Blocked: rapid.Float64Range(-1, 500).Draw(t, "blocked"), PSI: rapid.Bool().Draw(t, "psi"),
				CPU: share.Draw(t, "cpu"), IO: share.Draw(t, "io"), Memory: share.Draw(t, "memory"), MemoryFull: share.Draw(t, "full")})
			if n.limit < max(cfg.Min, 1) || n.limit > cfg.Max {
				t.Fatalf("%d, want %d to %d", n.limit, cfg.Min, cfg.Max)
			}
		}
	})
}

func TestMemoryPressureBrakesHardest(t *testing.T) {
	t.Parallel()
	n := newNode(8, pressure.Config{Min: 2})
	n.live(20 * time.Second)
	n.starts = nil
	n.decide(pressure.Sample{At: n.now, Cores: 8, PSI: true, Memory: 0.5, MemoryFull: 0.1})
	if n.limit != 2 || !strings.Contains(n.control.Why(), "memory") {
		t.Errorf("%d: %s", n.limit, n.control.Why())
	}
	n.live(4 * time.Second)
	if n.limit != 2 {
		t.Errorf("%d a moment later", n.limit)
	}
	n.live(10 * time.Second)
	if n.limit <= 2 {
		t.Errorf("%d when it is over", n.limit)
	}
}

func TestReadersOfTheDiskAreFew(t *testing.T) {
	t.Parallel()
	c := pressure.NewController(pressure.Config{})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var grants []pressure.Grant
	limit := 1
	for range 120 {
		for len(grants) < limit {
			grants = append(grants, pressure.Grant{Since: now, Weight: 1})
		}
		now = now.Add(pressure.Interval)
		readers := 0.0
		for _, g := range grants {
			if now.Sub(g.Since) > lag {
				readers++
			}
		}
		limit = c.Limit(pressure.Sample{At: now, Cores: 2, Busy: 0.2, PSI: true, IO: min(1, readers), Blocked: readers}, grants, 1000)
	}
	if limit < 3 || limit > 8 {
		t.Errorf("%d read from one disk", limit)
	}
}

func TestWeightsCountInCores(t *testing.T) {
	t.Parallel()
	c := pressure.NewController(pressure.Config{})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	grants := []pressure.Grant{{Since: now, Weight: 4}}
	// Four cores' worth of starts on an idle node of eight: there is room, but
	// none of it is proven yet.
	if got := c.Limit(pressure.Sample{At: now.Add(pressure.Interval), Cores: 8, PSI: true}, grants, 1000); got != 12 {
		t.Errorf("limit %d", got)
	}
}

func TestABlindControllerDoesNoHarm(t *testing.T) {
	t.Parallel()
	n := newNode(4, pressure.Config{})
	if got := n.control.Blind(errors.New("no /proc")); got != 1 || !strings.Contains(n.control.Why(), "no /proc") {
		t.Errorf("at first: %d, %s", got, n.control.Why())
	}
	n.cost = 0
	n.live(20 * time.Second)
	if got := n.control.Blind(errors.New("no /proc")); got != 4 {
		t.Errorf("later: %d", got)
	}
}

func TestWhyIsSaid(t *testing.T) {
	t.Parallel()
	n := newNode(2, pressure.Config{Max: 3})
	for want, s := range map[string]pressure.Sample{
		"room for 3 more: 0.2 of 2 cores in use":  {Cores: 2, Busy: 0.2, PSI: true},
		"at the minimum: 2.0 of 2 cores in use, ": {Cores: 2, Busy: 2, Running: 30, PSI: true, CPU: 1},
	} {
		c := pressure.NewController(pressure.Config{})
		for i := range 20 {
			s.At = n.now.Add(time.Duration(i) * pressure.Interval)
			c.Limit(s, nil, 0)
		}
		if !strings.HasPrefix(c.Why(), want) {
			t.Errorf("%q, want %q", c.Why(), want)
		}
	}
}
