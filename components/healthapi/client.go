// The reader's end: a stream, line by line, that is never believed by halves.

package healthapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// ErrSilent ends a stream that stopped sending heartbeats.
var ErrSilent = fmt.Errorf("nothing was heard for %s, not even a heartbeat", Silence)

// Client reads from one health. Safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient reads from the health at baseURL, such as http://127.0.0.1:9999.
// hc must not have a timeout: a stream has no end. Nil means http.DefaultClient.
// Redirects are not followed: health sends none.
func NewClient(baseURL string, hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	own := *hc
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimRight(baseURL, "/"), http: &own}
}

// Watch follows the stream and tells every event in order, heartbeats too,
// until it ends. The first event is a whole state. A line that was cut short or
// makes no sense ends the stream and is not told. The error is never nil: it
// says how the stream ended, with the cause of ctx if that was it.
func (c *Client) Watch(ctx context.Context, tell func(Event)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silence := time.AfterFunc(Silence, func() { stop(ErrSilent) })
	defer silence.Stop()
	err := c.follow(ctx, func(e Event) {
		silence.Stop() // it is not health's silence when telling takes long
		tell(e)
		silence.Reset(Silence)
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause // "context canceled" says less
	}
	return fmt.Errorf("watch health at %s: %w", c.base, err)
}

func (c *Client) follow(ctx context.Context, tell func(Event)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+PathWatch, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return errors.Unwrap(err) // the address is in the error already
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("status %d: %q", resp.StatusCode, strings.Join(strings.Fields(string(body)), " "))
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "" && kind != contentType {
		return fmt.Errorf("an answer of type %.40q instead of %s: is that health?", kind, contentType)
	}
	return readEvents(resp.Body, tell)
}

// readEvents never returns nil: a stream has no good end.
func readEvents(r io.Reader, tell func(Event)) error {
	lines := bufio.NewReaderSize(r, 16<<10)
	for first := true; ; first = false {
		line, err := readLine(lines)
		if err != nil {
			return err
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read a line of %d bytes: %w", len(line), err)
		}
		if first && e.Node == nil {
			return errors.New("the stream does not begin with a whole state: is that health?")
		}
		if err := e.check(); err != nil {
			return err
		}
		tell(e)
	}
}

// readLine reads one whole line, of a bounded length.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > MaxLine:
			return nil, fmt.Errorf("a line of more than %d bytes", MaxLine)
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case len(line) > 0:
			return nil, fmt.Errorf("the stream was cut within a line: %w", err)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("health ended the stream: %w", err)
		default:
			return nil, fmt.Errorf("the stream was cut: %w", err)
		}
	}
}

// check refuses what a lock must not act upon.
func (e Event) check() error {
	said := 0
	for _, is := range []bool{e.Node != nil, e.Status != nil, e.Pod != nil, e.Gone != ""} {
		if is {
			said++
		}
	}
	if said > 1 {
		return errors.New("a line says more than one thing")
	}
	var pods []Pod
	switch {
	case e.Node != nil:
		pods = e.Node.Pods
	case e.Pod != nil:
		pods = []Pod{*e.Pod}
	}
	for _, p := range pods {
		if p.UID == "" {
			return fmt.Errorf("pod %s/%s has no uid", p.Namespace, p.Name)
		}
		if p.PatienceSeconds < 0 {
			return fmt.Errorf("pod %s/%s has a patience of %d s", p.Namespace, p.Name, p.PatienceSeconds)
		}
	}
	return nil
}
