// Package nodeload asks the metrics API how busy a node is.
package nodeload

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// allocatableFor is how long the node's allocatable CPU is believed: it hardly
// ever changes, and asking for it is a request of its own.
const allocatableFor = 10 * time.Minute

// believed is how long a measurement stands while nobody answers. An older one
// says nothing of now, and a node whose API server is away for long must not
// hold its pods back for that.
const believed = time.Minute

// errNoAnswer is when the API server is away, as opposed to one that refuses.
var errNoAnswer = errors.New("the API server does not answer")

// patience bounds a look at the load, unless the period is shorter.
const patience = 10 * time.Second

// Config is where and how often to look.
type Config struct {
	Node      string
	Threshold int // percent
	Period    time.Duration
	BaseURL   *url.URL // of the API server
	Client    *http.Client
}

// Poller looks at the load of one node.
type Poller struct {
	cfg  Config
	tell func(*healthapi.Load)
	log  *slog.Logger

	allocatable float64 // in CPUs; 0 is unknown
	asked       time.Time
	last        healthapi.Load
	measured    time.Time // when last was made, on our clock
	trouble     string    // what was logged last
}

// New tells every look at the load: a measurement, why there is none, or nil
// when nobody answers for so long that nothing is known.
func New(cfg Config, tell func(*healthapi.Load), log *slog.Logger) *Poller {
	return &Poller{cfg: cfg, tell: tell, log: log}
}

// Run looks at once and every period, until ctx is done.
func (p *Poller) Run(ctx context.Context) {
	tick := time.NewTicker(p.cfg.Period)
	defer tick.Stop()
	for {
		load, err := p.look(ctx)
		if ctx.Err() != nil {
			return
		}
		p.note(err)
		p.tell(load)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// note logs when the load becomes unknown, for another reason than before, and known again.
func (p *Poller) note(err error) {
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	switch {
	case trouble != "" && trouble != p.trouble:
		p.log.Warn("node load is unknown", "err", err)
	case trouble == "" && p.trouble != "":
		p.log.Info("node load is known again", "cpuPercent", p.last.CPU)
	}
	p.trouble = trouble
}

// look returns what to tell, and what went wrong.
func (p *Poller) look(ctx context.Context) (*healthapi.Load, error) {
	ctx, cancel := context.WithTimeout(ctx, min(p.cfg.Period, patience))
	defer cancel()
	percent, at, err := p.measure(ctx)
	switch {
	case err == nil:
		p.last, p.measured = healthapi.Load{CPU: percent, Threshold: p.cfg.Threshold, At: at}, time.Now()
		return new(p.last), nil
	case !errors.Is(err, errNoAnswer):
		p.measured = time.Time{}
		return &healthapi.Load{Threshold: p.cfg.Threshold, Error: "node load: " + err.Error()}, err
	case time.Since(p.measured) < believed:
		return new(p.last), err
	default:
		return nil, err
	}
}

// measure returns the use of CPU in percent of what is allocatable, and when it was used.
func (p *Poller) measure(ctx context.Context) (percent int, at time.Time, err error) {
	used, at, err := p.readUse(ctx)
	if err != nil {
		return 0, time.Time{}, err
	}
	if p.allocatable == 0 || time.Since(p.asked) >= allocatableFor {
		allocatable, err := p.readAllocatable(ctx)
		if err != nil {
			return 0, time.Time{}, err
		}
		p.allocatable, p.asked = allocatable, time.Now()
	}
	return int(math.Round(min(100*used/p.allocatable, 1e6))), at, nil // a quantity may be as large as it likes
}
