// ledger.go merges what the lock says about itself into what is known of the pods.

package record

import (
	"cmp"
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// Ledger is the lock's own record of a run, put together from its states. The
// lock remembers ended grants for a while only, so it is asked about once a second.
type Ledger struct {
	claims map[key]*entry
}

// key tells apart the claims of one pod, should it ever make a second one.
type key struct {
	uid     string
	claimed time.Time
}

type entry struct {
	claimed, granted, returned time.Time
	ended                      string
}

// Merge adds what a state says. Later states win: a grant may end before its lease does.
func (l *Ledger) Merge(s *lockapi.State) {
	if s == nil {
		return
	}
	for _, q := range s.Queue {
		l.at(q.Pod, q.ClaimedAt)
	}
	for _, g := range s.Grants {
		e := l.at(g.Pod, g.ClaimedAt)
		e.granted, e.returned = g.GrantedAt, g.ExpiresAt
	}
	for _, g := range s.Recent {
		e := l.at(g.Pod, g.ClaimedAt)
		e.granted, e.returned, e.ended = g.GrantedAt, g.EndedAt, g.Ended
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

// Apply replaces the lock's events of each pod by those of the ledger. Ends of
// grants that lie after end are left out: they have not happened yet.
func (l *Ledger) Apply(pods []Pod, appeared time.Time, end float64) {
	seconds := func(t time.Time) float64 { return t.Sub(appeared.Round(0)).Seconds() }
	byUID := map[string][]*entry{}
	for k, e := range l.claims {
		byUID[k.uid] = append(byUID[k.uid], e)
	}
	for i := range pods {
		entries := byUID[pods[i].UID]
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
			events = append(events, Event{At: seconds(e.granted), What: Granted})
			if at := seconds(e.returned); at <= end {
				events = append(events, Event{At: at, What: Returned, Note: e.ended})
			}
		}
		sortEvents(events)
		pods[i].Events = events
	}
}

// sortEvents keeps the order of things that happened at the same moment.
func sortEvents(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}
