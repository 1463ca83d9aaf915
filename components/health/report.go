// The legacy answer, for earlier locks and for people.

package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// report is what GET / answers at the time now.
func report(n *healthapi.Node, now time.Time) (code int, body string) {
	lines := n.Reasons
	switch {
	case n.Healthy:
		code, lines = http.StatusOK, []string{"Ok"}
	case len(lines) == 0:
		code, lines = http.StatusPreconditionFailed, []string{"not healthy"}
	default:
		code = http.StatusPreconditionFailed
	}
	if !n.API.Connected {
		lines = append(slices.Clip(lines), away(n, now))
	}
	return code, strings.Join(lines, "\n") + "\n"
}

// away says what is left to go by.
func away(n *healthapi.Node, now time.Time) string {
	var b strings.Builder
	b.WriteString("the API server is away")
	if !n.API.Since.IsZero() {
		fmt.Fprintf(&b, " for %s", max(now.Sub(n.API.Since), 0).Round(time.Second))
	}
	if n.API.Error != "" {
		fmt.Fprintf(&b, " (%s)", n.API.Error)
	}
	if n.Synced {
		b.WriteString(": this is what was known then")
	} else {
		b.WriteString(": nothing is known yet")
	}
	return b.String()
}
