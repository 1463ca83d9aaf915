//go:build !linux

// meter_other.go is for systems that have no /proc: they say so.

package machine

import (
	"fmt"
	"runtime"
)

// Meter reads nothing here.
type Meter struct{}

// NewMeter makes a meter that cannot read.
func NewMeter([]int) *Meter { return &Meter{} }

// Read says that this system has nothing to read from.
func (m *Meter) Read() (Reading, error) {
	return Reading{}, fmt.Errorf("%s has no /proc to read CPU use and pressure from", runtime.GOOS)
}

func identify() (kernel, cpu string) { return "", "" }
