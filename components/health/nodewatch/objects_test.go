// What the tests' cluster is made of.

package nodewatch

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	thisNode  = "node-1"
	guardName = "wait-for-slot"
)

// at is a moment of the tests' day, in seconds.
func at(s int) time.Time { return time.Date(2026, 1, 1, 8, 0, s, 0, time.UTC) }

func metaAt(s int) metav1.Time { return metav1.NewTime(at(s).Local()) } // as it is decoded

func edited[T any](obj T, edits []func(T)) T {
	for _, edit := range edits {
		edit(obj)
	}
	return obj
}

// newPod is a pod that its kubelet has just seen, at second 0.
func newPod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}}
	p.Spec.NodeName = thisNode
	p.Spec.Containers = []corev1.Container{{Name: "app"}}
	start := metaAt(0)
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, StartTime: &start,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: start}}}
	return edited(p, edits)
}

// guarded gives a pod an init container that waits for a slot.
func guarded(is corev1.ContainerStatus) func(*corev1.Pod) { return initContainer(guardName, is) }

// initContainer adds one that is as is says.
func initContainer(name string, is corev1.ContainerStatus) func(*corev1.Pod) {
	is.Name = name
	return func(p *corev1.Pod) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: name})
		p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, is)
	}
}

func sidecar(name string, is corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		initContainer(name, is)(p)
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers[len(p.Spec.InitContainers)-1].RestartPolicy = &always
	}
}

// app says how the pod's container is.
func app(is corev1.ContainerStatus) func(*corev1.Pod) {
	is.Name = "app"
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{is} }
}

func waiting(reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
}

func running(since int, started bool) corev1.ContainerStatus {
	return corev1.ContainerStatus{Started: &started, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metaAt(since)}}}
}

func done(code int32, from, to int) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, StartedAt: metaAt(from), FinishedAt: metaAt(to)}}}
}

func condition(of corev1.PodConditionType, is bool, since int) func(*corev1.Pod) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	return func(p *corev1.Pod) {
		c := podCondition(p, of)
		if c == nil {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: of})
			c = podCondition(p, of)
		}
		c.Status, c.LastTransitionTime = status, metaAt(since)
	}
}

func ready(is bool, since int) func(*corev1.Pod) { return condition(corev1.PodReady, is, since) }

func phase(is corev1.PodPhase, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = is, reason }
}

func deleted(p *corev1.Pod) { now := metaAt(50); p.DeletionTimestamp = &now }

// podOf makes a pod one of ds, of its generation g; 0 is not known.
func podOf(ds *appsv1.DaemonSet, g int) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Namespace = ds.Namespace
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(ds, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))}
		if g > 0 {
			p.Labels = map[string]string{templateGenerationLabel: strconv.Itoa(g)}
		}
	}
}

func newDaemonSet(name string, edits ...func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, UID: types.UID("uid-" + name)}}
	ds.Spec.UpdateStrategy.Type = appsv1.RollingUpdateDaemonSetStrategyType
	ds.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app"}}
	return edited(ds, edits)
}

// generation is the one that the controller works towards.
func generation(g int) func(*appsv1.DaemonSet) {
	return func(ds *appsv1.DaemonSet) {
		ds.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: strconv.Itoa(g)}
	}
}

// template edits what the pods of a DaemonSet are made from.
func template(edit func(*corev1.PodSpec)) func(*appsv1.DaemonSet) {
	return func(ds *appsv1.DaemonSet) { edit(&ds.Spec.Template.Spec) }
}

func tolerating(all ...corev1.Toleration) func(*appsv1.DaemonSet) {
	return template(func(s *corev1.PodSpec) { s.Tolerations = all })
}

// newNode is a node that is fine.
func newNode(edits ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: thisNode, UID: "uid-" + thisNode, Labels: map[string]string{"disk": "ssd"}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metaAt(0)}}
	return edited(n, edits)
}

func tainted(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func nodeIs(of corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		c := nodeCondition(n, of)
		if c == nil {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: of})
			c = nodeCondition(n, of)
		}
		c.Status, c.Reason, c.Message = status, reason, message
	}
}
