// What both generations of clients get, and what bad requests get.

package server

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// TestEarlierGenerationsGetWhatTheyExpect replays, byte for byte, what their clients send.
func TestEarlierGenerationsGetWhatTheyExpect(t *testing.T) {
	t.Parallel()
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, tt := range map[string]struct {
		request string
		lease   time.Duration
	}{
		"1.x, no wish":                {"GET / HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n", 10 * time.Second},
		"1.x, duration in the query":  {"GET /?duration=60 HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n", time.Minute},
		"first 1.x, timeout":          {"GET ?timeout=60 HTTP/1.1\r\nHost: localhost:8888\r\nUser-Agent: Go-http-client/1.1\r\n\r\n", time.Minute},
		"1.x, any path":               {"GET /some/path HTTP/1.1\r\nHost: localhost:8888\r\n\r\n", 10 * time.Second},
		"2.x, no wish":                {"GET / HTTP/1.1\r\nHost: lock.psl.svc:8888\r\nUser-Agent: Go-http-client/1.1\r\n" + form + "Accept-Encoding: gzip\r\n\r\n", 10 * time.Second},
		"2.x, duration in a form":     {"GET / HTTP/1.1\r\nHost: lock.psl.svc:8888\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 11\r\n" + form + "Accept-Encoding: gzip\r\n\r\nduration=60", time.Minute},
		"2.x, form in chunks":         {"GET / HTTP/1.1\r\nHost: lock.psl.svc:8888\r\nTransfer-Encoding: chunked\r\n" + form + "\r\nb\r\nduration=60\r\n0\r\n\r\n", time.Minute},
		"curl, a Go duration":         {"GET /?duration=90s HTTP/1.1\r\nHost: x\r\n\r\n", 90 * time.Second},
		"0 means the default":         {"GET /?duration=0 HTTP/1.1\r\nHost: x\r\n\r\n", 10 * time.Second},
		"empty means the default":     {"GET /?duration= HTTP/1.1\r\nHost: x\r\n\r\n", 10 * time.Second},
		"a body that is not a form":   {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nduration=60", 10 * time.Second},
		"the query wins over a form":  {"GET /?duration=60 HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n" + form + "\r\nduration=99", time.Minute},
		"the longest lease there is":  {"GET /?duration=86400 HTTP/1.1\r\nHost: x\r\n\r\n", 24 * time.Hour},
		"a browser, as far as we see": {"GET /index.html?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				for i, want := range []struct {
					code int
					body string
				}{{200, "Lock acquired"}, {423, "Locked"}} {
					raw := strings.Replace(tt.request, "GET ?", "GET /?", 1) // what Go makes of a URL without a path
					r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
					if err != nil {
						t.Fatal(err)
					}
					w := httptest.NewRecorder()
					s.ServeHTTP(w, r)
					if w.Code != want.code || w.Body.String() != want.body {
						t.Errorf("answer %d: %d %q, want %d %q", i, w.Code, w.Body, want.code, want.body)
					}
					if retry, _ := strconv.Atoi(w.Header().Get("Retry-After")); (retry > 0) != (want.code == 423) {
						t.Errorf("answer %d: Retry-After %q", i, w.Header().Get("Retry-After"))
					}
				}
				g := state(t, s).Grants
				if len(g) != 1 || g[0].ExpiresAt.Sub(g[0].GrantedAt) != tt.lease || !g[0].Legacy {
					t.Errorf("grants %+v, want one legacy lease of %s", g, tt.lease)
				}
			})
		})
	}
}

func TestBadRequestsGetAClearAnswerAndNoSlot(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", lockapi.MaxBody+1)
	for name, tt := range map[string]struct {
		method, target, body string
		code                 int
		says                 string
	}{
		"duration of letters":        {"GET", "/?duration=abc", "", 400, "abc"},
		"negative duration":          {"GET", "/?duration=-5", "", 400, "negative"},
		"duration in e notation":     {"GET", "/?duration=1e9", "", 400, "1e9"},
		"duration beyond all leases": {"GET", "/?duration=1000000000", "", 400, "longest lease"},
		"duration that overflows":    {"GET", "/?duration=9223372036854775807", "", 400, "too long"},
		"POST outside v1":            {"POST", "/", "", 405, "use GET"},
		"HEAD takes no slot":         {"HEAD", "/", "", 405, ""},
		"GET on acquire":             {"GET", "/v1/acquire", "", 405, "use POST"},
		"DELETE on state":            {"DELETE", "/v1/state", "", 405, "use GET"},
		"unknown v1 route":           {"GET", "/v1/acquier", "", 404, "no such v1 route"},
		"empty body":                 {"POST", "/v1/acquire", "", 400, "EOF"},
		"no JSON":                    {"POST", "/v1/acquire", "hello", 400, "invalid character"},
		"unknown field":              {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"lokcs":2}`, 400, "lokcs"},
		"two values":                 {"POST", "/v1/acquire", `{"pod":{"uid":"a"}}{}`, 400, "more after"},
		"no uid":                     {"POST", "/v1/acquire", `{"pod":{"name":"a"}}`, 400, "pod.uid is missing"},
		"long uid":                   {"POST", "/v1/acquire", `{"pod":{"uid":"` + big[:254] + `"}}`, 400, "at most 253"},
		"negative weight":            {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"weight":-1}`, 400, "weight"},
		"huge weight":                {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"weight":1001}`, 400, "weight"},
		"priority out of bounds":     {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"priority":1001}`, 400, "priority"},
		"unknown release policy":     {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"releaseOn":"never"}`, 400, "releaseOn"},
		"bad wait":                   {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"wait":"soon"}`, 400, "soon"},
		"negative wait":              {"POST", "/v1/acquire", `{"pod":{"uid":"a"},"wait":-1}`, 400, "negative"},
		"bad lease wish":             {"POST", "/v1/acquire?duration=abc", `{"pod":{"uid":"a"}}`, 400, "duration"},
		"too large":                  {"POST", "/v1/acquire", `{"pod":{"uid":"` + big + `"}}`, 413, "too large"},
		"release without an id":      {"POST", "/v1/release", `{}`, 409, "no place and no grant"},
		"release of a forged id":     {"POST", "/v1/release", `{"id":"forged"}`, 409, "no place and no grant"},
		"release with unknown field": {"POST", "/v1/release", `{"uid":"a"}`, 400, "uid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			a := do(t.Context(), s, tt.method, tt.target, tt.body)
			if a.code != tt.code || !strings.Contains(a.body, tt.says) {
				t.Errorf("answered %d %s, want %d with %q", a.code, a.body, tt.code, tt.says)
			}
			if strings.HasPrefix(tt.target, "/v1/") {
				var e lockapi.Error
				if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error == "" || e.Detail == "" {
					t.Errorf("body %s, want error and detail", a.body)
				}
			}
			if st := state(t, s); len(st.Grants)+len(st.Queue)+len(st.Recent) > 0 {
				t.Errorf("a bad request left something: %+v", st)
			}
		})
	}
}
