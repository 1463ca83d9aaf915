// model.go is what a node is like, in numbers.

package sim

import (
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Version counts the changes of the model and of its calibrated numbers: results
// of different versions do not compare.
const Version = 2

// Model is what a node is like. Times are in seconds and CPU is in CPU-seconds.
// Memory is not in it, nor the network, nor images that have to be pulled.
type Model struct {
	// Sandbox, Init and App are the CPU that kubelet and runtime spend on a pod's
	// sandbox, on its init container, which only pods under a lock have, and on
	// each start of its application, all on one thread.
	Sandbox, Init, App float64
	// Spread is how much these differ from start to start: 0.1 is up to a tenth
	// more or less.
	Spread float64

	// Background is how many cores the node uses with no pods on it, PerPod how
	// many more each Ready and probed pod does.
	Background, PerPod float64
	// Friction is how much slower everything gets with each task that has no core.
	Friction float64

	// Exit is the time from a grant to the end of the init container.
	Exit Range
	// Relist is the period in which the kubelet looks for containers that ended,
	// with the time that looking takes; 0 sees them at once.
	Relist float64
	// Sync is the time that the kubelet then takes to begin with the next container.
	Sync Range
	// Late is by how much, as a share of a crash back-off, the kubelet may come too
	// late to its end.
	Late float64
	// Readiness and Liveness are where in their period the probes of a pod fall, 0
	// to 1: those of readiness from the start of the container on, those of liveness
	// from the appearance of the pod on or, with FromStart, from that start too.
	Readiness, Liveness Range
	FromStart           bool
	// Tell is the time from what happens to a pod until the lock hears of it.
	Tell Range

	// Disk is how many bytes per second all readers get together, Reader how many
	// one gets alone.
	Disk, Reader float64

	// Noise is by how much a sample of the node is wrong: the standard deviation,
	// as a share of what is sampled.
	Noise float64
	// Skew is up to what share of the pressure is not seen, because the kernel leaves
	// the tasks of best-effort pods on one core while another has few of them.
	Skew float64
	// Woken is how likely it is that a look finds tasks running that its timer woke.
	Woken float64
}

// Range is from where to where something is, all of it equally likely.
type Range struct{ From, To float64 }

// Calibrated is a worker of a kind cluster as it was measured on a machine of two
// cores that it had to itself, with all of the cluster on it. The disk is that
// machine's: what one and what all readers of disk.yaml got, as processes on it.
func Calibrated() Model {
	return Model{
		Sandbox: 0.2, Init: 0.2, App: 0.12, Spread: 0.1,
		Background: 0.1, PerPod: 0.0025, Friction: 0.003,
		Exit: Range{0.03, 0.08}, Relist: 1.03, Sync: Range{0.1, 0.3}, Late: 0.5,
		Readiness: Range{0.05, 0.15}, Liveness: Range{0, 1}, Tell: Range{0.02, 0.08},
		Disk: 700 << 20, Reader: 360 << 20,
		Noise: 0.03, Skew: 0.4, Woken: 0.35,
	}
}

// Local is the node that processes on this machine make: see the room local. It
// has no runtime, a start costs what a process does, and its probes fall into a
// narrow part of their period. Measured on two cores, but for Init and Tell.
func Local() Model {
	m := Calibrated()
	m.Sandbox, m.Init, m.App = 0, 0.005, 0.0023
	m.Background, m.PerPod = 0.007, 0
	m.Exit, m.Relist, m.Sync, m.Late = Range{0.001, 0.004}, 0, Range{0, 0.001}, 0
	m.Readiness, m.Liveness, m.FromStart = Range{0.6, 0.8}, Range{0.6, 0.8}, true
	m.Tell = Range{0.001, 0.01}
	return m
}

// bound is the node bound by the model.
func (m Model) bound(s *spec.Scenario) *record.Bound {
	idle, note := m.Background+m.PerPod*float64(s.Healthy()), ""
	if noise := s.Node.Noise; noise != nil {
		on, off := noise.On.Std().Seconds(), noise.Off.Std().Seconds()
		idle += float64(noise.Threads) * on / (on + off)
		note = "the noise counts with what it uses alone; starters that are many take some of that from it, so a ratio may be below 1"
	}
	return &record.Bound{
		Applications: s.CPU().Seconds(), Overhead: (m.Sandbox + m.Init + m.App) * float64(s.Healthy()),
		Cores: float64(s.Node.Cores), Idle: idle, Note: note,
	}
}
