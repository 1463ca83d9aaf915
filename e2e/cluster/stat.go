// This file reads how long a machine's processors have worked.

package cluster

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// busySeconds adds up /proc/stat's user, nice, system, irq and softirq time: neither idle, nor waiting
// for a disk, nor stolen by a hypervisor, nor a guest's, which user and nice hold already.
func busySeconds(stat string) (float64, error) {
	const ticksPerSecond = 100 // USER_HZ, on every platform that Kubernetes runs on
	for line := range strings.Lines(stat) {
		field := strings.Fields(line)
		if len(field) < 8 || field[0] != "cpu" {
			continue
		}
		var ticks uint64
		for _, column := range []int{1, 2, 3, 6, 7} {
			value, err := strconv.ParseUint(field[column], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read /proc/stat: %w", err)
			}
			ticks += value
		}
		return float64(ticks) / ticksPerSecond, nil
	}
	return 0, errors.New("read /proc/stat: no line for all processors")
}
