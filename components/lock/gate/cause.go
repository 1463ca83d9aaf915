// What kinds of reasons keep the gate closed.

package gate

import (
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// The causes of the gate's own, beside those of health.
const (
	CauseEndpoint   healthapi.Cause = "endpoint"    // it does not answer
	CauseHealthAway healthapi.Cause = "health_away" // it was there, or should be
)

// The beginnings of the gate's own reasons.
const (
	endpointReason   = "endpoint "
	healthAwayReason = "health is away: "
)

// Reasons of a lock that has not looked yet.
const (
	NotLooked  = "the node was not looked at yet"
	NotChecked = "endpoints are not checked yet"
	NotHeard   = "health was not heard of yet"
)

// Causes are all that CauseOf answers.
func Causes() []healthapi.Cause {
	return []healthapi.Cause{CauseEndpoint, CauseHealthAway, healthapi.CauseUnknown, healthapi.CausePermission, healthapi.CauseNodeCondition,
		healthapi.CauseStartupTaint, healthapi.CauseDaemonSet, healthapi.CauseNodeLoad, healthapi.CauseOther}
}

// CauseOf is the cause of a reason that a Gate reports.
func CauseOf(reason string) healthapi.Cause {
	switch {
	case reason == NotLooked, reason == NotChecked, reason == NotHeard:
		return healthapi.CauseUnknown
	case strings.HasPrefix(reason, endpointReason):
		return CauseEndpoint
	case strings.HasPrefix(reason, healthAwayReason):
		return CauseHealthAway
	default:
		return healthapi.CauseOf(reason)
	}
}
