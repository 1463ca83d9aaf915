// What health answers: to earlier locks, to ours, to people, to those who are wrong here.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// view is a node that changes when it is told to.
type view struct {
	mu      sync.Mutex
	node    *healthapi.Node
	changed chan struct{}
}

func newView(n *healthapi.Node) *view { return &view{node: n, changed: make(chan struct{})} }

func (v *view) set(n *healthapi.Node) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.node = n
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *view) Node() *healthapi.Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.node
}

func (v *view) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

func healthy() *healthapi.Node {
	return &healthapi.Node{Name: "n1", Status: healthapi.Status{Synced: true, Healthy: true, API: healthapi.API{Connected: true}}}
}

func newTestServer(t *testing.T, n *healthapi.Node) *server {
	t.Helper()
	registry := prometheus.NewRegistry()
	return newServer(newView(n), registry, newMetrics(registry))
}

func ask(s http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestReport(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 12, 0, time.UTC)
	lost := healthapi.API{Since: now.Add(-12 * time.Second), Error: "dial tcp 10.0.0.1:443: connection refused"}
	const reason = "DaemonSet kube-system/cni: pod not Ready"
	for name, tt := range map[string]struct {
		node healthapi.Status
		code int
		body string
	}{
		"healthy": {healthapi.Status{Synced: true, Healthy: true, API: healthapi.API{Connected: true}}, 200, "Ok\n"},
		"two reasons": {healthapi.Status{Synced: true, Reasons: []string{reason, "node is not Ready"}, API: healthapi.API{Connected: true}}, 412,
			reason + "\nnode is not Ready\n"},
		"healthy when the API server went away": {healthapi.Status{Synced: true, Healthy: true, API: lost}, 200,
			"Ok\nthe API server is away for 12s (dial tcp 10.0.0.1:443: connection refused): this is what was known then\n"},
		"not so when it went away": {healthapi.Status{Synced: true, Reasons: []string{reason}, API: lost}, 412,
			reason + "\nthe API server is away for 12s (dial tcp 10.0.0.1:443: connection refused): this is what was known then\n"},
		"never connected": {healthapi.Status{Reasons: []string{"nothing is known"}, API: healthapi.API{}}, 412,
			"nothing is known\nthe API server is away: nothing is known yet\n"},
		"a clock that went back": {healthapi.Status{Synced: true, Healthy: true, API: healthapi.API{Since: now.Add(time.Hour)}}, 200,
			"Ok\nthe API server is away for 0s: this is what was known then\n"},
		"no reason": {healthapi.Status{Synced: true, API: healthapi.API{Connected: true}}, 412, "not healthy\n"},
	} {
		if code, body := report(&healthapi.Node{Status: tt.node}, now); code != tt.code || body != tt.body {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	ill, unsynced := healthy(), &healthapi.Node{}
	ill.Healthy, ill.Reasons = false, []string{"busy"}
	for _, tt := range []struct {
		node         *healthapi.Node
		method, path string
		code         int
		body         string
	}{
		{healthy(), "GET", "/", 200, "Ok\n"},
		{ill, "GET", "/", 412, "busy\n"},
		{ill, "GET", "/any/path?at=all", 412, "busy\n"},
		{healthy(), "HEAD", "/", 200, ""},
		{healthy(), "POST", "/", 405, "method_not_allowed"},
		{healthy(), "GET", "/v1/node", 200, `{"name":"n1","synced":true,"healthy":true,`},
		{healthy(), "DELETE", "/v1/node", 405, "method_not_allowed"},
		{healthy(), "POST", "/v1/watch", 405, "method_not_allowed"},
		{healthy(), "GET", "/v1/nodes", 404, "unknown_route"},
		{healthy(), "POST", "/v1/acquire", 404, "unknown_route"},
		{unsynced, "GET", "/livez", 200, "ok\n"},
		{unsynced, "GET", "/readyz", 503, "not_synced"},
		{ill, "GET", "/readyz", 200, "ok\n"},
		{ill, "PUT", "/livez", 405, "method_not_allowed"},
		{ill, "GET", "/metrics", 200, "startup_lock_health_healthy 0\n"},
	} {
		w := ask(newTestServer(t, tt.node), tt.method, tt.path)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, w.Code, w.Body)
		}
		if w.Code >= 404 && w.Code != 412 {
			var e lockapi.Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error != tt.body || e.Detail == "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %s, %v", tt.method, tt.path, w.Body, err)
			}
		}
		if w.Code == 405 && w.Header().Get("Allow") != "GET" {
			t.Errorf("%s %s: Allow %q", tt.method, tt.path, w.Header().Get("Allow"))
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	n := healthy()
	n.DaemonSets = []healthapi.DaemonSet{{Name: "a", Ready: true}, {Name: "b"}, {Name: "c"}}
	n.Load = &healthapi.Load{CPU: 55}
	n.Pods = []healthapi.Pod{{State: healthapi.PodReady, FailedOpen: true}, {State: healthapi.PodReady}, {State: healthapi.PodStuck}, {State: "new in v9"}}
	s := newTestServer(t, n)
	s.metrics.apiRequests.WithLabelValues("watch", "200").Inc()
	ask(s, "GET", "/nonsense")
	ask(s, "BREW", "/v1/coffee")
	body := ask(s, "GET", "/metrics").Body.String()
	for _, want := range []string{
		"startup_lock_health_healthy 1", "startup_lock_health_synced 1", "startup_lock_health_api_connected 1",
		"startup_lock_health_daemonsets_required 3", "startup_lock_health_daemonsets_not_ready 2", "startup_lock_health_streams_open 0",
		"startup_lock_health_failed_open_pods 1",
		`startup_lock_health_pods{state="ready"} 2`, `startup_lock_health_pods{state="stuck"} 1`, `startup_lock_health_pods{state="waiting"} 0`,
		`startup_lock_health_http_requests_total{code="200",route="legacy"} 1`, `startup_lock_health_http_requests_total{code="404",route="other"} 1`,
		`startup_lock_health_api_requests_total{code="200",verb="watch"} 1`, "startup_lock_health_node_cpu_used_ratio 0.55",
		"startup_lock_health_build_info{",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if strings.Contains(body, "v9") || strings.Contains(body, "BREW") {
		t.Errorf("a label from outside in\n%s", body)
	}
	if problems, err := promlint.New(strings.NewReader(body)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %+v", err, problems)
	}
	n.Load.Error = "unknown"
	if body := ask(s, "GET", "/metrics").Body.String(); strings.Contains(body, "node_cpu_used_ratio") {
		t.Errorf("an unknown load is shown:\n%s", body)
	}
}

// one is a listener with one connection, without a network.
type one struct {
	conn chan net.Conn
	done chan struct{}
}

func (l one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l one) Close() error { close(l.done); return nil }
func (one) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestAStreamOutlivesTheTimeForARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newView(healthy())
		registry := prometheus.NewRegistry()
		s := newServer(v, registry, newMetrics(registry))
		l := one{make(chan net.Conn, 1), make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- daemon.Serve(ctx, l, daemon.NewServer(s, slog.New(slog.DiscardHandler)), time.Second)
		}()
		conn, server := net.Pipe()
		l.conn <- server

		// A quick request first: what bounds it must not bound the stream on the same connection.
		answers := bufio.NewReader(conn)
		next := func(path string) *http.Response {
			if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(answers, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			return resp
		}
		_, _ = io.Copy(io.Discard, next("/livez").Body)
		lines := bufio.NewReader(next("/v1/watch").Body)
		read := func(want string) {
			if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, want) {
				t.Fatalf("%q, %v, want %s", line, err, want)
			}
		}
		read(`"node":{"name":"n1"`)
		for range 100 {
			read(`{"at":`)
		}
		changed := healthy()
		changed.Pods = []healthapi.Pod{{Namespace: "shop", Name: "cart", UID: "1", State: healthapi.PodReady}}
		v.set(changed)
		read(`"pod":{"namespace":"shop"`)
		if body := ask(s, "GET", "/metrics").Body.String(); !strings.Contains(body, "streams_open 1") {
			t.Errorf("an open stream does not show:\n%s", body)
		}
		stop()
		s.Close()
		_, _ = io.Copy(io.Discard, lines)
		_ = conn.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestABodyThatNeverComesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := one{make(chan net.Conn, 1), make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- daemon.Serve(ctx, l, daemon.NewServer(newTestServer(t, healthy()), slog.New(slog.DiscardHandler)), time.Second)
		}()
		conn, server := net.Pipe()
		l.conn <- server
		began := time.Now()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil || time.Since(began) > 2*requestTimeout {
			t.Errorf("%v, the connection was kept for %s", err, time.Since(began))
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, healthy())
	ctx, leave := context.WithCancel(t.Context())
	var streams sync.WaitGroup
	for range maxStreams {
		begun := make(chan struct{})
		w := &begins{ResponseRecorder: httptest.NewRecorder(), begun: sync.OnceFunc(func() { close(begun) })}
		streams.Go(func() { s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/watch", nil)) })
		<-begun
	}
	if w := ask(s, "GET", "/v1/watch"); w.Code != 503 || !strings.Contains(w.Body.String(), "too_many_streams") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	leave()
	streams.Wait()
	s.Close()
	if w := ask(s, "GET", "/v1/watch"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// begins tells when a stream has begun.
type begins struct {
	*httptest.ResponseRecorder
	begun func()
}

func (b *begins) Flush() { b.begun() }

func TestShutdownEndsStreamsAtOnceAndWaitsForTheWatch(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.Host, cfg.Port = "127.0.0.1", freePort(t)
	registry := prometheus.NewRegistry()
	var watchEnded bool
	watch := func(ctx context.Context) { <-ctx.Done(); watchEnded = true }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, cfg, newView(healthy()), []func(context.Context){watch}, registry, newMetrics(registry), slog.New(slog.DiscardHandler))
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := healthapi.NewClient("http://"+cfg.address(), &http.Client{Transport: transport})
	var stopped time.Time
	for stopped.IsZero() {
		err := client.Watch(t.Context(), func(healthapi.Event) { stopped = time.Now(); stop() })
		if !stopped.IsZero() && !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	}
	if err := <-served; err != nil || !watchEnded {
		t.Errorf("%v, the watch ended: %t", err, watchEnded)
	}
	if took := time.Since(stopped); took >= shutdownGrace {
		t.Errorf("took %s", took)
	}
}

func freePort(t *testing.T) daemon.Number {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return daemon.Number(l.Addr().(*net.TCPAddr).Port)
}
