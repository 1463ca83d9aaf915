// ledger.go merges what the lock says about itself into what is known of the pods.

package record

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// Ledger is the lock's own record of a run, put together from its states. The
// lock remembers ended grants for a while only, so it is asked about once a second.
type Ledger struct {
	claims map[key]*entry
	limits []limit // only where it changes
}

// limit is how many slots there were from a moment on.
type limit struct {
	since time.Time
	slots int
}

// key tells apart the claims of one pod, should it ever make a second one.
type key struct {
	uid     string
	claimed time.Time
}

type entry struct {
	claimed, granted, returned time.Time
	ended                      string
	adopted                    bool // granted is a whole second, rounded down
}

// forgotten is why a grant ended that the lock knows nothing of any more.
const forgotten = "forgotten"

// Merge adds what a state says. Later states win: a grant may end before its lease does.
func (l *Ledger) Merge(s *lockapi.State) {
	if s == nil {
		return
	}
	l.note(s.Now, s.Limit.Slots)
	for _, q := range s.Queue {
		if !q.Expected {
			l.at(q.Pod, q.ClaimedAt)
		}
	}
	known := map[*entry]bool{}
	for _, g := range s.Recent {
		if g.Ended == "undelivered" { // nobody had it, and the claim goes on
			continue
		}
		e := l.at(g.Pod, g.ClaimedAt)
		e.granted, e.returned, e.ended, e.adopted = g.GrantedAt, g.EndedAt, g.Ended, g.Adopted
		known[e] = true
	}
	for _, g := range s.Grants {
		e := l.at(g.Pod, g.ClaimedAt)
		e.granted, e.returned, e.ended, e.adopted = g.GrantedAt, g.ExpiresAt, "", g.Adopted
		known[e] = true
	}
	// A lock that lost its memory knows nothing of the grants of before.
	for _, e := range l.claims {
		if !known[e] && e.ended == "" && e.returned.After(s.Now) {
			e.returned, e.ended = s.Now, forgotten
		}
	}
}

func (l *Ledger) at(pod lockapi.Pod, claimed time.Time) *entry {
	if l.claims == nil {
		l.claims = map[key]*entry{}
	}
	k := key{pod.UID, claimed.UTC().Round(0)}
	e := l.claims[k]
	if e == nil {
		e = &entry{claimed: claimed}
		l.claims[k] = e
	}
	return e
}

// note keeps the limit where it changes. There is never a limit of 0: a state
// that has none says nothing about it.
func (l *Ledger) note(now time.Time, slots int) {
	if n := len(l.limits); slots > 0 && (n == 0 || l.limits[n-1].slots != slots) {
		l.limits = append(l.limits, limit{now, slots})
	}
}

// Limits is the limit over time until end, in seconds since the herd appeared.
// What it was then is what was heard last before, or else first after.
func (l *Ledger) Limits(appeared time.Time, end float64) []Step {
	var steps []Step
	for _, c := range l.limits {
		at := c.since.Sub(appeared.Round(0)).Seconds() // the lock's times are of the wall clock
		switch {
		case at <= 0 || len(steps) == 0:
			steps = []Step{{0, c.slots}}
		case at <= end:
			steps = append(steps, Step{at, c.slots})
		}
	}
	return steps
}

// Apply replaces the lock's events of each pod by those of the ledger. Ends of
// grants that lie after end are left out: they have not happened yet. So are
// claims from before the herd appeared: those of a life that is over.
func (l *Ledger) Apply(pods []Pod, appeared time.Time, end float64) {
	appeared = appeared.Round(0) // the lock's times are of the wall clock
	seconds := func(t time.Time) float64 { return t.Sub(appeared).Seconds() }
	byUID := map[string][]*entry{}
	for k, e := range l.claims {
		if !e.claimed.Before(appeared) {
			byUID[k.uid] = append(byUID[k.uid], e)
		}
	}
	for i := range pods {
		entries := join(byUID[pods[i].UID])
		if len(entries) == 0 {
			continue
		}
		events := slices.DeleteFunc(slices.Clone(pods[i].Events), func(e Event) bool {
			return e.What == Claimed || e.What == Granted || e.What == Returned
		})
		for _, e := range entries {
			events = append(events, Event{At: seconds(e.claimed), What: Claimed})
			if e.granted.IsZero() {
				continue
			}
			granted, returned := seconds(e.granted), seconds(e.returned)
			if e.adopted { // within that second, and before its application started
				granted = min(granted+1, first(events, Started, granted))
			}
			if e.ended == forgotten { // Ready ends a grant, whoever remembers it
				returned = min(returned, first(events, Ready, granted))
			}
			events = append(events, Event{At: granted, What: Granted})
			if returned <= end {
				events = append(events, Event{At: returned, What: Returned, Note: e.ended})
				believe(events, granted, returned, e.ended)
			}
		}
		sortEvents(events)
		pods[i].Events = events
	}
}

// first is when something happened first since a time; never is infinitely late.
func first(events []Event, what What, since float64) float64 {
	i := slices.IndexFunc(events, func(e Event) bool { return e.What == what && e.At >= since })
	if i < 0 {
		return math.Inf(1)
	}
	return events[i].At
}

// join puts the claims of one pod in order and makes one grant of those that
// overlap: a lock that lost its memory adopts a start that another one granted,
// perhaps in its very last moment, so that we never heard of it.
func join(entries []*entry) []entry {
	slices.SortFunc(entries, func(a, b *entry) int { return a.claimed.Compare(b.claimed) })
	var joined []entry
	for _, e := range entries {
		n := len(joined)
		if n > 0 && e.adopted && joined[n-1].granted.IsZero() {
			claimed := joined[n-1].claimed
			joined[n-1] = *e
			joined[n-1].claimed = claimed
			continue
		}
		if n > 0 && !e.granted.IsZero() && e.granted.Before(joined[n-1].returned) {
			// Who knows how it ended is believed, not who merely forgot it.
			if last := &joined[n-1]; e.returned.After(last.returned) || last.ended == forgotten {
				last.returned, last.ended = e.returned, e.ended
			}
			continue
		}
		joined = append(joined, *e)
	}
	return joined
}

// believe dates what happened to a pod no later than the lock acted upon it: it
// hears of it on another way than we do, and sometimes a moment earlier. Else a
// pod whose slot was handed on because it was Ready would count as a starter
// beside the next one.
func believe(events []Event, granted, ended float64, why string) {
	const late = 2.0
	what, ok := map[string]What{"started": Started, "ready": Ready}[why]
	if !ok {
		return
	}
	i := slices.IndexFunc(events, func(e Event) bool { return e.What == what && e.At >= granted })
	if i < 0 || events[i].At > ended+late {
		return
	}
	for j := range events[:i+1] {
		events[j].At = min(events[j].At, ended)
	}
}

// sortEvents keeps the order of things that happened at the same moment.
func sortEvents(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}
