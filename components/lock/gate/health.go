// Health's word: its stream, followed for as long as the lock lives.

package gate

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// Pauses between two attempts to reach health, which is on the same node.
const (
	firstPause = 250 * time.Millisecond
	mostPause  = 4 * time.Second
)

// Health follows what health says of the node.
type Health struct {
	Client *healthapi.Client
	// Patience is how long the gate may stay closed because health is away, or
	// knows nothing yet. Then the lock goes on without it: slots end with their
	// leases. What health does know keeps the gate closed for as long as it says so.
	Patience time.Duration
	Log      *slog.Logger
	// Tell is told every event, and Connection when health or its API server is
	// lost or found. They are not called at the same time, and before the gate
	// opens or closes for what they were told.
	Tell       func(healthapi.Event)
	Connection func(lockapi.Health)
}

// Run reports the reasons against starting when they change, until ctx is done.
func (h Health) Run(ctx context.Context, report func(reasons []string)) {
	f := &follower{Health: h, report: report, connection: lockapi.Health{Since: time.Now(), Error: "it was not reached yet"}}
	f.Connection(f.connection)
	f.mu.Lock()
	f.running = time.AfterFunc(h.Patience, f.goOn)
	f.mu.Unlock()
	defer f.stop()
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, mostPause) {
		err := h.Client.Watch(ctx, func(e healthapi.Event) {
			pause = firstPause
			f.hear(e)
		})
		if ctx.Err() != nil {
			return
		}
		f.lose(err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
	}
}

// follower is a Health at work.
type follower struct {
	Health
	report func(reasons []string)

	mu         sync.Mutex
	status     healthapi.Status // what health said last
	connection lockapi.Health
	running    *time.Timer // the patience, while there is need for it
	goesOn     bool        // it is over
	said       []string    // the reasons reported last
}

// hear takes an event in.
func (f *follower) hear(e healthapi.Event) {
	f.Tell(e)
	if e.Node == nil && e.Status == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Node != nil {
		f.status = e.Node.Status
	} else {
		f.status = *e.Status
	}
	found := !f.connection.Connected
	now := lockapi.Health{Connected: true, API: f.status.API.Connected, Since: f.connection.Since, Error: f.status.API.Error}
	switch {
	case !now.API:
		now.Since = f.status.API.Since
	case found || !f.connection.API:
		now.Since = e.At
	}
	if found {
		f.Log.Info("health is there", "lost", f.connection.Since)
	} else if now.API != f.connection.API {
		f.Log.Info("health's connection to the API server changed", "connected", now.API, "since", now.Since, "error", now.Error)
	}
	f.connect(now)
	f.settle()
}

// lose notes a stream that ended. What health said last stands.
func (f *follower) lose(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := lockapi.Health{Since: f.connection.Since, Error: err.Error()}
	if f.connection.Connected {
		now.Since = time.Now()
		f.Log.Warn("health is lost, going on with what it said last", "error", err)
	} else {
		f.Log.Debug("health does not answer", "error", err)
	}
	f.connect(now)
	f.settle()
}

func (f *follower) connect(now lockapi.Health) {
	if now != f.connection {
		f.connection = now
		f.Connection(now)
	}
}

// stop ends the patience for good.
func (f *follower) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != nil {
		f.running.Stop()
	}
	f.running = nil
}

// goOn is the end of the patience.
func (f *follower) goOn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		return // health spoke at the last moment
	}
	f.goesOn = true
	f.settle()
}

// settle reports what follows for the gate, and watches the patience. Needs mu.
func (f *follower) settle() {
	reasons := slices.Clone(f.status.Reasons)
	if f.connection.Connected && f.status.Synced {
		if f.running != nil {
			f.running.Stop()
		}
		f.running, f.goesOn = nil, false
	} else {
		if f.running == nil {
			f.running = time.AfterFunc(f.Patience, f.goOn)
		}
		if !f.connection.Connected && (len(reasons) > 0 || !f.status.Synced) {
			reasons = append(reasons, healthAwayReason+f.connection.Error)
		}
	}
	if f.goesOn && len(reasons) > 0 {
		if len(f.said) > 0 {
			f.Log.Warn("going on without health: slots end with their leases", "patience", f.Patience.String(), "reasons", reasons)
		}
		reasons = nil
	}
	if f.said == nil || !slices.Equal(reasons, f.said) {
		f.said = append([]string{}, reasons...)
		f.report(reasons)
	}
}
