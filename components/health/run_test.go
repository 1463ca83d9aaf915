// Events as the whole of health writes them: a pod that waits, a lock that knows
// why, an API server that takes them, all by HTTP.

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// observed tells each time that somebody is about to wait for news.
type observed struct {
	*view
	rests chan struct{}
}

func (o observed) Changed() <-chan struct{} {
	o.rests <- struct{}{}
	return o.view.Changed()
}

func TestAPodThatWaitsGetsAnEvent(t *testing.T) {
	t.Parallel()
	since := time.Now().Add(-time.Minute)
	lock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(lockapi.State{Now: time.Now(), Gate: lockapi.Gate{Open: true},
			Queue: []lockapi.ClaimState{{Position: 1, Pod: lockapi.Pod{UID: "u"}, ClaimedAt: since, Reason: "next in line"}}})
	}))
	defer lock.Close()
	written := make(chan corev1.Event, 1)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e corev1.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || r.Method != http.MethodPost || r.URL.Path != "/proxy/api/v1/namespaces/shop/events" ||
			r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		w.WriteHeader(http.StatusCreated)
		written <- e
	}))
	defer api.Close()

	cfg := defaults()
	cfg.Lock = daemon.Text(lock.URL)
	cfg.api, cfg.watch.Node = &rest.Config{Host: api.URL + "/proxy", BearerToken: "secret"}, "n1"
	n := healthy()
	n.Pods = []healthapi.Pod{{Namespace: "shop", Name: "cart", UID: "u", State: healthapi.PodWaiting, Guarded: true, WaitsSince: since}}
	registry := prometheus.NewRegistry()
	m, view, transport := newMetrics(registry), observed{newView(n), make(chan struct{})}, &http.Transport{}
	defer transport.CloseIdleConnections()
	teller, err := newTeller(cfg, m, view, transport, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { teller.Run(ctx); close(done) }()
	<-view.rests
	if e := <-written; e.InvolvedObject.Name != "cart" || e.Reason != "StartupSlotWaiting" || !strings.HasSuffix(e.Message, ": place 1 of 1: next in line") {
		t.Errorf("event %+v", e)
	}
	<-view.rests // it has heard the answer
	stop()
	<-done
	body := ask(newServer(view, registry, m), "GET", "/metrics").Body.String()
	if want := `startup_lock_health_api_requests_total{code="201",verb="create"} 1`; !strings.Contains(body, "\n"+want+"\n") {
		t.Errorf("no %s in\n%s", want, body)
	}
}
