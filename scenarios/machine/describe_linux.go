// describe_linux.go asks Linux what machine this is.

package machine

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

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
