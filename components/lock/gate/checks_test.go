// Endpoints, good and bad, and the pauses between their checks.

package gate

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEndpointsAreReadAsBothGenerationsWroteThem(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{ // an empty want is a good one
		"http://elastic.local:9200":      "",
		"http://10.0.0.1:9999":           "",
		"https://example.com/ready?x=1":  "",
		"tcp://mongodb:27017":            "",
		"tcp://[::1]:27017":              "",
		"foo":                            "want http://",
		"":                               "want http://",
		"udp://dns:53":                   "want http://",
		"mongodb:27017":                  "want http://",
		"http://":                        "no host",
		"http:///path":                   "no host",
		"tcp://mongodb":                  "no port",
		"tcp://mongodb:27017/db":         "path",
		"http://host:port":               "is no URL",
		"http://user:secret@host:1/path": "",
	} {
		e, err := ParseEndpoint(s)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", s, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", s, err, want)
		case err == nil && strings.Contains(e.String(), "secret"):
			t.Errorf("%s shows its password", e)
		}
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"tcp://a:1", "http://[::1", "%zz", "https://u:p@h/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := ParseEndpoint(s); err == nil && e.String() == "" {
			t.Errorf("%q became nothing", s)
		}
	})
}

func TestChecksOpenTheGateWhenAllAnswer(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(412)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, "kube-proxy:\n  pod not Ready\n")
	}))
	defer web.Close()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()

	var c Checks
	c.Log, c.Timeout = slog.New(slog.DiscardHandler), 5*time.Second
	endpoint := func(s string) Endpoint {
		e, err := ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good, bad, web1 := endpoint("tcp://"+raw.Addr().String()), endpoint("tcp://"+closed.Addr().String()), endpoint(web.URL)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c.Endpoints = []Endpoint{web1, bad, good}
	reasons := c.round(t.Context(), client)
	if len(reasons) != 2 ||
		!strings.Contains(reasons[0], "status 412: kube-proxy: pod not Ready") || !strings.Contains(reasons[1], "refused") {
		t.Errorf("reasons %q, want that of health and that of the closed port, in their order", reasons)
	}
	status.Store(204)
	c.Endpoints = []Endpoint{web1, good}
	if reasons := c.round(t.Context(), client); len(reasons) != 0 {
		t.Errorf("reasons %q", reasons)
	}
	_ = raw.Close()
}

func TestThePauseDependsOnTheLastRound(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]time.Duration{
		"":                  time.Minute,
		"tcp://127.0.0.1:1": 10 * time.Second, // nothing listens there
	} {
		synctest.Test(t, func(t *testing.T) {
			c := Checks{PausePass: time.Minute, PauseFail: 10 * time.Second, Timeout: time.Second, Log: slog.New(slog.DiscardHandler)}
			if endpoint != "" {
				e, err := ParseEndpoint(endpoint)
				if err != nil {
					t.Fatal(err)
				}
				c.Endpoints = []Endpoint{e}
			}
			ctx, stop := context.WithCancel(t.Context())
			start, rounds := time.Now(), 0
			c.Run(ctx, func(reasons []string) {
				if rounds++; rounds == 2 {
					stop()
				}
				if (len(reasons) == 0) != (endpoint == "") {
					t.Errorf("%q: reasons %q", endpoint, reasons)
				}
			})
			if took := time.Since(start); took != want {
				t.Errorf("%q: the second round came after %s, want %s", endpoint, took, want)
			}
		})
	}
}
