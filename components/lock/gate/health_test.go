// Health's word in virtual time: believed, lost, silent, and gone on without.

package gate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// fakeHealth is a stream to write to, or nothing that answers.
type fakeHealth struct {
	mu   sync.Mutex
	pipe *io.PipeWriter
	away bool
}

func (f *fakeHealth) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errors.New("connection refused")
	}
	reader, writer := io.Pipe()
	f.pipe = writer
	context.AfterFunc(r.Context(), func() { writer.CloseWithError(context.Cause(r.Context())) })
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Body: reader, Request: r}, nil
}

func (f *fakeHealth) say(e healthapi.Event) {
	f.mu.Lock()
	pipe := f.pipe
	f.mu.Unlock()
	e.At = time.Now()
	_ = json.NewEncoder(pipe).Encode(e)
	synctest.Wait()
}

// lose breaks the stream, and nothing answers afterwards.
func (f *fakeHealth) lose() {
	f.mu.Lock()
	f.away = true
	pipe := f.pipe
	f.mu.Unlock()
	pipe.CloseWithError(io.ErrUnexpectedEOF)
	synctest.Wait()
}

// watched is what a follower made of it.
type watched struct {
	*fakeHealth
	noted      sync.Mutex
	reasons    []string
	reports    int
	connection lockapi.Health
	events     int
}

func watch(t *testing.T, away bool) *watched {
	w := &watched{fakeHealth: &fakeHealth{away: away}}
	h := Health{
		Client:   healthapi.NewClient("http://health", &http.Client{Transport: w.fakeHealth}),
		Patience: time.Minute, Log: slog.New(slog.DiscardHandler),
		Tell:       func(healthapi.Event) { w.note(func() { w.events++ }) },
		Connection: func(c lockapi.Health) { w.note(func() { w.connection = c }) },
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		h.Run(ctx, func(reasons []string) { w.note(func() { w.reasons = reasons; w.reports++ }) })
		close(done)
	}()
	t.Cleanup(func() { stop(); <-done })
	synctest.Wait()
	return w
}

func (w *watched) note(f func()) {
	w.noted.Lock()
	defer w.noted.Unlock()
	f()
}

func (w *watched) holds(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	w.noted.Lock()
	defer w.noted.Unlock()
	if got := strings.Join(w.reasons, "; "); w.reports == 0 && want != "-" || want == "" && got != "" || !strings.Contains(got, want) && want != "-" {
		t.Errorf("%d reports, the last with reasons %q, want %q", w.reports, got, want)
	}
}

func status(reasons ...string) healthapi.Status {
	return healthapi.Status{Synced: true, Healthy: len(reasons) == 0, Reasons: reasons, API: healthapi.API{Connected: true}}
}

func TestTheGateFollowsHealthsWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, false)
		w.holds(t, "-")
		w.say(healthapi.Event{Node: &healthapi.Node{Status: status("DaemonSet kube-system/kube-proxy: pod not Ready")}})
		w.holds(t, "DaemonSet kube-system/kube-proxy: pod not Ready")
		for range 60 { // for as long as health says so
			time.Sleep(5 * time.Second)
			w.say(healthapi.Event{})
		}
		w.holds(t, "pod not Ready")
		now := status()
		w.say(healthapi.Event{Status: &now})
		w.holds(t, "")
		w.say(healthapi.Event{Pod: &healthapi.Pod{UID: "a"}})
		w.noted.Lock()
		defer w.noted.Unlock()
		if w.reports != 2 || w.events != 63 || !w.connection.Connected || !w.connection.API {
			t.Errorf("%d reports, %d events, connection %+v", w.reports, w.events, w.connection)
		}
	})
}

func TestTheLastWordStandsWhenHealthIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, false)
		w.say(healthapi.Event{Node: &healthapi.Node{Status: status()}})
		w.lose()
		w.holds(t, "")
		w.noted.Lock()
		lost := w.connection
		w.noted.Unlock()
		if lost.Connected || !strings.Contains(lost.Error, "unexpected EOF") {
			t.Errorf("connection %+v", lost)
		}
		time.Sleep(time.Hour)
		w.holds(t, "")
		w.mu.Lock()
		w.away = false
		w.mu.Unlock()
		time.Sleep(2 * mostPause)
		synctest.Wait()
		w.say(healthapi.Event{Node: &healthapi.Node{Status: status("node is not Ready")}})
		w.holds(t, "node is not Ready")
	})
}

func TestAClosedGateOpensWhenHealthStaysAwayForTooLong(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(*watched){
		"lost":   func(w *watched) { w.lose() },
		"silent": func(*watched) { time.Sleep(healthapi.Silence + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := watch(t, false)
				w.say(healthapi.Event{Node: &healthapi.Node{Status: status("node is not Ready")}})
				w.mu.Lock()
				w.away = true
				w.mu.Unlock()
				lost(w)
				time.Sleep(50 * time.Second)
				w.holds(t, "node is not Ready; health is away: ")
				time.Sleep(11 * time.Second)
				w.holds(t, "")
			})
		})
	}
}

func TestHealthThatNeverSpeaksOrKnowsNothingIsWaitedForWithPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, true)
		w.holds(t, "health is away: watch health at http://health: connection refused")
		time.Sleep(59 * time.Second)
		w.holds(t, "health is away")
		time.Sleep(2 * time.Second)
		w.holds(t, "")
		w.mu.Lock()
		w.away = false
		w.mu.Unlock()
		time.Sleep(2 * mostPause)
		synctest.Wait()
		unsynced := healthapi.Status{Reasons: []string{"not permitted to list pods"}}
		w.say(healthapi.Event{Node: &healthapi.Node{Status: unsynced}})
		w.holds(t, "") // it was waited for long enough
		known := status("not permitted to list daemonsets.apps")
		w.say(healthapi.Event{Status: &known})
		w.holds(t, "daemonsets.apps")
	})
}

func TestTheGateIsOpenWhenAllPartsAre(t *testing.T) {
	t.Parallel()
	var open bool
	var reasons []string
	g := New(func(o bool, r []string) { open, reasons = o, r })
	first, second := g.Part("not checked"), g.Part("not heard")
	if open || strings.Join(reasons, ",") != "not checked,not heard" {
		t.Errorf("open %v, reasons %q", open, reasons)
	}
	first(nil)
	if open || strings.Join(reasons, ",") != "not heard" {
		t.Errorf("open %v, reasons %q", open, reasons)
	}
	second(nil)
	if !open || len(reasons) != 0 {
		t.Errorf("open %v, reasons %q", open, reasons)
	}
}
