package kind

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		"Ready since before the start": {
			[]told{{5, state{}}, {9.4, state{running: "a", since: 9, ready: 3}}},
			[]string{"9.4 started", "9.4 ready"},
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
