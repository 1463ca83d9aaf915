package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func TestTheLimitAndWhatItFollowsAreShown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	metrics := func() string {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, lockapi.PathMetrics, nil))
		return w.Body.String()
	}
	room := func(limit int) func([]pressure.Grant, int) (int, string) {
		return func([]pressure.Grant, int) (int, string) { return limit, "room" }
	}
	s.Adjust(&pressure.Sample{Cores: 4, Busy: 1.5, PSI: true, CPU: 0.25, IO: 0.5}, room(3))
	got := state(t, s).Limit
	if got.Slots != 3 || got.Reason != "room" || got.Node == nil || got.Node.Cores != 4 || got.Node.Busy != 1.5 || *got.Node.CPU != 0.25 || *got.Node.IO != 0.5 {
		t.Errorf("%+v", got)
	}
	text := metrics()
	for _, want := range []string{"startup_lock_limit_slots 3", "startup_lock_node_cores 4", "startup_lock_node_busy_cores 1.5", "startup_lock_node_psi 1",
		`startup_lock_node_pressure_ratio{resource="cpu"} 0.25`, `startup_lock_node_pressure_ratio{resource="io"} 0.5`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	s.Adjust(&pressure.Sample{Cores: 4}, room(3))
	if text := metrics(); state(t, s).Limit.Node.CPU != nil || strings.Contains(text, "node_pressure_ratio{") || !strings.Contains(text, "startup_lock_node_psi 0\n") {
		t.Errorf("a pressure that nobody measured is shown:\n%s", text)
	}
	s.Adjust(nil, room(2))
	if got := state(t, s).Limit; got.Node != nil || got.Slots != 2 {
		t.Errorf("%+v", got)
	}
}
