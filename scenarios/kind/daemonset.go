// daemonset.go puts DaemonSets beside a herd, and keeps those away from the
// worker that are not meant for it.

package kind

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// taint is what the worker has in a scenario with a DaemonSet that does not tolerate it.
func taint() corev1.Taint {
	return corev1.Taint{Key: "scenarios.pod-startup-lock/elsewhere", Effect: corev1.TaintEffectNoSchedule}
}

func tolerations() []corev1.Toleration {
	return []corev1.Toleration{{Key: taint().Key, Operator: corev1.TolerationOpExists}}
}

// daemonSet is one as a Kubernetes object: the application, idle for as long as
// it takes to become Ready.
func (h Herd) daemonSet(c *cluster.Cluster, d spec.DaemonSet) *appsv1.DaemonSet {
	pod := h.pod(c.Worker(), d.Name, spec.Group{
		Name: d.Name, Startup: spec.Startup{Idle: d.ReadyAfter},
		Probes: spec.Probes{Readiness: &spec.Probe{Period: spec.Duration(time.Second), Timeout: spec.Duration(time.Second), Failures: 3}},
	}, nil)
	pod.Spec.NodeSelector = nil // wherever it is not kept away from
	switch d.Elsewhere {
	case spec.ByTaint:
		pod.Spec.Tolerations = nil
	case spec.ByAffinity:
		pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{c.ControlPlane()}},
				},
			}}},
		}}
	}
	// Unlike those of any pod of the herd: a DaemonSet adopts what its selector finds.
	pod.Labels["app.kubernetes.io/component"] = "daemonset"
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec},
		},
	}
}

// createDaemonSets makes some of a scenario's DaemonSets. They go with the herd's namespace.
func (h Herd) createDaemonSets(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, namespace string, which func(spec.DaemonSet) bool) error {
	for _, d := range s.DaemonSets {
		if !which(d) {
			continue
		}
		if _, err := c.Client.AppsV1().DaemonSets(namespace).Create(ctx, h.daemonSet(c, d), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create the DaemonSet %s: %w", d.Name, err)
		}
	}
	return nil
}

// tainted tells whether the scenario wants the worker to have the taint.
func tainted(s *spec.Scenario) bool {
	return slices.ContainsFunc(s.DaemonSets, func(d spec.DaemonSet) bool { return d.Elsewhere == spec.ByTaint })
}

// taintWorker puts the taint onto the worker when it appears, and makes the
// DaemonSets that do not tolerate it only then: one that is there before the
// taint is would have a pod on the node already, and keep it.
func (h Herd) taintWorker(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, namespace string) error {
	var last error // most often that there is no worker yet
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = changeTaints(ctx, c, func(taints []corev1.Taint) []corev1.Taint { return append(taints, taint()) })
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("taint the worker %s: %w: %w", c.Worker(), err, last)
	}
	return h.createDaemonSets(ctx, c, s, namespace, func(d spec.DaemonSet) bool { return d.Elsewhere == spec.ByTaint })
}

// untaintWorker takes the taint off again: others may use the worker as it is.
func untaintWorker(ctx context.Context, c *cluster.Cluster, s *spec.Scenario) error {
	if !tainted(s) {
		return nil
	}
	err := changeTaints(ctx, c, func(taints []corev1.Taint) []corev1.Taint {
		return slices.DeleteFunc(taints, func(t corev1.Taint) bool { return t.Key == taint().Key })
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("take the taint off the worker %s: %w", c.Worker(), err)
	}
	return nil
}

// changeTaints changes the taints of the worker, which others change too.
func changeTaints(ctx context.Context, c *cluster.Cluster, change func([]corev1.Taint) []corev1.Taint) error {
	nodes := c.Client.CoreV1().Nodes()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := nodes.Get(ctx, c.Worker(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		node.Spec.Taints = change(node.Spec.Taints)
		_, err = nodes.Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
}
