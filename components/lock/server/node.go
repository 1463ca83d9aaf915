// What becomes of this node's pods, by health's word, and what follows for
// their grants and claims.

package server

import (
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// handOver is how long after its start a lock takes over from the one before it:
// by then all who waited there have asked again.
const handOver = time.Minute

// node is the node's pods as health tells of them. The desk guards it.
type node struct {
	health *lockapi.Health          // nil when nobody tells
	pods   map[string]healthapi.Pod // by UID
	synced bool                     // a whole state was heard
	begun  time.Time                // when this lock began
	lease  time.Duration            // of pods that were never asked for their wishes
	policy string
}

func newNode(cfg Config, now time.Time) node {
	return node{pods: map[string]healthapi.Pod{}, begun: now, lease: cfg.Lease, policy: string(cfg.ReleaseOn)}
}

// over tells whether this pod will not start any more.
func (n *node) over(uid string) bool {
	p, known := n.pods[uid]
	return known && (p.State == healthapi.PodTerminating || p.State == healthapi.PodEnded)
}

// believe is since when a claim counts. What a client remembers of an earlier
// lock is of use for a while after this one's start only, and nobody waits
// longer than its container runs.
func (n *node) believe(c slots.Claim, now time.Time) time.Time {
	if now.Sub(n.begun) > handOver {
		return time.Time{}
	}
	if p := n.pods[c.Pod.UID]; c.Since.Before(p.WaitsSince) {
		return time.Time{}
	}
	return c.Since
}

// tellOf takes in what health sees.
func (d *desk) tellOf(e healthapi.Event) {
	d.do(func(t *slots.Table, now time.Time) {
		switch {
		case e.Node != nil:
			d.replace(t, now, e.Node)
		case e.Pod != nil:
			d.node.pods[e.Pod.UID] = *e.Pod
			d.follow(t, now, *e.Pod)
		case e.Gone != "":
			delete(d.node.pods, e.Gone)
			delete(d.opened, e.Gone)
			t.End(now, e.Gone, slots.PodGone)
		}
	})
}

// replace takes in a whole state. A pod that is missing in it is gone, if it
// was there before: one that was never seen may be too new.
func (d *desk) replace(t *slots.Table, now time.Time, n *healthapi.Node) {
	if !n.Synced {
		return // health knows nothing yet
	}
	before := d.node.pods
	d.node.pods = make(map[string]healthapi.Pod, len(n.Pods))
	for _, p := range n.Pods {
		d.node.pods[p.UID] = p
		d.follow(t, now, p)
		delete(before, p.UID)
	}
	for uid := range before {
		t.End(now, uid, slots.PodGone)
	}
	d.opened.keep(d.node.pods)
	if !d.node.synced {
		d.node.synced = true
		d.takeOver(t, now, n.Pods)
	}
}

// follow draws the conclusions from a pod's state.
func (d *desk) follow(t *slots.Table, now time.Time, p healthapi.Pod) {
	if d.opened.see(p, d.node.begun) {
		d.metrics.failOpens.Inc()
		d.log.Warn("a pod started without a slot: no lock gave it one in time", "pod", p.Namespace+"/"+p.Name, "passed", p.Passed)
		d.changes++
		d.saveSoon()
	}
	switch p.State {
	case healthapi.PodTerminating:
		t.End(now, p.UID, slots.PodGone)
		return
	case healthapi.PodEnded:
		t.End(now, p.UID, slots.PodEnded)
		return
	}
	g, held := t.GrantOf(p.UID)
	if !held {
		d.adopt(t, now, p)
		return
	}
	if p.Passed.Before(g.GrantedAt.Truncate(time.Second)) {
		return // that is of the pod's life before this grant: the node was rebooted
	}
	if why, over := ends(lockapi.ReleaseOn(g.ReleaseOn), p.State); over {
		t.End(now, p.UID, why)
	}
}

// ends is whether a grant is over by a pod's state, under a release policy.
func ends(policy lockapi.ReleaseOn, s healthapi.PodState) (slots.Reason, bool) {
	switch {
	case policy == lockapi.ReleaseOnTimeout:
	case s == healthapi.PodReady:
		return slots.PodReady, true
	case s == healthapi.PodStuck:
		return slots.PodStuck, true
	case s == healthapi.PodStarted && policy == lockapi.ReleaseOnStarted:
		return slots.PodStarted, true
	}
	return "", false
}

// adopt gives a slot to a pod that starts without a grant of this table: an
// earlier lock granted it, or it stopped waiting for one.
func (d *desk) adopt(t *slots.Table, now time.Time, p healthapi.Pod) {
	if !p.Guarded || !p.Starting() || d.recent.covers(p.UID, p.Passed) {
		return
	}
	if _, over := ends(lockapi.ReleaseOn(d.node.policy), p.State); over {
		return
	}
	for _, g := range t.Grants() {
		if g.Legacy {
			return // its client has no identity: it may well be this pod
		}
	}
	t.Adopt(now, d.claimOf(p), p.Passed)
}

// takeOver keeps the places of those who waited at the lock before this one, in
// the order of their arrival on the node, until they ask here. There was none
// when nobody has passed it yet: on a fresh node nobody waits for anybody.
func (d *desk) takeOver(t *slots.Table, now time.Time, pods []healthapi.Pod) {
	passed := false
	for _, p := range pods {
		passed = passed || p.Guarded && !p.Passed.IsZero()
	}
	if !passed || now.Sub(d.node.begun) > handOver {
		return
	}
	for _, p := range pods {
		if p.Guarded && p.State == healthapi.PodWaiting && !p.WaitsSince.IsZero() {
			c := d.claimOf(p)
			c.Since = p.WaitsSince
			t.Expect(now, c)
		}
	}
}

// claimOf is the claim of a pod that was not heard of its wishes.
func (d *desk) claimOf(p healthapi.Pod) slots.Claim {
	return slots.Claim{Pod: slots.Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		Weight: 1, Lease: d.node.lease, ReleaseOn: d.node.policy}
}

func (d *desk) setHealth(h lockapi.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.node.health = &h
	for to, there := range map[string]bool{"health": h.Connected, "api": h.Connected && h.API} {
		d.metrics.health.WithLabelValues(to).Set(oneIf(there))
	}
}
