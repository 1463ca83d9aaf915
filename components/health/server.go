// Health's HTTP face: the legacy answer, the state, the stream of its changes.

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

const (
	// maxStreams is far more than there are locks on a node.
	maxStreams = 32
	// requestTimeout is what a client may take over anything but a stream.
	requestTimeout = 10 * time.Second
)

// server answers health's routes. Safe for concurrent use.
type server struct {
	view    healthapi.Source
	streams *healthapi.Handler
	open    atomic.Int32
	metrics *metrics
	mux     *http.ServeMux
}

// newServer serves what view says, and the metrics of reg.
func newServer(view healthapi.Source, reg *prometheus.Registry, m *metrics) *server {
	reg.MustRegister(newNode(view))
	s := &server{view: view, streams: healthapi.NewHandler(view), metrics: m, mux: http.NewServeMux()}
	get := func(path, route string, h http.HandlerFunc) {
		s.mux.Handle("GET "+path, s.counted(route, h))
		s.mux.Handle(path, s.counted("other", methodNotAllowed))
	}
	get(healthapi.PathNode, "node", s.streams.Node)
	get(healthapi.PathWatch, "watch", s.watch)
	get(healthapi.PathLivez, "livez", ok)
	get(healthapi.PathReadyz, "readyz", s.ready)
	get(healthapi.PathMetrics, "metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP)
	s.mux.Handle("/v1/", s.counted("other", unknownRoute))
	s.mux.Handle(healthapi.PathLegacy, s.counted("legacy", s.legacy))
	return s
}

// ServeHTTP gives every request a deadline; a stream sets its own.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w) // a test's recorder has no deadlines
	if r.URL.Path != healthapi.PathWatch {
		_ = control.SetReadDeadline(time.Now().Add(requestTimeout)) // ends a stream's context when it is over
	}
	_ = control.SetWriteDeadline(time.Now().Add(requestTimeout))
	s.mux.ServeHTTP(w, r)
}

// Close ends all streams.
func (s *server) Close() { s.streams.Close() }

// watch bounds the streams: each one costs memory for as long as it likes.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	defer s.open.Add(-1)
	if s.open.Add(1) > maxStreams {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too_many_streams", fmt.Sprintf("%d streams are open already", maxStreams))
		return
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	s.streams.Watch(w, r)
}

// ready does not depend on the node's health: a lock must reach a health that has bad news.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if !s.view.Node().Synced {
		fail(w, http.StatusServiceUnavailable, "not_synced", "health has not seen everything yet; GET / says why")
		return
	}
	ok(w, r)
}

// legacy answers any path, as the earlier generations do.
func (s *server) legacy(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r)
		return
	}
	code, body := report(s.view.Node(), time.Now())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(body))
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", http.MethodGet)
	fail(w, http.StatusMethodNotAllowed, "method_not_allowed", fmt.Sprintf("%.20s is not known here; use GET", r.Method))
}

func unknownRoute(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "unknown_route", "this health has no such v1 route; it may be older than its client")
}

// fail says it as the lock does.
func fail(w http.ResponseWriter, code int, constant, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(lockapi.Error{Error: constant, Detail: detail})
}

// counted counts a route's answers.
func (s *server) counted(route string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cw := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		h(cw, r)
		s.metrics.httpRequests.WithLabelValues(route, strconv.Itoa(cw.code)).Inc()
	}
}

// codeWriter remembers the status code.
type codeWriter struct {
	http.ResponseWriter
	code int
}

func (w *codeWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *codeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
