//go:build e2e

// This file tries a real cluster: networking, DNS, probes, images that stay, a flood of pods. It needs a
// container engine: go test -tags e2e -run TestCluster ./e2e/cluster.

package cluster_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
)

const namespace = "cluster-test"

func TestCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	c, err := cluster.Up(ctx, cluster.Options{Keep: os.Getenv("E2E_KEEP") != ""})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	app, err := images.Build(ctx, images.Component{Name: "echo", Package: "./e2e/cluster/echo"}, images.Linux(runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImages(ctx, app); err != nil {
		t.Fatal(err)
	}
	e := echo{c, app.Ref}
	e.makeNamespace(ctx, t)

	t.Run("services and names", func(t *testing.T) { e.servicesAndNames(ctx, t) })
	t.Run("a herd floods a fresh worker", func(t *testing.T) { e.herd(ctx, t) })
	t.Run("services after a fresh worker", func(t *testing.T) { e.servicesAndNames(ctx, t) })
	t.Run("reboot", func(t *testing.T) {
		if err := c.Reboot(ctx); err != nil {
			t.Fatal(err)
		}
		e.servicesAndNames(ctx, t)
	})
	t.Run("the machine's work is measured", func(t *testing.T) { e.busy(ctx, t) })
}

// echo is the application that the cluster is tried with.
type echo struct {
	*cluster.Cluster
	image string
}

func (e echo) makeNamespace(ctx context.Context, t *testing.T) {
	t.Helper()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := e.Client.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Client.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// servicesAndNames asks a server on the worker from a pod on the worker, in every way that a pod can.
func (e echo) servicesAndNames(ctx context.Context, t *testing.T) {
	server := e.create(ctx, t, e.pod("server-"))
	local := corev1.ServiceInternalTrafficPolicyLocal
	for name, policy := range map[string]*corev1.ServiceInternalTrafficPolicy{"anywhere": nil, "local": &local} {
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				Selector:              map[string]string{"app": server.Labels["app"]},
				Ports:                 []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
				InternalTrafficPolicy: policy,
			},
		}
		made, err := e.Client.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Client.CoreV1().Services(namespace).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
		e.awaitPod(ctx, t, server.Name, isReady)
		for _, host := range []string{made.Spec.ClusterIP, name + "." + namespace + ".svc.cluster.local", name} {
			if got := e.get(ctx, t, "http://"+host); got != server.Name {
				t.Errorf("the service %s, called %s, is answered by %q, not by %s", name, host, got, server.Name)
			}
		}
	}
}

// herd lets pods flood in on a worker that has just appeared.
func (e echo) herd(ctx context.Context, t *testing.T) {
	before, err := e.Client.CoreV1().Nodes().Get(ctx, e.Worker(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.StopWorker(ctx); err != nil {
		t.Fatal(err)
	}
	var herd []*corev1.Pod
	for range 24 {
		herd = append(herd, e.create(ctx, t, e.pod("herd-")))
	}
	started := time.Now()
	if err := e.StartWorker(ctx); err != nil {
		t.Fatal(err)
	}
	after, err := e.Client.CoreV1().Nodes().Get(ctx, e.Worker(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if before.UID == after.UID || !after.CreationTimestamp.After(before.CreationTimestamp.Time) {
		t.Error("the worker is the same node as before")
	}
	for _, pod := range herd {
		e.awaitPod(ctx, t, pod.Name, isReady)
	}
	t.Logf("%d pods are Ready %s after the worker came back", len(herd), time.Since(started).Round(100*time.Millisecond))
}

func (e echo) busy(ctx context.Context, t *testing.T) {
	before, err := e.Busy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Exec(ctx, e.Worker(), "timeout", "2", "sh", "-c", "while :; do :; done"); err == nil {
		t.Fatal("a loop ended by itself")
	}
	after, err := e.Busy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if worked := after - before; worked < 1.5 || worked > 2.5*float64(runtime.NumCPU()) {
		t.Errorf("a loop of two seconds worked for %.2f CPU-seconds", worked)
	}
}

// get runs a client pod and answers what it printed.
func (e echo) get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	pod := e.pod("client-")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers[0].Args = []string{"get", url}
	pod.Spec.Containers[0].LivenessProbe, pod.Spec.Containers[0].ReadinessProbe = nil, nil
	pod = e.create(ctx, t, pod)
	e.awaitPod(ctx, t, pod.Name, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	log, err := e.Client.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if len(lines) > 1 {
		t.Logf("%s answered in the end:\n%s", url, log)
	}
	return lines[len(lines)-1]
}

func (e echo) pod(prefix string) *corev1.Pod {
	probe := &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)}}}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix, Labels: map[string]string{"app": fmt.Sprintf("%s%d", prefix, time.Now().UnixNano())}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "echo", Image: e.image, ImagePullPolicy: corev1.PullNever,
				LivenessProbe: probe, ReadinessProbe: probe,
			}},
		},
	}
}

func (e echo) create(ctx context.Context, t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	made, err := e.Client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := e.Client.CoreV1().Pods(namespace).Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	return made
}

func (e echo) awaitPod(ctx context.Context, t *testing.T, name string, good func(*corev1.Pod) bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		pod, err := e.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && good(pod) {
			if len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].RestartCount > 0 {
				t.Logf("%s was restarted %d times", name, pod.Status.ContainerStatuses[0].RestartCount)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pod %s does not get there: %v, %+v", name, err, pod.Status)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
