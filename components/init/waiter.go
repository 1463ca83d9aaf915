// The wait for a slot: what to ask, what to make of the answer, when to ask
// again, and when to stop asking.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

const (
	firstBackoff   = 250 * time.Millisecond // while the lock is away; doubles up to --pause
	longPollGrace  = 5 * time.Second        // what a long poll may take beyond its wait, above --check-timeout
	releaseTimeout = 500 * time.Millisecond // for giving up a place when told to stop
	reportEvery    = 30 * time.Second       // while nothing changes
	slowestDoubles = 3                      // --check-timeout grows to 8 times itself
	forever        = time.Duration(math.MaxInt64)
)

// asker is the lock, as far as a waiter needs it.
type asker interface {
	Acquire(ctx context.Context, req lockapi.AcquireRequest, lease lockapi.Duration) (lockapi.Answer, error)
	Release(ctx context.Context, id string) error
}

// waiter brings one claim to its end.
type waiter struct {
	lock   asker
	cfg    *Config
	log    *slog.Logger
	random func(most time.Duration) time.Duration // 0 to most, inclusive

	begun    time.Time
	answered time.Time // when the lock last answered sensibly; at first, begun
	failures int       // asks without a sensible answer since then
	id       string    // gives up the place held; empty when none is known
	claimed  time.Time // when the claim was made, as a lock told; zero before
	inQueue  bool      // the last answer was a place: the next ask may be a long poll
	report   reporter
}

func newWaiter(lock asker, cfg *Config, log *slog.Logger) *waiter {
	return &waiter{
		lock: lock, cfg: cfg, log: log, report: reporter{log: log},
		random: func(most time.Duration) time.Duration { return rand.N(most + 1) },
	}
}

// wait returns nil when the application may start. When ctx ends it gives up
// the place in the queue and returns the cause.
func (w *waiter) wait(ctx context.Context) (ending, error) {
	w.begun = time.Now()
	w.answered = w.begun
	for {
		asked := time.Now()
		answer, err := w.ask(ctx)
		if answer.Grant != nil {
			w.id = answer.Grant.ID
		}
		if ctx.Err() != nil {
			w.giveUp(ctx)
			return ending{}, context.Cause(ctx)
		}
		if err != nil {
			if _, refused := errors.AsType[*lockapi.RefusedError](err); refused {
				return w.startWithout(ctx, "the lock refuses the claim", err)
			}
			w.away(err)
			sleep(ctx, min(w.backoff(), w.left()))
			if w.left() == 0 && ctx.Err() == nil {
				return w.startWithout(ctx, "the lock is away for too long", err)
			}
			continue
		}
		w.back()
		switch answer.Outcome {
		case lockapi.OutcomeGrant:
			return w.granted(answer.Grant), nil
		case lockapi.OutcomeLegacyGrant:
			return w.grantedByLegacy(), nil
		case lockapi.OutcomePlace:
			longPoll := w.inQueue
			w.id, w.inQueue, w.claimed = answer.Place.ID, true, answer.Place.ClaimedAt
			w.report.place(answer.Place)
			if longPoll && time.Since(asked) < firstBackoff {
				sleep(ctx, w.random(firstBackoff)) // a lock that will not hold the request gets no busy loop
			}
		default:
			w.id, w.inQueue = "", false
			w.report.legacy(w.cfg.Pause)
			sleep(ctx, max(w.cfg.Pause.Std(), answer.RetryAfter))
		}
	}
}

// ask makes one request. The first one, and the first after any trouble, wants
// an answer at once, so that the place is known; the rest are long polls.
func (w *waiter) ask(ctx context.Context) (lockapi.Answer, error) {
	hold, timeout := time.Duration(0), w.cfg.CheckTimeout.Std()<<min(w.failures, slowestDoubles)
	if w.inQueue {
		hold = lockapi.MaxWait
		if most := w.cfg.MaxWait.Std() / 2; most > 0 {
			hold = min(hold, most) // so that a lock that is well is not taken for one that is away
		}
		timeout += hold + longPollGrace
	}
	timeout = min(timeout, w.left())
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", roughly(timeout)))
	defer cancel()
	return w.lock.Acquire(ctx, lockapi.AcquireRequest{
		Pod:       w.cfg.Pod,
		Weight:    int(w.cfg.Weight),
		Priority:  int(w.cfg.Priority),
		ReleaseOn: lockapi.ReleaseOn(w.cfg.ReleaseOn),
		Wait:      lockapi.Duration(hold),
		ClaimedAt: w.claimed,
	}, w.cfg.Lease)
}

// left is how long the lock may still stay away.
func (w *waiter) left() time.Duration {
	if w.cfg.MaxWait == 0 {
		return forever
	}
	return max(0, w.cfg.MaxWait.Std()-time.Since(w.answered))
}

// away notes a failed ask.
func (w *waiter) away(err error) {
	w.failures++
	w.inQueue = false // the place may still be there, by the pod's UID, but it is to be asked for
	if w.failures == 1 {
		w.log.Warn("the lock does not answer, trying on", "lock", w.cfg.address(), "err", err, "maxWait", w.cfg.MaxWait)
		return
	}
	w.log.Debug("the lock still does not answer", "err", err, "failures", w.failures)
}

// back notes a sensible answer.
func (w *waiter) back() {
	if w.failures > 0 {
		w.log.Info("the lock answers again", "away", roughly(time.Since(w.answered)))
	}
	w.failures, w.answered = 0, time.Now()
}

// backoff is exponential with full jitter: pods that lost their lock at the
// same moment must not come back at the same moment.
func (w *waiter) backoff() time.Duration {
	most := w.cfg.Pause.Std()
	for ceiling, n := firstBackoff, 1; ceiling < most; ceiling, n = 2*ceiling, n+1 {
		if n == w.failures {
			return w.random(ceiling)
		}
	}
	return w.random(most)
}

// giveUp returns the place or the slot, in case one is known. The context that
// ended is of no use for it.
func (w *waiter) giveUp(ended context.Context) {
	if w.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ended), releaseTimeout)
	defer cancel()
	if err := w.lock.Release(ctx, w.id); err != nil {
		w.log.Debug("could not give up the place, the lock will notice", "err", err)
	}
}

// startWithout ends the wait with no slot, as --on-max-wait wants it.
func (w *waiter) startWithout(ctx context.Context, why string, err error) (ending, error) {
	waited := roughly(time.Since(w.begun))
	if w.cfg.OnMaxWait == onMaxWaitFail {
		return ending{}, fmt.Errorf("no startup slot after %s, %s: %w", waited, why, err)
	}
	delay := w.random(w.cfg.Stagger.Std())
	facts := []any{"reason", why, "waited", waited, "delay", roughly(delay), "err", err}
	w.log.Warn(startsWithout, facts...)
	sleep(ctx, delay)
	return ending{startsWithout, facts}, context.Cause(ctx)
}

func (w *waiter) granted(g *lockapi.Grant) ending {
	facts := []any{"waited", roughly(time.Since(w.begun)), "lease", roughly(g.Lease.Std()), "limit", g.Limit}
	w.log.Info(slotGranted, facts...)
	return ending{slotGranted, facts}
}

func (w *waiter) grantedByLegacy() ending {
	facts := []any{"waited", roughly(time.Since(w.begun))}
	w.log.Info(slotGrantedByLegacy, facts...)
	return ending{slotGrantedByLegacy, facts}
}

// sleep ends early with ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
