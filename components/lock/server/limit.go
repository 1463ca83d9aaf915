// The limit as it follows the node.

package server

import (
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// adjust sets the limit by what decide makes of the grants. It is called several
// times a second: nothing is logged above debug for it, and nothing saved.
func (d *desk) adjust(node *pressure.Sample, decide func(grants []pressure.Grant, waiting int) (limit int, why string)) {
	d.do(func(t *slots.Table, now time.Time) {
		var grants []pressure.Grant
		for _, g := range t.Grants() {
			grants = append(grants, pressure.Grant{Since: g.GrantedAt, Weight: g.Weight, Patience: d.node.pods[g.Pod.UID].Patience()})
		}
		limit, why := decide(grants, t.Waiting())
		d.reasons.limit, d.reasons.node = why, nil
		if node != nil {
			d.reasons.node = apiNode(*node)
			d.metrics.see(*node)
		}
		t.SetLimit(now, limit)
	})
}

func apiNode(s pressure.Sample) *lockapi.Node {
	n := &lockapi.Node{Cores: s.Cores, Busy: s.Busy}
	if s.PSI {
		n.CPU, n.IO, n.Memory = &s.CPU, &s.IO, &s.Memory
	}
	return n
}
