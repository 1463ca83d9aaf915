package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/statefile"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer is a lock of one slot with a lease of 10 s, unless edited.
func newServer(t *testing.T, edit ...func(*Config)) *Server {
	t.Helper()
	var ids atomic.Int64
	cfg := Config{Limit: 1, LimitReason: "fixed", Lease: 10 * time.Second, Grace: 10 * time.Second, Aging: 30 * time.Second, MaxQueue: 100,
		NewID: func() string { return "id-" + strconv.FormatInt(ids.Add(1), 10) }}
	for _, f := range edit {
		f(&cfg)
	}
	s := New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(s.Close)
	return s
}

// answer is what a client got.
type answer struct {
	code int
	body string
	at   time.Time
	lockapi.AcquireResponse
	head http.Header
}

func do(ctx context.Context, s http.Handler, method, target, body string) answer {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	a := answer{code: w.Code, body: w.Body.String(), at: time.Now(), head: w.Header()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.AcquireResponse)
	return a
}

func ask(ctx context.Context, s http.Handler, uid, wait string) answer {
	return do(ctx, s, "POST", lockapi.PathAcquire, `{"pod":{"uid":"`+uid+`","name":"`+uid+`","namespace":"shop"},"wait":"`+wait+`"}`)
}

func state(t *testing.T, s http.Handler) lockapi.State {
	t.Helper()
	var st lockapi.State
	if err := json.Unmarshal([]byte(do(t.Context(), s, "GET", lockapi.PathState, "").body), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestEarlierGenerations replays, byte for byte, what their clients send.
func TestEarlierGenerationsGetWhatTheyExpect(t *testing.T) {
	t.Parallel()
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, tt := range map[string]struct {
		request string
		lease   time.Duration
	}{
		"1.x, no wish":                {"GET / HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n", 10 * time.Second},
		"1.x, duration in the query":  {"GET /?duration=60 HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n", time.Minute},
		"first 1.x, timeout":          {"GET ?timeout=60 HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: Go-http-client/1.1\r\n\r\n", time.Minute},
		"1.x, any path":               {"GET /some/path HTTP/1.1\r\nHost: localhost:8888\r\n\r\n", 10 * time.Second},
		"2.x, no wish":                {"GET / HTTP/1.1\r\nHost: lock.psl.svc:8888\r\nUser-Agent: Go-http-client/1.1\r\n" + form + "Accept-Encoding: gzip\r\n\r\n", 10 * time.Second},
		"2.x, duration in a form":     {"GET / HTTP/1.1\r\nHost: lock.psl.svc:8888\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 11\r\n" + form + "Accept-Encoding: gzip\r\n\r\nduration=60", time.Minute},
		"2.x, form in chunks":         {"GET / HTTP/1.1\r\nHost: lock.psl.svc:8888\r\nTransfer-Encoding: chunked\r\n" + form + "\r\nb\r\nduration=60\r\n0\r\n\r\n", time.Minute},
		"curl, a Go duration":         {"GET /?duration=90s HTTP/1.1\r\nHost: x\r\n\r\n", 90 * time.Second},
		"0 means the default":         {"GET /?duration=0 HTTP/1.1\r\nHost: x\r\n\r\n", 10 * time.Second},
		"empty means the default":     {"GET /?duration= HTTP/1.1\r\nHost: x\r\n\r\n", 10 * time.Second},
		"a body that is not a form":   {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nduration=60", 10 * time.Second},
		"the query wins over a form":  {"GET /?duration=60 HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n" + form + "\r\nduration=99", time.Minute},
		"the longest lease there is":  {"GET /?duration=86400 HTTP/1.1\r\nHost: x\r\n\r\n", 24 * time.Hour},
		"a browser, as far as we see": {"GET /index.html?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				for i, want := range []struct {
					code int
					body string
				}{{200, "Lock acquired"}, {423, "Locked"}} {
					raw := strings.Replace(tt.request, "GET ?", "GET /?", 1) // what Go makes of a URL without a path
					r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
					if err != nil {
						t.Fatal(err)
					}
					w := httptest.NewRecorder()
					s.ServeHTTP(w, r)
					if w.Code != want.code || w.Body.String() != want.body {
						t.Errorf("answer %d: %d %q, want %d %q", i, w.Code, w.Body, want.code, want.body)
					}
					if retry, _ := strconv.Atoi(w.Header().Get("Retry-After")); (retry > 0) != (want.code == 423) {
						t.Errorf("answer %d: Retry-After %q", i, w.Header().Get("Retry-After"))
					}
				}
				g := state(t, s).Grants
				if len(g) != 1 || g[0].ExpiresAt.Sub(g[0].GrantedAt) != tt.lease || !g[0].Legacy {
					t.Errorf("grants %+v, want one legacy lease of %s", g, tt.lease)
				}
			})
		})
	}
}

func TestBadRequestsGetAClearAnswerAndNoSlot(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", lockapi.MaxBody+1)
	for name, tt := range map[string]struct {
		method, target, body string
		code                 int
		says                 string
	}{
		"duration of letters":        {"GET", "/?duration=abc", "", 400, "abc"},
		"negative duration":          {"GET", "/?duration=-5", "", 400, "negative"},
		"duration in e notation":     {"GET", "/?duration=1e9", "", 400, "1e9"},
		"duration beyond all leases": {"GET", "/?duration=1000000000", "", 400, "longest lease"},
		"duration that overflows":    {"GET", "/?duration=9223372036854775807", "", 400, "too long"},
		"POST outside v1":            {"POST", "/", "", 405, "use GET"},
		"HEAD takes no slot":         {"HEAD", "/", "", 405, ""},
		"GET on acquire":             {"GET", "/v1/acquire", "", 405, "use POST"},
		"DELETE on state":            {"DELETE", "/v1/state", "", 405, "use GET"},
		"unknown v1 route":           {"GET", "/v1/acquier", "", 404, "no such v1 route"},
		"empty body":                 {"POST", "/v1/acquire", "", 400, "EOF"},
		"no JSON":                    {"POST", "/v1/acquire", "hello", 400, "invalid character"},
		"unknown field":              {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"lokcs":2}`, 400, "lokcs"},
		"two values":                 {"POST", "/v1/acquire", `{"pod":{"uid":"a"}}{}`, 400, "more after"},
		"no uid":                     {"POST", "/v1/acquire", `{"pod":{"name":"a"}}`, 400, "pod.uid is missing"},
		"long uid":                   {"POST", "/v1/acquire", `{"pod":{"uid":"` + big[:254] + `"}}`, 400, "at most 253"},
		"negative weight":            {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"weight":-1}`, 400, "weight"},
		"huge weight":                {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"weight":1001}`, 400, "weight"},
		"priority out of bounds":     {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"priority":1001}`, 400, "priority"},
		"unknown release policy":     {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"releaseOn":"never"}`, 400, "releaseOn"},
		"bad wait":                   {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"wait":"soon"}`, 400, "soon"},
		"negative wait":              {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"wait":-1}`, 400, "negative"},
		"bad lease wish":             {"POST", "/v1/acquire?duration=abc", `{"pod":{"uid":"a"}}`, 400, "duration"},
		"too large":                  {"POST", "/v1/acquire", `{"pod":{"uid":"` + big + `"}}`, 413, "too large"},
		"release without an id":      {"POST", "/v1/release", `{}`, 409, "no place and no grant"},
		"release of a forged id":     {"POST", "/v1/release", `{"id":"forged"}`, 409, "no place and no grant"},
		"release with unknown field": {"POST", "/v1/release", `{"uid":"a"}`, 400, "uid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			a := do(t.Context(), s, tt.method, tt.target, tt.body)
			if a.code != tt.code || !strings.Contains(a.body, tt.says) {
				t.Errorf("answered %d %s, want %d with %q", a.code, a.body, tt.code, tt.says)
			}
			if strings.HasPrefix(tt.target, "/v1/") {
				var e lockapi.Error
				if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error == "" || e.Detail == "" {
					t.Errorf("body %s, want error and detail", a.body)
				}
			}
			if st := state(t, s); len(st.Grants)+len(st.Queue)+len(st.Recent) > 0 {
				t.Errorf("a bad request left something: %+v", st)
			}
		})
	}
}

func TestWaitersAreServedInOrderAtTheVeryEndOfEachLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		start := time.Now()
		answers := make(chan answer, 3)
		for _, uid := range []string{"a", "b", "c"} {
			go func() {
				for {
					if a := ask(t.Context(), s, uid, "25s"); a.Grant != nil {
						a.body = uid
						answers <- a
						return
					}
				}
			}()
			synctest.Wait()
		}
		for i, want := range []string{"a", "b", "c"} {
			a := <-answers
			if after := a.at.Sub(start); a.body != want || after != time.Duration(i)*10*time.Second {
				t.Errorf("grant %d to %s after %s, want %s after %d0s", i, a.body, after, want, i)
			}
		}
		st := state(t, s)
		if len(st.Recent) != 2 || st.Recent[0].Pod.Name != "a" || st.Recent[1].Ended != "lease" {
			t.Errorf("record %+v", st.Recent)
		}
	})
}

func TestALongPollEndsWithAPlaceThatIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(c *Config) { c.Lease = time.Hour })
		ask(t.Context(), s, "holder", "0s")
		start := time.Now()
		a := ask(t.Context(), s, "a", "10m")
		if a.code != 202 || a.at.Sub(start) != lockapi.MaxWait {
			t.Fatalf("%d after %s, want 202 after %s", a.code, a.at.Sub(start), lockapi.MaxWait)
		}
		p := a.Place
		if p.Position != 1 || p.Queue != 1 || p.Held != 1 || len(p.Ahead) != 1 || p.Ahead[0] != "shop/holder" ||
			p.ETA == nil || p.ETA.Std() != time.Hour-lockapi.MaxWait || p.Reason == "" {
			t.Errorf("place %+v", p)
		}
		if b := ask(t.Context(), s, "b", "0s"); b.Place.Position != 2 {
			t.Errorf("b is at %d", b.Place.Position)
		}
		time.Sleep(9 * time.Second) // virtual: within the grace
		if again := ask(t.Context(), s, "a", "0s"); again.Place.Position != 1 || again.Place.ID != p.ID {
			t.Errorf("asked again: %+v, want the same place", again.Place)
		}
		time.Sleep(10 * time.Second)
		if st := state(t, s); len(st.Queue) != 0 {
			t.Errorf("after the grace the queue is %+v", st.Queue)
		}
	})
}

func TestAClientThatVanishesWhileItWaitsCostsNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ask(t.Context(), s, "holder", "0s")
		ctx, vanish := context.WithCancel(t.Context())
		go ask(ctx, s, "ghost", "25s")
		synctest.Wait()
		got := make(chan answer)
		go func() { got <- ask(t.Context(), s, "next", "25s") }()
		time.Sleep(time.Second)
		vanish()
		if a := <-got; a.Grant == nil || a.Grant.Waited.Std() != 10*time.Second {
			t.Errorf("next got %d %s, want a grant at the end of the first lease", a.code, a.body)
		}
	})
}

func TestAGrantOnItsWayToADeadClientGoesToTheNextAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		dead, kill := context.WithCancel(t.Context())
		kill()
		if a := ask(dead, s, "dead", "25s"); a.Grant != nil {
			t.Errorf("a dead client was answered %s", a.body)
		}
		if a := ask(t.Context(), s, "next", "0s"); a.Grant == nil {
			t.Errorf("next got %d %s", a.code, a.body)
		}
		if a := do(dead, s, "GET", "/", ""); a.body == lockapi.LegacyAcquired {
			t.Error("a dead legacy client was given a slot")
		}
	})
}

// brokenPipe is a client that dies between the grant and the end of its answer.
type brokenPipe struct{ *httptest.ResponseRecorder }

func (brokenPipe) Write([]byte) (int, error)         { return 0, io.ErrClosedPipe }
func (b brokenPipe) WriteString(string) (int, error) { return 0, io.ErrClosedPipe }
func (b brokenPipe) Unwrap() http.ResponseWriter     { return b.ResponseRecorder }

func TestAnAnswerThatCannotBeWrittenGivesTheSlotBack(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*http.Request{
		"v1":     httptest.NewRequest("POST", lockapi.PathAcquire, strings.NewReader(`{"pod":{"uid":"a"}}`)),
		"legacy": httptest.NewRequest("GET", "/", nil),
	} {
		s := newServer(t)
		s.ServeHTTP(brokenPipe{httptest.NewRecorder()}, r)
		if st := state(t, s); len(st.Grants) != 0 || len(st.Recent) != 1 || st.Recent[0].Ended != "undelivered" {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

func TestALostAnswerCostsNoSecondSlot(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.Limit = 5 })
	first, again := ask(t.Context(), s, "a", "0s"), ask(t.Context(), s, "a", "25s")
	if first.Grant == nil || again.Grant == nil || first.Grant.ID != again.Grant.ID {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	if st := state(t, s); len(st.Grants) != 1 {
		t.Errorf("grants %+v", st.Grants)
	}
}

func TestASecondConnectionOfAPodTakesOverFromTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ask(t.Context(), s, "holder", "0s")
		old := make(chan answer, 1)
		oldCtx, oldDies := context.WithCancel(t.Context())
		go func() { old <- ask(oldCtx, s, "a", "25s") }()
		synctest.Wait()
		newer := make(chan answer, 1)
		go func() { newer <- ask(t.Context(), s, "a", "25s") }()
		if a := <-old; a.code != 409 {
			t.Errorf("the old connection got %d", a.code)
		}
		oldDies() // must not take the place with it
		if a := <-newer; a.Grant == nil {
			t.Errorf("the new one got %d %s", a.code, a.body)
		}
	})
}

func TestReleaseGivesSlotAndPlaceToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		holder := ask(t.Context(), s, "holder", "0s")
		quitter := ask(t.Context(), s, "quitter", "0s")
		next := make(chan answer, 1)
		go func() { next <- ask(t.Context(), s, "next", "25s") }()
		synctest.Wait()
		for _, id := range []string{quitter.Place.ID, holder.Grant.ID} {
			if a := do(t.Context(), s, "POST", lockapi.PathRelease, `{"id":"`+id+`"}`); a.code != 204 || a.body != "" {
				t.Errorf("release %s: %d %s", id, a.code, a.body)
			}
		}
		if a := <-next; a.Grant == nil || a.Grant.Waited != 0 {
			t.Errorf("next got %d %s", a.code, a.body)
		}
		if a := do(t.Context(), s, "POST", lockapi.PathRelease, `{"id":"`+holder.Grant.ID+`"}`); a.code != 409 {
			t.Errorf("released twice: %d", a.code)
		}
	})
}

func TestAClosedGateSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(c *Config) { c.GateClosed, c.GateReason = true, "not checked yet" })
		if a := ask(t.Context(), s, "a", "0s"); a.Place == nil || a.Place.ETA != nil || !strings.Contains(a.Place.Reason, "not checked yet") {
			t.Errorf("%d %s", a.code, a.body)
		}
		if a := do(t.Context(), s, "GET", "/", ""); a.code != 423 {
			t.Errorf("legacy got %d", a.code)
		}
		s.SetGate(false, []string{"endpoint http://db: refused"})
		if st := state(t, s); st.Gate.Open || st.Gate.Reasons[0] != "endpoint http://db: refused" {
			t.Errorf("gate %+v", st.Gate)
		}
		got := make(chan answer, 1)
		go func() { got <- ask(t.Context(), s, "a", "25s") }()
		synctest.Wait()
		if a := do(t.Context(), s, "GET", lockapi.PathReadyz, ""); a.code != 200 {
			t.Errorf("readyz %d: pods could not reach the lock", a.code)
		}
		s.SetGate(true, nil)
		if a := <-got; a.Grant == nil {
			t.Errorf("%d %s", a.code, a.body)
		}
	})
}

func TestAShutdownAnswersWithPlacesAndTheNextLifeKnowsThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		folder, err := statefile.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		remember := func(c *Config) { c.Folder, c.Lease = folder, time.Minute }
		s := newServer(t, remember)
		grant := ask(t.Context(), s, "holder", "0s").Grant
		waiting := make(chan answer, 2)
		for _, uid := range []string{"a", "b"} {
			go func() { waiting <- ask(t.Context(), s, uid, "25s") }()
			synctest.Wait()
		}
		s.Close()
		for range 2 {
			if a := <-waiting; a.code != 202 {
				t.Errorf("shutdown answered %d %s", a.code, a.body)
			}
		}
		if a := ask(t.Context(), s, "late", "0s"); a.code != 503 || a.head.Get("Retry-After") == "" {
			t.Errorf("a closed lock answered %d", a.code)
		}
		if a := do(t.Context(), s, "GET", lockapi.PathReadyz, ""); a.code != 503 {
			t.Errorf("readyz %d", a.code)
		}

		time.Sleep(5 * time.Second)
		s = newServer(t, remember, func(c *Config) { c.NewID = func() string { return "second-life" } })
		if a := ask(t.Context(), s, "late", "0s"); a.Place == nil || a.Place.Position != 3 {
			t.Errorf("late got %s, want place 3", a.body)
		}
		if a := ask(t.Context(), s, "holder", "0s"); a.Grant == nil || a.Grant.ID != grant.ID || !a.Grant.ExpiresAt.Equal(grant.ExpiresAt) {
			t.Errorf("the grant became %s", a.body)
		}
		for i, uid := range []string{"a", "b"} {
			if a := ask(t.Context(), s, uid, "0s"); a.Place == nil || a.Place.Position != i+1 {
				t.Errorf("%s got %s, want place %d", uid, a.body, i+1)
			}
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.MaxQueue = 2 })
	for _, uid := range []string{"holder", "a", "b"} {
		ask(t.Context(), s, uid, "0s")
	}
	if a := ask(t.Context(), s, "one-too-many", "0s"); a.code != 503 || !strings.Contains(a.body, "full") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := ask(t.Context(), s, "b", "0s"); a.code != 202 {
		t.Errorf("who waits already got %d %s", a.code, a.body)
	}
}

func TestMetricsAreLintedAndClosed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ask(t.Context(), s, "a", "0s")
	for _, path := range []string{"/", "/x", "/v1/nothing"} {
		do(t.Context(), s, "GET", path, "")
	}
	body := do(t.Context(), s, "GET", lockapi.PathMetrics, "").body
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	for _, want := range []string{
		"startup_lock_held_slots 1", "startup_lock_limit_slots 1", "startup_lock_gate_open 1",
		`startup_lock_grants_total{protocol="v1"} 1`, `startup_lock_http_requests_total{code="423",route="legacy"} 2`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}
