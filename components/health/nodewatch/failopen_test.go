// Pods that started without a slot, by the last words of their init container.

package nodewatch

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func TestAPodThatPassedWithoutASlotIsKnownByItsInitContainersLastWords(t *testing.T) {
	t.Parallel()
	ended := func(code int32, message string) corev1.ContainerStatus {
		s := done(code, 5, 10)
		s.State.Terminated.Message = message
		return s
	}
	failedOpen := lockapi.StartsWithout + ": reason the lock is away for too long, waited 10m\n"
	for _, tt := range []struct {
		name string
		pod  func(*corev1.Pod)
		want bool
	}{
		{"passed without a slot", guarded(ended(0, failedOpen)), true},
		{"passed with a slot", guarded(ended(0, "startup slot granted: waited 41s, lease 10s, limit 2\n")), false},
		{"passed, and left no words", guarded(ended(0, "")), false},
		{"has not passed", guarded(ended(1, failedOpen)), false},
		{"says it somewhere else", guarded(ended(0, "not "+failedOpen)), false},
		{"the words are of another init container", func(p *corev1.Pod) {
			initContainer("setup", ended(0, failedOpen))(p)
			guarded(ended(0, "startup slot granted: waited 1s\n"))(p)
		}, false},
		{"nothing guards it", initContainer("setup", ended(0, failedOpen)), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pod := newPod("web", tt.pod)
			for what, p := range map[string]*corev1.Pod{"as it came": pod, "stripped": stripPod(pod)} {
				if got := podState(p, []string{guardName}); got.FailedOpen != tt.want {
					t.Errorf("%s: failed open %v, want %v", what, got.FailedOpen, tt.want)
				}
			}
		})
	}
	if m := stripPod(newPod("web", guarded(ended(0, failedOpen)))).Status.InitContainerStatuses[0].State.Terminated.Message; m != lockapi.StartsWithout {
		t.Errorf("%q is kept of the message", m)
	}
}
