// The teller between a lock and an API server: what each is asked, and what
// happens when one of them is away, denies, or is not what it should be.

package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// world is a node with its lock and its API server, in virtual time.
type world struct {
	t   *testing.T
	log bytes.Buffer // to be read when the teller rests
	*Teller
	registry *prometheus.Registry

	mu      sync.Mutex
	node    *healthapi.Node
	changed chan struct{}
	state   func(r *http.Request) (int, any, error) // what the lock says
	api     func(r *http.Request) (int, any, error) // what the API server says; nil is 201
	asked   int                                     // of the lock
	posted  int
	events  []corev1.Event // taken by the API server
}

func newWorld(t *testing.T, uids ...string) *world {
	w := &world{t: t, changed: make(chan struct{}), registry: prometheus.NewRegistry()}
	var pods []healthapi.Pod
	for _, uid := range uids {
		p := guarded(uid, healthapi.PodWaiting)
		p.WaitsSince = time.Now()
		pods = append(pods, p)
	}
	w.node = nodeOf(pods...)
	since := time.Now()
	w.state = func(*http.Request) (int, any, error) {
		s := queueOf(time.Now(), uids...)
		for i := range s.Queue {
			s.Queue[i].ClaimedAt = since
		}
		return http.StatusOK, s, nil
	}
	w.Teller = New(Config{
		Node: "n1", After: after, View: w, BaseURL: &url.URL{Scheme: "http", Host: "api", Path: "/k8s"},
		Lock: lockapi.NewClient("http://lock", &http.Client{Transport: w}), Client: &http.Client{Transport: w},
	}, w.registry, slog.New(slog.NewTextHandler(&w.log, nil)))
	return w
}

// run has the teller tell for d, and ends it.
func (w *world) run(d time.Duration) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d-time.Millisecond)
	defer cancel()
	w.Run(ctx)
	time.Sleep(time.Until(deadline(ctx)))
	synctest.Wait()
}

func deadline(ctx context.Context) time.Time { at, _ := ctx.Deadline(); return at }

func (w *world) Node() *healthapi.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.node
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *world) set(n *healthapi.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.node = n
	close(w.changed)
	w.changed = make(chan struct{})
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	answer := w.state
	switch {
	case r.URL.Host == "lock" && r.URL.Path == lockapi.PathState && r.Method == http.MethodGet:
		w.asked++
	case r.URL.Host == "api" && r.URL.Path == "/k8s/api/v1/namespaces/shop/events" && r.Method == http.MethodPost:
		w.posted++
		if answer = w.api; answer == nil {
			answer = w.take
		}
	default:
		w.t.Errorf("asked %s %s", r.Method, r.URL)
	}
	code, body, err := answer(r)
	if err != nil {
		return nil, err
	}
	content, isText := body.(string)
	if !isText {
		text, err := json.Marshal(body)
		if err != nil {
			w.t.Error(err)
		}
		content = string(text)
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(content))}, nil
}

// take is an API server that is well. It reads as strictly as one that validates.
func (w *world) take(r *http.Request) (int, any, error) {
	var e corev1.Event
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || r.Header.Get("Content-Type") != "application/json" {
		w.t.Errorf("body of %s: %v", r.Header.Get("Content-Type"), err)
	}
	w.events = append(w.events, e)
	return http.StatusCreated, e, nil
}

// away is nobody, after some time.
func away(r *http.Request) (int, any, error) {
	<-r.Context().Done()
	return 0, nil, context.Cause(r.Context())
}

// says is a Kubernetes API that refuses.
func says(code int, message string) func(*http.Request) (int, any, error) {
	return func(*http.Request) (int, any, error) {
		return code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"code":%d}`, message, code), nil
	}
}

// wantCounts looks at the metrics.
func (w *world) wantCounts(waits, grants, dropped int) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			parts := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				parts = append(parts, l.GetValue())
			}
			got[strings.Join(parts, " ")] = m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{"startup_lock_events_total " + waiting: float64(waits), "startup_lock_events_total " + granted: float64(grants),
		"startup_lock_events_dropped_total": float64(dropped)}
	if !maps.Equal(got, want) {
		w.t.Errorf("counted %v, want %v", got, want)
	}
}

func TestAPodIsToldThatItWaitsAndThatItWasGranted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b")
		began := time.Now()
		go func() {
			time.Sleep(72 * time.Second)
			w.mu.Lock()
			w.state = func(*http.Request) (int, any, error) {
				s := queueOf(time.Now(), "b")
				s.Queue[0].ClaimedAt = began
				g := grant("a", began.Add(72*time.Second))
				g.ClaimedAt = began
				s.Grants = []lockapi.GrantState{g}
				return http.StatusOK, s, nil
			}
			w.mu.Unlock()
		}()
		w.run(80 * time.Second)
		if len(w.events) != 3 {
			t.Fatalf("%d events: %+v", len(w.events), w.events)
		}
		names := map[string]bool{}
		for i, want := range []struct {
			pod, reason, message string
			at                   time.Duration
		}{
			{"a", waiting, "waits for a startup slot for 30s: place 1 of 2: 1 of 1 slots held", after},
			{"b", waiting, "waits for a startup slot for 30s: place 2 of 2: 1 of 1 slots held", after},
			{"a", granted, "got its startup slot after 1m12s", 75 * time.Second},
		} {
			e := w.events[i]
			at := e.FirstTimestamp.Time
			if e.InvolvedObject != (corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "pod-" + want.pod, UID: types.UID(want.pod)}) ||
				e.Namespace != "shop" || !strings.HasPrefix(e.Name, "pod-"+want.pod+".") ||
				e.Reason != want.reason || e.Message != want.message || e.Type != corev1.EventTypeNormal || e.Count != 1 ||
				e.Source.Component != component || e.Source.Host != "n1" || !e.LastTimestamp.Equal(&e.FirstTimestamp) || !at.Equal(began.Add(want.at).Truncate(time.Second)) {
				t.Errorf("event %d: %+v, want %+v", i, e, want)
			}
			names[e.Name] = true
		}
		if len(names) != 3 {
			t.Errorf("names %v: two events of one name are one", names)
		}
		if w.asked != 10 {
			t.Errorf("the lock was asked %d times, want once in %s from %s on", w.asked, period, after)
		}
		w.wantCounts(2, 1, 0)
	})
}

func TestNobodyIsAskedWhileNobodyWaitsLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		go func() {
			time.Sleep(after - time.Second)
			w.set(nodeOf(guarded("a", healthapi.PodReady)))
		}()
		w.run(time.Hour)
		if w.asked != 0 || w.posted != 0 {
			t.Errorf("the lock was asked %d times, the API server %d times", w.asked, w.posted)
		}
	})
}

func TestAChangeOfTheNodeIsNoReasonToAskMoreOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		go func() {
			for range 100 {
				time.Sleep(time.Second)
				w.set(w.Node())
			}
		}()
		w.run(130 * time.Second)
		if w.asked != 20 {
			t.Errorf("the lock was asked %d times in 100 s, want 20", w.asked)
		}
	})
}

func TestWithoutPermissionItSaysSoOnceAndStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.api = says(http.StatusForbidden, `events is forbidden: User "x" cannot create resource "events" in API group "" in the namespace "shop"`)
		w.run(time.Hour)
		if log := w.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, "does not allow it to create events") {
			t.Errorf("log:\n%s", log)
		}
		if w.asked != 1 || w.posted != 1 {
			t.Errorf("asked the lock %d and the API server %d times, want once each", w.asked, w.posted)
		}
	})
}

func TestOneEventThatIsRefusedStopsNothing(t *testing.T) {
	t.Parallel()
	for _, refusal := range []string{
		`events "x" is forbidden: unable to create new content in namespace shop because it is being terminated`,
		`events "x" is forbidden: exceeded quota: q, requested: count/events=1`,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			w.api = says(http.StatusForbidden, refusal)
			w.run(after + time.Second)
			w.wantCounts(0, 0, 2)
			w.api = nil
			w.run(6 * time.Minute)
			w.wantCounts(2, 0, 2)
			if log := w.log.String(); strings.Count(log, "level=WARN") != 1 || strings.Count(log, "written again") != 1 {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestWhileTheAPIServerDoesNotAnswerEventsAreDropped(t *testing.T) {
	t.Parallel()
	for name, api := range map[string]func(*http.Request) (int, any, error){
		"away": away, "refused": func(*http.Request) (int, any, error) { return 0, nil, errors.New("connection refused") },
		"busy": says(http.StatusTooManyRequests, "later"), "broken": func(*http.Request) (int, any, error) { return 502, "<html>", nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "a", "b", "c")
				w.api = api
				w.run(after + 2*patience)
				if w.posted != 1 {
					t.Errorf("%d attempts, want none after the first that had no answer", w.posted)
				}
				w.wantCounts(0, 0, 3)
				w.api = nil
				w.run(6 * time.Minute)
				w.wantCounts(3, 0, 3)
			})
		})
	}
}

func TestNothingIsAskedWhileHealthHearsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		w.node.API.Connected = false
		go func() {
			time.Sleep(2 * time.Minute)
			back := *w.Node()
			back.API.Connected = true
			w.set(&back)
		}()
		w.run(2 * time.Minute)
		if w.asked != 0 {
			t.Errorf("the lock was asked %d times", w.asked)
		}
		w.run(time.Minute)
		w.wantCounts(1, 0, 0)
	})
}

func TestALockThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		well := w.state
		w.state = away
		w.run(2 * time.Minute)
		w.state = well
		w.run(time.Minute)
		w.wantCounts(1, 0, 0)
		if log := w.log.String(); strings.Count(log, "level=WARN") != 1 || strings.Count(log, "written again") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// A lock of an earlier generation hands out a slot to whoever asks it anything.
func TestALockOfAnEarlierGenerationIsAskedOnce(t *testing.T) {
	t.Parallel()
	for code, body := range map[int]string{http.StatusOK: lockapi.LegacyAcquired, http.StatusLocked: lockapi.LegacyLocked} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "a")
			w.state = func(*http.Request) (int, any, error) { return code, body, nil }
			w.run(time.Hour)
			if w.asked != 1 || w.posted != 0 {
				t.Errorf("status %d: asked %d times, %d events", code, w.asked, w.posted)
			}
		})
	}
}

func TestTheEndCutsARequestShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		w.api = away
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(after + time.Second); cancel() }()
		began := time.Now()
		w.Run(ctx)
		if took := time.Since(began); took != after+time.Second || w.posted != 1 || w.log.Len() != 0 {
			t.Errorf("ended after %s and %d events, log:\n%s", took, w.posted, w.log.String())
		}
	})
}

func TestAnEventIsOneThatTheAPITakes(t *testing.T) {
	t.Parallel()
	s := &sender{node: "n1"}
	long := s.event(notice{pod: healthapi.Pod{Name: strings.Repeat("a", maxNamePart-1) + "." + strings.Repeat("b", 20)},
		message: strings.Repeat("é", maxMessage), warning: true}, start())
	if len(long.Name) > 253 || strings.Contains(long.Name, "..") {
		t.Errorf("name %q", long.Name)
	}
	if len(long.Message) > maxMessage || !strings.HasSuffix(long.Message, "é…") || long.Type != corev1.EventTypeWarning {
		t.Errorf("message of %d bytes, %s", len(long.Message), long.Type)
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(403, `{"message":"events is forbidden: User \"x\" cannot create resource \"events\""}`)
	f.Add(502, "<html>\x00\xff")
	f.Add(409, `{"message":7}`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		err := refusal(code, []byte(body))
		if err == nil {
			t.Fatal("a refusal that is none")
		}
		if errors.Is(err, errDenied) && (code != http.StatusForbidden || !strings.Contains(body, "cannot")) && !strings.Contains(body, `\u`) {
			t.Fatalf("status %d, %q: taken for a denial", code, body)
		}
		if len(err.Error()) > 2048 {
			t.Fatalf("an error of %d bytes from %d", len(err.Error()), len(body))
		}
	})
}
