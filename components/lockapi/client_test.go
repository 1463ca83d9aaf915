// The client against every kind of answer that may come from its address.

package lockapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve is a client of a server that answers as h does.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	hc := srv.Client()
	t.Cleanup(hc.CloseIdleConnections)
	return NewClient(srv.URL+"/", hc)
}

// say answers everything with the same status, content type and body.
func say(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestAcquireTellsAnswersApart(t *testing.T) {
	t.Parallel()
	const grant = `{"grant":{"id":"g1","grantedAt":"2026-11-21T10:00:00Z","expiresAt":"2026-11-21T10:00:10Z","lease":"10s","limit":2,"waited":"3s"}}`
	const place = `{"place":{"id":"p1","position":7,"queue":23,"held":2,"ahead":["shop/cart-1"],"eta":"40s","reason":"all slots are held","fromTheFuture":1}}`
	for name, c := range map[string]struct {
		status      int
		contentType string
		body        string
		want        Outcome
	}{
		"grant":                            {200, "application/json", grant, OutcomeGrant},
		"place":                            {202, "application/json", place, OutcomePlace},
		"legacy grant":                     {200, "", LegacyAcquired, OutcomeLegacyGrant},
		"legacy grant with a line end":     {200, "text/plain; charset=utf-8", LegacyAcquired + "\n", OutcomeLegacyGrant},
		"legacy locked":                    {423, "", LegacyLocked, OutcomeLegacyLocked},
		"grant with the status of a place": {202, "", grant, 0},
		"place with the status of a grant": {200, "", place, 0},
		"grant without id":                 {200, "", `{"grant":{}}`, 0},
		"place without position":           {202, "", `{"place":{"id":"p"}}`, 0},
		"neither":                          {200, "", `{}`, 0},
		"empty":                            {200, "", ``, 0},
		"login page":                       {200, "text/html", `<html>Welcome!</html>`, 0},
		"page about locks":                 {200, "text/html", `<html>Lock acquired</html>`, 0},
		"long text about locks":            {200, "text/plain", strings.Repeat("blah ", 300) + LegacyAcquired, 0},
		"another text":                     {200, "text/plain", "ok", 0},
		"cut short":                        {200, "application/json", grant[:40], 0},
		"oversized":                        {200, "", strings.Repeat(" ", MaxBody) + grant, 0},
		"redirect":                         {302, "", "", 0},
		"not found by a proxy":             {404, "text/html", "<html>404</html>", 0},
		"complaint about itself":           {500, "", `{"error":"internal","detail":"disk"}`, 0},
		"busy":                             {429, "", `{"error":"busy","detail":"later"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, say(c.status, c.contentType, c.body))
			answer, err := client.Acquire(t.Context(), AcquireRequest{Pod: Pod{UID: "u"}}, 0)
			if answer.Outcome != c.want {
				t.Fatalf("outcome %d, want %d (error %v)", answer.Outcome, c.want, err)
			}
			if c.want != 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			unexpected, ok := errors.AsType[*UnexpectedError](err)
			if !ok || unexpected.Status != c.status || len(unexpected.Body) > maxQuoted {
				t.Fatalf("got error %v, want an UnexpectedError with status %d", err, c.status)
			}
		})
	}
}

func TestAcquireRefused(t *testing.T) {
	t.Parallel()
	client := serve(t, say(400, "application/json", `{"error":"bad_request","detail":"weight 0: want 1 to 1000"}`))
	_, err := client.Acquire(t.Context(), AcquireRequest{}, 0)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Code != "bad_request" || !strings.Contains(err.Error(), "want 1 to 1000") {
		t.Fatalf("got %v", err)
	}
}

func TestAcquireSendsWhatBothGenerationsRead(t *testing.T) {
	t.Parallel()
	for lease, want := range map[time.Duration]string{
		0:                       "",
		time.Nanosecond:         "duration=1",
		1500 * time.Millisecond: "duration=2",
		4 * time.Second:         "duration=4",
		time.Minute + 1:         "duration=61",
	} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != want || r.Method != http.MethodPost || r.URL.Path != PathAcquire {
				t.Errorf("lease %s: %s %s, want query %q", lease, r.Method, r.URL, want)
			}
			var req AcquireRequest
			if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Pod.UID != "u" || req.Wait.Std() != time.Minute {
				t.Errorf("body %+v: %v", req, err)
			}
			say(423, "", LegacyLocked)(w, r)
		})
		req := AcquireRequest{Pod: Pod{UID: "u"}, Wait: Duration(time.Minute)}
		if _, err := client.Acquire(t.Context(), req, Duration(lease)); err != nil {
			t.Error(err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "86400": maxRetryAfter, "99999999999999999999": 0,
	} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", value)
			say(423, "", LegacyLocked)(w, r)
		})
		answer, err := client.Acquire(t.Context(), AcquireRequest{}, 0)
		if err != nil || answer.RetryAfter != want {
			t.Errorf("%q: %s, %v; want %s", value, answer.RetryAfter, err, want)
		}
	}
}

// A legacy server takes any request for an acquire: a release would cost a slot.
func TestReleaseIsForV1Only(t *testing.T) {
	t.Parallel()
	var legacy, released atomic.Bool
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == PathRelease:
			released.Store(true)
			w.WriteHeader(http.StatusNoContent)
		case legacy.Load():
			say(423, "", LegacyLocked)(w, r)
		default:
			say(202, "application/json", `{"place":{"id":"p1","position":1}}`)(w, r)
		}
	})
	ask := func(fromLegacy bool) {
		legacy.Store(fromLegacy)
		if _, err := client.Acquire(t.Context(), AcquireRequest{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(when string) {
		if err := client.Release(t.Context(), "p1"); !errors.Is(err, ErrNotV1) || released.Load() {
			t.Fatalf("%s: release gave %v, sent: %t", when, err, released.Load())
		}
	}
	refuses("before any answer")
	ask(false)
	ask(true)
	refuses("after a rollback to a legacy server")
	ask(false)
	if err := client.Release(t.Context(), "p1"); err != nil || !released.Load() {
		t.Fatalf("after a v1 answer: %v", err)
	}
}

func TestReleaseOfWhatIsNotHeld(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == PathRelease {
			say(409, "application/json", `{"error":"not_held","detail":"ended"}`)(w, r)
			return
		}
		say(200, "application/json", `{"grant":{"id":"g1"}}`)(w, r)
	})
	if _, err := client.Acquire(t.Context(), AcquireRequest{}, 0); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := client.Release(t.Context(), "g1"); !errors.As(err, &refused) || refused.Status != 409 {
		t.Fatalf("got %v", err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	good := serve(t, say(200, "application/json", `{"limit":{"slots":2},"gate":{"open":true},"grants":[{"pod":{"uid":"u"}}]}`))
	if s, err := good.State(t.Context()); err != nil || s.Limit.Slots != 2 || len(s.Grants) != 1 {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, h := range []http.HandlerFunc{say(200, "", LegacyAcquired), say(404, "", "x"), say(500, "", "")} {
		if s, err := serve(t, h).State(t.Context()); err == nil {
			t.Errorf("got %+v, want an error", s)
		}
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	client := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices a vanished client only then
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("told to stop")
	go func() { <-asked; cancel(stop) }()
	if _, err := client.Acquire(ctx, AcquireRequest{}, 0); err == nil || !errors.Is(context.Cause(ctx), stop) {
		t.Fatalf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	var refused *RefusedError
	if _, err := NewClient(srv.URL, nil).Acquire(t.Context(), AcquireRequest{}, 0); err == nil || errors.As(err, &refused) {
		t.Fatalf("got %v, want a transient error", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(200, "text/plain", "", LegacyAcquired)
	f.Add(423, "", "3", LegacyLocked)
	f.Add(200, "application/json", "", `{"grant":{"id":"g"}}`)
	f.Add(202, "application/json", "", `{"place":{"id":"p","position":1}}`)
	f.Add(400, "application/json", "", `{"error":"bad_request","detail":"x"}`)
	f.Add(200, "text/html", "", "<html>Lock acquired")
	f.Fuzz(func(t *testing.T, status int, contentType, retry, body string) {
		header := http.Header{"Content-Type": {contentType}, "Retry-After": {retry}}
		a, err := parseAnswer(status, header, []byte(body))
		if (err == nil) != (a.Outcome != 0) {
			t.Fatalf("outcome %d with error %v", a.Outcome, err)
		}
		if (a.Grant != nil) != (a.Outcome == OutcomeGrant) || (a.Place != nil) != (a.Outcome == OutcomePlace) {
			t.Fatalf("outcome %d does not fit grant %v, place %v", a.Outcome, a.Grant, a.Place)
		}
		if a.Grant != nil && a.Grant.ID == "" || a.Place != nil && a.Place.Position < 1 {
			t.Fatalf("useless answer %+v", a)
		}
		if a.RetryAfter < 0 || a.RetryAfter > maxRetryAfter {
			t.Fatalf("retry after %s", a.RetryAfter)
		}
		if err != nil && len(err.Error()) > 1<<10+2*len(body) {
			t.Fatalf("error of %d bytes", len(err.Error()))
		}
	})
}
