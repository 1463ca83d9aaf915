package kind

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// is tells whether a channel is closed.
func is(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func newTestWatcher(s *spec.Scenario, pods []record.Pod) *watcher {
	return newWatcher(pods, Herd{}.expected, func(at time.Time) *record.Log { return record.NewLog(On, s, spec.Policy{}, pods, at) })
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	w := newTestWatcher(&spec.Scenario{Name: "s"}, []record.Pod{{Name: "a", UID: "1"}})
	pending := state{}.pod()
	pending.Spec.NodeName = ""
	w.see(pending, at(1))
	foreign := state{running: "x", since: 1, ready: 1}.pod()
	foreign.UID = types.UID("other")
	w.see(foreign, at(2))
	if is(w.started) {
		t.Fatal("the herd appeared before a pod of it was placed")
	}
	w.see(state{}.pod(), at(3))
	if !is(w.started) || is(w.life().ready) {
		t.Fatal("placed, and not Ready")
	}
	w.see(state{running: "a", since: 5, ready: 5}.pod(), at(5.5))
	if !is(w.life().ready) {
		t.Fatal("not all Ready")
	}
	w.see(state{running: "a", since: 5, ready: 5}.pod(), at(6)) // once more does no harm
	run := w.life().log.Snapshot(at(7))
	if started, _ := run.Pods[0].First(record.Started); run.On != On || started != 2.5 || run.Ended != 4 {
		t.Errorf("%+v", run)
	}
}

func TestASecondLifeBeginsWithANewContainer(t *testing.T) {
	t.Parallel()
	w := newTestWatcher(&spec.Scenario{Name: "s"}, []record.Pod{{Name: "a", UID: "1"}})
	old := state{running: "a", since: 5, ready: 6, restarts: 1}
	w.see(state{}.pod(), at(3))
	w.see(old.pod(), at(6.5))
	first := w.life()
	second := w.reborn(at(10))
	for i, s := range []state{
		old, // nobody told the API server yet
		{running: "a", terminated: true, ended: 11, restarts: 1},
		{running: "", last: "a", ended: 11, restarts: 1},
	} {
		w.see(s.pod(), at(11+float64(i)))
	}
	if got := second.log.Snapshot(at(14)).Pods[0].Events; len(got) != 0 || is(second.ready) {
		t.Errorf("of the former life: %v", got)
	}
	again := state{running: "b", since: 20, last: "a", ended: 11, restarts: 2}
	w.see(again.pod(), at(20.5))
	again.ready = 24
	w.see(again.pod(), at(24.5))
	run := second.log.Snapshot(at(30))
	if ready, _ := run.Pods[0].ReadyAt(); !is(second.ready) || ready != 14.5 || len(run.Pods[0].Restarts()) != 0 {
		t.Errorf("the second life: %+v", run.Pods[0].Events)
	}
	w.see(state{running: "d", since: 28, last: "c", ended: 27, restarts: 4}.pod(), at(28.5))
	if n := len(second.log.Snapshot(at(30)).Pods[0].Restarts()); n != 2 {
		t.Errorf("%d restarts in the second life, want the one that was seen and the one before it", n)
	}
	if ready, ok := first.log.Snapshot(at(30)).Pods[0].ReadyAt(); !ok || ready != 3.5 {
		t.Errorf("the first life changed: Ready at %v, %v", ready, ok)
	}
}

func TestWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		herd  Herd
		pods  []record.Pod
		ready []string // become so
		gone  []string
		want  bool
	}{
		"everybody":           {Herd{}, []record.Pod{{UID: "1"}, {UID: "2"}}, []string{"1"}, nil, false},
		"the faulty are not":  {Herd{}, []record.Pod{{UID: "1"}, {UID: "2", Fault: spec.NoImage}}, []string{"1"}, nil, true},
		"nor are the deleted": {Herd{}, []record.Pod{{UID: "1"}, {UID: "2"}}, []string{"1"}, []string{"2"}, true},
		"deleted when Ready":  {Herd{}, []record.Pod{{UID: "1"}, {UID: "2"}}, []string{"1", "2"}, []string{"2"}, true},
		"others are": {
			Herd{Expected: func(p *record.Pod) bool { return p.UID == "2" }}, []record.Pod{{UID: "1"}, {UID: "2", Fault: spec.NoImage}},
			[]string{"1"}, nil, false,
		},
		"unless they are deleted": {
			Herd{Expected: func(p *record.Pod) bool { return p.UID == "2" }}, []record.Pod{{UID: "1"}, {UID: "2"}},
			[]string{"1"}, []string{"2"}, true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatcher(test.pods, test.herd.expected, func(at time.Time) *record.Log {
				return record.NewLog(On, &spec.Scenario{}, spec.Policy{}, test.pods, at)
			})
			handler := w.handler()
			for _, p := range test.pods {
				pod := state{}.pod()
				pod.UID = types.UID(p.UID)
				handler.OnAdd(pod, false)
			}
			for _, uid := range test.ready {
				pod := state{running: "a", since: 1, ready: 2}.pod()
				pod.UID = types.UID(uid)
				handler.OnUpdate(nil, pod)
			}
			for _, uid := range test.gone {
				pod := state{}.pod()
				pod.UID = types.UID(uid)
				handler.OnDelete(cache.DeletedFinalStateUnknown{Obj: pod})
			}
			if got := is(w.life().ready); got != test.want {
				t.Errorf("complete: %v, want %v", got, test.want)
			}
		})
	}
}

func TestDaemonSetsAreReadySinceTheSecondThatTheKubeletSays(t *testing.T) {
	t.Parallel()
	s := &spec.Scenario{DaemonSets: []spec.DaemonSet{{Name: "early"}, {Name: "slow"}, {Name: "far", Elsewhere: spec.ByTaint}}}
	w := newTestWatcher(s, []record.Pod{{Name: "a", UID: "1"}})
	daemon := func(uid, owner string, s state) *corev1.Pod {
		pod, yes := s.pod(), true
		pod.UID, pod.OwnerReferences = types.UID(uid), []metav1.OwnerReference{{Kind: "DaemonSet", Name: owner, Controller: &yes}}
		return pod
	}
	w.see(daemon("8", "early", state{running: "x", since: 1, ready: 2}), at(2.9))
	w.see(state{}.pod(), at(3))
	w.see(daemon("9", "slow", state{running: "y", since: 3}), at(4))
	w.see(daemon("9", "slow", state{running: "y", since: 3, ready: 23}), at(23.7))
	w.see(daemon("9", "slow", state{running: "y", since: 3, ended: 30}), at(30.5))
	w.see(daemon("9", "slow", state{running: "y", since: 3, ready: 31}), at(31.5))
	for _, d := range w.life().log.Snapshot(at(40)).DaemonSets {
		want, ok := map[string]float64{"early": -1, "slow": 20}[d.Name]
		if (d.ReadyAt != nil) != ok || ok && *d.ReadyAt != want {
			t.Errorf("%s: %v, want %v", d.Name, d.ReadyAt, want)
		}
	}
}

func TestALifeIsFollowedUntilAllIsComplete(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	close(ended)
	never := make(chan struct{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx           context.Context
		ready, during chan struct{}
		limit         time.Duration
		gaveUp        bool
	}{
		"complete":                        {t.Context(), ended, ended, time.Hour, false},
		"complete, with all the time":     {t.Context(), ended, ended, 0, false},
		"not Ready":                       {t.Context(), never, ended, time.Millisecond, true},
		"Ready, but something is to come": {t.Context(), ended, never, time.Millisecond, true},
		"somebody has had enough":         {over, never, never, time.Hour, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{log: record.NewLog(On, &spec.Scenario{}, spec.Policy{}, nil, time.Now()), ready: test.ready}
			gaveUp := Herd{}.accompany(test.ctx, nil, "", spec.Policy{}, test.limit, l, test.during)
			if run := l.log.Snapshot(time.Now()); gaveUp != test.gaveUp || run.GaveUp != gaveUp {
				t.Errorf("gave up: %v, in the record %v, want %v", gaveUp, run.GaveUp, test.gaveUp)
			}
		})
	}
}
