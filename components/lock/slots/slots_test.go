// The rules of the table, each as a short story.

package slots

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is a table under test whose ids are the pods' UIDs and whose time is in seconds.
type story struct {
	*testing.T
	*Table
	last string
}

func begin(t *testing.T, limit int) *story {
	s := &story{T: t}
	s.Table = New(Config{Grace: 10 * time.Second, Aging: 30 * time.Second, NewID: func() string { return s.last }}, limit)
	return s
}

func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

func (s *story) ask(seconds float64, uid string, edit ...func(*Claim)) {
	c := Claim{Pod: Pod{UID: uid}, Weight: 1, Lease: 5 * time.Second}
	for _, f := range edit {
		f(&c)
	}
	s.last = uid
	s.Acquire(at(seconds), c)
}

func weighing(n int) func(*Claim) { return func(c *Claim) { c.Weight = n } }
func claimed(seconds float64) func(*Claim) {
	return func(c *Claim) { c.Since = at(seconds) }
}
func important(n int) func(*Claim) { return func(c *Claim) { c.Priority = n } }

// told checks what happened since the last call, as "granted a, ended a lease".
func (s *story) told(want string) {
	s.Helper()
	var got []string
	for _, ev := range s.Drain() {
		if ev.Kind == Claimed {
			continue
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", ev.Kind, ev.ID, ev.Reason)))
	}
	if g := strings.Join(got, ", "); g != want {
		s.Errorf("happened: %q, want %q", g, want)
	}
}

func (s *story) queued(want string) {
	s.Helper()
	var got []string
	for _, p := range s.Queue(s.now) {
		got = append(got, p.ID)
	}
	if g := strings.Join(got, " "); g != want {
		s.Errorf("queue: %q, want %q", g, want)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		holds string
		limit int
		play  func(s *story)
	}{
		{"slots go out in order of arrival, each at the end of a lease", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(1, "b")
			s.ask(2, "c")
			s.told("granted a")
			s.Advance(at(5))
			s.told("ended a lease, granted b")
			s.Advance(at(9.9))
			s.told("")
			s.Advance(at(10))
			s.told("ended b lease, granted c")
		}},
		{"a pod that asks again while it holds a grant costs no second slot", 2, func(s *story) {
			s.ask(0, "a")
			s.ask(1, "a")
			s.told("granted a")
			if s.Held() != 1 {
				s.Errorf("%d held", s.Held())
			}
		}},
		{"a release hands the slot on at once, and works once", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.told("granted a")
			if err := s.Release(at(1), "a"); err != nil {
				s.Error(err)
			}
			s.told("ended a released, granted b")
			if s.Release(at(1), "a") == nil || s.Release(at(1), "nobody") == nil {
				s.Error("released what is not held")
			}
			s.told("")
		}},
		{"a place can be given up", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.ask(0, "c")
			_ = s.Release(at(1), "b")
			s.told("granted a, withdrawn b released")
			s.queued("c")
		}},
		{"priority goes first, arrival within it", 1, func(s *story) {
			s.ask(0, "holder")
			s.ask(1, "low", important(-1))
			s.ask(2, "normal")
			s.ask(3, "high1", important(2))
			s.ask(4, "high2", important(2))
			s.queued("high1 high2 normal low")
		}},
		{"aging: a level of priority is worth 30 s of waiting, no more", 1, func(s *story) {
			s.ask(0, "holder", func(c *Claim) { c.Lease = time.Hour })
			s.ask(1, "patient")
			s.ask(30, "high", important(1))
			s.ask(32, "late", important(1))
			s.queued("high patient late")
		}},
		{"a heavy claim is not passed by a light one behind it", 3, func(s *story) {
			s.ask(0, "a", weighing(2))
			s.ask(1, "heavy", weighing(2))
			s.ask(2, "light")
			s.told("granted a")
			s.Advance(at(5))
			s.told("ended a lease, granted heavy, granted light")
		}},
		{"a claim heavier than the limit is granted alone", 2, func(s *story) {
			s.ask(0, "a")
			s.ask(1, "whale", weighing(9))
			s.ask(2, "b")
			s.told("granted a")
			s.Advance(at(5))
			s.told("ended a lease, granted whale")
			s.Advance(at(10))
			s.told("ended whale lease, granted b")
		}},
		{"a closed gate holds everything back, and lets the head go when it opens", 1, func(s *story) {
			s.SetGate(at(0), false)
			s.ask(1, "a")
			s.ask(1, "b")
			s.told("gate changed")
			s.SetGate(at(2), true)
			s.told("gate changed, granted a")
		}},
		{"a limit that sinks ends no grant; one that rises is used at once", 2, func(s *story) {
			for _, pod := range []string{"a", "b", "c", "d"} {
				s.ask(0, pod)
			}
			s.SetLimit(at(1), 1)
			s.told("granted a, granted b, limit changed")
			_ = s.Release(at(2), "a")
			s.told("ended a released")
			s.SetLimit(at(3), 3)
			s.told("limit changed, granted c, granted d")
		}},
		{"the queue waits for a client between two polls", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.ask(0, "c")
			s.Leave(at(4), "b")
			s.Advance(at(5))
			s.told("granted a, ended a lease")
			s.ask(6, "b")
			s.told("granted b")
		}},
		{"a client that stays away loses its place after the grace, not before", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.ask(0, "c")
			s.Leave(at(4), "b")
			s.Advance(at(13.9))
			s.told("granted a, ended a lease")
			s.Advance(at(14))
			s.told("withdrawn b grace, granted c")
		}},
		{"nobody waits for a broken connection, but its place is kept", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.ask(0, "c")
			s.Hangup(at(4), "b")
			s.Advance(at(5))
			s.told("granted a, ended a lease, granted c")
			s.ask(6, "b")
			s.queued("b")
			s.Advance(at(10))
			s.told("ended c lease, granted b")
		}},
		{"a grant that could not be delivered goes to the next at once", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.Hangup(at(1), "a")
			s.told("granted a, ended a undelivered, granted b")
			s.ask(2, "a")
			s.queued("a")
		}},
		{"a delivered grant survives a broken connection", 1, func(s *story) {
			s.ask(0, "a")
			s.Delivered(at(1), "a")
			s.Hangup(at(2), "a")
			s.told("granted a")
		}},
		{"a legacy client gets a free slot, and none while somebody waits", 1, func(s *story) {
			s.last = "l1"
			_, granted := s.TryAcquire(at(0), Claim{Weight: 1, Lease: time.Second, Legacy: true})
			s.ask(0, "a")
			s.Leave(at(0.5), "a")
			s.last = "l2"
			_, second := s.TryAcquire(at(1), Claim{Weight: 1, Lease: time.Second, Legacy: true})
			if !granted || second {
				s.Errorf("granted %v, then %v", granted, second)
			}
			s.told("granted l1, ended l1 lease")
			s.queued("a")
		}},
		{"a pod that is Ready gives its slot to the next, one that is gone its place", 1, func(s *story) {
			s.ask(0, "a")
			s.ask(0, "b")
			s.ask(0, "c")
			s.End(at(1), "b", PodGone)
			s.End(at(2), "a", PodReady)
			s.End(at(2), "stranger", PodReady)
			s.told("granted a, withdrawn b gone, ended a ready, granted c")
		}},
		{"a start of an earlier life holds a slot for what is left of its lease", 1, func(s *story) {
			s.last = "old"
			s.Adopt(at(0), Claim{Pod: Pod{UID: "old"}, Weight: 1, Lease: 5 * time.Second}, at(-2))
			s.last = "older"
			s.Adopt(at(0), Claim{Pod: Pod{UID: "older"}, Weight: 1, Lease: 5 * time.Second}, at(-5))
			s.ask(0, "a")
			s.Advance(at(3))
			s.told("adopted old, ended old lease, granted a")
		}},
		{"what was adopted asks in vain for a second slot", 2, func(s *story) {
			s.last = "old"
			s.Adopt(at(0), Claim{Pod: Pod{UID: "old"}, Weight: 1, Lease: 5 * time.Second}, at(-2))
			s.ask(1, "old")
			s.Adopt(at(1), Claim{Pod: Pod{UID: "old"}, Weight: 1, Lease: 5 * time.Second}, at(1))
			s.told("adopted old")
		}},
		{"a claim of an earlier life keeps its place ahead of a new one", 1, func(s *story) {
			s.ask(10, "holder")
			s.ask(11, "new")
			s.ask(12, "old", claimed(5))
			s.ask(13, "forged", claimed(99))
			s.queued("old new forged")
		}},
		{"the queue waits for those who waited at an earlier table, for the grace", 1, func(s *story) {
			for i, pod := range []string{"a", "b"} {
				s.last = pod
				s.Expect(at(10), Claim{Pod: Pod{UID: pod}, Weight: 1, Lease: time.Second, Since: at(float64(i))})
			}
			s.ask(11, "c", claimed(2))
			s.told("")
			s.ask(12, "b", claimed(1.5))
			s.queued("a b c")
			s.Advance(at(20))
			s.told("granted b")
		}},
		{"time that runs backwards ends nothing and adds nothing", 1, func(s *story) {
			s.ask(100, "a")
			s.ask(101, "b")
			s.ask(0, "c")
			s.queued("b c")
			s.Advance(at(104))
			s.told("granted a")
			s.Advance(at(105))
			s.told("ended a lease, granted b")
		}},
	} {
		t.Run(tt.holds, func(t *testing.T) {
			t.Parallel()
			tt.play(begin(t, tt.limit))
		})
	}
}

func TestNextIsTheEarliestEnd(t *testing.T) {
	t.Parallel()
	s := begin(t, 1)
	if _, ok := s.Next(); ok {
		t.Error("an empty table wants to be called")
	}
	s.ask(0, "a")
	s.ask(0, "b")
	s.Leave(at(1), "b")
	if got, _ := s.Next(); !got.Equal(at(5)) {
		t.Errorf("next %v, want the end of the lease", got)
	}
	s.ask(2, "c")
	s.Leave(at(2), "c")
	s.Advance(at(5))
	if got, _ := s.Next(); !got.Equal(at(11)) {
		t.Errorf("next %v, want the end of b's grace", got)
	}
}

func TestETAPlaysTheQueueForward(t *testing.T) {
	t.Parallel()
	s := begin(t, 2)
	for i, pod := range []string{"a", "b", "c", "d"} {
		s.ask(float64(i), pod)
	}
	s.ask(4, "heavy", weighing(2))
	s.ask(4, "last")
	etas := func() (got []time.Duration) {
		for _, p := range s.Queue(at(4)) {
			got = append(got, p.ETA)
		}
		return got
	}
	// a ends at 5, b at 6; c and d end at 10 and 11; heavy needs both.
	want := []time.Duration{time.Second, 2 * time.Second, 7 * time.Second, 12 * time.Second}
	if got := etas(); !slices.Equal(got, want) {
		t.Errorf("etas %v, want %v", got, want)
	}
	if p, _ := s.Place(at(4), "heavy"); p.Position != 3 || p.ETA != 7*time.Second {
		t.Errorf("heavy is at %d, eta %v", p.Position, p.ETA)
	}
	s.SetHold(2 * time.Second)
	// Grants are over after 2 s, by experience: a and b should be already.
	want = []time.Duration{0, 0, 2 * time.Second, 4 * time.Second}
	if got := etas(); !slices.Equal(got, want) {
		t.Errorf("etas by experience %v, want %v", got, want)
	}
	s.SetGate(at(4), false)
	if got := etas(); slices.Max(got) >= 0 {
		t.Errorf("etas with a closed gate: %v, want none", got)
	}
}

func TestRestoreRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	good := SnapshotClaim{ID: "1", Claim: Claim{Pod: Pod{UID: "a"}, Weight: 1, Lease: time.Second}, ClaimedAt: epoch}
	for name, edit := range map[string]func(*SnapshotClaim){
		"no id":       func(c *SnapshotClaim) { c.ID = "" },
		"id twice":    func(c *SnapshotClaim) { c.Pod.UID = "b" },
		"pod twice":   func(c *SnapshotClaim) { c.ID = "2" },
		"no weight":   func(c *SnapshotClaim) { c.ID, c.Pod.UID, c.Weight = "2", "b", 0 },
		"no lease":    func(c *SnapshotClaim) { c.ID, c.Pod.UID, c.Lease = "2", "b", 0 },
		"minus lease": func(c *SnapshotClaim) { c.ID, c.Pod.UID, c.Lease = "2", "b", -1 },
	} {
		bad := good
		edit(&bad)
		if _, err := Restore(Config{}, 1, epoch, Snapshot{Claims: []SnapshotClaim{good, bad}}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}

// FuzzRestore feeds what a damaged state file may hold: it is refused, or the
// table works.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"claims":[{"id":"1","pod":{"uid":"a"},"weight":1,"lease":1000000000,"claimedAt":"2026-01-01T00:00:00Z","expiresAt":"2026-01-01T00:00:01Z"}]}`))
	f.Add([]byte(`{"claims":[{"id":"1","weight":9,"lease":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Snapshot
		if json.Unmarshal(b, &s) != nil {
			return
		}
		table, err := Restore(Config{Grace: time.Second, Aging: time.Second, NewID: func() string { return "new" }}, 1, epoch, s)
		if err != nil {
			return
		}
		for range len(s.Claims) + 1 {
			if next, ok := table.Next(); ok {
				table.Advance(next)
			}
		}
		if _, ok := table.Next(); ok || table.Held() != 0 || table.Waiting() != 0 {
			t.Errorf("%s: something never ends", b)
		}
	})
}
