// Package pressure follows the node: it reads how contended CPU, disk and memory
// are, and decides how many slots there may be. Meter reads, Controller decides;
// the controller is pure, so that the simulator runs the very same one.
package pressure

import "time"

// Sample is what the node did since the sample before. It is always sane: no
// figure is infinite or no number, and each is within its bounds.
type Sample struct {
	At time.Time
	// Cores is what the node has: its CPUs, or fewer by a cgroup's quota; above 0.
	Cores float64
	// Busy is how many cores were in use, by everybody, on the average: 0 to
	// Cores. Time that a hypervisor stole is in use by nobody here.
	Busy float64
	// Running is how many tasks ran or waited for a CPU at the moment of the
	// sample, the reader itself left out; Blocked how many waited for the disk.
	// Each is negative where it is not known: the kernel counts them for the whole
	// machine, so it says nothing of a node that is a part of one.
	Running, Blocked float64
	// PSI tells whether CPU is measured: counted by the kernel as pressure or,
	// where a cgroup with a quota has none, as the time for which it was held
	// back. If not, CPU is 0; so is each of the others where nobody counts it.
	PSI bool
	// CPU, IO and Memory are the shares of the time, 0 to 1, in which some task
	// waited for it; IOFull and MemoryFull those in which all of them did.
	CPU, IO, IOFull, Memory, MemoryFull float64
}

// Grant is a slot held, as far as the controller needs it.
type Grant struct {
	Since  time.Time
	Weight int // in slots: about as many cores as the start may use
	// Patience is for how long the pod's probes let it start; 0 is without end.
	Patience time.Duration
}
