// The server's end: the state, and the stream of its changes.

package healthapi

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// writeTimeout is what a reader may take for one batch of lines before it is
// cut off: it will come back and start with the whole state.
const writeTimeout = 10 * time.Second

// contentType is a stream's.
const contentType = "application/x-ndjson"

// Source is where a Handler looks. Both methods are safe for concurrent use.
type Source interface {
	// Node is the state now. Nobody changes what it points to, ever.
	Node() *Node
	// Changed is closed when Node has something new since Changed was called.
	Changed() <-chan struct{}
}

// Handler serves PathNode and PathWatch. Safe for concurrent use.
type Handler struct {
	source Source
	done   chan struct{}
	close  sync.Once
}

// NewHandler serves what source says.
func NewHandler(source Source) *Handler {
	return &Handler{source: source, done: make(chan struct{})}
}

// Close ends all streams, for a server that shuts down.
func (h *Handler) Close() { h.close.Do(func() { close(h.done) }) }

// Node is GET /v1/node.
func (h *Handler) Node(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h.source.Node())
}

// Watch is GET /v1/watch: NDJSON, the whole state first, then what changes as
// it does, and a heartbeat when nothing else was written for a while.
func (h *Handler) Watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", contentType)
	control, lines := http.NewResponseController(w), json.NewEncoder(w)
	write := func(events ...Event) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a test's recorder has none
		for _, e := range events {
			e.At = time.Now()
			if lines.Encode(e) != nil {
				return false
			}
		}
		return control.Flush() == nil
	}
	heartbeat := time.NewTicker(Heartbeat)
	defer heartbeat.Stop()
	var told *Node
	for {
		changed := h.source.Changed() // before Node, so that no change is missed
		now := h.source.Node()
		if events := Changes(told, now); len(events) > 0 {
			if !write(events...) {
				return
			}
			heartbeat.Reset(Heartbeat)
		}
		told = now
		select {
		case <-changed:
		case <-heartbeat.C:
			if !write(Event{}) {
				return
			}
		case <-h.done:
			return
		case <-r.Context().Done():
			return
		}
	}
}
