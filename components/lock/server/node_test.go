// What becomes of grants and claims by health's word, in virtual time.

package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/statefile"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// onReady is a lock with health: a long lease, released on Ready.
func onReady(c *Config) { c.Lease, c.ReleaseOn = 2*time.Minute, lockapi.ReleaseOnReady }

// seen is a guarded pod as health sees it now.
func seen(uid string, state healthapi.PodState) healthapi.Pod {
	p := healthapi.Pod{Namespace: "shop", Name: uid, UID: uid, State: state, Guarded: true}
	if state != healthapi.PodWaiting {
		p.Passed = time.Now().Truncate(time.Second)
	}
	return p
}

func tell(s *Server, p healthapi.Pod) { s.Tell(healthapi.Event{Pod: &p}) }

func tellAll(s *Server, pods ...healthapi.Pod) {
	s.Tell(healthapi.Event{Node: &healthapi.Node{Status: healthapi.Status{Synced: true}, Pods: pods}})
}

// held is who holds a slot, and who waits.
func held(t *testing.T, s *Server) string {
	t.Helper()
	st := state(t, s)
	var grants, queue []string
	for _, g := range st.Grants {
		grants = append(grants, g.Pod.UID)
	}
	for _, q := range st.Queue {
		queue = append(queue, q.Pod.UID)
	}
	return strings.Join(grants, " ") + " | " + strings.Join(queue, " ")
}

func TestWhatEndsAGrantDependsOnThePolicy(t *testing.T) {
	t.Parallel()
	all := []healthapi.PodState{healthapi.PodWaiting, healthapi.PodStarting, healthapi.PodStarted, healthapi.PodReady,
		healthapi.PodStuck, healthapi.PodEnded, healthapi.PodTerminating, "of a later version"}
	for policy, want := range map[string]string{
		"timeout": "ended gone",
		"started": "started ready stuck ended gone",
		"ready":   "ready stuck ended gone",
		"":        "ready stuck ended gone", // the default of this lock
	} {
		var got []string
		for _, podState := range all {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, onReady)
				do(t.Context(), s, "POST", lockapi.PathAcquire, fmt.Sprintf(`{"pod":{"uid":"a"},"releaseOn":%q}`, policy))
				time.Sleep(3 * time.Second)
				tell(s, seen("a", podState))
				if st := state(t, s); len(st.Recent) == 1 && len(st.Grants) == 0 {
					got = append(got, st.Recent[0].Ended)
				}
			})
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("policy %q: grants ended by %q, want %q", policy, g, want)
		}
	}
}

func TestAReadyPodHandsItsSlotToTheNextAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		ask(t.Context(), s, "a", "0s")
		got := make(chan answer, 1)
		go func() { got <- ask(t.Context(), s, "b", "25s") }()
		time.Sleep(5 * time.Second)
		tell(s, seen("a", healthapi.PodReady))
		if b := <-got; b.Grant == nil || b.Grant.Waited.Std() != 5*time.Second {
			t.Errorf("b got %d %s", b.code, b.body)
		}
	})
}

// After a reboot the API server has the old words on every pod, until the kubelet writes anew.
func TestWordsOfThePodsLifeBeforeItsGrantEndNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		time.Sleep(time.Hour)
		old := seen("a", healthapi.PodReady)
		old.Passed = time.Now().Add(-time.Minute)
		tellAll(s, old)
		ask(t.Context(), s, "a", "0s")
		tell(s, old)
		tellAll(s, old)
		if h := held(t, s); h != "a | " {
			t.Errorf("held %q", h)
		}
		time.Sleep(1500 * time.Millisecond)
		tell(s, seen("a", healthapi.PodReady))
		if h := held(t, s); h != " | " {
			t.Errorf("held %q", h)
		}
	})
}

func TestADeletedPodLeavesSlotAndQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		for _, uid := range []string{"a", "b", "c", "d"} {
			ask(t.Context(), s, uid, "0s")
		}
		waiting := make(chan answer, 1)
		go func() { waiting <- ask(t.Context(), s, "c", "25s") }()
		synctest.Wait()
		tellAll(s, seen("a", healthapi.PodStarting), seen("b", healthapi.PodWaiting), seen("c", healthapi.PodWaiting), seen("d", healthapi.PodWaiting))
		tell(s, seen("c", healthapi.PodTerminating))
		if c := <-waiting; c.code != 409 {
			t.Errorf("c was answered %d %s", c.code, c.body)
		}
		if c := ask(t.Context(), s, "c", "0s"); c.code != 410 || !strings.Contains(c.body, "pod_gone") {
			t.Errorf("c came back to %d %s", c.code, c.body)
		}
		s.Tell(healthapi.Event{Gone: "d"})
		tellAll(s, seen("b", healthapi.PodWaiting)) // a is missing now
		ask(t.Context(), s, "b", "0s")
		if h := held(t, s); h != "b | " {
			t.Errorf("held %q", h)
		}
	})
}

func TestAPodThatHealthHasNotSeenYetIsNotGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		ask(t.Context(), s, "new", "0s")
		tellAll(s)
		s.Tell(healthapi.Event{Node: &healthapi.Node{}}) // health restarted and knows nothing
		if h := held(t, s); h != "new | " {
			t.Errorf("held %q", h)
		}
	})
}

func TestALockThatIsReplacedStartsNoSecondHerdAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		born := time.Now()
		first := newServer(t, onReady, func(c *Config) { c.Limit = 2 })
		claims := map[string]time.Time{}
		for _, uid := range []string{"a", "b", "c", "d", "e"} {
			if a := ask(t.Context(), first, uid, "0s"); a.Place != nil {
				claims[uid] = a.Place.ClaimedAt
			}
			time.Sleep(300 * time.Millisecond)
		}
		passed := seen("a", healthapi.PodStarting)
		waits := func(uid string) healthapi.Pod {
			p := seen(uid, healthapi.PodWaiting)
			p.WaitsSince = born
			return p
		}
		first.Close()

		// b was granted a slot, too, but the kubelet has not said yet that its init container is over.
		second := newServer(t, onReady, func(c *Config) { c.Limit, c.GateReason = 2, "health was not heard of yet" })
		tellAll(second, passed, waits("b"), waits("c"), waits("d"), waits("e"))
		second.SetGate(true, nil)
		if h := held(t, second); !strings.HasPrefix(h, "a | ") {
			t.Errorf("held %q", h)
		}
		again := func(uid string) answer {
			body, _ := json.Marshal(lockapi.AcquireRequest{Pod: lockapi.Pod{UID: uid, Name: uid, Namespace: "shop"}, ClaimedAt: claims[uid]})
			return do(t.Context(), second, "POST", lockapi.PathAcquire, string(body))
		}
		for _, uid := range []string{"e", "d", "c"} {
			again(uid)
		}
		if h := held(t, second); h != "a | b c d e" {
			t.Errorf("held %q", h)
		}
		tell(second, seen("b", healthapi.PodStarted))
		if h := held(t, second); h != "a b | c d e" {
			t.Errorf("held %q", h)
		}
		if q := state(t, second).Queue[0]; !q.ClaimedAt.Equal(claims["c"]) {
			t.Errorf("c claimed at %v, is remembered to have at %v", claims["c"], q.ClaimedAt)
		}
		tell(second, seen("a", healthapi.PodReady))
		if c := again("c"); c.Grant == nil {
			t.Errorf("c got %s", c.body)
		}
	})
}

func TestOnAFreshNodeNobodyWaitsForThoseWhoDidNotAskYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		slow := seen("slow", healthapi.PodWaiting)
		slow.WaitsSince = time.Now()
		tellAll(s, slow)
		if a := ask(t.Context(), s, "quick", "0s"); a.Grant == nil {
			t.Errorf("quick got %s", a.body)
		}
	})
}

func TestAClientCannotClaimToHaveWaitedLongerThanItRuns(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Duration{"before its container began": time.Second, "when the lock is not new": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, onReady, func(c *Config) { c.Lease, c.Grace = time.Hour, time.Hour })
				ask(t.Context(), s, "holder", "0s")
				ask(t.Context(), s, "honest", "0s")
				time.Sleep(at)
				forger := seen("forger", healthapi.PodWaiting)
				forger.WaitsSince = time.Now()
				tell(s, forger)
				long := time.Now().Add(-time.Hour).Format(time.RFC3339)
				do(t.Context(), s, "POST", lockapi.PathAcquire, `{"pod":{"uid":"forger"},"claimedAt":"`+long+`"}`)
				queue := state(t, s).Queue
				if last := queue[len(queue)-1].Pod.UID; last != "forger" {
					t.Errorf("queue %+v", queue)
				}
			})
		})
	}
}

func TestAStartWithoutAGrantTakesASlotOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		folder, err := statefile.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		withFolder := func(c *Config) { c.Folder = folder }
		s := newServer(t, onReady, withFolder)
		time.Sleep(time.Hour)
		tellAll(s)
		ready, rebel := seen("ready", healthapi.PodReady), seen("rebel", healthapi.PodStarting)
		tell(s, ready)
		tell(s, rebel)
		unguarded := seen("system", healthapi.PodStarting)
		unguarded.Guarded = false
		tell(s, unguarded)
		if h := held(t, s); h != "rebel | " {
			t.Errorf("held %q", h)
		}
		if g := state(t, s).Grants; len(g) != 1 || !g[0].Adopted || !g[0].GrantedAt.Equal(rebel.Passed) {
			t.Errorf("grants %+v", g)
		}
		time.Sleep(2 * time.Minute)
		tell(s, rebel)
		s.Close()
		s = newServer(t, onReady, withFolder)
		tellAll(s, rebel, ready)
		if h := held(t, s); h != " | " {
			t.Errorf("after its lease: held %q", h)
		}
	})
}

func TestEverybodyIsToldTheSameReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		s.SetGate(false, []string{"DaemonSet kube-system/kube-proxy: pod not Ready"})
		a := ask(t.Context(), s, "a", "0s")
		queue := state(t, s).Queue
		if len(queue) != 1 || a.Place == nil || queue[0].Reason != a.Place.Reason || !strings.Contains(a.Place.Reason, "kube-proxy: pod not Ready") {
			t.Errorf("told %+v and %+v", a.Place, queue)
		}
	})
}

func TestEstimatesFollowHowLongSlotsAreReallyHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, onReady)
		for i := range 4 {
			uid := fmt.Sprint("pod", i)
			ask(t.Context(), s, uid, "0s")
			time.Sleep(4 * time.Second)
			tell(s, seen(uid, healthapi.PodReady))
		}
		var etas []string
		for _, uid := range []string{"a", "b", "c"} {
			if a := ask(t.Context(), s, uid, "0s"); a.Place != nil {
				etas = append(etas, a.Place.ETA.String())
			}
		}
		if !slices.Equal(etas, []string{"4s", "8s"}) {
			t.Errorf("etas %v", etas)
		}
	})
}
