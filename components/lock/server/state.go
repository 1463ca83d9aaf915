// The route that tells: what is held, who waits, and why.

package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// state is GET /v1/state.
func (s *Server) state(w http.ResponseWriter, _ *http.Request) {
	_ = reply(w, http.StatusOK, s.desk.state())
}

func (d *desk) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *desk) limit() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.table.Limit()
}

// state is everything, as of now.
func (d *desk) state() lockapi.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if !d.closed { // or what is due this very moment would show
		d.table.Advance(now)
		d.settle()
	}
	s := lockapi.State{
		Now:    now,
		Limit:  lockapi.Limit{Slots: d.table.Limit(), Reason: d.reasons.limit, Node: d.reasons.node},
		Gate:   lockapi.Gate{Open: d.table.Open(), Reasons: d.reasons.gate},
		Health: d.node.health,
		Grants: []lockapi.GrantState{}, Queue: []lockapi.ClaimState{}, Recent: []lockapi.EndedState{},
	}
	for _, g := range d.table.Grants() {
		s.Grants = append(s.Grants, grantState(g.Claim, g.ClaimedAt, g.GrantedAt, g.ExpiresAt))
	}
	for _, p := range d.table.Queue(now) {
		s.Queue = append(s.Queue, lockapi.ClaimState{Position: p.Position, Pod: apiPod(p.Pod), Weight: p.Weight,
			Priority: p.Priority, ClaimedAt: p.ClaimedAt, Connected: p.Here, Expected: p.Expected, ETA: eta(p), Reason: d.why(p)})
	}
	for _, ev := range d.recent.events {
		s.Recent = append(s.Recent, lockapi.EndedState{
			GrantState: grantState(ev.Claim, ev.ClaimedAt, ev.GrantedAt, ev.ExpiresAt),
			EndedAt:    ev.At, Ended: string(ev.Reason)})
	}
	return s
}

// describe says where a claim stands, and why it waits.
func (d *desk) describe(p slots.Place) *lockapi.Place {
	d.mu.Lock()
	defer d.mu.Unlock()
	const most = 3 // names enough to know whom to ask
	place := &lockapi.Place{ID: p.ID, ClaimedAt: p.ClaimedAt, Position: p.Position, Queue: max(d.table.Waiting(), p.Position),
		Held: d.table.Held(), ETA: eta(p), Reason: d.why(p)}
	for _, g := range d.table.Grants() {
		if len(place.Ahead) == most {
			break
		}
		place.Ahead = append(place.Ahead, apiPod(g.Pod).String())
	}
	return place
}

// why a claim waits, in the one wording that all are told: its client, those
// who ask for the state, those who run lock status. Needs mu.
func (d *desk) why(p slots.Place) string {
	switch {
	case !d.table.Open():
		return "the gate is closed: " + strings.Join(d.reasons.gate, "; ")
	case p.Position == 1:
		return fmt.Sprintf("next in line; %d of %d slots held", d.table.Held(), d.table.Limit())
	default:
		return fmt.Sprintf("%d of %d slots held, %d ahead in the queue", d.table.Held(), d.table.Limit(), p.Position-1)
	}
}

// retryAfter is when it is worth asking again for a client that cannot wait:
// at the end of the next lease, in whole seconds, 1 to 10.
func (d *desk) retryAfter() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, soonest := time.Now(), 10*time.Second
	for _, g := range d.table.Grants() {
		soonest = min(soonest, g.ExpiresAt.Sub(now))
	}
	return wholeSeconds(soonest)
}

func grantOf(g slots.Grant, limit int) *lockapi.Grant {
	return &lockapi.Grant{ID: g.ID, GrantedAt: g.GrantedAt, ExpiresAt: g.ExpiresAt,
		Lease: lockapi.Duration(max(time.Until(g.ExpiresAt), 0)), Limit: limit,
		Waited: lockapi.Duration(g.GrantedAt.Sub(g.ClaimedAt))}
}

func grantState(c slots.Claim, claimed, granted, expires time.Time) lockapi.GrantState {
	return lockapi.GrantState{Pod: apiPod(c.Pod), Weight: c.Weight, Priority: c.Priority,
		ReleaseOn: lockapi.ReleaseOn(c.ReleaseOn), Legacy: c.Legacy, Adopted: c.Adopted,
		ClaimedAt: claimed, GrantedAt: granted, ExpiresAt: expires}
}

func eta(p slots.Place) *lockapi.Duration {
	if p.ETA < 0 {
		return nil
	}
	d := lockapi.Duration(p.ETA.Round(time.Second))
	return &d
}

func apiPod(p slots.Pod) lockapi.Pod { return lockapi.Pod(p) }
