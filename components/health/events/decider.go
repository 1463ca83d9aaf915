// Who is told what, and when: pure, the time is passed in.

package events

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// The reasons of events: constants for programs.
const (
	waiting = "StartupSlotWaiting"
	granted = "StartupSlotGranted"
)

// quiet is the least time between two events of a pod that say that it waits.
const quiet = 5 * time.Minute

// notice is an event on a pod.
type notice struct {
	pod     healthapi.Pod
	reason  string
	warning bool
	message string
}

// decider remembers who was told. What it remembers is bounded by the pods of
// the node and by the bucket.
type decider struct {
	after  time.Duration
	bucket bucket
	told   map[string]*told // by UID
	// late are those who should have been told, had there been a token: they are
	// as soon as there is one, if they still wait then.
	late map[string]bool
}

// told is a pod that heard that it waits.
type told struct {
	at     time.Time // when it heard so last
	lockAt time.Time // on the lock's clock
	hopes  bool      // it has not heard yet that it got its slot
}

func newDecider(after time.Duration) *decider {
	return &decider{after: after, told: map[string]*told{}, late: map[string]bool{}}
}

// next is when it is worth asking the lock, if ever as things are. The zero
// time is now.
func (d *decider) next(n *healthapi.Node) (at time.Time, some bool) {
	if len(d.late) > 0 {
		return time.Time{}, true
	}
	for _, t := range d.told {
		if t.hopes {
			return time.Time{}, true
		}
	}
	for _, p := range n.Pods {
		if !waits(p) || p.WaitsSince.IsZero() {
			continue
		}
		if due := p.WaitsSince.Add(d.after); !some || due.Before(at) {
			at, some = due, true
		}
	}
	return at, some
}

// decide is what to tell at the time now, and how much was due that nobody is
// told. The lock's word counts for the queue alone: who is here, and under
// which name, n knows. What s says is newer than n.
func (d *decider) decide(n *healthapi.Node, s *lockapi.State, now time.Time) (all []notice, dropped int) {
	pods := map[string]healthapi.Pod{}
	for _, p := range n.Pods {
		if p.Guarded {
			pods[p.UID] = p
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(d.told)) {
		t := d.told[uid]
		p, here := pods[uid]
		waited, got := grantOf(s, uid, t.lockAt)
		switch {
		case t.hopes && here && got:
			t.hopes = false
			if d.bucket.take(now) {
				all = append(all, notice{pod: p, reason: granted, message: fmt.Sprintf("got its startup slot after %s", seconds(waited))})
			} else {
				dropped++
			}
		case !waits(p): // it went on without a slot, or is gone
			t.hopes = false
		}
		if !here && now.Sub(t.at) >= quiet {
			delete(d.told, uid)
		}
	}

	late := map[string]bool{}
	for _, c := range d.overdue(pods, s, now) {
		uid := c.Pod.UID
		switch {
		case d.isQuiet(uid, now): // a claim that is there twice
		case d.bucket.take(now):
			d.told[uid] = &told{at: now, lockAt: s.Now, hopes: true}
			all = append(all, notice{pod: pods[uid], reason: waiting, warning: !s.Gate.Open, message: say(c, s)})
		default:
			late[uid] = true
		}
	}
	for uid := range d.late {
		switch {
		case late[uid], d.isQuiet(uid, now):
		case waits(pods[uid]): // it is on its way into the queue, or out of it
			late[uid] = true
		default:
			dropped++
		}
	}
	d.late = late
	return all, dropped
}

// overdue are the claims whose pods should be told that they wait, those first
// that never were.
func (d *decider) overdue(pods map[string]healthapi.Pod, s *lockapi.State, now time.Time) []lockapi.ClaimState {
	var all []lockapi.ClaimState
	for _, c := range s.Queue {
		if waits(pods[c.Pod.UID]) && s.Now.Sub(c.ClaimedAt) >= d.after && !d.isQuiet(c.Pod.UID, now) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b lockapi.ClaimState) int { return cmp.Compare(d.rank(a), d.rank(b)) })
	return all
}

func (d *decider) rank(c lockapi.ClaimState) int {
	if d.told[c.Pod.UID] == nil {
		return 0
	}
	return 1
}

// isQuiet tells whether the pod heard a short while ago that it waits.
func (d *decider) isQuiet(uid string, now time.Time) bool {
	t := d.told[uid]
	return t != nil && now.Sub(t.at) < quiet
}

func waits(p healthapi.Pod) bool { return p.Guarded && p.State == healthapi.PodWaiting }

// grantOf is how long a pod waited for the grant that it got since then. An
// adopted one is no grant, and one that was not delivered did not reach it.
func grantOf(s *lockapi.State, uid string, since time.Time) (waited time.Duration, ok bool) {
	for _, g := range s.Grants {
		if g.Pod.UID == uid && !g.Adopted {
			return g.GrantedAt.Sub(g.ClaimedAt), true
		}
	}
	for _, g := range s.Recent {
		if g.Pod.UID == uid && !g.Adopted && g.Ended != "undelivered" && !g.GrantedAt.Before(since) {
			return g.GrantedAt.Sub(g.ClaimedAt), true
		}
	}
	return 0, false
}

// say is why a claim waits: the lock's one wording, and its place.
func say(c lockapi.ClaimState, s *lockapi.State) string {
	eta := ""
	if c.ETA != nil && *c.ETA > 0 {
		eta = fmt.Sprintf(", about %s to go", *c.ETA)
	}
	return fmt.Sprintf("waits for a startup slot for %s: place %d of %d%s: %s", seconds(s.Now.Sub(c.ClaimedAt)), c.Position, len(s.Queue), eta, c.Reason)
}

func seconds(d time.Duration) lockapi.Duration {
	return lockapi.Duration(max(d, 0).Round(time.Second))
}
