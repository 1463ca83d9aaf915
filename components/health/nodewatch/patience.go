// The rules of probes: for how long a pod may start.

package nodewatch

import (
	"cmp"
	"math"

	corev1 "k8s.io/api/core/v1"
)

// What the API server writes where a probe says nothing.
const (
	defaultPeriod   = 10 // seconds
	defaultFailures = 3
)

// patienceOf is for how many seconds after its containers start pod may be not
// alive before the kubelet kills one of them, at the least; 0 is without end.
func patienceOf(pod *corev1.Pod) int32 {
	var least int32
	look := func(c *corev1.Container) {
		if p := startsUnder(c); p != nil {
			least = min(cmp.Or(least, math.MaxInt32), allows(p))
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; isSidecar(c) { // the others have no probes
			look(c)
		}
	}
	for i := range pod.Spec.Containers {
		look(&pod.Spec.Containers[i])
	}
	return least
}

// startsUnder is the probe that can end c while it starts, or nil. The kubelet
// makes no liveness probe before the startup probe, if there is one, has succeeded.
func startsUnder(c *corev1.Container) *corev1.Probe { return cmp.Or(c.StartupProbe, c.LivenessProbe) }

// allows is for how many seconds a container that never answers p lives, at the
// least. The kubelet looks once in every period, wherever in it the container
// started, and passes over the looks before the initial delay: the first probe
// comes after that delay at the earliest, up to a period later. It kills when
// failureThreshold probes in a row have failed, each a period after the one
// before. How long the last takes to fail, and how long the container is then
// given to end, is not time to start in. It is at least 1: a probe may kill at
// once, which is not without end.
func allows(p *corev1.Probe) int32 {
	period, failures := cmp.Or(p.PeriodSeconds, defaultPeriod), cmp.Or(p.FailureThreshold, defaultFailures)
	seconds := int64(p.InitialDelaySeconds) + int64(period)*(int64(failures)-1) // the API allows more than an int32 holds
	return int32(min(max(seconds, 1), math.MaxInt32))
}

// stripProbe keeps the numbers that count, and not what is asked of whom.
func stripProbe(p *corev1.Probe) *corev1.Probe {
	if p == nil {
		return nil
	}
	return &corev1.Probe{InitialDelaySeconds: p.InitialDelaySeconds, PeriodSeconds: p.PeriodSeconds, FailureThreshold: p.FailureThreshold}
}
