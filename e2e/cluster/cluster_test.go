package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestBusySeconds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stat string
		want float64
		ok   bool
	}{
		"all processors": {"cpu  100 10 40 9999 888 20 30 7 50 60\ncpu0 1 1 1 1 1 1 1 1\n", 2, true},
		"no such line":   {"cpu0 1 1 1 1 1 1 1 1\nintr 5\n", 0, false},
		"not a number":   {"cpu x 10 40 9999 888 20 30 7\n", 0, false},
		"nothing":        {"", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := busySeconds(tc.stat)
			if got != tc.want || (err == nil) != tc.ok {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	heartbeat := time.Unix(1000, 0)
	node := func(status corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeReady, Status: status, LastHeartbeatTime: metav1.NewTime(heartbeat)},
		}}}
	}
	for name, tc := range map[string]struct {
		node  *corev1.Node
		since time.Time
		want  bool
	}{
		"Ready":                   {node(corev1.ConditionTrue), time.Time{}, true},
		"Ready since":             {node(corev1.ConditionTrue), heartbeat, true},
		"Ready before the reboot": {node(corev1.ConditionTrue), heartbeat.Add(time.Second), false},
		"not Ready":               {node(corev1.ConditionFalse), time.Time{}, false},
		"just registered":         {&corev1.Node{}, time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ready(tc.node, tc.since); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestStartedSince(t *testing.T) {
	t.Parallel()
	start := metav1.Unix(1000, 0)
	running := corev1.ContainerStatus{Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: start}}}
	for name, tc := range map[string]struct {
		pod   corev1.Pod
		since time.Time
		want  bool
	}{
		"runs":                 {corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{running}}}, start.Time, true},
		"ran before":           {corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{running}}}, start.Add(time.Second), false},
		"one of two":           {corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{running, {}}}}, time.Time{}, false},
		"no containers yet":    {corev1.Pod{}, time.Time{}, false},
		"on its way to be not": {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &start}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{running}}}, time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := startedSince(&tc.pod, tc.since); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	c := &Cluster{}
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		err := c.await(t.Context(), "the third answer", time.Minute, func(context.Context) (string, error) {
			asked++
			switch asked {
			case 1:
				return "", errors.New("busy")
			case 2:
				return "not yet", nil
			default:
				return "", nil
			}
		})
		if err != nil || asked != 3 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		err := c.await(t.Context(), "rain", time.Minute, func(context.Context) (string, error) { return "the sky is blue", nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for rain") || !strings.Contains(err.Error(), "the sky is blue") {
			t.Errorf("got %v", err)
		}
	})
}

func TestConfigKey(t *testing.T) {
	t.Parallel()
	a, err := configKey("image:1")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := configKey("image:1"); again != a {
		t.Errorf("the key was %s and is %s", a, again)
	}
	if other, _ := configKey("image:2"); other == a {
		t.Error("another image has the same key")
	}
}

func TestNodeNames(t *testing.T) {
	t.Parallel()
	c := &Cluster{Name: "x"}
	if c.ControlPlane() != "x-control-plane" || c.Worker() != "x-worker" {
		t.Errorf("the nodes are %s and %s", c.ControlPlane(), c.Worker())
	}
}
