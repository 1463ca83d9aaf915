// How long probes let a pod start, as they are written in pods.

package nodewatch

import (
	"math"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe asks over HTTP, and says 0 for what it leaves to the API's defaults.
func probe(delay, period, failures int32) *corev1.Probe {
	grace := int64(300)
	return &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/livez", Port: intstr.FromInt32(8080)}},
		InitialDelaySeconds: delay, PeriodSeconds: period, FailureThreshold: failures,
		TimeoutSeconds: 30, SuccessThreshold: 1, TerminationGracePeriodSeconds: &grace,
	}
}

// probed gives the pod's last container, or its last init container, its probes; nil is none.
func probed(of func(*corev1.PodSpec) []corev1.Container, startup, liveness *corev1.Probe) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		all := of(&p.Spec)
		c := &all[len(all)-1]
		c.StartupProbe, c.LivenessProbe, c.ReadinessProbe = startup, liveness, probe(1, 1, 1)
	}
}

func applications(s *corev1.PodSpec) []corev1.Container   { return s.Containers }
func initContainers(s *corev1.PodSpec) []corev1.Container { return s.InitContainers }

func TestPatienceIsTheLeastThatTheProbesOfAStartAllow(t *testing.T) {
	t.Parallel()
	second := func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "second"}) }
	runs, proxy := guarded(done(0, 5, 10)), sidecar("proxy", running(11, true))
	for _, tt := range []struct {
		name string
		pod  []func(*corev1.Pod)
		want int32
	}{
		{"no probes", []func(*corev1.Pod){runs}, 0},
		{"readiness kills nobody", []func(*corev1.Pod){probed(applications, nil, nil)}, 0},
		{"liveness", []func(*corev1.Pod){runs, probed(applications, nil, probe(10, 5, 2))}, 15},
		{"liveness, defaults", []func(*corev1.Pod){probed(applications, nil, probe(0, 0, 0))}, 20},
		{"liveness, default period", []func(*corev1.Pod){probed(applications, nil, probe(3, 0, 5))}, 43},
		{"liveness, default failures", []func(*corev1.Pod){probed(applications, nil, probe(3, 7, 0))}, 17},
		{"one failure: the delay", []func(*corev1.Pod){probed(applications, nil, probe(30, 10, 1))}, 30},
		{"one failure, at once: that is not without end", []func(*corev1.Pod){probed(applications, nil, probe(0, 10, 1))}, 1},
		{"startup", []func(*corev1.Pod){probed(applications, probe(0, 10, 30), nil)}, 290},
		{"liveness begins after startup only", []func(*corev1.Pod){probed(applications, probe(0, 10, 30), probe(0, 1, 1))}, 290},
		{"a startup probe stricter than liveness", []func(*corev1.Pod){probed(applications, probe(0, 2, 3), probe(60, 10, 3))}, 4},
		{"the first of two containers", []func(*corev1.Pod){probed(applications, nil, probe(10, 5, 2)), second, probed(applications, nil, probe(0, 10, 4))}, 15},
		{"the second of two containers", []func(*corev1.Pod){probed(applications, probe(0, 10, 30), nil), second, probed(applications, nil, probe(0, 10, 4))}, 30},
		{"one of two containers has probes", []func(*corev1.Pod){probed(applications, nil, probe(10, 5, 2)), second}, 15},
		{"a sidecar", []func(*corev1.Pod){runs, proxy, probed(initContainers, nil, probe(2, 1, 4)), probed(applications, nil, probe(10, 5, 2))}, 5},
		{"a sidecar that takes longer", []func(*corev1.Pod){proxy, probed(initContainers, probe(60, 0, 0), nil), probed(applications, nil, probe(10, 5, 2))}, 15},
		{"an init container that ends has no probes", []func(*corev1.Pod){runs, probed(initContainers, nil, probe(2, 1, 4))}, 0},
		{"the largest numbers of the API", []func(*corev1.Pod){probed(applications, nil, probe(math.MaxInt32, math.MaxInt32, math.MaxInt32))}, math.MaxInt32},
		{"numbers that the API refuses", []func(*corev1.Pod){probed(applications, nil, probe(-5, 0, -5))}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pod := newPod("web", tt.pod...)
			if got := podState(pod, []string{guardName}).PatienceSeconds; got != tt.want {
				t.Errorf("got %d s, want %d", got, tt.want)
			}
			once := stripPod(pod)
			if got := podState(once, []string{guardName}).PatienceSeconds; got != tt.want {
				t.Errorf("stripped: got %d s, want %d", got, tt.want)
			}
			if twice := stripPod(once); !reflect.DeepEqual(once, twice) {
				t.Errorf("stripped twice: %+v\nonce: %+v", twice.Spec, once.Spec)
			}
			for _, c := range append(once.Spec.Containers, once.Spec.InitContainers...) {
				if p := c.LivenessProbe; c.StartupProbe != nil || c.ReadinessProbe != nil || p != nil && (p.HTTPGet != nil || p.TerminationGracePeriodSeconds != nil) {
					t.Errorf("kept more than the numbers of one probe: %+v", c)
				}
			}
		})
	}
}
