// This file knows the kernel's capabilities and which of them this host can hand out.

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// capabilities is a set of capabilities as the kernel writes it: one bit each.
type capabilities uint64

// capabilityNames are in the order of their bits.
const capabilityNames = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`

// has says whether the set holds a capability by its name, such as CAP_SYS_ADMIN. A capability that
// is newer than this list is left to runc to judge.
func (c capabilities) has(name string) bool {
	name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	for bit, known := range strings.Fields(capabilityNames) {
		if known == name {
			return c&(1<<bit) != 0
		}
	}
	return true
}

// boundingSet reads CapBnd from a /proc/PID/status.
func boundingSet(status []byte) (capabilities, error) {
	for line := range strings.Lines(string(status)) {
		value, found := strings.CutPrefix(line, "CapBnd:")
		if !found {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return 0, fmt.Errorf("read CapBnd: %w", err)
		}
		return capabilities(bits), nil
	}
	return 0, errors.New("read the capability bounding set: no CapBnd line in /proc/self/status")
}
