// model.go is what a node is like, in numbers.

package sim

import (
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Version counts the changes of the model and its calibrated numbers: results of
// different versions do not compare.
const Version = 1

// Model is what a node is like. Times are in seconds, CPU in CPU-seconds, as
// floating point numbers: they are multiplied more than compared.
type Model struct {
	// Sandbox, Init and App are the CPU that kubelet and runtime spend on a pod's
	// sandbox, on its init container and on each start of its application.
	Sandbox, Init, App float64
	// Background is how many cores the node without the herd uses; PerPod how
	// many each Ready pod does, probed.
	Background, PerPod float64
}

// Calibrated is a worker of a kind cluster as it was measured.
func Calibrated() Model {
	return Model{Sandbox: 0.2, Init: 0.2, App: 0.12, Background: 0.1, PerPod: 0.0025}
}

// bound is the node bound by the model.
func (m Model) bound(s *spec.Scenario) *record.Bound {
	idle := m.Background + m.PerPod*float64(s.Healthy())
	if noise := s.Node.Noise; noise != nil {
		on, off := noise.On.Std().Seconds(), noise.Off.Std().Seconds()
		idle += float64(noise.Threads) * on / (on + off)
	}
	return &record.Bound{
		Applications: s.CPU().Seconds(), Overhead: (m.Sandbox + m.Init + m.App) * float64(s.Healthy()),
		Cores: float64(s.Node.Cores), Idle: idle,
	}
}
