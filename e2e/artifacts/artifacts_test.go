package artifacts

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestDir(t *testing.T) {
	t.Parallel()
	got, err := Dir("TestHerd/24 pods, no lock")
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSuffix(got, "/_artifacts/e2e/TestHerd_24_pods__no_lock")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); root == got || err != nil {
		t.Errorf("got %s", got)
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for test, want := range map[string]string{"TestA": "TestA", "TestA/b c": "TestA_b_c", "../etc": ".._etc", "a\x00ä": "a__"} {
		if got := fileName(test); got != want {
			t.Errorf("%q became %q, want %q", test, got, want)
		}
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	at := func(seconds int) metav1.Time { return metav1.Unix(1_000_000+int64(seconds), 0) }
	pods := []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "a", CreationTimestamp: at(0)},
		Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(9)}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name:                 "app",
				State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(6)}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: at(2), FinishedAt: at(5), ExitCode: 137, Reason: "Error"}},
			}},
		},
	}}
	events := []corev1.Event{{
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "a"},
		Reason:         "Unhealthy", Message: "Liveness probe failed\n", FirstTimestamp: at(3), LastTimestamp: at(4), Count: 2,
	}}
	var order []string
	for line := range strings.Lines(tell(append(eventMoments(events), podMoments(pods)...))) {
		order = append(order, strings.Join(strings.Fields(line)[1:], " "))
	}
	want := []string{
		"0.0s pod a was created",
		"2.0s pod a app started",
		"3.0s pod a Unhealthy: Liveness probe failed",
		"4.0s pod a Unhealthy: Liveness probe failed (for the 2th time)",
		"5.0s pod a app ended, exit code 137, Error",
		"6.0s pod a app started and runs",
		"9.0s pod a Ready became True",
	}
	if strings.Join(order, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(order, "\n"), strings.Join(want, "\n"))
	}
}

func TestTellNothing(t *testing.T) {
	t.Parallel()
	if got := tell(nil); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestNamespace(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: "a", CreationTimestamp: metav1.NewTime(time.Unix(1, 0)),
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "someone"}},
		},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", ContainerID: "x", RestartCount: 1,
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}},
		}}},
	}
	d := dump{client: fake.NewClientset(pod), dir: t.TempDir()}
	story, err := d.namespace(context.Background(), "ns")
	if err != nil {
		t.Fatal(err)
	}
	if len(story) == 0 {
		t.Error("nothing happened")
	}
	for _, name := range []string{"ns/logs/a/app.log", "ns/logs/a/app.previous.log", "ns/events.yaml", "ns/daemonsets.yaml"} {
		if _, err := os.Stat(filepath.Join(d.dir, name)); err != nil {
			t.Error(err)
		}
	}
	content, err := os.ReadFile(filepath.Join(d.dir, "ns", "pods.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(content); !strings.Contains(text, "kind: PodList") || !strings.Contains(text, "name: a") || strings.Contains(text, "managedFields") {
		t.Errorf("pods.yaml is\n%s", text)
	}
}
