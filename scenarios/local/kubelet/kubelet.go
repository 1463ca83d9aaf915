// Package kubelet does for one pod what the kubelet does: it runs the init
// container to its end, then the application; it probes the application, kills
// it when it does not live, and starts it again after a back-off.
//
// It knows nothing of processes and networks: what it runs and how it probes is
// given to it.
package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// grace is how long an application may take to end by itself: Kubernetes' default.
const grace = 30 * time.Second

// Container is something that runs.
type Container interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Err is how it ended: nil for exit code 0. Only meaningful after Done.
	Err() error
	// Stop asks it to end, makes it end after the grace, and returns when it has ended.
	Stop(grace time.Duration)
}

// Pod is one pod. Its functions must be safe to call from several goroutines.
type Pod struct {
	// Init starts the init container; nil is a pod without one.
	Init func() (Container, error)
	// Passed is told that the init container has ended well; nil is told nothing.
	Passed func()
	// App starts the application.
	App func() (Container, error)
	// Probe makes one HTTP check of the application; an error is a failure.
	Probe func(ctx context.Context, path string) error

	Probes spec.Probes
	// Shift is where in their period this pod's probes fall, from 0 to 1: pods
	// of one herd are not probed in the same instant.
	Shift float64
	// Tell is told what happens, when it happens.
	Tell func(what record.What, note string)
}

// Run runs the pod until the context ends; then nothing of it is left running.
// An error means that it could not be run at all.
func (p *Pod) Run(ctx context.Context) error {
	if p.Init != nil {
		if err := p.initialize(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		if p.Passed != nil {
			p.Passed()
		}
	}
	var delay backOff
	for {
		app, err := p.App()
		if err != nil {
			return fmt.Errorf("start the application: %w", err)
		}
		p.Tell(record.Started, "")
		why, killed := p.serve(ctx, app)
		if why == "" { // the context is over
			return nil
		}
		p.Tell(record.Stopped, why)
		if !sleep(ctx, delay.next(time.Now(), killed)) {
			return nil
		}
	}
}

// initialize runs the init container until it ends well once.
func (p *Pod) initialize(ctx context.Context) error {
	var delay backOff
	for {
		c, err := p.Init()
		if err != nil {
			return fmt.Errorf("start the init container: %w", err)
		}
		select {
		case <-ctx.Done():
			c.Stop(0)
			return nil
		case <-c.Done():
		}
		if c.Err() == nil || !sleep(ctx, delay.next(time.Now(), false)) {
			return nil
		}
	}
}

// serve probes the application until it ends, is killed, or the context ends;
// it says why, with nothing for the context. The application has ended when serve returns.
func (p *Pod) serve(ctx context.Context, app Container) (why string, killed bool) {
	probing, stop := context.WithCancel(ctx)
	var probes sync.WaitGroup
	dead := make(chan struct{})
	if l := p.Probes.Liveness; l != nil {
		probes.Go(func() {
			p.watch(probing, l, "/livez", true, func(ok bool) bool {
				if !ok {
					close(dead)
				}
				return ok // on hold until there is a new container
			})
		})
	}
	if r := p.Probes.Readiness; r != nil {
		probes.Go(func() {
			p.watch(probing, r, "/readyz", false, func(ok bool) bool {
				if ok {
					p.Tell(record.Ready, "")
				} else {
					p.Tell(record.Unready, "readiness probe failed")
				}
				return true
			})
		})
	} else {
		p.Tell(record.Ready, "no readiness probe")
	}

	patience := time.Duration(0)
	select {
	case <-ctx.Done():
	case <-app.Done():
		if why = "exit code 0"; app.Err() != nil {
			why = app.Err().Error()
		}
	case <-dead:
		why, killed, patience = fmt.Sprintf("liveness probe failed %d times", p.Probes.Liveness.Failures), true, grace
	}
	stop()
	probes.Wait() // so that nothing is told of the application after its end
	app.Stop(patience)
	return why, killed
}

// watch makes one kind of probe and tells changes of its verdict, which is
// first what healthy says, until change returns false or the context ends. As
// in the kubelet, one success is enough and failures have to come in a row.
func (p *Pod) watch(ctx context.Context, probe *spec.Probe, path string, healthy bool, change func(ok bool) bool) {
	period := probe.Period.Std()
	if !sleep(ctx, probe.InitialDelay.Std()+time.Duration(p.Shift*float64(period))) {
		return
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for failures := 0; ; {
		attempt, cancel := context.WithTimeout(ctx, probe.Timeout.Std())
		err := p.Probe(attempt, path)
		cancel()
		if ctx.Err() != nil {
			return // the failure, if any, is ours
		}
		if failures++; err == nil {
			failures = 0
		}
		if verdict := err == nil; verdict != healthy && (verdict || failures >= probe.Failures) {
			healthy = verdict
			if !change(healthy) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sleep waits, and tells whether the context is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
