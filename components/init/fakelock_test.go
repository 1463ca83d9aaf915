// Locks to test against: a scripted one, and one that behaves as the earlier
// generations do; and the way to reach both inside a synctest bubble.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// legacyLock answers byte for byte as both earlier generations do: any method
// on any path is an acquire, ?duration= is whole seconds, anything else in it
// is ignored, and the only answers are these two texts. The generations differ
// in how they are configured, not in what they say.
type legacyLock struct {
	lease time.Duration

	mu   sync.Mutex
	ends time.Time
	log  []string // "after method uri: status"
	born time.Time
}

func newLegacyLock(lease time.Duration) *legacyLock {
	return &legacyLock{lease: lease, born: time.Now()}
}

func (l *legacyLock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, status, body := time.Now(), http.StatusLocked, "Locked"
	if !now.Before(l.ends) {
		lease := l.lease
		if seconds, err := strconv.Atoi(r.URL.Query().Get("duration")); err == nil {
			lease = time.Duration(seconds) * time.Second
		}
		l.ends = now.Add(lease)
		status, body = http.StatusOK, "Lock acquired"
	}
	l.log = append(l.log, fmt.Sprintf("%s %s %s: %d", now.Sub(l.born), r.Method, r.URL.RequestURI(), status))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// asked is one request that reached a script.
type asked struct {
	at   time.Duration
	path string
	lockapi.AcquireRequest
	Release string // the id, of a release
}

// script answers each acquire with its next step, and the last one for ever.
// Releases are noted and answered 204.
type script struct {
	steps []http.HandlerFunc
	born  time.Time
	onAsk func(asked) // called before an answer

	mu       sync.Mutex
	seen     []asked
	acquires int
}

func newScript(steps ...http.HandlerFunc) *script { return &script{steps: steps, born: time.Now()} }

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := asked{at: time.Since(s.born), path: r.URL.RequestURI()}
	if r.URL.Path == lockapi.PathRelease {
		var release lockapi.ReleaseRequest
		_ = json.NewDecoder(r.Body).Decode(&release)
		a.Release = release.ID
		s.note(a)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&a.AcquireRequest); err != nil {
		panic(err)
	}
	n := s.note(a)
	if s.onAsk != nil {
		s.onAsk(a)
	}
	s.steps[min(n, len(s.steps)-1)](w, r)
}

// note returns how many acquires came before this request.
func (s *script) note(a asked) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, a)
	if a.Release == "" {
		s.acquires++
	}
	return s.acquires - 1
}

func (s *script) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Steps of a script.

func say(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func asJSON(status int, v any) http.HandlerFunc {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return say(status, string(b), "Content-Type", "application/json")
}

func grant(id string) http.HandlerFunc {
	return asJSON(200, lockapi.AcquireResponse{Grant: &lockapi.Grant{ID: id, Lease: lockapi.Duration(10 * time.Second), Limit: 2}})
}

// claimedAt is what a scripted lock says of every claim.
var claimedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func place(position int) http.HandlerFunc {
	eta := lockapi.Duration(40 * time.Second)
	return asJSON(202, lockapi.AcquireResponse{Place: &lockapi.Place{
		ID: "p1", ClaimedAt: claimedAt, Position: position, Queue: 23, Held: 2, Ahead: []string{"shop/cart-1", "shop/cart-2"},
		ETA: &eta, Reason: "all slots are held",
	}})
}

// after is a lock that takes its time: a long poll, or a slow answer.
func after(d time.Duration, step http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			step(w, r)
		case <-r.Context().Done():
		}
	}
}

// lost does what step does, but the answer never arrives.
func lost(step http.HandlerFunc) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		step(httptest.NewRecorder(), r)
		panic(errLost)
	}
}

func nothing(http.ResponseWriter, *http.Request) {}

var errLost = errors.New("connection reset by peer")

// inProcess carries requests to a handler with no network in between, since
// network I/O does not block durably in a bubble.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	type outcome struct {
		resp *http.Response
		err  error
	}
	done := make(chan outcome, 1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		defer func() {
			if lost := recover(); lost != nil {
				done <- outcome{err: lost.(error)}
			}
		}()
		w := httptest.NewRecorder()
		p.handler.ServeHTTP(w, r.Clone(ctx))
		done <- outcome{resp: w.Result()}
	}()
	select {
	case o := <-done:
		return o.resp, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
