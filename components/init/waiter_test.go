// The wait, in virtual time, against locks of every generation and mood.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func TestMain(m *testing.M) {
	runInstead()
	goleak.VerifyTestMain(m)
}

// bench is a waiter on a test bench: no jitter (every random delay is as long
// as it may be), and a log to read.
func bench(lock http.Handler, change func(*Config)) (*waiter, *bytes.Buffer) {
	cfg := defaults()
	cfg.Pod = lockapi.Pod{Namespace: "shop", Name: "cart-3", UID: "u3"}
	if change != nil {
		change(cfg)
	}
	var log bytes.Buffer
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	client := lockapi.NewClient("http://lock", &http.Client{Transport: inProcess{lock}})
	w := newWaiter(client, cfg, slog.New(handler))
	w.random = func(most time.Duration) time.Duration { return most }
	return w, &log
}

func TestQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(place(7), after(25*time.Second, place(6)), after(25*time.Second, place(6)),
			after(25*time.Second, place(2)), after(3*time.Second, grant("secret")))
		w, log := bench(lock, func(c *Config) {
			c.Lease, c.Priority, c.Weight, c.ReleaseOn = lockapi.Duration(3500*time.Millisecond), 5, 2, "ready"
		})
		if _, err := w.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, r := range lock.requests() {
			at, wantWait := time.Duration(i-1)*25*time.Second, 25*time.Second
			if i == 0 {
				at, wantWait = 0, 0 // the place is to be known at once
			}
			want := asked{at: at, path: "/v1/acquire?duration=4",
				AcquireRequest: lockapi.AcquireRequest{Pod: w.cfg.Pod, Weight: 2, Priority: 5, ReleaseOn: "ready", Wait: lockapi.Duration(wantWait)}}
			if !reflect.DeepEqual(r, want) {
				t.Errorf("request %d:\n got %+v\nwant %+v", i, r, want)
			}
		}
		const queue = `queue=23 eta=40s held=2 heldBy="shop/cart-1, shop/cart-2" reason="all slots are held"` + "\n"
		want := `level=INFO msg="waiting for a startup slot" place=7 ` + queue +
			`level=INFO msg="waiting for a startup slot" place=6 ` + queue + // and not again while nothing changes
			`level=INFO msg="waiting for a startup slot" place=2 ` + queue +
			`level=INFO msg="startup slot granted" waited=1m18s lease=10s limit=2` + "\n"
		if log.String() != want {
			t.Errorf("log:\n%s\nwant:\n%s", log, want)
		}
	})
}

// The exchanges of both earlier generations of locks, as they happen on the wire.
func TestLegacyLockExchanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lease, wish, pause, held time.Duration
		want                     []string
	}{
		"free": {lease: 10 * time.Second, pause: 3 * time.Second,
			want: []string{"0s POST /v1/acquire: 200"}},
		"locked twice": {lease: 10 * time.Second, pause: 3 * time.Second, held: 5 * time.Second,
			want: []string{"0s POST /v1/acquire: 423", "3s POST /v1/acquire: 423", "6s POST /v1/acquire: 200"}},
		"with a wish, and a pause of its own": {lease: 10 * time.Second, wish: 60 * time.Second, pause: time.Second, held: time.Second,
			want: []string{"0s POST /v1/acquire?duration=60: 423", "1s POST /v1/acquire?duration=60: 200"}},
		"a wish of part of a second is still read": {lease: 10 * time.Second, wish: 3500 * time.Millisecond, pause: time.Second,
			want: []string{"0s POST /v1/acquire?duration=4: 200"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lock := newLegacyLock(c.lease)
				lock.ends = time.Now().Add(c.held)
				w, log := bench(lock, func(cfg *Config) {
					cfg.Lease, cfg.Pause = lockapi.Duration(c.wish), lockapi.Duration(c.pause)
				})
				if _, err := w.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(lock.log, c.want) {
					t.Errorf("exchange %q, want %q", lock.log, c.want)
				}
				if c.wish > 0 && time.Until(lock.ends) != c.wish.Truncate(time.Second) && time.Until(lock.ends) != 4*time.Second {
					t.Errorf("held for %s, wished for %s", time.Until(lock.ends), c.wish)
				}
				if !strings.Contains(log.String(), "granted by a lock of an earlier generation") {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

func TestLegacyLockQueuesPods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newLegacyLock(4 * time.Second)
		granted := make(chan time.Duration, 3)
		for range 3 {
			w, _ := bench(lock, nil)
			go func() {
				_, _ = w.wait(t.Context())
				granted <- time.Since(lock.born)
			}()
		}
		for i, last := 0, -4*time.Second; i < 3; i++ {
			at := <-granted
			if at < last+4*time.Second {
				t.Errorf("slot %d after %s, the one before after %s", i, at, last)
			}
			last = at
		}
	})
}

func TestLegacyPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(say(423, "Locked", "Retry-After", "7"), say(423, "Locked", "Retry-After", "1"), say(200, "Lock acquired"))
		w, _ := bench(lock, nil)
		if _, err := w.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(w.begun); took != 10*time.Second { // 7 as told, then --pause
			t.Errorf("took %s", took)
		}
	})
}

func TestRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(place(7), after(time.Second, say(503, "")), say(423, "Locked"), say(423, "Locked"),
			place(9), after(2*time.Second, grant("g")))
		w, _ := bench(lock, nil)
		if _, err := w.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		var holds []string
		for _, r := range lock.requests() {
			holds = append(holds, fmt.Sprint(r.at, "+", r.Wait))
		}
		// Long polls only right after a v1 answer, and no release on the way.
		want := []string{"0s+0s", "0s+25s", "1.25s+0s", "4.25s+0s", "7.25s+0s", "7.25s+25s"}
		if !reflect.DeepEqual(holds, want) {
			t.Errorf("asked at %q, want %q", holds, want)
		}
	})
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]http.HandlerFunc{
		"connection lost": lost(nothing),
		"status 500":      say(500, "oops"),
		"status 429":      asJSON(429, lockapi.Error{Error: "busy", Detail: "later"}),
		"empty":           say(200, ""),
		"garbage":         say(200, "\x00\xff{{{"),
		"web page":        say(200, "<html>Welcome to the hotel", "Content-Type", "text/html"),
		"redirect":        say(302, "", "Location", "http://elsewhere/"),
		"oversized":       say(200, strings.Repeat("Lock acquired", 100_000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lock := newScript(step, step, step, step, step, step, grant("g"))
				w, log := bench(lock, nil)
				if _, err := w.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				var at []time.Duration
				for _, r := range lock.requests() {
					at = append(at, r.at/time.Millisecond)
				}
				if want := []time.Duration{0, 250, 750, 1750, 3750, 6750, 9750}; !reflect.DeepEqual(at, want) {
					t.Errorf("asked after %d ms, want %d", at, want)
				}
				if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "answers again\" away=9.8s") {
					t.Errorf("want one warning and one line on its end:\n%s", log)
				}
			})
		})
	}
}

// A lock that is slow rather than away must get its word in, however slow the node.
func TestSlowLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(after(6*time.Second, grant("g")))
		w, _ := bench(lock, nil)
		if _, err := w.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(lock.requests()); n != 4 { // 1, 2, 4 and 8 s
			t.Errorf("%d attempts", n)
		}
	})
}

func TestLongPollIsPatient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(place(2), after(29*time.Second, grant("g")))
		w, log := bench(lock, nil)
		if _, err := w.wait(t.Context()); err != nil || strings.Contains(log.String(), "WARN") {
			t.Fatalf("%v\n%s", err, log)
		}
	})
}

// A lock that answers long polls at once, against its word, gets no busy loop.
func TestHastyLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(place(3))
		w, _ := bench(lock, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _ = w.wait(ctx)
		if n := len(lock.requests()); n > 250 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}

func TestLostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lock := newScript(lost(grant("g")), grant("g"))
		w, _ := bench(lock, nil)
		if _, err := w.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := lock.requests()
		if len(r) != 2 || r[0].Pod != r[1].Pod { // the UID is what makes it the same claim
			t.Errorf("requests %+v", r)
		}
	})
}

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
					if err != nil || !strings.HasPrefix(end.String(), "starting without a startup slot: reason the lock") {
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
