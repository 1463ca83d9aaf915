//go:build e2e

// Pods of a namespace with the label wait for a slot, though nobody changed them; and none is lost when that breaks.

package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/install"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

const (
	shop = "shop"
	// waits is the name of the init container.
	waits = "startup-lock"
	// injectable is a label that switches injection on.
	injectable = "startup-lock"
)

// shopPods is how many pods of testdata/shop.yaml have to be injected: 4 of the Deployment, 2 of the
// StatefulSet, the Job's and the one with containers of its own.
const shopPods = 8

func TestANamespaceWithTheLabelIsStaggeredUnchanged(t *testing.T) {
	suite.Test(t, suite.untuned("an ordinary namespace, labelled").
		Assess("helm test takes a slot and gives it back", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			if err := install.Test(ctx, suite.release(nil)); err != nil {
				t.Error(err)
			}
			return ctx
		}).
		Assess("every kind of pod waits for its slot, and those that opted out do not", suite.opens).
		Assess("a pod of the node's network finds the lock by its address", suite.findsTheAddress).
		Assess("kube-system is left alone, label or not", suite.sparesKubeSystem).
		Feature())
}

func TestAPodStartsWhenThePolicyIsBroken(t *testing.T) {
	suite.Test(t, suite.untuned("a policy that fails").
		Assess("blocks nobody", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			policies := suite.cluster.Client.AdmissionregistrationV1().MutatingAdmissionPolicies()
			name := release + "." + namespace
			broken := `[{"op": "replace", "path": "/spec/mutations/0/jsonPatch/expression",
				"value": "[JSONPatch{op: \"add\", path: \"/spec/initContainers/7\", value: variables.waits}]"}]`
			if _, err := policies.Patch(ctx, name, types.JSONPatchType, []byte(broken), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			suite.takesEffect(ctx, t, func(pod *corev1.Pod) bool { return len(pod.Spec.InitContainers) == 0 })
			pods := suite.shopPods(ctx, t, 3, nil)
			suite.areReady(ctx, t, pods, time.Minute)
			return ctx
		}).
		Feature())
}

func TestPodsStartWhenTheLockIsUninstalledInMidStorm(t *testing.T) {
	const maxWait = 15 * time.Second
	suite.Test(t, suite.untuned("a lock that is uninstalled in mid-storm").
		Assess("lets those that wait start, and leaves nothing behind", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			pods := suite.shopPods(ctx, t, 10, map[string]string{"startup-lock.io/max-wait": maxWait.String()})
			err := suite.until(ctx, time.Minute, func(s *lockapi.State) bool { return len(s.Grants) > 0 && len(s.Queue) > 2 })
			if err != nil {
				t.Fatal(err)
			}
			progress.Note(ctx, "uninstalling the chart")
			gone := time.Now()
			suite.uninstall(ctx, t)
			// The time without a lock, the random delay after it (30 s at most), and the starts themselves.
			suite.areReady(ctx, t, pods, maxWait+30*time.Second+time.Minute)
			progress.Note(ctx, "all pods are Ready %s after the lock began to go", time.Since(gone).Round(time.Second))
			suite.leftNothing(ctx, t)
			return ctx
		}).
		Feature())
}

// untuned is a feature with the chart as it comes, and a namespace with the label that enforces the
// strictest Pod Security level.
func (r *runner) untuned(name string) *features.FeatureBuilder {
	return features.New(name).
		Setup(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			if err := r.cluster.Fresh(ctx); err != nil {
				t.Fatal(err)
			}
			r.installs(ctx, t, defaults())
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop, Labels: map[string]string{
				injectable: "enabled", "pod-security.kubernetes.io/enforce": "restricted",
			}}}
			if _, err := r.cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			r.takesEffect(ctx, t, waitsFirst)
			return ctx
		}).
		Teardown(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			if t.Failed() {
				r.dump(ctx, t, shop)
			}
			r.uninstall(ctx, t)
			if err := r.cluster.Client.CoreV1().Namespaces().Delete(ctx, shop, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
			err := poll(ctx, 2*time.Minute, func() (bool, error) {
				_, err := r.cluster.Client.CoreV1().Namespaces().Get(ctx, shop, metav1.GetOptions{})
				return apierrors.IsNotFound(err), nil
			})
			if err != nil {
				t.Errorf("namespace %s does not go: %v", shop, err)
			}
			return ctx
		})
}

// defaults are no settings at all, but for the images that exist on these nodes only.
func defaults() map[string]any {
	ours := map[string]any{"tag": tag, "pullPolicy": "Never"}
	return map[string]any{"image": ours, "initImage": ours, "health": map[string]any{"image": ours}}
}

func (r *runner) installs(ctx context.Context, t *testing.T, values map[string]any) {
	t.Helper()
	o := r.release(nil)
	o.Values = values
	if _, err := install.Install(ctx, o); err != nil {
		r.dump(ctx, t)
		t.Fatal(err)
	}
}

// opens applies what the namespace's owners wrote, and looks at what became of it.
func (r *runner) opens(ctx context.Context, t *testing.T, cfg *envconf.Config) context.Context {
	manifest, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("IMAGE", r.herd.AppImage, "NODE", r.cluster.Worker()).Replace(string(manifest))
	for decode := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decode.Decode(object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		object.SetNamespace(shop)
		if err := cfg.Client().Resources().Create(ctx, object); err != nil {
			t.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
	pods := r.areReady(ctx, t, func(pods []corev1.Pod) bool { return len(pods) == shopPods+3 }, 2*time.Minute)
	granted := map[types.UID]bool{}
	state, err := r.herd.Lock.State(ctx, r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range state.Grants {
		granted[types.UID(g.Pod.UID)] = true
	}
	for _, g := range state.Recent {
		granted[types.UID(g.Pod.UID)] = true
	}
	injected := 0
	for _, pod := range pods {
		app := pod.Labels["app"]
		free := slices.Contains([]string{"skipped", "opted-out", "agent"}, app)
		switch {
		case free && (holds(&pod) || granted[pod.UID]):
			t.Errorf("%s waited for a slot, though it opted out or belongs to a DaemonSet", pod.Name)
		case !free && !waitsFirst(&pod):
			t.Errorf("%s does not wait first: init containers %v", pod.Name, initNames(&pod))
		case !free && !granted[pod.UID]:
			t.Errorf("%s started without a slot", pod.Name)
		case !free:
			injected++
			inTurn(t, &pod)
		}
	}
	if injected != shopPods {
		t.Errorf("%d pods waited for a slot, want %d", injected, shopPods)
	}
	progress.Note(ctx, "%d pods of a Deployment, a StatefulSet, a Job and by themselves were injected and granted, %d were not", injected, len(pods)-injected)
	return ctx
}

// inTurn checks that nothing of a pod ran before it had its slot.
func inTurn(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	waited := pod.Status.InitContainerStatuses[0].State.Terminated
	if waited == nil || waited.ExitCode != 0 {
		t.Errorf("%s: the init container did not end well: %+v", pod.Name, pod.Status.InitContainerStatuses[0].State)
		return
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses[1:], pod.Status.ContainerStatuses) {
		began := metav1.Time{}
		if c.State.Running != nil {
			began = c.State.Running.StartedAt
		} else if c.State.Terminated != nil {
			began = c.State.Terminated.StartedAt
		}
		if began.Before(&waited.FinishedAt) {
			t.Errorf("%s: container %s began at %s, before the wait ended at %s", pod.Name, c.Name, began, waited.FinishedAt)
		}
	}
}

// findsTheAddress runs a pod that asks the node's name service, which knows nothing of the lock.
func (r *runner) findsTheAddress(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
	namespaces := r.cluster.Client.CoreV1().Namespaces()
	patch := `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}`
	if _, err := namespaces.Patch(ctx, shop, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := r.shopPod("host-", nil)
	pod.Spec.HostNetwork, pod.Spec.Containers[0].Args = true, []string{"--listen", ":18080", "--dir", "/tmp"}
	pod.Spec.Containers[0].ReadinessProbe.ProbeHandler = httpGet("/readyz", 18080)
	made, err := r.cluster.Client.CoreV1().Pods(shop).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !waitsFirst(made) {
		t.Fatalf("it does not wait: init containers %v", initNames(made))
	}
	r.areReady(ctx, t, func(pods []corev1.Pod) bool { return len(pods) == shopPods+4 }, time.Minute)
	state, err := r.herd.Lock.State(ctx, r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(state.Recent, func(g lockapi.EndedState) bool { return g.Pod.UID == string(made.UID) }) {
		t.Errorf("it started without a slot; its init container has the arguments %q", made.Spec.InitContainers[0].Args)
	}
	return ctx
}

// sparesKubeSystem labels kube-system and creates a pod there.
func (r *runner) sparesKubeSystem(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
	namespaces := r.cluster.Client.CoreV1().Namespaces()
	label := func(value string) {
		patch := fmt.Sprintf(`{"metadata": {"labels": {%q: %s}}}`, injectable, value)
		if _, err := namespaces.Patch(ctx, metav1.NamespaceSystem, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	label(`"enabled"`)
	defer label("null")
	// Long enough for the API server's view of namespaces to have the label.
	for range 5 {
		pod := r.shopPod("spared-", nil)
		pod.Namespace = metav1.NamespaceSystem
		made, err := r.cluster.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			t.Fatal(err)
		}
		if holds(made) {
			t.Fatalf("a pod of kube-system waits for a slot: %v", initNames(made))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		}
	}
	return ctx
}

// takesEffect waits until the API server admits pods of the shop as they should be: it hears of policies a little later.
func (r *runner) takesEffect(ctx context.Context, t *testing.T, right func(*corev1.Pod) bool) {
	t.Helper()
	var last *corev1.Pod
	err := poll(ctx, time.Minute, func() (bool, error) {
		made, err := r.cluster.Client.CoreV1().Pods(shop).Create(ctx, r.shopPod("tried-", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			if apierrors.IsForbidden(err) { // the ServiceAccount is not there yet
				return false, nil
			}
			return false, err
		}
		last = made
		return right(made), nil
	})
	if err != nil {
		t.Fatalf("the policy does not take effect: %v; last pod: %+v", err, last)
	}
}

// shopPods creates pods of the shop, all of them for the worker.
func (r *runner) shopPods(ctx context.Context, t *testing.T, n int, annotations map[string]string) func([]corev1.Pod) bool {
	t.Helper()
	for range n {
		if _, err := r.cluster.Client.CoreV1().Pods(shop).Create(ctx, r.shopPod("storm-", annotations), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return func(pods []corev1.Pod) bool { return len(pods) == n }
}

// shopPod is an ordinary pod that computes for three seconds before it is Ready.
func (r *runner) shopPod(prefix string, annotations map[string]string) *corev1.Pod {
	yes, no := true, false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix, Annotations: annotations},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: r.cluster.Worker()},
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "app", Image: r.herd.AppImage, ImagePullPolicy: corev1.PullNever,
				Args:           []string{"--cpu", "3s", "--listen", ":8080", "--dir", "/tmp"},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: httpGet("/readyz", 8080)},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}

// areReady waits until the shop's pods are those that are expected, and all of them Ready or done.
func (r *runner) areReady(ctx context.Context, t *testing.T, complete func([]corev1.Pod) bool, limit time.Duration) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	err := poll(ctx, limit, func() (bool, error) {
		list, err := r.cluster.Client.CoreV1().Pods(shop).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		pods = list.Items
		return complete(pods) && !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return !settled(&p) }), nil
	})
	if err != nil {
		var text bytes.Buffer
		for _, pod := range pods {
			fmt.Fprintf(&text, "\n%s: %s, %v", pod.Name, pod.Status.Phase, settled(&pod))
		}
		t.Fatalf("not all pods are Ready after %s: %v%s", limit, err, text.String())
	}
	return pods
}

// leftNothing looks for objects with the release's label, of every kind that can be listed.
func (r *runner) leftNothing(ctx context.Context, t *testing.T) {
	t.Helper()
	left, err := r.cluster.Labelled(ctx, r.herd.Lock.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range left {
		t.Errorf("left behind: %s", object)
	}
}

// settled tells whether a pod is Ready, or did what it was for.
func settled(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// holds tells whether a pod waits for a slot.
func holds(pod *corev1.Pod) bool { return slices.Contains(initNames(pod), waits) }

// waitsFirst tells whether a pod waits for a slot before it does anything else.
func waitsFirst(pod *corev1.Pod) bool {
	names := initNames(pod)
	return len(names) > 0 && slices.Index(names, waits) == 0
}

func initNames(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	return names
}

func httpGet(path string, port int32) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port)}}
}

// poll asks twice a second until the answer is yes, the limit is over, or asking fails.
func poll(ctx context.Context, limit time.Duration, ask func() (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, limit, true, func(context.Context) (bool, error) { return ask() })
}
