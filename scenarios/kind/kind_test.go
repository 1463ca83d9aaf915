package kind

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

func stamp(s int) metav1.Time { return metav1.NewTime(at(float64(s))) }

// state is a pod as the API server tells it, made from what matters here.
type state struct {
	running    string // container id
	since      int
	terminated bool // the running one has ended by now, at ended
	last       string
	ended      int
	restarts   int32
	ready      int // since when; 0 is not
}

func (s state) pod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "1"}, Spec: corev1.PodSpec{NodeName: "worker"}}
	app := corev1.ContainerStatus{Name: appName, ContainerID: s.running, RestartCount: s.restarts}
	if s.running != "" && !s.terminated {
		app.State.Running = &corev1.ContainerStateRunning{StartedAt: stamp(s.since)}
	}
	end := &corev1.ContainerStateTerminated{ContainerID: s.last, StartedAt: stamp(s.ended - 2), FinishedAt: stamp(s.ended), ExitCode: 137, Reason: "OOMKilled"}
	if s.terminated {
		end.ContainerID = s.running
		app.State.Terminated = end
	} else if s.last != "" {
		app.LastTerminationState.Terminated = end
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar"}, app}
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: stamp(s.ended)}
	if s.ready > 0 {
		condition.Status, condition.LastTransitionTime = corev1.ConditionTrue, stamp(s.ready)
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, condition}
	return pod
}

func TestWhatHappenedBetweenTwoStates(t *testing.T) {
	t.Parallel()
	type told struct {
		at float64
		state
	}
	const end = " stopped OOMKilled, exit code 137"
	tests := map[string]struct {
		told []told
		want []string
	}{
		"a good start": {
			[]told{{0.2, state{}}, {3.4, state{running: "a", since: 3}}, {3.5, state{running: "a", since: 3}}, {6.2, state{running: "a", since: 3, ready: 6}}},
			[]string{"3.4 started", "6.2 ready"},
		},
		"heard late": {
			[]told{{9, state{running: "a", since: 3}}, {9.1, state{running: "a", since: 3, ready: 6}}},
			[]string{"4 started", "7 ready"},
		},
		"all in one": {
			[]told{{6.5, state{running: "a", since: 3, ready: 6}}},
			[]string{"4 started", "6.5 ready"},
		},
		"killed and restarted, told in two": {
			[]told{
				{1, state{running: "a", since: 1}}, {15.5, state{running: "a", since: 1, terminated: true, ended: 15}},
				{25.5, state{running: "b", since: 25, last: "a", ended: 15, restarts: 1}},
			},
			[]string{"1 started", "15.5" + end, "25.5 started"},
		},
		"killed and restarted, told in one": {
			[]told{{1, state{running: "a", since: 1}}, {16.5, state{running: "b", since: 16, last: "a", ended: 15, restarts: 1}}},
			[]string{"1 started", "16" + end, "16.5 started"},
		},
		"one that came and went unseen": {
			[]told{{1, state{running: "a", since: 1}}, {9.5, state{running: "c", since: 9, last: "b", ended: 8, restarts: 2}}},
			[]string{"1 started", "7 started", "9" + end, "9.5 started"},
		},
		"readiness lost": {
			[]told{{1, state{running: "a", since: 1, ready: 1}}, {5.5, state{running: "a", since: 1, ended: 5}}},
			[]string{"1 started", "1 ready", "5.5 unready"},
		},
		"Ready means nothing before the start": {
			[]told{{1, state{ready: 1}}},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s seen
			var got []string
			for _, told := range test.told {
				for _, e := range s.update(told.pod(), at(told.at)) {
					got = append(got, strings.TrimSpace(fmt.Sprintf("%g %s %s", e.at.Sub(noon).Seconds(), e.what, e.note)))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ status, heard, want float64 }{
		"heard within the second": {3, 3.4, 3.4},
		"heard late":              {3, 5, 4},
		"a clock that is ahead":   {3, 2.5, 2.5},
	} {
		if got := moment(at(test.status), at(test.heard)); !got.Equal(at(test.want)) {
			t.Errorf("%s: %v", name, got.Sub(noon))
		}
	}
	if got := moment(time.Time{}, at(1)); !got.Equal(at(1)) {
		t.Errorf("no status: %v", got)
	}
}

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

func TestPod(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	h := Herd{InitImage: "init", AppImage: "app", Lock: Lock{Namespace: "ns", Service: "svc", Port: 8888}}
	group := spec.Group{
		Name: "g", Count: 1, Weight: 2, Priority: 3, Startup: spec.Startup{CPU: 3 * second, Read: 1 << 20},
		Probes: spec.Probes{Liveness: &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 2}},
	}
	pod := h.pod("worker", "g-1", group, &spec.Lock{Locks: 1, Lease: 4 * second})
	if len(pod.Spec.InitContainers) != 1 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("%+v", pod.Spec)
	}
	if got, want := strings.Join(pod.Spec.InitContainers[0].Args, " "), "--host svc.ns --port 8888 --duration 4s --weight 2 --priority 3"; got != want {
		t.Errorf("init: %s, want %s", got, want)
	}
	if got, want := strings.Join(pod.Spec.Containers[0].Args, " "), "--cpu 3s --idle 0s --read 1Mi --listen :8080 --dir /data"; got != want {
		t.Errorf("app: %s, want %s", got, want)
	}
	live := pod.Spec.Containers[0].LivenessProbe
	if live.InitialDelaySeconds != 10 || live.PeriodSeconds != 5 || live.TimeoutSeconds != 1 || live.FailureThreshold != 2 || live.HTTPGet.Path != "/livez" {
		t.Errorf("liveness %+v", live)
	}
	if pod.Spec.Containers[0].ReadinessProbe != nil || pod.Spec.NodeSelector[corev1.LabelHostname] != "worker" {
		t.Error("a readiness probe from nowhere, or any node")
	}
	if plain := h.pod("worker", "g-1", group, nil); len(plain.Spec.InitContainers) != 0 {
		t.Error("an init container without a lock")
	}
}
