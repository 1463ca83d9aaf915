// What a binary was built from.

package daemon

import (
	"runtime"
	"runtime/debug"
)

// version is stamped at release time with -ldflags "-X …/components/daemon.version=v1.2.3".
var version = ""

// Build is what this binary was built from.
type Build struct {
	Version   string // release tag, or "dev"
	Revision  string // commit, empty when unknown
	GoVersion string
}

// BuildInfo reads the stamps of the linker and of the Go command.
func BuildInfo() Build {
	b := Build{Version: version, GoVersion: runtime.Version()}
	if b.Version == "" {
		b.Version = "dev"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}
