// Pods that started without a slot, each counted once.

package server

import (
	"maps"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// failOpenAge is how old a start without a slot may be for a new lock to count
// it: before, it was news of the lock before this one.
const failOpenAge = time.Hour

// failOpens are the pods that are known to have started without a slot, by UID,
// as long as they are on the node. The desk guards it.
type failOpens map[string]bool

func newFailOpens(uids []string) failOpens {
	f := failOpens{}
	for _, uid := range uids {
		f[uid] = true
	}
	return f
}

// see takes in a pod as it is now, and tells whether it is a new start without
// a slot, for a lock that began when begun says.
func (f failOpens) see(p healthapi.Pod, begun time.Time) bool {
	if !p.FailedOpen {
		delete(f, p.UID) // it may be in its next life, after a reboot
		return false
	}
	if f[p.UID] {
		return false
	}
	f[p.UID] = true
	return p.Passed.After(begun.Add(-failOpenAge))
}

// keep drops all pods but these.
func (f failOpens) keep(pods map[string]healthapi.Pod) {
	maps.DeleteFunc(f, func(uid string, _ bool) bool {
		_, here := pods[uid]
		return !here
	})
}
