// The connection to the API server: which watches are open, and what went wrong.

package nodewatch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// reopening is how long a watch may be closed before the API server counts as
// away: every watch ends now and then, and is opened again at once.
const reopening = 5 * time.Second

// The resources that are watched, as the API names them.
const (
	podsResource       = "pods"
	nodesResource      = "nodes"
	daemonSetsResource = "daemonsets"
)

// connection knows how the watches are doing, from the requests that pass
// through its transport. The zero value has no watches. Safe for concurrent use.
type connection struct {
	changes chan struct{} // has one when something is new; for one reader

	mu        sync.Mutex
	watches   []*watched
	connected bool
	since     time.Time
	brokeAt   time.Time // when connected, but some watch is not open
}

// watched is one resource.
type watched struct {
	resource string
	open     int    // watches; a new one may be opened before the old one is closed
	denied   string // the verb that we have no permission for
	err      string // what went wrong with the last attempt
}

func newConnection() *connection {
	c := &connection{changes: make(chan struct{}, 1), since: time.Now()}
	for _, resource := range []string{podsResource, nodesResource, daemonSetsResource} {
		c.watches = append(c.watches, &watched{resource: resource})
	}
	return c
}

// ignore makes a resource not count.
func (c *connection) ignore(resource string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches = slices.DeleteFunc(c.watches, func(w *watched) bool { return w.resource == resource })
}

func (c *connection) api() healthapi.API {
	c.mu.Lock()
	defer c.mu.Unlock()
	api := healthapi.API{Connected: c.connected, Since: c.since.UTC()}
	for _, w := range c.watches {
		if !c.connected && api.Error == "" {
			api.Error = w.err
		}
	}
	return api
}

// denials says what permissions are missing, and how to give them.
func (c *connection) denials() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reasons []string
	for _, w := range c.watches {
		if w.denied != "" {
			resource := w.resource
			if resource == daemonSetsResource {
				resource += ".apps"
			}
			reasons = append(reasons, fmt.Sprintf("not permitted to %s %s: grant health's ServiceAccount the verbs list and watch on them", w.denied, resource))
		}
	}
	return reasons
}

// note runs f on a resource and follows up on it.
func (c *connection) note(resource string, f func(w *watched)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watches {
		if w.resource == resource {
			f(w)
		}
	}
	c.settle()
}

// settle follows up on what changed. Needs mu.
func (c *connection) settle() {
	up := !slices.ContainsFunc(c.watches, func(w *watched) bool {
		refused := w.denied != "" && w.err == "" // whoever refuses us is there
		return w.open == 0 && !refused
	})
	switch now := time.Now(); {
	case up && !c.connected:
		c.connected, c.since = true, now
	case up:
		c.brokeAt = time.Time{}
	case !c.connected:
	case c.brokeAt.IsZero():
		c.brokeAt = now
		time.AfterFunc(reopening, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.settle()
		})
	case now.Sub(c.brokeAt) >= reopening:
		c.connected, c.since, c.brokeAt = false, c.brokeAt, time.Time{}
	}
	select {
	case c.changes <- struct{}{}:
	default: // there is one already
	}
}

// transport passes requests on and tells the connection what became of them.
type transport struct {
	next       http.RoundTripper
	connection *connection
}

// WrappedRoundTripper lets client-go reach the transport below.
func (t transport) WrappedRoundTripper() http.RoundTripper { return t.next }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	resource, verb := path.Base(r.URL.Path), "list"
	if r.URL.Query().Has("watch") {
		verb = "watch"
	}
	t.connection.note(resource, func(w *watched) {
		switch {
		case err != nil:
			w.err = fmt.Sprintf("%s %s: %v", verb, resource, err)
		case resp.StatusCode == http.StatusForbidden:
			w.err = ""
			if w.denied != "list" { // who may do neither tries to watch first, then to list
				w.denied = verb
			}
		case resp.StatusCode != http.StatusOK:
			w.err = fmt.Sprintf("%s %s: status %s", verb, resource, resp.Status)
		case verb == "watch":
			w.denied, w.err = "", ""
			w.open++
			resp.Body = &stream{ReadCloser: resp.Body, ended: func(why string) {
				t.connection.note(resource, func(w *watched) { w.open--; w.err = fmt.Sprintf("watch %s: %s", resource, why) })
			}}
		case w.denied == "list":
			w.denied, w.err = "", ""
		default:
			w.err = ""
		}
	})
	return resp, err
}

// stream is the body of a watch. It tells once why it ended.
type stream struct {
	io.ReadCloser
	once  sync.Once
	ended func(why string)
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		s.once.Do(func() { s.ended("the stream ended") })
	case err != nil:
		s.once.Do(func() { s.ended(err.Error()) })
	}
	return n, err
}

func (s *stream) Close() error {
	s.once.Do(func() { s.ended("the stream was closed") })
	return s.ReadCloser.Close()
}
