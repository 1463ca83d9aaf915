// Where a pod is on its way to Ready, in every situation that matters.

package nodewatch

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

func TestPodState(t *testing.T) {
	t.Parallel()
	passed := func(edits ...func(*corev1.Pod)) []func(*corev1.Pod) { // waited from 5 to 10
		return append([]func(*corev1.Pod){guarded(done(0, 5, 10)), phase(corev1.PodRunning, "")}, edits...)
	}
	with := func(edits ...func(*corev1.Pod)) []func(*corev1.Pod) { return edits }
	const g, u = true, false // guarded and not
	type result struct {
		state              healthapi.PodState
		reason             string
		guarded            bool
		waits, passed, rdy int // seconds; -1 is never
	}
	for _, tt := range []struct {
		name string
		pod  []func(*corev1.Pod)
		want result
	}{
		{"not seen by the kubelet", with(func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: guardName}}
			p.Status = corev1.PodStatus{Phase: corev1.PodPending}
		}), result{healthapi.PodWaiting, "", g, -1, -1, -1}},
		{"the guard's image is pulled", with(guarded(waiting("PodInitializing"))), result{healthapi.PodWaiting, "", g, -1, -1, -1}},
		{"the guard's image is missing: it waits for no slot yet", with(guarded(waiting("ImagePullBackOff"))), result{healthapi.PodWaiting, "", g, -1, -1, -1}},
		{"an init container before the guard", with(initContainer("setup", running(2, false)), guarded(waiting("PodInitializing"))),
			result{healthapi.PodWaiting, "", g, -1, -1, -1}},
		{"waits", with(guarded(running(5, true))), result{healthapi.PodWaiting, "", g, 5, -1, -1}},
		{"the guard failed", with(guarded(done(1, 5, 10))), result{healthapi.PodWaiting, "", g, 5, -1, -1}},
		{"the guard is to be tried again", with(guarded(waiting("CrashLoopBackOff"))), result{healthapi.PodWaiting, "", g, -1, -1, -1}},
		{"just passed", with(guarded(done(0, 5, 10)), app(waiting("PodInitializing"))), result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"an init container behind the guard", with(guarded(done(0, 5, 10)), initContainer("migrate", running(11, false)), app(waiting("PodInitializing"))),
			result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"an init container behind the guard crashes", with(guarded(done(0, 5, 10)), initContainer("migrate", waiting("CrashLoopBackOff"))),
			result{healthapi.PodStuck, "CrashLoopBackOff", g, 5, 10, -1}},
		{"runs, its startup probe does not succeed yet", passed(app(running(12, false))), result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"has started", passed(app(running(12, true))), result{healthapi.PodStarted, "", g, 5, 10, -1}},
		{"one of two containers has started", passed(app(running(12, true)), func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "second"})
		}), result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"a sidecar has not started", passed(sidecar("proxy", running(11, false)), app(running(12, true))), result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"a sidecar has started too", passed(sidecar("proxy", running(11, true)), app(running(12, true))), result{healthapi.PodStarted, "", g, 5, 10, -1}},
		{"a sidecar crashes", passed(sidecar("proxy", waiting("CrashLoopBackOff")), app(running(12, true))),
			result{healthapi.PodStuck, "CrashLoopBackOff", g, 5, 10, -1}},
		{"ready", passed(app(running(12, true)), ready(true, 20)), result{healthapi.PodReady, "", g, 5, 10, 20}},
		{"ready within the second it passed", passed(app(running(10, true)), ready(true, 10)), result{healthapi.PodReady, "", g, 5, 10, 10}},
		{"False since the second it passed, which is its birth", with(guarded(done(0, 10, 10)), ready(false, 10), app(running(10, true))),
			result{healthapi.PodStarted, "", g, 10, 10, -1}},
		{"restarts after it was Ready", passed(app(running(40, false)), ready(false, 39)), result{healthapi.PodReady, "", g, 5, 10, -1}},
		{"crashes after it was Ready", passed(app(waiting("CrashLoopBackOff")), ready(false, 39)), result{healthapi.PodReady, "", g, 5, 10, -1}},
		{"crashes before it was Ready", passed(app(waiting("CrashLoopBackOff"))), result{healthapi.PodStuck, "CrashLoopBackOff", g, 5, 10, -1}},
		{"runs again after a crash, never Ready", passed(app(running(33, false))), result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"image missing", passed(app(waiting("ErrImagePull"))), result{healthapi.PodStuck, "ErrImagePull", g, 5, 10, -1}},
		{"bad config", passed(app(waiting("CreateContainerConfigError"))), result{healthapi.PodStuck, "CreateContainerConfigError", g, 5, 10, -1}},
		{"its volume is mounted", passed(app(waiting("ContainerCreating"))), result{healthapi.PodStarting, "", g, 5, 10, -1}},
		{"no Ready condition at all", passed(app(running(12, true)), func(p *corev1.Pod) { p.Status.Conditions = nil }),
			result{healthapi.PodStarted, "", g, 5, 10, -1}},

		{"node rebooted: the statuses are old still", passed(app(running(12, true)), ready(true, 20)), result{healthapi.PodReady, "", g, 5, 10, 20}},
		{"node rebooted: called not Ready while it was down", passed(app(running(12, true)), ready(false, 30)), result{healthapi.PodReady, "", g, 5, 10, -1}},
		{"node rebooted: the guard is yet to run", with(guarded(waiting("PodInitializing")), ready(false, 40)), result{healthapi.PodWaiting, "", g, -1, -1, -1}},
		{"node rebooted: the guard runs again, Ready is old", with(guarded(running(41, true)), ready(true, 20), app(running(12, true))),
			result{healthapi.PodWaiting, "", g, 41, -1, -1}},
		{"node rebooted: passed again", with(guarded(done(0, 41, 50)), ready(false, 40), app(running(51, true))), result{healthapi.PodStarted, "", g, 41, 50, -1}},
		{"node rebooted: Ready again", with(guarded(done(0, 41, 50)), ready(true, 60), app(running(51, true))), result{healthapi.PodReady, "", g, 41, 50, 60}},

		{"the guard's container was cleaned away", with(guarded(corev1.ContainerStatus{State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}}), condition(corev1.PodInitialized, true, 11), app(running(12, true)), ready(true, 20)),
			result{healthapi.PodReady, "", g, -1, 11, 20}},
		{"the guard's container was cleaned away, and restarts", with(guarded(corev1.ContainerStatus{State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{}}}), condition(corev1.PodInitialized, true, 11), app(running(30, true)), ready(false, 29)),
			result{healthapi.PodReady, "", g, -1, 11, -1}},
		{"cleaned away, and nobody knows when", with(guarded(corev1.ContainerStatus{State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{}}}), app(running(30, true)), ready(false, 29)), result{healthapi.PodStarted, "", g, -1, -1, -1}},

		{"succeeded", passed(app(done(0, 12, 30)), phase(corev1.PodSucceeded, "")), result{healthapi.PodEnded, "Succeeded", g, 5, 10, -1}},
		{"failed while it waited", with(guarded(running(5, true)), phase(corev1.PodFailed, "Evicted")), result{healthapi.PodEnded, "Evicted", g, 5, -1, -1}},
		{"deleted while it waits", with(guarded(running(5, true)), deleted), result{healthapi.PodTerminating, "", g, 5, -1, -1}},
		{"deleted while it is Ready", passed(app(running(12, true)), ready(true, 20), deleted), result{healthapi.PodTerminating, "", g, 5, 10, 20}},

		{"unguarded, not seen by the kubelet", with(func(p *corev1.Pod) { p.Status = corev1.PodStatus{} }), result{healthapi.PodStarting, "", u, -1, -1, -1}},
		{"unguarded, no init container", with(app(running(1, true))), result{healthapi.PodStarted, "", u, -1, 0, -1}},
		{"unguarded, init containers run", with(initContainer("a", done(0, 1, 4)), initContainer("b", running(5, false))), result{healthapi.PodWaiting, "", u, -1, -1, -1}},
		{"unguarded, an init container without status", with(func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "a"}} }),
			result{healthapi.PodWaiting, "", u, -1, -1, -1}},
		{"unguarded, an init container failed", with(initContainer("a", done(2, 1, 4))), result{healthapi.PodWaiting, "", u, -1, -1, -1}},
		{"unguarded, init containers done", with(initContainer("a", done(0, 1, 7)), initContainer("b", done(0, 3, 4)), app(running(8, false))),
			result{healthapi.PodStarting, "", u, -1, 7, -1}},
		{"unguarded, a sidecar is never done", with(initContainer("a", done(0, 1, 4)), sidecar("proxy", running(5, true)), app(running(8, true)), ready(true, 9)),
			result{healthapi.PodReady, "", u, -1, 4, 9}},
		{"unguarded, restarts after it was Ready", with(app(running(30, true)), ready(false, 29)), result{healthapi.PodReady, "", u, -1, 0, -1}},
		{"unguarded, image missing", with(app(waiting("ImagePullBackOff"))), result{healthapi.PodStuck, "ImagePullBackOff", u, -1, 0, -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			when := func(s int) time.Time {
				if s < 0 {
					return time.Time{}
				}
				return at(s)
			}
			pod := newPod("web", tt.pod...)
			want := healthapi.Pod{Namespace: "default", Name: "web", UID: "uid-web", State: tt.want.state, Reason: tt.want.reason, Guarded: tt.want.guarded,
				WaitsSince: when(tt.want.waits), Passed: when(tt.want.passed), ReadyAt: when(tt.want.rdy)}
			if got := podState(pod, []string{"other", guardName}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if got := podState(stripPod(stripPod(pod)), []string{guardName}); got != want {
				t.Errorf("stripped: got  %+v\nwant %+v", got, want)
			}
		})
	}
}
