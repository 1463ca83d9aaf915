// meter_linux.go reads /proc/stat and /proc/pressure/cpu.

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of /proc/stat, which Linux fixes towards programs.
const userHZ = 100

// Meter reads the counters of some CPUs.
type Meter struct {
	proc string
	cpus map[string]bool
}

// NewMeter makes a meter of the given CPUs, or of all of them.
func NewMeter(cpus []int) *Meter { return newMeter("/proc", cpus) }

func newMeter(proc string, cpus []int) *Meter {
	m := &Meter{proc: proc}
	for _, c := range cpus {
		if m.cpus == nil {
			m.cpus = map[string]bool{}
		}
		m.cpus["cpu"+strconv.Itoa(c)] = true
	}
	return m
}

// Read takes a reading. Pressure is the whole machine's, as the kernel keeps no other.
func (m *Meter) Read() (Reading, error) {
	r := Reading{At: time.Now()}
	stat, err := os.ReadFile(filepath.Join(m.proc, "stat"))
	if err != nil {
		return r, fmt.Errorf("read CPU use: %w", err)
	}
	if r.Busy, err = busy(string(stat), m.cpus); err != nil {
		return r, fmt.Errorf("read CPU use from %s: %w", filepath.Join(m.proc, "stat"), err)
	}
	// A kernel without pressure figures is no failure: the utilisation is there.
	if text, err := os.ReadFile(filepath.Join(m.proc, "pressure", "cpu")); err == nil {
		if s, ok := stalled(string(text)); ok {
			r.Stalled = &s
		}
	}
	return r, nil
}

// busy adds user, nice, system, irq and softirq of the CPUs. Time stolen by a
// hypervisor is not used by anyone here, so it does not count.
func busy(stat string, cpus map[string]bool) (float64, error) {
	ticks, found := int64(0), 0
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		if wanted := fields[0] == "cpu" && cpus == nil || cpus[fields[0]]; !wanted {
			continue
		}
		found++
		for _, i := range []int{1, 2, 3, 6, 7} {
			v, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
			}
			ticks += v
		}
	}
	if found == 0 || found < len(cpus) {
		return 0, errors.New("not every CPU has its line")
	}
	return float64(ticks) / userHZ, nil
}

// stalled is the total of the line "some", in seconds.
func stalled(pressure string) (float64, bool) {
	for line := range strings.Lines(pressure) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "some" {
			continue
		}
		for _, f := range fields[1:] {
			if total, ok := strings.CutPrefix(f, "total="); ok {
				us, err := strconv.ParseUint(total, 10, 64)
				return float64(us) / 1e6, err == nil
			}
		}
	}
	return 0, false
}

func identify() (kernel, cpu string) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return kernel, ""
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return kernel, strings.TrimSpace(value)
		}
	}
	return kernel, ""
}
