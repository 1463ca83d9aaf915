// Package events tells pods that wait long for their startup slot why, and when
// they got it, in Kubernetes Events. Events are for people: what cannot be sent
// is dropped, and nothing else waits for it.
package events

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

const (
	// period is the time between two looks at the lock's queue.
	period = 5 * time.Second
	// patience bounds a look, and the sending of one event.
	patience = 5 * time.Second
)

// Config is whom to tell, from when on, and by whom.
type Config struct {
	Node string // name of the node
	// After is how long a pod waits before it is told. It is more than 0.
	After time.Duration
	// View knows the node's pods, Lock their queue.
	View healthapi.Source
	Lock *lockapi.Client
	// BaseURL and Client reach the API server, with credentials.
	BaseURL *url.URL
	Client  *http.Client
}

// Teller tells the pods of one node.
type Teller struct {
	cfg     Config
	decider *decider
	sender  *sender
	log     *slog.Logger
	trouble bool // is logged already

	sent    *prometheus.CounterVec
	dropped prometheus.Counter
}

// New is a teller whose counts are registered with reg.
func New(cfg Config, reg prometheus.Registerer, log *slog.Logger) *Teller {
	t := &Teller{
		cfg: cfg, log: log, decider: newDecider(cfg.After), sender: &sender{node: cfg.Node, base: cfg.BaseURL, client: cfg.Client},
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "startup_lock_events_total",
			Help: "Kubernetes Events written on pods of this node, by reason."}, []string{"reason"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "startup_lock_events_dropped_total",
			Help: "Kubernetes Events that were due, and not written: there were too many, or the API server did not take them."}),
	}
	for _, reason := range []string{waiting, granted} {
		t.sent.WithLabelValues(reason)
	}
	reg.MustRegister(t.sent, t.dropped)
	return t
}

// Run tells until ctx is done, or until it is clear that it cannot. The lock is
// asked only while a pod has waited for longer than it should; nobody is, while
// the API server is away.
func (t *Teller) Run(ctx context.Context) {
	var looked time.Time
	for ctx.Err() == nil {
		changed, node := t.cfg.View.Changed(), t.cfg.View.Node()
		var due <-chan time.Time
		if at, some := t.decider.next(node); some && node.API.Connected {
			if again := looked.Add(period); at.Before(again) {
				at = again
			}
			rest := time.Until(at)
			if rest <= 0 {
				if err := t.look(ctx, node); err != nil {
					t.log.Warn("no more startup events are written on pods", "err", err)
					return
				}
				looked = time.Now()
				continue
			}
			due = time.After(rest)
		}
		select {
		case <-due:
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// look asks the lock and tells its pods. An error is for good.
func (t *Teller) look(ctx context.Context, node *healthapi.Node) error {
	state, err := t.ask(ctx)
	if err != nil {
		t.note(ctx, err)
		if isLegacy(err) {
			return err
		}
		return nil
	}
	notices, dropped := t.decider.decide(node, state, time.Now())
	t.dropped.Add(float64(dropped))
	for i, n := range notices {
		err = t.send(ctx, n)
		if err == nil {
			t.sent.WithLabelValues(n.reason).Inc()
			continue
		}
		t.dropped.Inc()
		if errors.Is(err, errDenied) {
			return err
		}
		if errors.Is(err, errNoAnswer) { // nor would it answer the others in time
			t.dropped.Add(float64(len(notices) - i - 1))
			break
		}
	}
	t.note(ctx, err)
	return nil
}

func (t *Teller) ask(ctx context.Context) (*lockapi.State, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.cfg.Lock.State(ctx)
}

func (t *Teller) send(ctx context.Context, n notice) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.sender.send(ctx, n, time.Now())
}

// note logs when trouble begins, and when it is over.
func (t *Teller) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil: // the end is no trouble
	case err != nil && !t.trouble:
		t.log.Warn("startup events are dropped", "err", err)
		t.trouble = true
	case err == nil && t.trouble:
		t.log.Info("startup events are written again")
		t.trouble = false
	}
}

// isLegacy tells whether a lock of an earlier generation answered: it takes
// every question for a wish, and each would cost a slot.
func isLegacy(err error) bool {
	answer, ok := errors.AsType[*lockapi.UnexpectedError](err)
	return ok && (answer.Status == http.StatusOK || answer.Status == http.StatusLocked)
}
