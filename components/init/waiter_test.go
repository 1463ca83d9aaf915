// The wait, in virtual time, against locks of every generation and mood.

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

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
			if i > 0 {
				want.ClaimedAt = claimedAt // a lock that is replaced restores the order by it
			}
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
