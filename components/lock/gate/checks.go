// Endpoints that must answer, checked again and again.

package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Endpoint is something that must answer: an http or https URL with a status
// of 2xx, a tcp one by taking a connection.
type Endpoint struct{ url *url.URL }

// ParseEndpoint reads http://host[:port][/path], https://…, or tcp://host:port.
func ParseEndpoint(s string) (Endpoint, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err
		}
		return Endpoint{}, fmt.Errorf("%q is no URL: %w", s, err)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "tcp":
		return Endpoint{}, fmt.Errorf("%q: want http://, https:// or tcp:// in front", s)
	case u.Hostname() == "":
		return Endpoint{}, fmt.Errorf("%q has no host", s)
	case u.Scheme == "tcp" && u.Port() == "":
		return Endpoint{}, fmt.Errorf("%q has no port: want tcp://host:port", s)
	case u.Scheme == "tcp" && strings.Trim(u.Path, "/") != "":
		return Endpoint{}, fmt.Errorf("%q has a path: want tcp://host:port", s)
	}
	return Endpoint{url: u}, nil
}

// String leaves a password out.
func (e Endpoint) String() string { return e.url.Redacted() }

// Checks watches endpoints: all of them must answer for the gate to open.
type Checks struct {
	Endpoints []Endpoint
	// PausePass and PauseFail are the times between two rounds of checks, after
	// a good and after a bad one. Timeout bounds each check.
	PausePass, PauseFail, Timeout time.Duration
	Log                           *slog.Logger
}

// Run reports after every round of checks what is wrong, until ctx is done.
func (c Checks) Run(ctx context.Context, report func(reasons []string)) {
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	for ctx.Err() == nil {
		reasons := c.round(ctx, client)
		if ctx.Err() != nil {
			return
		}
		report(reasons)
		pause := c.PausePass
		if len(reasons) > 0 {
			pause = c.PauseFail
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// round checks all endpoints at once and says what is wrong, in their order.
func (c Checks) round(ctx context.Context, client *http.Client) []string {
	reasons := make([]string, len(c.Endpoints))
	var wg sync.WaitGroup
	for i, e := range c.Endpoints {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.Timeout)
			defer cancel()
			if err := check(ctx, client, e); err != nil {
				reasons[i] = fmt.Sprintf(endpointReason+"%s: %v", e, err)
				c.Log.Debug("endpoint check failed", "endpoint", e.String(), "error", err)
			}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(reasons, func(s string) bool { return s == "" })
}

func check(ctx context.Context, client *http.Client, e Endpoint) error {
	if e.url.Scheme == "tcp" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.url.Host)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return errors.Unwrap(err) // the URL is in the reason already
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // health says why it is not healthy
		if text := strings.Join(strings.Fields(string(body)), " "); text != "" {
			return fmt.Errorf("status %d: %s", resp.StatusCode, text)
		}
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
