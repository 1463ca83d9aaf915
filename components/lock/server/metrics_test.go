// The metrics, event by event, in virtual time.

package server

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/gate"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/statefile"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// shows checks lines of the metrics.
func shows(t *testing.T, s *Server, lines ...string) {
	t.Helper()
	body := "\n" + do(t.Context(), s, "GET", lockapi.PathMetrics, "").body
	for _, line := range lines {
		if !strings.Contains(body, "\nstartup_lock_"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var is []string
			for l := range strings.Lines(body) {
				if strings.HasPrefix(l, "startup_lock_"+strings.Fields(name)[0]) {
					is = append(is, l)
				}
			}
			t.Errorf("no %s, but\n%s", line, strings.Join(is, ""))
		}
	}
}

// waitFor lets a pod wait in a long poll of 25 s, for a second.
func waitFor(t *testing.T, s *Server, uid string) {
	go ask(t.Context(), s, uid, "25s")
	time.Sleep(time.Second)
}

func TestTheGateShowsItsCauses(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.GateReason = gate.NotLooked })
	shows(t, s, "gate_open 0", `gate_reasons{cause="unknown"} 1`, `gate_reasons{cause="daemonset"} 0`)
	s.SetGate(false, []string{"DaemonSet a/b: pod not Ready", "DaemonSet a/c: no pod here yet", "endpoint http://db: refused",
		"health is away: EOF", "node is not Ready", "something of a later version"})
	shows(t, s, "gate_open 0", `gate_reasons{cause="unknown"} 0`, `gate_reasons{cause="daemonset"} 2`, `gate_reasons{cause="endpoint"} 1`,
		`gate_reasons{cause="health_away"} 1`, `gate_reasons{cause="node_condition"} 1`, `gate_reasons{cause="other"} 1`)
	s.SetGate(true, nil)
	all := []string{"gate_open 1"}
	for _, c := range gate.Causes() {
		all = append(all, fmt.Sprintf("gate_reasons{cause=%q} 0", c))
	}
	shows(t, s, all...)
}

func TestAHandOverIsMeasuredFromTheEndOfAGrantToTheNextWhoWaited(t *testing.T) {
	t.Parallel()
	leave := func(t *testing.T, s *Server) { tell(s, seen("a", healthapi.PodReady)) }
	limit := func(s *Server, n int) {
		s.Adjust(nil, func([]pressure.Grant, int) (int, string) { return n, "test" })
	}
	for name, tt := range map[string]struct {
		then  func(t *testing.T, s *Server)
		count int
		sum   string
	}{
		"to who waits, at once": {func(t *testing.T, s *Server) { waitFor(t, s, "b"); leave(t, s) }, 1, "0"},
		"by the end of the lease": {func(t *testing.T, s *Server) {
			for range 5 {
				ask(t.Context(), s, "b", "25s")
			}
		}, 1, "0"},
		"to who is between two polls": {func(t *testing.T, s *Server) {
			ask(t.Context(), s, "b", "0s")
			time.Sleep(time.Second)
			leave(t, s)
			time.Sleep(3 * time.Second)
			ask(t.Context(), s, "b", "0s")
		}, 1, "3"},
		"to nobody": {leave, 0, "0"},
		"not to who came later": {func(t *testing.T, s *Server) {
			leave(t, s)
			time.Sleep(time.Second)
			ask(t.Context(), s, "b", "0s")
		}, 0, "0"},
		"not to a client that cannot wait": {func(t *testing.T, s *Server) {
			leave(t, s)
			time.Sleep(time.Second)
			do(t.Context(), s, "GET", "/", "")
		}, 0, "0"},
		"not by a new limit": {func(t *testing.T, s *Server) { waitFor(t, s, "b"); limit(s, 2) }, 0, "0"},
		"not by a gate that opens": {func(t *testing.T, s *Server) {
			ask(t.Context(), s, "b", "0s")
			s.SetGate(false, []string{"node is not Ready"})
			time.Sleep(time.Second)
			leave(t, s)
			time.Sleep(time.Second)
			s.SetGate(true, nil)
			ask(t.Context(), s, "b", "0s")
		}, 0, "0"},
		"to the next, when the first is gone": {func(t *testing.T, s *Server) {
			ask(t.Context(), s, "b", "0s")
			waitFor(t, s, "c")
			leave(t, s)
			time.Sleep(4 * time.Second)
			tell(s, seen("b", healthapi.PodTerminating))
		}, 1, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, onReady)
				ask(t.Context(), s, "a", "0s")
				time.Sleep(2 * time.Second)
				tt.then(t, s)
				synctest.Wait()
				shows(t, s, fmt.Sprintf("hand_over_seconds_count %d", tt.count), "hand_over_seconds_sum "+tt.sum)
				if n := len(s.desk.handed.since); n != 0 {
					t.Errorf("%d hand-overs are under way still", n)
				}
			})
		})
	}
}

func TestAHandOverToADeadClientIsThatOfTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		ask(t.Context(), s, "a", "0s")
		time.Sleep(time.Second)
		go func() {
			r := httptest.NewRequestWithContext(t.Context(), "POST", lockapi.PathAcquire, strings.NewReader(`{"pod":{"uid":"b"},"wait":"25s"}`))
			s.ServeHTTP(brokenPipe{httptest.NewRecorder()}, r)
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		waitFor(t, s, "c")
		tell(s, seen("a", healthapi.PodReady))
		synctest.Wait()
		shows(t, s, "hand_over_seconds_count 1", `grant_ends_total{reason="undelivered"} 1`)
		if h := held(t, s); !strings.HasPrefix(h, "c | ") {
			t.Errorf("held %q", h)
		}
	})
}

// without is a pod that started without a slot, so long ago.
func without(uid string, ago time.Duration) healthapi.Pod {
	p := seen(uid, healthapi.PodReady)
	p.FailedOpen, p.Passed = true, p.Passed.Add(-ago)
	return p
}

func TestAStartWithoutASlotIsCountedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		folder, err := statefile.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		inFolder := func(c *Config) { onReady(c); c.Folder = folder }
		first := newServer(t, inFolder)
		shows(t, first, "fail_opens_total 0")
		tellAll(first, without("a", time.Minute), without("old", 2*time.Hour), seen("granted", healthapi.PodReady))
		shows(t, first, "fail_opens_total 1")
		tell(first, without("a", time.Minute))
		tell(first, without("b", 0))
		tellAll(first, without("a", time.Minute), without("b", 0), without("old", 2*time.Hour))
		shows(t, first, "fail_opens_total 2")

		time.Sleep(time.Hour) // a node that was rebooted
		again := seen("b", healthapi.PodWaiting)
		tell(first, again)
		tell(first, without("b", 0))
		first.Tell(healthapi.Event{Gone: "a"})
		shows(t, first, "fail_opens_total 3")
		time.Sleep(2 * saveDelay)

		second := newServer(t, inFolder) // the first was killed
		tellAll(second, without("b", 0), without("c", 0))
		shows(t, second, "fail_opens_total 1")
		tellAll(second)
		if n := len(second.desk.opened); n != 0 {
			t.Errorf("%d pods that are gone are kept", n)
		}
	})
}
