// The Go client of the lock: it asks for slots, and tells a v1 lock from one
// of an earlier generation by what comes back.

package lockapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxState bounds the answer of PathState: a node's pods fit in many times over.
const maxState = 16 << 20

// Client speaks to one lock. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
	// v1 is whether the last answer that made sense was a v1 answer.
	v1 atomic.Bool
}

// NewClient is a client of the lock at baseURL, such as http://localhost:8888.
// A nil hc means http.DefaultClient. Redirects are never followed: a lock sends
// none, and on the way of a POST they would lose it.
func NewClient(baseURL string, hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	own := *hc
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimRight(baseURL, "/"), http: &own}
}

// ErrNotV1 is returned by Release when the lock last spoke the legacy protocol
// or has not spoken at all.
var ErrNotV1 = errors.New("the lock does not speak v1, nothing can be released")

// RefusedError is the lock's clear no: the same request will be refused again.
type RefusedError struct {
	Status int
	Code   string // Error.Error
	Detail string // Error.Detail
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the lock refuses (status %d, %s): %s", e.Status, e.Code, e.Detail)
}

// UnexpectedError is an answer that no lock gives to this request, or a lock's
// complaint about itself. Trying again may help.
type UnexpectedError struct {
	Status int
	Body   string // its first bytes
}

func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("unexpected answer with status %d: %q", e.Status, e.Body)
}

// Acquire asks once for a slot; the server may hold the request for req.Wait.
// The lease wish is rounded up to whole seconds, all that older servers read;
// 0 wishes nothing. Errors other than a *RefusedError are transient: after one,
// asking again with the same pod UID costs no second slot.
func (c *Client) Acquire(ctx context.Context, req AcquireRequest, lease Duration) (Answer, error) {
	path := PathAcquire
	if lease > 0 {
		seconds := int64((lease.Std() + time.Second - 1) / time.Second)
		path += "?duration=" + strconv.FormatInt(seconds, 10)
	}
	r, err := c.send(ctx, http.MethodPost, path, req, MaxBody)
	if err != nil {
		return Answer{}, fmt.Errorf("ask the lock for a slot: %w", err)
	}
	answer, err := parseAnswer(r.status, r.header, r.body)
	var refused *RefusedError
	if err == nil || errors.As(err, &refused) {
		c.v1.Store(!answer.Outcome.Legacy())
	}
	if err != nil {
		return Answer{}, fmt.Errorf("ask the lock for a slot: %w", err)
	}
	return answer, nil
}

// Release gives up the grant or place with this id. It sends nothing, and
// returns ErrNotV1, unless the last answer to Acquire was a v1 one: a legacy
// server would take the request for an acquire and hand out a slot.
func (c *Client) Release(ctx context.Context, id string) error {
	if !c.v1.Load() {
		return ErrNotV1
	}
	r, err := c.send(ctx, http.MethodPost, PathRelease, ReleaseRequest{ID: id}, MaxBody)
	if err == nil && r.status != http.StatusNoContent {
		err = parseFailure(r.status, r.body)
	}
	if err != nil {
		return fmt.Errorf("release the slot: %w", err)
	}
	return nil
}

// State reads everything the lock knows. Ask v1 locks only: a legacy server
// takes this request, too, for an acquire.
func (c *Client) State(ctx context.Context) (*State, error) {
	r, err := c.send(ctx, http.MethodGet, PathState, nil, maxState)
	if err != nil {
		return nil, fmt.Errorf("read the lock's state: %w", err)
	}
	if r.status != http.StatusOK {
		return nil, fmt.Errorf("read the lock's state: %w", parseFailure(r.status, r.body))
	}
	var s State
	if err := json.Unmarshal(r.body, &s); err != nil {
		return nil, fmt.Errorf("read the lock's state: %w", unexpected(r.status, r.body))
	}
	return &s, nil
}

// reply is an HTTP answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request; body nil sends none. An answer longer than most
// bytes is an error.
func (c *Client) send(ctx context.Context, method, path string, body any, most int64) (*reply, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err // names method and address already
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("read answer with status %d: %w", resp.StatusCode, err)
	}
	if int64(len(read)) > most {
		return nil, fmt.Errorf("answer of more than %d bytes: %w", most, unexpected(resp.StatusCode, read))
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: read}, nil
}
