// Who is told what: by example, and by what holds in any storm.

package events

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const after = 30 * time.Second

// start is when the tests' storms begin.
func start() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func guarded(uid string, state healthapi.PodState) healthapi.Pod {
	p := healthapi.Pod{Namespace: "shop", Name: "pod-" + uid, UID: uid, State: state, Guarded: true}
	if state == healthapi.PodWaiting {
		p.WaitsSince = start()
	}
	return p
}

func nodeOf(pods ...healthapi.Pod) *healthapi.Node {
	return &healthapi.Node{Name: "n1", Pods: pods, Status: healthapi.Status{Synced: true, Healthy: true, API: healthapi.API{Connected: true}}}
}

// queueOf is a lock's state at a time, with claims made at the start.
func queueOf(at time.Time, uids ...string) *lockapi.State {
	s := &lockapi.State{Now: at, Gate: lockapi.Gate{Open: true}}
	for i, uid := range uids {
		s.Queue = append(s.Queue, lockapi.ClaimState{Position: i + 1, Pod: lockapi.Pod{UID: uid, Namespace: "forged", Name: "forged"},
			ClaimedAt: start(), Reason: "1 of 1 slots held"})
	}
	return s
}

func grant(uid string, at time.Time) lockapi.GrantState {
	return lockapi.GrantState{Pod: lockapi.Pod{UID: uid}, ClaimedAt: start(), GrantedAt: at}
}

// texts are notices as the tests compare them.
func texts(notices []notice) []string {
	all := []string{}
	for _, n := range notices {
		kind := "Normal"
		if n.warning {
			kind = "Warning"
		}
		all = append(all, fmt.Sprintf("%s/%s %s %s: %s", n.pod.Namespace, n.pod.Name, kind, n.reason, n.message))
	}
	return all
}

func TestWhoIsToldWhat(t *testing.T) {
	t.Parallel()
	const told = "shop/pod-a Normal StartupSlotWaiting: waits for a startup slot for 30s: place 1 of 1: 1 of 1 slots held"
	const got = "shop/pod-a Normal StartupSlotGranted: got its startup slot after 32s"
	waits, starts := nodeOf(guarded("a", healthapi.PodWaiting)), nodeOf(guarded("a", healthapi.PodStarting))
	second := func(n int) time.Time { return start().Add(time.Duration(n) * time.Second) }
	type look struct {
		at   int // seconds
		node *healthapi.Node
		lock func(*lockapi.State)
		want []string
	}
	empty := func(s *lockapi.State) { s.Queue = nil }
	held := func(change func(*lockapi.GrantState)) func(*lockapi.State) {
		return func(s *lockapi.State) {
			g := grant("a", second(32))
			change(&g)
			s.Queue, s.Grants = nil, []lockapi.GrantState{g}
		}
	}
	ended := func(granted int, why string) func(*lockapi.State) {
		return func(s *lockapi.State) {
			s.Queue, s.Recent = nil, []lockapi.EndedState{{GrantState: grant("a", second(granted)), Ended: why}}
		}
	}
	for name, looks := range map[string][]look{
		"nobody before the threshold": {{at: 29, node: waits}},
		"once, and again after five minutes": {
			{at: 30, node: waits, want: []string{told}}, {at: 35, node: waits}, {at: 329, node: waits},
			{at: 330, node: waits, want: []string{strings.ReplaceAll(told, "30s", "5m30s")}},
		},
		"with the time that is left": {{at: 30, node: waits, want: []string{strings.ReplaceAll(told, "place 1 of 1", "place 1 of 1, about 45s to go")},
			lock: func(s *lockapi.State) { s.Queue[0].ETA = new(lockapi.Duration(45 * time.Second)) }}},
		"a closed gate is a warning": {{at: 30, node: waits, want: []string{strings.NewReplacer("Normal", "Warning", "1 of 1 slots held", "the gate is closed: no network").Replace(told)},
			lock: func(s *lockapi.State) { s.Gate.Open, s.Queue[0].Reason = false, "the gate is closed: no network" }}},
		"its place among all": {{at: 30, node: waits, want: []string{strings.ReplaceAll(told, "place 1 of 1", "place 2 of 3")},
			lock: func(s *lockapi.State) { *s = *queueOf(s.Now, "legacy", "a", "elsewhere") }}},
		"a claim that is there twice is one pod": {{at: 30, node: waits, want: []string{strings.ReplaceAll(told, "1 of 1: ", "1 of 2: ")},
			lock: func(s *lockapi.State) { *s = *queueOf(s.Now, "a", "a") }}},
		"no pod of another node, or of nobody": {{at: 30, node: nodeOf()}},
		"no pod that waits for nothing":        {{at: 30, node: nodeOf(healthapi.Pod{UID: "a", State: healthapi.PodWaiting})}},
		"no pod that is being deleted":         {{at: 30, node: nodeOf(guarded("a", healthapi.PodTerminating))}},
		"granted, once": {{at: 30, node: waits, want: []string{told}}, {at: 35, node: waits, lock: held(func(*lockapi.GrantState) {}), want: []string{got}},
			{at: 40, node: starts, lock: held(func(*lockapi.GrantState) {})}},
		"granted, and the slot is given back already": {{at: 30, node: waits, want: []string{told}}, {at: 35, node: starts, lock: ended(32, "ready"), want: []string{got}}},
		"granted before anyone was told":              {{at: 29, node: waits}, {at: 35, node: waits, lock: held(func(*lockapi.GrantState) {})}},
		"an earlier grant is not this one":            {{at: 30, node: waits, want: []string{told}}, {at: 35, node: starts, lock: ended(2, "lease")}},
		"a grant that did not reach it":               {{at: 30, node: waits, want: []string{told}}, {at: 35, node: waits, lock: ended(32, "undelivered")}},
		"started without a slot":                      {{at: 30, node: waits, want: []string{told}}, {at: 35, node: starts, lock: empty}, {at: 40, node: starts, lock: held(func(*lockapi.GrantState) {})}},
		"an adopted start is no grant":                {{at: 30, node: waits, want: []string{told}}, {at: 35, node: starts, lock: held(func(g *lockapi.GrantState) { g.Adopted = true })}},
		"on its way out of the queue":                 {{at: 30, node: waits, want: []string{told}}, {at: 35, node: waits, lock: empty}, {at: 40, node: starts, lock: ended(32, "ready"), want: []string{got}}},
		"gone":                                        {{at: 30, node: waits, want: []string{told}}, {at: 35, node: nodeOf(), lock: held(func(*lockapi.GrantState) {})}},
		"waits again at once": {{at: 30, node: waits, want: []string{told}}, {at: 35, node: waits, lock: held(func(*lockapi.GrantState) {}), want: []string{got}},
			{at: 40, node: waits}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecider(after)
			for _, l := range looks {
				s := queueOf(second(l.at), "a")
				if l.lock != nil {
					l.lock(s)
				}
				notices, dropped := d.decide(l.node, s, second(l.at))
				if l.want == nil {
					l.want = []string{}
				}
				if !slices.Equal(texts(notices), l.want) || dropped != 0 {
					t.Errorf("at %d s: %q, %d dropped, want %q", l.at, texts(notices), dropped, l.want)
				}
			}
		})
	}
}

func TestALargeHerdIsToldLittleByLittle(t *testing.T) {
	t.Parallel()
	const herd = 30
	var uids []string
	var pods []healthapi.Pod
	for i := range herd {
		uids = append(uids, fmt.Sprintf("%02d", i))
		pods = append(pods, guarded(uids[i], healthapi.PodWaiting))
	}
	d, now, all := newDecider(after), start().Add(after), []notice{}
	for range herd - burst - 1 {
		some, dropped := d.decide(nodeOf(pods...), queueOf(now, uids...), now)
		if dropped != 0 {
			t.Fatalf("%d dropped while they may still be told", dropped)
		}
		all = append(all, some...)
		now = now.Add(refill)
	}
	if len(all) != herd-2 {
		t.Fatalf("%d of %d were told", len(all), herd)
	}
	for i, n := range all {
		if n.pod.UID != uids[i] {
			t.Errorf("told as number %d: %s, want the order of the queue", i, n.pod.UID)
		}
	}
	if at, some := d.next(nodeOf()); !some || !at.IsZero() {
		t.Error("nobody looks after those who were not told")
	}
	for i := range pods {
		pods[i].State = healthapi.PodStarting
	}
	if some, dropped := d.decide(nodeOf(pods...), queueOf(now), now); len(some) != 0 || dropped != 2 {
		t.Errorf("%d told, %d dropped when the wait was over; want the 2 that were not told", len(some), dropped)
	}
	if _, some := d.next(nodeOf(pods...)); some {
		t.Error("the lock is still asked")
	}
}

func TestNobodyAsksTheLockForNothing(t *testing.T) {
	t.Parallel()
	unstarted := guarded("b", healthapi.PodWaiting)
	unstarted.WaitsSince = time.Time{}
	for name, n := range map[string]*healthapi.Node{
		"no pods":      nodeOf(),
		"nobody waits": nodeOf(guarded("a", healthapi.PodReady)),
		"an init container that is not there yet": nodeOf(unstarted),
		"a pod that waits for nothing":            nodeOf(healthapi.Pod{UID: "c", State: healthapi.PodWaiting, WaitsSince: start()}),
	} {
		if _, some := newDecider(after).next(n); some {
			t.Errorf("%s: the lock is asked", name)
		}
	}
	d := newDecider(after)
	later := guarded("z", healthapi.PodWaiting)
	later.WaitsSince = start().Add(time.Minute)
	if at, some := d.next(nodeOf(later, guarded("a", healthapi.PodWaiting))); !some || !at.Equal(start().Add(after)) {
		t.Errorf("asks at %s, %t; want when the first of them has waited for long", at, some)
	}
}

// Whatever happens, in any order: never more than the bucket allows, never
// twice within five minutes, granted only once after a waiting one, only on
// pods of this node under their own names; and memory has a bound.
func TestNoStormMakesTooManyEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d, now := newDecider(after), start()
		var sent []time.Time
		waited, hopes := map[string]time.Time{}, map[string]bool{}
		uid := rapid.Custom(func(t *rapid.T) string { return strconv.Itoa(rapid.IntRange(0, 25).Draw(t, "uid")) })
		states := []healthapi.PodState{healthapi.PodWaiting, healthapi.PodWaiting, healthapi.PodWaiting, healthapi.PodStarting, healthapi.PodReady, healthapi.PodTerminating}
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 5, 5, 5, 31, 299, 301}).Draw(t, "pause")) * time.Second)
			var pods []healthapi.Pod
			here := map[string]bool{}
			for _, u := range rapid.SliceOfNDistinct(uid, 0, 26, rapid.ID).Draw(t, "pods") {
				here[u] = true
				pods = append(pods, guarded(u, rapid.SampledFrom(states).Draw(t, "state")))
			}
			s := queueOf(now, rapid.SliceOfN(uid, 0, 30).Draw(t, "queue")...)
			for _, u := range rapid.SliceOfN(uid, 0, 5).Draw(t, "grants") {
				s.Grants = append(s.Grants, grant(u, now))
			}
			for _, u := range rapid.SliceOfN(uid, 0, 5).Draw(t, "recent") {
				s.Recent = append(s.Recent, lockapi.EndedState{GrantState: grant(u, now), Ended: "ready"})
			}
			notices, dropped := d.decide(nodeOf(pods...), s, now)
			if dropped < 0 {
				t.Fatalf("%d dropped", dropped)
			}
			for _, n := range notices {
				u := n.pod.UID
				if !here[u] || n.pod.Name != "pod-"+u || n.pod.Namespace != "shop" {
					t.Fatalf("an event on %+v, which is not here", n.pod)
				}
				switch last, was := waited[u]; {
				case n.reason == waiting && was && now.Sub(last) < quiet:
					t.Fatalf("%s heard twice within %s that it waits", u, now.Sub(last))
				case n.reason == waiting:
					waited[u], hopes[u] = now, true
				case n.reason == granted && !hopes[u]:
					t.Fatalf("%s got its slot without having heard that it waits", u)
				case n.reason == granted:
					hopes[u] = false
				default:
					t.Fatalf("reason %q", n.reason)
				}
				sent = append(sent, now)
			}
			if len(d.told) > burst+int(quiet/refill)+26 || len(d.late) > len(pods) {
				t.Fatalf("remembers %d and %d pods", len(d.told), len(d.late))
			}
		}
		for i := range sent {
			for j := i; j < len(sent); j++ {
				if n, allowed := j-i+1, burst+int(sent[j].Sub(sent[i])/refill); n > allowed {
					t.Fatalf("%d events within %s, allowed are %d", n, sent[j].Sub(sent[i]), allowed)
				}
			}
		}
	})
}
