// When the API server counts as away, second by second.

package nodewatch

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// answers is a transport that gives what it is told to.
type answers struct {
	status int
	err    error
	body   io.ReadCloser
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Body: a.body}, nil
}

// wire is a connection under test.
type wire struct {
	*testing.T
	*connection
	next  *answers
	pipes map[string]*io.PipeWriter
}

func newWire(t *testing.T) *wire {
	return &wire{T: t, connection: newConnection(), next: &answers{}, pipes: map[string]*io.PipeWriter{}}
}

// ask sends a request and reads what comes, if that is a watch.
func (w *wire) ask(verb, resource string, status int, err error) {
	w.Helper()
	r, pipe := io.Pipe()
	*w.next = answers{status, err, r}
	url := "http://api/api/v1/" + resource
	if verb == "watch" {
		url += "?watch=true"
	}
	req, _ := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	resp, _ := transport{w.next, w.connection}.RoundTrip(req)
	if verb == "watch" && status == http.StatusOK && err == nil {
		w.pipes[resource] = pipe
		go func() { _, _ = io.Copy(io.Discard, resp.Body); resp.Body.Close() }()
	}
}

// end ends a watch.
func (w *wire) end(resource string, err error) {
	w.pipes[resource].CloseWithError(err)
	synctest.Wait()
}

func (w *wire) is(connected bool, since time.Time, err string) {
	w.Helper()
	api := w.api()
	if api.Connected != connected || !api.Since.Equal(since) || api.Error != err {
		w.Errorf("%+v; want connected %v since %s, error %q", api, connected, since, err)
	}
}

// told tells whether there was something new.
func (w *wire) told() bool {
	select {
	case <-w.changes:
		return true
	default:
		return false
	}
}

func TestConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		start := time.Now()
		w.is(false, start, "")
		refused := errors.New("connection refused")
		w.ask("list", "pods", 0, refused)
		w.is(false, start, "list pods: connection refused")
		w.ask("list", "pods", http.StatusServiceUnavailable, nil)
		w.is(false, start, "list pods: status Service Unavailable")

		time.Sleep(time.Second)
		for _, resource := range []string{"pods", "nodes", "daemonsets"} {
			w.is(false, start, map[string]string{"pods": "list pods: status Service Unavailable"}[resource])
			w.ask("watch", resource, http.StatusOK, nil)
		}
		connected := time.Now()
		w.is(true, connected, "")
		w.told()

		// A watch that ends and is opened again at once is nothing to speak of.
		time.Sleep(time.Minute)
		w.end("pods", io.EOF)
		time.Sleep(reopening - time.Millisecond)
		w.ask("watch", "pods", http.StatusOK, nil)
		time.Sleep(time.Minute)
		w.is(true, connected, "")

		// Not even twice in a row.
		w.end("pods", io.EOF)
		time.Sleep(reopening - time.Second)
		w.ask("watch", "pods", http.StatusOK, nil)
		w.end("pods", io.EOF)
		time.Sleep(2 * time.Second)
		w.ask("watch", "pods", http.StatusOK, nil)
		time.Sleep(time.Minute)
		w.is(true, connected, "")

		// One that stays closed is, since it was closed.
		w.told()
		w.end("nodes", errors.New("http2: client connection lost"))
		broken := time.Now()
		time.Sleep(reopening - time.Millisecond)
		w.is(true, connected, "")
		w.ask("watch", "nodes", 0, refused)
		w.told()
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		w.is(false, broken, "watch nodes: connection refused")
		if !w.told() {
			t.Error("nobody was told of the loss")
		}
		w.ask("watch", "nodes", http.StatusOK, nil)
		w.is(true, time.Now(), "")

		// Who refuses us is there. Who does not answer any more is not, refusal or no.
		back := time.Now()
		w.end("daemonsets", io.EOF)
		w.ask("watch", "daemonsets", http.StatusForbidden, nil)
		w.ask("list", "daemonsets", http.StatusForbidden, nil)
		w.ask("watch", "daemonsets", http.StatusForbidden, nil)
		time.Sleep(time.Minute)
		w.is(true, back, "")
		want := "not permitted to list daemonsets.apps: grant health's ServiceAccount the verbs list and watch on them"
		if got := w.denials(); len(got) != 1 || got[0] != want {
			t.Errorf("denials: %q", got)
		}
		w.ask("list", "daemonsets", 0, refused)
		gone := time.Now()
		time.Sleep(time.Minute)
		w.is(false, gone, "list daemonsets: connection refused")
		if got := w.denials(); len(got) != 1 {
			t.Errorf("denials: %q", got)
		}
		w.ask("watch", "daemonsets", http.StatusOK, nil)
		w.is(true, time.Now(), "")
		if got := w.denials(); len(got) != 0 {
			t.Errorf("denials: %q", got)
		}
		for resource := range w.pipes {
			w.end(resource, io.EOF)
		}
		time.Sleep(reopening)
	})
}
