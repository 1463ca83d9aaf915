// Package server is the lock's HTTP face: the legacy and the v1 contract over
// one table of slots in real time.
package server

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/statefile"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// Config is what the server needs to know.
type Config struct {
	Limit       int    // slots on this node, at least 1, until Adjust says otherwise
	LimitReason string // who says so
	Lease       time.Duration
	// ReleaseOn is the release policy of claims that wish none. All but timeout
	// want somebody who calls Tell.
	ReleaseOn  lockapi.ReleaseOn
	Grace      time.Duration // how long a place is kept for a client that is away
	Aging      time.Duration // how much waiting one level of priority is worth
	GateReason string        // why the gate is closed until SetGate opens it; empty for open
	// MaxQueue bounds the claims that wait, against forged ones; more are answered 503.
	MaxQueue int
	// Folder keeps grants and queue across restarts; nil forgets them.
	Folder *statefile.Folder
	// NewID makes ids that nobody can guess.
	NewID func() string
}

// Server answers the lock's routes. Safe for concurrent use.
type Server struct {
	cfg  Config
	log  *slog.Logger
	desk *desk
	mux  *http.ServeMux
}

// bodyTimeout is how long a client may take to send its request's body.
const bodyTimeout = 10 * time.Second

// New makes a server whose metrics are registered with reg and served from it.
func New(cfg Config, log *slog.Logger, reg *prometheus.Registry) *Server {
	m := newMetrics(reg)
	s := &Server{cfg: cfg, log: log, desk: newDesk(cfg, time.Now(), log, m), mux: http.NewServeMux()}
	handle := func(pattern, route string, h http.HandlerFunc) {
		s.mux.Handle(pattern, counted(m, route, h))
	}
	handle("POST "+lockapi.PathAcquire, "acquire", s.acquire)
	handle("POST "+lockapi.PathRelease, "release", s.release)
	handle("GET "+lockapi.PathState, "state", s.state)
	handle("GET "+lockapi.PathLivez, "livez", ok)
	handle("GET "+lockapi.PathReadyz, "readyz", s.ready)
	handle("GET "+lockapi.PathMetrics, "metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP)
	for _, path := range []string{lockapi.PathAcquire, lockapi.PathRelease} {
		handle(path, "other", methodNotAllowed(http.MethodPost))
	}
	for _, path := range []string{lockapi.PathState, lockapi.PathLivez, lockapi.PathReadyz, lockapi.PathMetrics} {
		handle(path, "other", methodNotAllowed(http.MethodGet))
	}
	handle("/v1/", "other", unknownRoute)
	handle("/", "legacy", s.legacy)
	return s
}

// ServeHTTP gives every request a deadline for its body; long polls lift it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's recorder has none
	s.mux.ServeHTTP(w, r)
}

// SetGate opens the gate, or closes it for the reasons given.
func (s *Server) SetGate(open bool, reasons []string) { s.desk.setGate(open, reasons) }

// Tell says what health sees of this node's pods: grants and claims end by it.
func (s *Server) Tell(e healthapi.Event) { s.desk.tellOf(e) }

// Adjust lets decide say how many slots there are from now on, and why, by the
// grants that are held at this moment and the number of those who wait. node is what it saw, for those who ask;
// nil when it saw nothing.
func (s *Server) Adjust(node *pressure.Sample, decide func(grants []pressure.Grant, waiting int) (limit int, why string)) {
	s.desk.adjust(node, decide)
}

// SetHealth says how health is connected.
func (s *Server) SetHealth(h lockapi.Health) { s.desk.setHealth(h) }

// Close answers all who wait with their places and saves the state. What is
// asked afterwards is answered 503.
func (s *Server) Close() { s.desk.close() }

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// ready does not depend on the gate: pods must reach a lock whose gate is closed.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.desk.isClosed() {
		fail(w, http.StatusServiceUnavailable, "shutting_down", "this lock is shutting down; ask its successor")
		return
	}
	ok(w, r)
}

// counted counts a route's answers.
func counted(m *metrics, route string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cw := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		h(cw, r)
		m.requests.WithLabelValues(route, strconv.Itoa(cw.code)).Inc()
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
