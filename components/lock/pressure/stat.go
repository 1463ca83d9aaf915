// stat.go reads /proc/stat: how long the CPUs were busy, and how many tasks run or wait.

package pressure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// userHZ is the unit of /proc/stat, which Linux fixes towards programs.
const userHZ = 100

// stat is what /proc/stat says.
type stat struct {
	busy             uint64  // in ticks, of all CPUs that count
	cores            int     // that count
	whole            bool    // they are all there are
	running, blocked float64 // negative where it is not said
}

// The columns of a CPU's line. Behind them come steal, which is time that nobody
// here used, and guest, which user has in it already.
const (
	user = iota
	nice
	system
	idle
	iowait
	irq
	softirq
	columns
)

var errNothingCounted = errors.New("it counts nothing: this is a sandbox that keeps the node out of sight")

// parseStat sums up the CPUs of a set, each of which must be there, or all.
func parseStat(text []byte, only cpuSet) (stat, error) {
	s := stat{running: -1, blocked: -1}
	var all, part uint64
	lines, found, counted := 0, 0, false
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		number, isCPU := bytes.CutPrefix(name, []byte("cpu"))
		switch {
		case isCPU && len(number) == 0:
			busy, moved, err := ticks(rest)
			if err != nil {
				return s, err
			}
			all, counted = busy, moved
		case isCPU:
			lines++
			if !only[string(number)] {
				continue
			}
			busy, _, err := ticks(rest)
			if err != nil {
				return s, err
			}
			found++
			part += busy
		case string(name) == "procs_running":
			s.running = count(rest)
		case string(name) == "procs_blocked":
			s.blocked = count(rest)
		}
	}
	switch {
	case lines == 0:
		return s, errors.New("it has no line for each CPU")
	case !counted:
		return s, errNothingCounted
	case found < len(only):
		return s, fmt.Errorf("it has %d of the %d CPUs that count", found, len(only))
	case len(only) == 0 || found == lines:
		s.busy, s.cores, s.whole = all, lines, true
	default:
		s.busy, s.cores = part, found
	}
	return s, nil
}

// ticks adds up the columns in which a CPU did something, and tells whether
// any column moved since the machine was started.
func ticks(line []byte) (busy uint64, moved bool, err error) {
	column := 0
	for field := range bytes.FieldsSeq(line) {
		if column == columns {
			break
		}
		v, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return 0, false, fmt.Errorf("a CPU's line says %.20q: %w", field, errors.Unwrap(err))
		}
		moved = moved || v > 0
		if column != idle && column != iowait {
			busy += v
		}
		column++
	}
	if column <= idle { // the others came with later kernels
		return 0, false, fmt.Errorf("a CPU's line has %d figures", column)
	}
	return busy, moved, nil
}

// count reads a number of tasks.
func count(text []byte) float64 {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 31)
	if err != nil {
		return -1
	}
	return float64(n)
}

// cpuSet is some CPUs by their numbers; an empty one stands for all.
type cpuSet map[string]bool

func (c cpuSet) add(number int) { c[strconv.Itoa(number)] = true }

// allowed is the CPUs that this program may use, if they are some of those that
// the machine has: containers that count their CPUs anew call them otherwise here.
func allowed(proc string, machine *source) cpuSet {
	status, err := os.ReadFile(filepath.Join(proc, "self", "status"))
	if err != nil {
		return nil
	}
	only, err := parseAllowed(status)
	if err != nil {
		return nil
	}
	text, err := machine.read()
	if err != nil {
		return nil
	}
	if s, err := parseStat(text, only); err != nil || s.whole {
		return nil
	}
	return only
}

// parseAllowed finds the CPUs that a process may use in /proc/self/status:
// "Cpus_allowed_list:	0-2,7".
func parseAllowed(status []byte) (cpuSet, error) {
	for line := range bytes.Lines(status) {
		list, ok := bytes.CutPrefix(line, []byte("Cpus_allowed_list:"))
		if !ok {
			continue
		}
		c := cpuSet{}
		for item := range strings.SplitSeq(string(bytes.TrimSpace(list)), ",") {
			low, high, isRange := strings.Cut(item, "-")
			if !isRange {
				high = low
			}
			first, err := strconv.ParseUint(low, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("list of CPUs: %w", err)
			}
			last, err := strconv.ParseUint(high, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("list of CPUs: %w", err)
			}
			if last < first {
				return nil, fmt.Errorf("list of CPUs: %q ends before it begins", item)
			}
			for i := first; i <= last; i++ {
				c.add(int(i))
			}
		}
		return c, nil
	}
	return nil, errors.New("no list of CPUs")
}
