// The rules of DaemonSets: which must be ready on the node, and what that means.

package nodewatch

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedulingv1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// templateGenerationLabel is on the pods of a DaemonSet; what it says is in
// the annotation appsv1.DeprecatedTemplateGeneration of the DaemonSet. The
// controller keeps both, deprecated as they are, and there is nothing else
// that tells the generation of a pod without a look at ControllerRevisions.
const templateGenerationLabel = "pod-template-generation"

// Selection is the user's choice among the DaemonSets that are required here.
type Selection struct {
	Disabled        bool // none is waited for
	Namespace       string
	HostNetworkOnly bool
	Include         map[string]string // all must match
	Exclude         map[string]string // any excludes; never together with Include
}

func (s Selection) selects(ds *appsv1.DaemonSet) bool {
	if s.Disabled || (s.Namespace != "" && s.Namespace != ds.Namespace) ||
		(s.HostNetworkOnly && !ds.Spec.Template.Spec.HostNetwork) {
		return false
	}
	for k, v := range s.Include {
		if label, ok := ds.Labels[k]; !ok || label != v {
			return false
		}
	}
	for k, v := range s.Exclude {
		if label, ok := ds.Labels[k]; ok && label == v {
			return false
		}
	}
	return true
}

// required tells whether the DaemonSet controller would make a pod of ds on
// node: it decides exactly as the controller does.
func required(ds *appsv1.DaemonSet, node *corev1.Node) bool {
	spec := ds.Spec.Template.Spec
	if ds.DeletionTimestamp != nil || (spec.NodeName != "" && spec.NodeName != node.Name) {
		return false
	}
	// Like the controller, leave out what cannot be parsed.
	if fits, _ := nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: spec}).Match(node); !fits {
		return false
	}
	keepsAway := func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}
	// Comparison operators are only there where the API server knows them.
	_, untolerated := schedulingv1.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, tolerations(spec), keepsAway, true)
	return !untolerated
}

// tolerations are those of the template and those that the controller adds.
func tolerations(spec corev1.PodSpec) []corev1.Toleration {
	all := slices.Clone(spec.Tolerations)
	add := func(key string, effect corev1.TaintEffect) {
		all = append(all, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect})
	}
	add(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute)
	add(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
	add(corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule)
	add(corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule)
	add(corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule)
	add(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)
	if spec.HostNetwork {
		add(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule)
	}
	return all
}

// notReady says why ds is not ready with these pods of it on the node; empty
// when it is. Of several pods the one that is closest to Ready counts.
func notReady(ds *appsv1.DaemonSet, pods []*corev1.Pod) string {
	reason := "no pod here yet"
	for _, pod := range pods {
		switch {
		case pod.DeletionTimestamp != nil:
			if reason == "no pod here yet" {
				reason = "pod is being deleted"
			}
		case !current(ds, pod):
			if reason == "no pod here yet" || reason == "pod is being deleted" {
				reason = "pod is of an older generation"
			}
		case isReady(pod):
			return ""
		default:
			reason = "pod not Ready"
			if why := waitingReason(pod); why != "" {
				reason += " (" + why + ")"
			}
		}
	}
	return reason
}

// current tells whether pod is of the present generation of ds, as far as
// that can be told. A pod under OnDelete stays as it is until somebody deletes it.
func current(ds *appsv1.DaemonSet, pod *corev1.Pod) bool {
	want, wanted := ds.Annotations[appsv1.DeprecatedTemplateGeneration]
	is, labelled := pod.Labels[templateGenerationLabel]
	return !wanted || !labelled || want == is || ds.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
}

// stripDaemonSet keeps what the rules look at.
func stripDaemonSet(ds *appsv1.DaemonSet) *appsv1.DaemonSet {
	s := &appsv1.DaemonSet{ObjectMeta: stripMeta(&ds.ObjectMeta)}
	s.Labels = ds.Labels
	if g, ok := ds.Annotations[appsv1.DeprecatedTemplateGeneration]; ok {
		s.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: g}
	}
	s.Spec.UpdateStrategy.Type = ds.Spec.UpdateStrategy.Type
	is, was := &s.Spec.Template.Spec, &ds.Spec.Template.Spec
	is.NodeName, is.NodeSelector, is.Tolerations, is.HostNetwork = was.NodeName, was.NodeSelector, was.Tolerations, was.HostNetwork
	if was.Affinity != nil && was.Affinity.NodeAffinity != nil {
		is.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: was.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution}}
	}
	is.InitContainers = stripContainers(was.InitContainers)
	return s
}

// stripMeta keeps what names an object.
func stripMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, DeletionTimestamp: m.DeletionTimestamp}
}
