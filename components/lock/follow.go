// The limit that follows the node.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
)

// firstLimit is how many slots there are until the node was looked at.
func (c *Config) firstLimit() int {
	if c.Locks == auto {
		return int(c.MinLocks)
	}
	return int(c.Locks)
}

func (c *Config) limitReason() string {
	if c.Locks == auto {
		return "the node was not looked at yet"
	}
	return fmt.Sprintf("fixed by --locks %d", c.Locks)
}

// follow samples the node, and sets the limit by what it sees, until ctx is done.
func (c *Config) follow(ctx context.Context, lock adjuster, log *slog.Logger) {
	meter := pressure.NewMeter(pressure.MeterOptions{InPod: os.Getenv("KUBERNETES_SERVICE_HOST") != ""})
	defer meter.Close()
	f := follower{meter: meter, lock: lock, log: log,
		controller: pressure.NewController(pressure.Config{Min: int(c.MinLocks), Max: int(c.MaxLocks)})}
	for {
		f.look(time.Now())
		select {
		case <-time.After(untilNext()):
		case <-ctx.Done():
			return
		}
	}
}

// untilNext is the time to the next look. Looks at even intervals would keep
// company with everybody else's timers, and always find them running.
func untilNext() time.Duration {
	return pressure.Interval*4/5 + rand.N(pressure.Interval*2/5)
}

// adjuster is whose limit it is.
type adjuster interface {
	Adjust(node *pressure.Sample, decide func(grants []pressure.Grant, waiting int) (limit int, why string))
}

// meter is what samples the node.
type meter interface {
	Read(now time.Time) (s pressure.Sample, ok bool, err error)
	Missing() []string
}

// follower makes limits of samples.
type follower struct {
	meter      meter
	controller *pressure.Controller
	lock       adjuster
	log        *slog.Logger
	blind      bool // the last look failed
	told       bool // what is missing was said
}

// look takes a sample and sets the limit by it.
func (f *follower) look(now time.Time) {
	sample, ok, err := f.meter.Read(now)
	if (err != nil) != f.blind {
		if f.blind = err != nil; f.blind {
			f.log.Warn("the node cannot be looked at: slots are fixed until it can", "error", err)
		} else {
			f.log.Info("the node can be looked at again: slots follow it")
		}
	}
	switch {
	case err != nil:
		f.lock.Adjust(nil, func([]pressure.Grant, int) (int, string) { return f.controller.Blind(err), f.controller.Why() })
		return
	case !ok:
		return
	}
	if missing := f.meter.Missing(); !f.told && len(missing) > 0 {
		f.told = true
		f.log.Warn("the node shows only a part of its pressure: slots follow what there is", "missing", missing)
	}
	f.lock.Adjust(&sample, func(held []pressure.Grant, waiting int) (int, string) {
		return f.controller.Limit(sample, held, waiting), f.controller.Why()
	})
}
