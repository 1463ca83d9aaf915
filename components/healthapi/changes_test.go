// Nodes of any kind: what changed is enough to follow them.

package healthapi

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// times are few, so that some are equal, and as JSON brings them.
func drawTime(t *rapid.T) time.Time {
	return rapid.SampledFrom([]time.Time{{}, time.Unix(1e9, 0).UTC(), time.Unix(2e9, 5).UTC()}).Draw(t, "time")
}

// drawNode draws from few names and UIDs, so that two nodes have much in common:
// the same pod, another pod of that name, even a pod whose name changes.
func drawNode(t *rapid.T, label string) *Node {
	word := func(from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	yes := func() bool { return rapid.Bool().Draw(t, label) }
	n := &Node{Name: word("n1", "n1", "n1", "n2"), Status: Status{
		Synced: rapid.IntRange(0, 9).Draw(t, "synced") > 0, Healthy: yes(),
		API: API{Connected: yes(), Since: drawTime(t), Error: word("", "refused")},
	}}
	if yes() {
		n.Reasons = []string{word("cni is not ready", "node is not Ready")}
		n.DaemonSets = []DaemonSet{{Namespace: "kube-system", Name: "cni", Ready: yes(), Reason: word("", "pod not Ready")}}
	}
	if yes() {
		n.Load = &Load{CPU: rapid.IntRange(0, 2).Draw(t, "cpu"), Threshold: 80, At: drawTime(t), Error: word("", "unknown")}
	}
	for _, uid := range rapid.SliceOfDistinct(rapid.IntRange(0, 6), rapid.ID).Draw(t, "uids") {
		n.Pods = append(n.Pods, Pod{
			Namespace: word("shop", "web"), Name: word("a", "b", "c"), UID: fmt.Sprint("uid-", uid),
			State: PodState(word("waiting", "starting", "ready", "stuck", "new in v9")), Reason: word("", "Failed"), Guarded: yes(),
			PatienceSeconds: rapid.SampledFrom([]int32{0, 1, math.MaxInt32}).Draw(t, "patience"),
			WaitsSince:      drawTime(t), Passed: drawTime(t), ReadyAt: drawTime(t),
		})
	}
	slices.SortFunc(n.Pods, ByName)
	return n
}

func same(a, b *Node) bool {
	return a.Name == b.Name && reflect.DeepEqual(a.Status, b.Status) && slices.Equal(a.Pods, b.Pods)
}

// sent is an event as it arrives at the other end.
func sent(t rapid.TB, e Event) Event {
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var got Event
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if err := got.check(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return got
}

func TestFollowingTheChangesOfANodeGivesThatNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawNode(t, "a"), drawNode(t, "b")
		var is Node
		for _, e := range Changes(nil, a) {
			is.Apply(sent(t, e))
		}
		if !same(&is, a) {
			t.Fatalf("from nothing:\n%+v\nwant\n%+v", is, *a)
		}
		events := Changes(a, b)
		for _, e := range events {
			is.Apply(sent(t, e))
			names := map[string]bool{}
			for _, p := range is.Pods {
				names[p.UID] = true
			}
			if len(names) != len(is.Pods) || !slices.IsSortedFunc(is.Pods, ByName) {
				t.Fatalf("after %+v pods are twice there, or out of order: %+v", e, is.Pods)
			}
		}
		if !same(&is, b) {
			t.Fatalf("%+v\ngave\n%+v\nwant\n%+v", events, is, *b)
		}
		if again := Changes(b, b); len(again) > 0 {
			t.Fatalf("no change, and yet %+v", again)
		}
	})
}

func TestAPodMadeAnewNeverStandsBesideItsPredecessor(t *testing.T) {
	t.Parallel()
	for _, uids := range [][2]string{{"1", "2"}, {"2", "1"}} {
		was := &Node{Pods: []Pod{{Namespace: "shop", Name: "db-0", UID: uids[0]}}}
		is := &Node{Pods: []Pod{{Namespace: "shop", Name: "db-0", UID: uids[1]}}}
		if events := Changes(was, is); len(events) != 2 || events[0].Gone != uids[0] || events[1].Pod.UID != uids[1] {
			t.Errorf("%+v", events)
		}
	}
}

func TestEventsKeepTheirHandsOffTheNodeTheyCameFrom(t *testing.T) {
	t.Parallel()
	origin := &Node{Pods: []Pod{{Name: "a", UID: "1"}, {Name: "b", UID: "2"}}}
	var is Node
	is.Apply(Event{Node: origin})
	is.Apply(Event{Gone: "1"})
	is.Apply(Event{Pod: &Pod{Name: "a", UID: "3"}})
	is.Apply(Event{}) // a heartbeat
	if origin.Pods[0].UID != "1" || origin.Pods[1].UID != "2" || len(is.Pods) != 2 {
		t.Errorf("origin %+v, is %+v", origin.Pods, is.Pods)
	}
}
