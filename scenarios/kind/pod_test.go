package kind

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

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

func TestFaultyPods(t *testing.T) {
	t.Parallel()
	h := Herd{AppImage: "app"}
	for fault, want := range map[spec.Fault]string{
		spec.NeverReady: "app Never --never-ready",
		spec.CrashLoop:  "app Never --crash",
		spec.NoImage:    noImage + " IfNotPresent /data",
	} {
		app := h.pod("worker", "g-1", spec.Group{Fault: fault}, nil).Spec.Containers[0]
		if got := fmt.Sprintf("%s %s %s", app.Image, app.ImagePullPolicy, app.Args[len(app.Args)-1]); got != want {
			t.Errorf("%s: %s, want %s", fault, got, want)
		}
	}
}

func TestTheChartGetsThePolicy(t *testing.T) {
	t.Parallel()
	n := &Node{cluster: &cluster.Cluster{Kubeconfig: "k"}, chart: "chart"}
	for want, lock := range map[string]spec.Lock{
		`{"locks":2}`:      {Locks: 2},
		`{"locks":"auto"}`: {Auto: true},
		`{"locks":"auto","maxLocks":8,"minLocks":2}`: {Auto: true, Min: 2, Max: 8},
	} {
		lock.Lease, lock.ReleaseOn = spec.Duration(2*time.Minute), "ready"
		got, err := json.Marshal(n.release(&lock).Values)
		want := `{"health":{"image":{"pullPolicy":"Never","tag":"scenarios"}},"image":{"pullPolicy":"Never","tag":"scenarios"},` +
			`"lease":"2m","lock":` + want + `,"release":{"on":"ready"}}`
		if err != nil || string(got) != want {
			t.Errorf("got  %s\nwant %s\n%v", got, want, err)
		}
	}
}
