// The v1 contract in virtual time: waiting, vanishing, lost answers, shutdown.

package server

import (
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
		s := newServer(t, func(c *Config) { c.GateReason = "not checked yet" })
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
		if a := ask(t.Context(), s, "a", "25s"); a.Place == nil || !strings.Contains(a.Place.Reason, "refused") {
			t.Errorf("told of a reason that came between two polls: %d %s", a.code, a.body)
		}
		got := make(chan answer, 1)
		go func() { got <- ask(t.Context(), s, "a", "25s") }()
		synctest.Wait()
		if a := do(t.Context(), s, "GET", lockapi.PathReadyz, ""); a.code != 200 {
			t.Errorf("readyz %d: pods could not reach the lock", a.code)
		}
		s.SetGate(false, []string{"endpoint http://db: timeout"})
		if a := <-got; a.Place == nil || !strings.Contains(a.Place.Reason, "timeout") {
			t.Errorf("told of a new reason: %d %s", a.code, a.body)
		}
		go func() { got <- ask(t.Context(), s, "a", "25s") }()
		synctest.Wait()
		s.SetGate(false, []string{"endpoint http://db: timeout"}) // which is no news
		synctest.Wait()
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
