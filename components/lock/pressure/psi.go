// psi.go reads pressure stall information: for how long tasks waited for a resource.

package pressure

import (
	"bytes"
	"errors"
	"io/fs"
	"strconv"
)

// Stalled is for how many seconds, so far, some task waited for a resource, and
// for how many all of them did at once.
type Stalled struct {
	Some, Full float64
	// of is the file that says so: the counts of two files are nothing that can
	// be compared. Nil where nobody counts.
	of *source
}

// Known tells whether anybody counts.
func (s Stalled) Known() bool { return s.of != nil }

// since is what was added to an earlier count, as shares of a time. Where there
// is no earlier count of the same file, nothing is known.
func (s Stalled) since(earlier Stalled, seconds float64) (some, full float64, ok bool) {
	if s.of == nil || s.of != earlier.of {
		return 0, 0, false
	}
	return share(s.Some-earlier.Some, seconds), share(s.Full-earlier.Full, seconds), true
}

// share bounds what two looks at a counter may say: it may step back when it is
// reset, and two readings are never taken exactly when the clock is.
func share(part, whole float64) float64 { return min(1, max(0, part)/whole) }

// The three resources whose pressure the kernel counts.
const (
	cpu = iota
	disk
	memory
	resources
)

// psi is the pressure of the machine, or of one cgroup.
type psi [resources]*source

var (
	errEmpty = errors.New("it is empty")
	errText  = errors.New("it holds something else than pressure")
)

// readPSI reads the total of each line, and not the averages, which the kernel
// renews every two seconds only.
func readPSI(s *source) (Stalled, error) {
	text, err := s.read()
	if err != nil {
		return Stalled{}, err
	}
	some, full, err := parsePSI(text)
	if err != nil {
		return Stalled{}, err
	}
	return Stalled{Some: float64(some) / 1e6, Full: float64(full) / 1e6, of: s}, nil
}

// parsePSI takes the totals, in microseconds, out of a text such as
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=123
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=45
//
// The second line is not there for the CPU on kernels before 5.13.
func parsePSI(text []byte) (some, full uint64, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return 0, 0, errEmpty
	}
	found := false
	for line := range bytes.Lines(text) {
		kind, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		into := &some
		switch string(kind) {
		case "some":
			found = true
		case "full":
			into = &full
		default:
			continue
		}
		_, total, ok := bytes.Cut(rest, []byte("total="))
		if *into, err = strconv.ParseUint(string(total), 10, 64); !ok || err != nil {
			return 0, 0, errText
		}
	}
	if !found {
		return 0, 0, errText
	}
	return some, full, nil
}

// why says in words why there is no pressure to be read.
func why(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the kernel was built or booted without PSI (psi=1 at boot turns it on)"
	case errors.Is(err, errors.ErrUnsupported):
		return "PSI is switched off (psi=1 at boot turns it on)"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errEmpty):
		return "something masks it, such as a container runtime that hides files of /proc"
	default:
		return err.Error()
	}
}
