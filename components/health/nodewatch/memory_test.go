// What the watch of a busy node in a large cluster costs.

package nodewatch

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	manyPods       = 110
	manyDaemonSets = 300
	maxResident    = 40 << 10 // KiB
)

func TestMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if testing.Short() {
		t.Skip("builds a program")
	}
	program := filepath.Join(t.TempDir(), "watch") // not this test, which knows all of client-go and the race detector
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", program, "./testdata/watch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the watcher: %v\n%s", err, out)
	}
	bothWays(t, func(t *testing.T, f *fakeAPI) { measure(t, f, program) })
}

func measure(t *testing.T, f *fakeAPI, program string) {
	for i := range manyDaemonSets {
		f.put(newDaemonSet("daemonset-"+strconv.Itoa(i), generation(1), func(ds *appsv1.DaemonSet) {
			ds.Spec.Template.Spec = realisticSpec(i)
			ds.Spec.Template.Spec.NodeSelector = map[string]string{"pool": strconv.Itoa(i % 30)}
			ds.ManagedFields = realisticFields()
		}))
	}
	for i := range manyPods {
		f.put(realisticPod(i, false))
	}
	size, err := json.Marshal(realisticPod(1, true))
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), program, f.URL, thisNode, guardName)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"synced", "ready"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the child said %q, want %q", lines.Text(), want)
		}
		resident := memory(t, cmd.Process.Pid, "VmRSS")
		t.Logf("%s: %.1f MiB, at most %.1f MiB; %d pods of %d bytes", want, float64(resident)/1024,
			float64(memory(t, cmd.Process.Pid, "VmHWM"))/1024, manyPods, len(size))
		if resident > maxResident {
			t.Errorf("%s: %d KiB resident, want at most %d", want, resident, maxResident)
		}
		for i := range manyPods {
			f.put(realisticPod(i, true))
		}
	}
}

// memory is a line of /proc/PID/status, in KiB.
func memory(t *testing.T, pid int, what string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), what+":")
	n, err := strconv.Atoi(strings.Fields(rest + " ?")[0])
	if err != nil {
		t.Fatalf("%s in %s: %v", what, status, err)
	}
	return n
}

func realisticPod(i int, isReady bool) *corev1.Pod {
	p := newPod("application-"+strconv.Itoa(i)+"-6b7f9d5c4b-x2x4z", func(p *corev1.Pod) {
		p.Spec = realisticSpec(i)
		p.Spec.NodeName = thisNode
		p.ManagedFields = realisticFields()
		p.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("0123456789", 50)}
	}, guarded(done(0, 1, 2)), app(running(3, true)))
	if isReady {
		ready(true, 5)(p)
	}
	return p
}

func realisticSpec(i int) corev1.PodSpec {
	var env []corev1.EnvVar
	for j := range 25 {
		env = append(env, corev1.EnvVar{Name: "APPLICATION_SETTING_" + strconv.Itoa(j), Value: fmt.Sprintf("value-%d-of-application-%d.example.svc.cluster.local", j, i)})
	}
	var volumes []corev1.Volume
	var mounts []corev1.VolumeMount
	for j := range 6 {
		name := "volume-" + strconv.Itoa(j)
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config-" + strconv.Itoa(i)}}}})
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: "/etc/application/" + name, ReadOnly: true})
	}
	return corev1.PodSpec{Volumes: volumes, Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/team/application:v1.2.3", Env: env,
		VolumeMounts: mounts, Args: []string{"--listen=:8080", "--verbose"},
		StartupProbe: probe(0, 2, 60), LivenessProbe: probe(10, 5, 3), ReadinessProbe: probe(0, 1, 3)}}}
}

func realisticFields() []metav1.ManagedFieldsEntry {
	var all []metav1.ManagedFieldsEntry
	for _, manager := range []string{"kube-controller-manager", "kubelet"} {
		fields := `{"f:metadata":{` + strings.TrimSuffix(strings.Repeat(`"f:labels":{".":{},"f:app":{}},`, 40), ",") + `}}`
		all = append(all, metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)})
	}
	return all
}

// BenchmarkChange is the way of one event to those who wait for it, on that same node.
func BenchmarkChange(b *testing.B) {
	w := New(testConfig(), Sources{}, slog.New(slog.DiscardHandler))
	var pods, daemonSets []any
	for i := range manyPods {
		pods = append(pods, realisticPod(i, true))
	}
	for i := range manyDaemonSets {
		daemonSets = append(daemonSets, newDaemonSet("daemonset-"+strconv.Itoa(i)))
	}
	_ = w.pods.Replace(pods, "1")
	_ = w.daemonSets.Replace(daemonSets, "1")
	_ = w.node.Replace([]any{newNode()}, "1")
	if n := w.Node(); !n.Synced || len(n.Pods) != manyPods || len(n.DaemonSets) != manyDaemonSets {
		b.Fatalf("view: %+v", n)
	}
	waits, passed := newPod("web", guarded(running(1, true))), newPod("web", guarded(done(0, 1, 2)))
	b.Run("pod", func(b *testing.B) {
		for b.Loop() {
			changed := w.Changed()
			_ = w.pods.Update(waits)
			<-changed
			waits, passed = passed, waits
		}
	})
	plain, tainted := newNode(), newNode(tainted("team", corev1.TaintEffectNoSchedule))
	b.Run("node", func(b *testing.B) {
		for b.Loop() {
			changed := w.Changed()
			_ = w.node.Update(tainted)
			<-changed
			plain, tainted = tainted, plain
		}
	})
}
