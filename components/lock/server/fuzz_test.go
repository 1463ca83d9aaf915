// Requests of any kind.

package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// FuzzRequests sends anything at all. Whatever is refused must leave nothing
// behind, whatever is accepted must leave exactly one grant: the slot is free, so nobody waits.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/", "duration=60", "", "")
	f.Add("GET", "/", "", "application/x-www-form-urlencoded", "duration=90s")
	f.Add("POST", lockapi.PathAcquire, "duration=5", "application/json", `{"pod":{"uid":"a"},"weight":2,"priority":-1,"releaseOn":"ready","wait":0}`)
	f.Add("POST", lockapi.PathRelease, "", "application/json", `{"id":"x"}`)
	f.Fuzz(func(t *testing.T, method, path, query, contentType, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://lock/", strings.NewReader(body))
		if err != nil {
			t.Skip("no such request reaches a server")
		}
		r.URL.Path, r.URL.RawQuery = "/"+strings.TrimPrefix(path, "/"), query
		r.RemoteAddr = "10.0.0.1:1234"
		r.Header.Set("Content-Type", contentType)
		s := newServer(t)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		st := state(t, s)
		left := len(st.Grants) + len(st.Queue)
		took := w.Code == http.StatusOK && (r.URL.Path == lockapi.PathAcquire || w.Body.String() == lockapi.LegacyAcquired)
		if (left == 1) != took || left > 1 {
			t.Errorf("%s %s?%s %q: status %d, %s, left %+v", method, path, query, body, w.Code, w.Body, st)
		}
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s %s?%s %q: status %d", method, path, query, body, w.Code)
		}
	})
}
