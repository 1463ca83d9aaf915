// How a wait ends other than with a slot: a lock that stays away or refuses,
// and a signal.

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func TestMaxWait(t *testing.T) {
	t.Parallel()
	refusal := asJSON(400, lockapi.Error{Error: "bad_request", Detail: "weight 9 is above the limit"})
	down := say(503, "no endpoints")
	for name, c := range map[string]struct {
		steps     []http.HandlerFunc
		onMaxWait string
		want      time.Duration
		wantErr   string
	}{
		"away from the start, start": {[]http.HandlerFunc{down}, onMaxWaitStart, 10*time.Minute + 30*time.Second, ""},
		"away from the start, fail":  {[]http.HandlerFunc{down}, onMaxWaitFail, 10 * time.Minute, "no startup slot after 10m, the lock is away"},
		"away after a place": {[]http.HandlerFunc{place(3), after(20*time.Second, place(3)), down}, onMaxWaitStart,
			10*time.Minute + 50*time.Second, ""},
		"refused, start": {[]http.HandlerFunc{refusal}, onMaxWaitStart, 30 * time.Second, ""},
		"refused, fail":  {[]http.HandlerFunc{refusal}, onMaxWaitFail, 0, "weight 9 is above the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, log := bench(newScript(c.steps...), func(cfg *Config) { cfg.OnMaxWait = daemon.Text(c.onMaxWait) })
				end, err := w.wait(t.Context())
				if took := time.Since(w.begun); took != c.want {
					t.Errorf("took %s, want %s", took, c.want)
				}
				if c.wantErr == "" {
					if err != nil || !strings.HasPrefix(end.String(), lockapi.StartsWithout+": reason the lock") {
						t.Errorf("ended with %q, %v", end, err)
					}
				} else if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Errorf("got %v, want %q", err, c.wantErr)
				}
				if c.wantErr == "" && !strings.Contains(log.String(), "level=WARN msg=\"starting without") {
					t.Errorf("log:\n%s", log)
				}
			})
		})
	}
}

// --max-wait is about a lock that is away. In a queue that works a pod waits its turn.
func TestHealthyQueueOutlastsMaxWait(t *testing.T) {
	t.Parallel()
	for _, maxWait := range []time.Duration{2 * time.Second, time.Minute, 10 * time.Minute} {
		t.Run(maxWait.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lock := newScript(nothing)
				lock.steps[0] = func(w http.ResponseWriter, r *http.Request) {
					if time.Since(lock.born) > time.Hour {
						grant("g")(w, r)
						return
					}
					all := lock.requests()
					after(all[len(all)-1].Wait.Std(), place(5))(w, r)
				}
				w, log := bench(lock, func(c *Config) { c.MaxWait = lockapi.Duration(maxWait) })
				if end, err := w.wait(t.Context()); err != nil || end.message != "startup slot granted" || strings.Contains(log.String(), "WARN") {
					t.Errorf("ended with %q, %v", end, err)
				}
			})
		})
	}
}

func TestMaxWaitForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(nothing)
		lock.steps[0] = func(w http.ResponseWriter, r *http.Request) {
			if time.Since(lock.born) < time.Hour {
				say(500, "")(w, r)
				return
			}
			grant("g")(w, r)
		}
		w, _ := bench(lock, func(c *Config) { c.MaxWait = 0 })
		if end, err := w.wait(t.Context()); err != nil || end.message != "startup slot granted" {
			t.Errorf("ended with %q, %v", end, err)
		}
	})
}

func TestStopGivesUpThePlace(t *testing.T) {
	t.Parallel()
	slowRelease := func(w http.ResponseWriter, r *http.Request) { after(time.Minute, nothing)(w, r) }
	for name, c := range map[string]struct {
		steps   []http.HandlerFunc
		release http.HandlerFunc
		want    string // the id released
	}{
		"in a long poll":             {steps: []http.HandlerFunc{place(2), after(25*time.Second, place(2))}, want: "p1"},
		"while the lock is away":     {steps: []http.HandlerFunc{place(2), say(500, "")}, want: "p1"},
		"with a lock that is stuck":  {steps: []http.HandlerFunc{place(2), after(25*time.Second, place(2))}, release: slowRelease},
		"before any answer":          {steps: []http.HandlerFunc{after(time.Hour, nothing)}},
		"with a legacy lock":         {steps: []http.HandlerFunc{say(423, "Locked")}},
		"after a rollback to legacy": {steps: []http.HandlerFunc{place(2), say(423, "Locked")}},
		"in the stagger":             {steps: []http.HandlerFunc{asJSON(400, lockapi.Error{Error: "no"})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lock := newScript(c.steps...)
				w, _ := bench(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if c.release != nil && r.URL.Path == lockapi.PathRelease {
						c.release(rw, r)
						return
					}
					lock.ServeHTTP(rw, r)
				}), func(cfg *Config) { cfg.CheckTimeout = lockapi.Duration(time.Minute) })
				ctx, cancel := context.WithCancelCause(t.Context())
				stop := &daemon.Signalled{Signal: syscall.SIGTERM}
				time.AfterFunc(10*time.Second, func() { cancel(stop) })
				_, err := w.wait(ctx)
				if !errors.Is(err, stop) {
					t.Errorf("got %v, want the signal", err)
				}
				if took := time.Since(w.begun) - 10*time.Second; took < 0 || took >= time.Second {
					t.Errorf("stopped %s after the signal", took)
				}
				var released []string
				for _, r := range lock.requests() {
					if r.Release != "" {
						released = append(released, r.Release)
					}
				}
				if got := strings.Join(released, " "); got != c.want {
					t.Errorf("released %q, want %q", got, c.want)
				}
			})
		})
	}
}

// A grant that comes in together with the signal is given back.
func TestStopBeatsGrant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := &daemon.Signalled{Signal: syscall.SIGTERM}
		lock := newScript(place(2), func(w http.ResponseWriter, r *http.Request) {
			cancel(stop)
			grant("p1")(w, r)
		})
		w, _ := bench(lock, nil)
		if _, err := w.wait(ctx); !errors.Is(err, stop) {
			t.Errorf("got %v, want the signal", err)
		}
		if r := lock.requests(); r[len(r)-1].Release != "p1" {
			t.Errorf("the slot was not given back: %+v", r)
		}
	})
}

func TestBackoffStaysInBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := defaults()
		cfg.Pause = lockapi.Duration(rapid.Int64Range(1, int64(longest)).Draw(t, "pause"))
		w := newWaiter(nil, cfg, slog.New(slog.DiscardHandler))
		w.failures = rapid.IntRange(1, 1_000_000).Draw(t, "failures")
		ceiling := cfg.Pause.Std()
		if doubled := firstBackoff << min(w.failures-1, 30); doubled < ceiling {
			ceiling = doubled
		}
		if d := w.backoff(); d < 0 || d > ceiling {
			t.Fatalf("pause of %s, want 0 to %s", d, ceiling)
		}
		w.random = func(most time.Duration) time.Duration { return most }
		if d := w.backoff(); d != ceiling {
			t.Fatalf("longest pause is %s, want %s", d, ceiling)
		}
	})
}
