// The limit that follows the node.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/server"
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
func (c *Config) follow(ctx context.Context, lock *server.Server, log *slog.Logger) {
	meter := pressure.NewMeter(pressure.MeterOptions{InPod: os.Getenv("KUBERNETES_SERVICE_HOST") != ""})
	defer meter.Close()
	controller := pressure.NewController(pressure.Config{Min: int(c.MinLocks), Max: int(c.MaxLocks)})
	tick := time.NewTicker(pressure.Interval)
	defer tick.Stop()
	blind, told := false, false
	for {
		sample, ok, err := meter.Read(time.Now())
		if err != nil != blind {
			if blind = err != nil; blind {
				log.Warn("the node cannot be looked at: slots are fixed until it can", "error", err)
			} else {
				log.Info("the node can be looked at again: slots follow it")
			}
		}
		switch {
		case err != nil:
			lock.Adjust(nil, func([]pressure.Grant) (int, string) { return controller.Blind(err), controller.Why() })
		case ok:
			if missing := meter.Missing(); !told && len(missing) > 0 {
				told = true
				log.Warn("the node shows only a part of its pressure: slots follow what there is", "missing", missing)
			}
			lock.Adjust(&sample, func(held []pressure.Grant) (int, string) { return controller.Limit(sample, held), controller.Why() })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
