// meter.go is what the kernel counts of the node, and what happened between two looks at it.

package pressure

import (
	"fmt"
	"time"
)

// MeterOptions say where to read, and what the node is.
type MeterOptions struct {
	Proc    string // "" is /proc
	Cgroups string // "" is /sys/fs/cgroup
	// InPod tells that this runs in a pod of Kubernetes: neither its CPU quota nor
	// the CPUs that it may use are then those of the node.
	InPod bool
	// CPUs, if any, are the node's, all others are not. Without, they are those
	// that this program may use, or in a pod all.
	CPUs []int
}

// Meter reads the node. It needs Linux, but neither privileges nor mounts:
// elsewhere Read fails. Not safe for concurrent use.
type Meter struct {
	opts   MeterOptions
	stat   *source
	psi    psi
	groups []*group
	cpus   cpuSet

	base *Counters // of the sample that comes next
	// What the last count found, and why it found no more, for Missing.
	found  Counters
	faults [resources]error
}

// NewMeter makes a meter. Close it.
func NewMeter(opts MeterOptions) *Meter {
	if opts.Proc == "" {
		opts.Proc = "/proc"
	}
	if opts.Cgroups == "" {
		opts.Cgroups = "/sys/fs/cgroup"
	}
	m := &Meter{
		opts: opts, stat: newSource(opts.Proc, "stat"), cpus: cpuSet{},
		psi: psi{
			newSource(opts.Proc, "pressure", "cpu"), newSource(opts.Proc, "pressure", "io"), newSource(opts.Proc, "pressure", "memory"),
		},
		groups: findGroups(opts.Proc, opts.Cgroups, opts.InPod),
	}
	for _, c := range opts.CPUs {
		m.cpus.add(c)
	}
	if len(m.cpus) == 0 && !opts.InPod {
		m.cpus = allowed(opts.Proc, m.stat)
	}
	return m
}

// Close closes the files that are kept open.
func (m *Meter) Close() {
	for _, s := range append(m.psi[:], m.stat) {
		s.close()
	}
	for _, g := range m.groups {
		g.close()
	}
}

// Counters is what the kernel has counted on the node up to a moment; two of them make a Sample.
type Counters struct {
	At    time.Time
	Cores float64 // as in Sample
	// Used is the CPU-seconds used so far, by everybody.
	Used             float64
	Running, Blocked float64 // as in Sample
	CPU, IO, Memory  Stalled

	// of is whose Used is: of a cgroup, or of the machine.
	of *group
}

// Count reads what was counted up to now, which is to be the time at which it is called.
func (m *Meter) Count(now time.Time) (Counters, error) {
	text, err := m.stat.read()
	if err != nil {
		return Counters{}, fmt.Errorf("read CPU use: %w", err)
	}
	cpus, err := parseStat(text, m.cpus)
	if err != nil {
		return Counters{}, fmt.Errorf("read CPU use: %s: %w", m.stat.path, err)
	}
	c := Counters{At: now, Cores: float64(cpus.cores), Used: float64(cpus.busy) / userHZ, Running: -1, Blocked: -1}
	for _, g := range m.groups {
		if cores, ok := g.cores(); ok && cores < c.Cores {
			c.Cores, c.of = cores, g
		}
	}
	if c.of != nil {
		if c.Used, err = c.of.used(); err != nil {
			return Counters{}, fmt.Errorf("read CPU use of cgroup %s: %w", c.of.path, err)
		}
	} else if cpus.whole { // tasks are counted on all of the machine
		c.Running, c.Blocked = cpus.running, cpus.blocked
		if c.Running > 0 {
			c.Running-- // this reader
		}
	}
	for i, into := range [resources]*Stalled{&c.CPU, &c.IO, &c.Memory} {
		*into, m.faults[i] = m.stalled(i, c.of)
	}
	m.found = c
	return c, nil
}

// stalled reads the pressure on a resource: that in the cgroup whose quota
// counts, or the machine's. A quota is felt in its cgroup only.
func (m *Meter) stalled(resource int, of *group) (Stalled, error) {
	if of == nil {
		return readPSI(m.psi[resource])
	}
	if s := of.psi[resource]; s != nil {
		if stalled, err := readPSI(s); err == nil {
			return stalled, nil
		}
	}
	if resource == cpu {
		return of.throttled()
	}
	return readPSI(m.psi[resource])
}

// Since makes a sample of what happened since an earlier count. It is not ok if
// no time passed, or if the two are not of the same node, as when a quota was
// set or lifted in between.
func (c Counters) Since(earlier Counters) (s Sample, ok bool) {
	dt := c.At.Sub(earlier.At).Seconds()
	if dt <= 0 || c.of != earlier.of {
		return Sample{}, false
	}
	s = Sample{At: c.At, Cores: c.Cores, Running: c.Running, Blocked: c.Blocked}
	s.Busy = min(c.Cores, max(0, c.Used-earlier.Used)/dt)
	s.CPU, _, s.PSI = c.CPU.since(earlier.CPU, dt)
	s.IO, s.IOFull, _ = c.IO.since(earlier.IO, dt)
	s.Memory, s.MemoryFull, _ = c.Memory.since(earlier.Memory, dt)
	return s, true
}

// Read takes a sample of what happened since the call before; now is the time at
// which it is called. It is not ok if there is nothing to compare with: at the
// first call, and when a quota was set or lifted since. After an error the next
// sample covers that time too. The error is nil, or says which part of /proc or
// of a cgroup does not tell how busy the CPUs are; nothing else is an error.
func (m *Meter) Read(now time.Time) (s Sample, ok bool, err error) {
	c, err := m.Count(now)
	if err != nil {
		return Sample{}, false, err
	}
	if m.base == nil {
		m.base = new(Counters)
		*m.base = c
		return Sample{}, false, nil
	}
	s, ok = c.Since(*m.base)
	if now.After(m.base.At) {
		*m.base = c
	}
	return s, ok, nil
}

// Missing says in words what the last reading could not tell of this node, and
// what is done instead; nothing if it told everything.
func (m *Meter) Missing() []string {
	var all []string
	tell := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if of := m.found.of; of != nil {
		tell("the node lives on the CPU quota of cgroup %s; tasks are counted for the whole machine only, and the limit does without their number", of.path)
		if m.found.CPU.of == of.stat {
			tell("no CPU pressure of cgroup %s; the time for which its quota held it back stands for it", of.path)
		}
	} else if m.found.Running < 0 && !m.found.At.IsZero() {
		tell("the number of tasks that run or wait on the node's CPUs is not known; the limit does without it")
	}
	instead := [resources]struct{ name, how string }{
		cpu:    {"CPU", "the limit follows the cores in use, and the number of tasks where that is known"},
		disk:   {"IO", "what waits for the disk is seen in the number of tasks, or not at all"},
		memory: {"memory", "a lack of memory holds nobody back"},
	}
	for i, fault := range m.faults {
		if fault != nil {
			tell("no %s pressure: %s; %s", instead[i].name, why(fault), instead[i].how)
		}
	}
	return all
}
