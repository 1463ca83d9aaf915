// The rules of pods: where one is on its way to Ready.

package nodewatch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// podState is what a lock needs to know of pod, by what its kubelet wrote last.
// waits are the names of init containers that wait for a slot.
func podState(pod *corev1.Pod, waits []string) healthapi.Pod {
	p := healthapi.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), PatienceSeconds: patienceOf(pod)}
	var past bool
	if i := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return slices.Contains(waits, c.Name) }); i >= 0 {
		p.Guarded = true
		past = passGuard(&p, pod, status(pod.Status.InitContainerStatuses, pod.Spec.InitContainers[i].Name))
	} else {
		past = passInit(&p, pod)
	}
	ready := podCondition(pod, corev1.PodReady)
	if past && ready != nil && ready.Status == corev1.ConditionTrue {
		p.ReadyAt = utc(ready.LastTransitionTime)
	}
	switch {
	case pod.DeletionTimestamp != nil:
		p.State = healthapi.PodTerminating
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		p.State, p.Reason = healthapi.PodEnded, cmp.Or(pod.Status.Reason, string(pod.Status.Phase))
	case !past:
		p.State = healthapi.PodWaiting
	case wasReady(ready, p.Passed):
		p.State = healthapi.PodReady
	case stuck(pod) != "":
		p.State, p.Reason = healthapi.PodStuck, stuck(pod)
	case started(pod):
		p.State = healthapi.PodStarted
	default:
		p.State = healthapi.PodStarting
	}
	return p
}

// passGuard tells whether the init container that waits for a slot is done,
// and notes its times. After a reboot of the node it runs anew, and only its
// present run counts.
func passGuard(p *healthapi.Pod, pod *corev1.Pod, guard *corev1.ContainerStatus) bool {
	if guard == nil {
		return false
	}
	if r := guard.State.Running; r != nil {
		p.WaitsSince = utc(r.StartedAt)
	}
	t := guard.State.Terminated
	if t == nil {
		return false
	}
	p.WaitsSince = utc(t.StartedAt)
	if t.ExitCode != 0 {
		return false
	}
	p.Passed = utc(t.FinishedAt)
	p.FailedOpen = strings.HasPrefix(t.Message, lockapi.StartsWithout)
	if p.Passed.IsZero() { // the container was cleaned away: the kubelet knows only that it was well
		if c := podCondition(pod, corev1.PodInitialized); c != nil && c.Status == corev1.ConditionTrue {
			p.Passed = utc(c.LastTransitionTime)
		}
	}
	return true
}

// passInit tells whether the init containers of a pod that does not wait for a
// slot are done, and notes when.
func passInit(p *healthapi.Pod, pod *corev1.Pod) bool {
	var last time.Time
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if isSidecar(c) {
			continue
		}
		s := status(pod.Status.InitContainerStatuses, c.Name)
		if s == nil || s.State.Terminated == nil || s.State.Terminated.ExitCode != 0 {
			return false
		}
		if end := utc(s.State.Terminated.FinishedAt); end.After(last) {
			last = end
		}
	}
	if last.IsZero() && pod.Status.StartTime != nil {
		last = utc(*pod.Status.StartTime)
	}
	p.Passed = last
	return true
}

// wasReady tells whether the pod is Ready, or was since it passed: the
// condition is False from the pod's birth on, before it passed, so one that
// became False after that was True in between.
func wasReady(ready *corev1.PodCondition, passed time.Time) bool {
	switch {
	case ready == nil:
		return false
	case ready.Status == corev1.ConditionTrue:
		return true
	default:
		return !passed.IsZero() && ready.LastTransitionTime.After(passed)
	}
}

// stuck is the reason why some container cannot start, however much CPU it gets.
func stuck(pod *corev1.Pod) string {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.State.Waiting == nil {
			continue
		}
		switch reason := s.State.Waiting.Reason; reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError",
			"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
			"PostStartHookError", "PreStartHookError":
			return reason
		}
	}
	return ""
}

// started tells whether all that should run has started; startup probes count.
func started(pod *corev1.Pod) bool {
	runs := func(statuses []corev1.ContainerStatus, name string) bool {
		s := status(statuses, name)
		return s != nil && s.Started != nil && *s.Started
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; isSidecar(c) && !runs(pod.Status.InitContainerStatuses, c.Name) {
			return false
		}
	}
	for i := range pod.Spec.Containers {
		if !runs(pod.Status.ContainerStatuses, pod.Spec.Containers[i].Name) {
			return false
		}
	}
	return true
}

// waitingReason is why a container does not run; one that only waits for the
// init containers says the least.
func waitingReason(pod *corev1.Pod) string {
	const behindInit = "PodInitializing"
	found := ""
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.State.Waiting != nil && (found == "" || found == behindInit) {
			found = cmp.Or(s.State.Waiting.Reason, found)
		}
	}
	return found
}

func isReady(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func hasInitContainer(containers []corev1.Container, names []string) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool { return slices.Contains(names, c.Name) })
}

func podCondition(pod *corev1.Pod, of corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == of {
			return c
		}
	}
	return nil
}

func status(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

func utc(t metav1.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// stripPod keeps what the rules look at.
func stripPod(pod *corev1.Pod) *corev1.Pod {
	s := &corev1.Pod{ObjectMeta: stripMeta(&pod.ObjectMeta)}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		s.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	if g, ok := pod.Labels[templateGenerationLabel]; ok {
		s.Labels = map[string]string{templateGenerationLabel: g}
	}
	s.Spec.InitContainers = stripContainers(pod.Spec.InitContainers)
	s.Spec.Containers = stripContainers(pod.Spec.Containers)
	s.Status.Phase, s.Status.Reason, s.Status.StartTime = pod.Status.Phase, pod.Status.Reason, pod.Status.StartTime
	for _, of := range []corev1.PodConditionType{corev1.PodReady, corev1.PodInitialized} {
		if c := podCondition(pod, of); c != nil {
			s.Status.Conditions = append(s.Status.Conditions,
				corev1.PodCondition{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime})
		}
	}
	s.Status.InitContainerStatuses = stripStatuses(pod.Status.InitContainerStatuses)
	s.Status.ContainerStatuses = stripStatuses(pod.Status.ContainerStatuses)
	return s
}

func stripContainers(containers []corev1.Container) []corev1.Container {
	var all []corev1.Container
	for i := range containers {
		c := &containers[i]
		all = append(all, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, LivenessProbe: stripProbe(startsUnder(c))})
	}
	return all
}

func stripStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for i := range statuses {
		was := &statuses[i]
		is := corev1.ContainerStatus{Name: was.Name, Started: was.Started}
		switch {
		case was.State.Waiting != nil:
			is.State.Waiting = &corev1.ContainerStateWaiting{Reason: was.State.Waiting.Reason}
		case was.State.Running != nil:
			is.State.Running = was.State.Running
		case was.State.Terminated != nil:
			t := was.State.Terminated
			is.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: t.ExitCode, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt}
			if strings.HasPrefix(t.Message, lockapi.StartsWithout) {
				is.State.Terminated.Message = lockapi.StartsWithout
			}
		}
		all = append(all, is)
	}
	return all
}
