// What kind of reason a reason is, for those who count them.

package healthapi

import "strings"

// Cause is the kind of a reason against starting. Reasons are words for people,
// with names in them; a metric wants a closed set.
type Cause string

// The causes that health's reasons have.
const (
	CauseUnknown       Cause = "unknown"        // nothing is known of the node yet
	CausePermission    Cause = "permission"     // health may not see what it should
	CauseNodeCondition Cause = "node_condition" // the node is missing, not Ready, or has no network
	CauseStartupTaint  Cause = "startup_taint"
	CauseDaemonSet     Cause = "daemonset"
	CauseNodeLoad      Cause = "node_load"
	CauseOther         Cause = "other" // the reason is of a later version, or of no health
)

// CauseOf is the cause of one of Status.Reasons.
func CauseOf(reason string) Cause {
	for _, c := range []struct {
		prefix string
		cause  Cause
	}{
		{"nothing is known of the node yet", CauseUnknown},
		{"not permitted to ", CausePermission},
		{"node is not Ready", CauseNodeCondition},
		{"node's network is unavailable", CauseNodeCondition},
		{"node \"", CauseNodeCondition}, // … is not in the cluster
		{"node still has the startup taint ", CauseStartupTaint},
		{"DaemonSet ", CauseDaemonSet},
		{"node load: ", CauseNodeLoad},
	} {
		if strings.HasPrefix(reason, c.prefix) {
			return c.cause
		}
	}
	return CauseOther
}
