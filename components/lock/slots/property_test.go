// The promises of the table, over random lives.

package slots

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world drives a table through random operations and keeps, from the events
// alone, its own idea of who waits and who holds a slot.
type world struct {
	*rapid.T
	cfg   Config
	table *Table
	now   time.Time
	limit int
	open  bool

	waiting []*claim // in order of arrival
	held    map[string]*claim
	last    map[string]string // the id that a pod had last
	seq     int
	claimed int
	granted int
	left    int
}

// claim is what the world knows of one.
type claim struct {
	id       string
	uid      string
	weight   int
	priority int
	since    time.Time // when it was claimed
	seq      int       // ties of since, in order of arrival
	client   presence
	leaveAt  time.Time
	expected bool // nobody has claimed it yet
	release  bool // the client gives it up in this very step
	ended    bool // its pod ends it in this very step
	hangup   bool // the client's connection breaks in this very step
}

func newWorld(t *rapid.T) *world {
	ids := 0
	cfg := Config{Grace: 10 * time.Second, Aging: 30 * time.Second,
		NewID: func() string { ids++; return strconv.Itoa(ids) }}
	w := &world{T: t, cfg: cfg, now: epoch, limit: rapid.IntRange(1, 4).Draw(t, "limit"), open: true,
		held: map[string]*claim{}, last: map[string]string{}}
	w.table = New(cfg, w.limit)
	return w
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) draw() Claim {
	return Claim{
		Pod:      Pod{UID: "pod-" + strconv.Itoa(rapid.IntRange(0, 12).Draw(w.T, "uid"))},
		Weight:   rapid.SampledFrom([]int{1, 1, 1, 2, 3, 9}).Draw(w.T, "weight"),
		Priority: rapid.SampledFrom([]int{0, 0, 0, 1, -1, 50}).Draw(w.T, "priority"),
		Lease:    time.Duration(rapid.IntRange(1, 30).Draw(w.T, "lease")) * time.Second,
	}
}

// digest takes the events of one operation in, and checks each against what was known before it.
func (w *world) digest() {
	w.forgetExpected()
	for _, ev := range w.table.Drain() {
		switch ev.Kind {
		case Claimed:
			w.claimed++
			w.wait(&claim{id: ev.ID, uid: ev.Pod.UID, weight: ev.Weight, priority: ev.Priority, since: ev.ClaimedAt})
		case Granted:
			w.checkGrant(ev)
		case Adopted:
			if i := slices.IndexFunc(w.waiting, func(c *claim) bool { return c.uid == ev.Pod.UID }); i < 0 {
				w.claimed++
			} else if w.waiting[i].expected {
				w.claimed++
				w.waiting = slices.Delete(w.waiting, i, i+1)
			} else {
				w.waiting = slices.Delete(w.waiting, i, i+1)
			}
			w.held[ev.ID] = &claim{id: ev.ID, uid: ev.Pod.UID, weight: ev.Weight}
			w.granted++
		case Ended:
			w.forgetExpected()
			c := w.held[ev.ID]
			if c == nil {
				w.Fatalf("a grant that nobody held ended: %+v", ev)
			}
			delete(w.held, ev.ID)
			switch ev.Reason {
			case LeaseEnded:
				if ev.At.Before(ev.ExpiresAt) {
					w.Fatalf("the lease of %s ended %s early", ev.ID, ev.ExpiresAt.Sub(ev.At))
				}
				w.left++
			case Released:
				if !c.release {
					w.Fatalf("%s was released by nobody", ev.ID)
				}
				w.left++
			case PodReady:
				if !c.ended {
					w.Fatalf("%s ended though its pod did nothing", ev.ID)
				}
				w.left++
			case Undelivered:
				if !c.hangup {
					w.Fatalf("%s was taken back though its client is there", ev.ID)
				}
				if !ev.Legacy {
					w.granted--
					w.requeue(c)
				} else {
					w.left++
				}
			}
		case Withdrawn:
			i := w.index(ev.ID)
			c := w.waiting[i]
			if ev.Reason == GraceEnded && (c.client == here || w.now.Before(c.leaveAt)) {
				w.Fatalf("%s lost its place within its grace", ev.ID)
			}
			if ev.Reason == Released && !c.release || ev.Reason == PodReady && !c.ended || c.expected {
				w.Fatalf("%s was withdrawn by nobody", ev.ID)
			}
			w.waiting = slices.Delete(w.waiting, i, i+1)
			w.granted++ // it is done with, as a granted one is
			w.left++
		}
	}
	w.check()
}

func (w *world) checkGrant(ev Event) {
	if !w.open {
		w.Fatalf("%s was granted while the gate is closed", ev.ID)
	}
	sum := ev.Weight
	for _, c := range w.held {
		sum += c.weight
	}
	if w.limit < 1 || (sum > w.limit && len(w.held) > 0) {
		w.Fatalf("%s was granted: weight %d held with a limit of %d", ev.ID, sum, w.limit)
	}
	c := &claim{id: ev.ID, uid: ev.Pod.UID, weight: ev.Weight, priority: ev.Priority}
	until := len(w.waiting)
	if !ev.Legacy {
		i := w.index(ev.ID)
		c, until = w.waiting[i], i
		if c.client != here {
			w.Fatalf("%s was granted though its client is not there", ev.ID)
		}
	} else {
		w.claimed++
	}
	for _, earlier := range w.waiting[:until] {
		if earlier.priority == ev.Priority && earlier.client != gone {
			w.Fatalf("%s was granted ahead of %s, which claimed earlier", ev.ID, earlier.id)
		}
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(x *claim) bool { return x == c })
	w.held[ev.ID] = c
	w.granted++
}

// wait puts a claim where its arrival puts it.
func (w *world) wait(c *claim) {
	if c.seq == 0 {
		w.seq++
		c.seq = w.seq
	}
	i, _ := slices.BinarySearchFunc(w.waiting, c, func(a, b *claim) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.seq, b.seq))
	})
	w.waiting = slices.Insert(w.waiting, i, c)
}

// requeue puts a claim back whose grant did not reach its client.
func (w *world) requeue(c *claim) {
	w.wait(c)
	c.client, c.leaveAt = gone, w.now.Add(w.cfg.Grace)
}

// forgetExpected drops the places that nobody claimed in time.
func (w *world) forgetExpected() {
	w.waiting = slices.DeleteFunc(w.waiting, func(c *claim) bool { return c.expected && !w.now.Before(c.leaveAt) })
}

func (w *world) index(id string) int {
	i := slices.IndexFunc(w.waiting, func(c *claim) bool { return c.id == id })
	if i < 0 {
		w.Fatalf("%s is not waiting", id)
	}
	return i
}

// check holds the table against the world after every operation.
func (w *world) check() {
	queue := w.table.Queue(w.now)
	if len(queue) != len(w.waiting) {
		w.Fatalf("%d claims in the queue, want %d: a place is lost", len(queue), len(w.waiting))
	}
	for _, p := range queue {
		w.index(p.ID)
	}
	grants := w.table.Grants()
	if len(grants) != len(w.held) {
		w.Fatalf("%d grants, want %d", len(grants), len(w.held))
	}
	held := 0
	for _, g := range grants {
		held += g.Weight
	}
	if held != w.table.Held() {
		w.Fatalf("the table counts %d held, its grants weigh %d", w.table.Held(), held)
	}
	for _, p := range queue { // settled: the first whose client can be waited for cannot be granted
		c := w.waiting[w.index(p.ID)]
		if c.client == gone {
			continue
		}
		if c.client == here && w.open && fits(w.limit, held, p.Weight) {
			w.Fatalf("%s is next and fits, but waits", p.ID)
		}
		break
	}
}

// pick is a claim or grant of the world, or nil. Nobody has the id of a place
// that was only kept.
func (w *world) pick(label string) *claim {
	all := slices.DeleteFunc(slices.Clone(w.waiting), func(c *claim) bool { return c.expected })
	for _, c := range w.held {
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *claim) int { return cmp.Or(len(a.id)-len(b.id), cmp.Compare(a.id, b.id)) })
	return all[rapid.IntRange(0, len(all)-1).Draw(w.T, label)]
}

func (w *world) acquire() {
	c := w.draw()
	if rapid.IntRange(0, 3).Draw(w.T, "an older claim") == 0 {
		c.Since = w.past()
	}
	w.forgetExpected()
	for _, known := range w.waiting {
		if known.uid == c.Pod.UID {
			known.client = here
		}
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(x *claim) bool { return x.uid == c.Pod.UID && x.expected })
	before := w.last[c.Pod.UID]
	id, granted := w.table.Acquire(w.now, c)
	w.digest()
	if _, still := w.held[before]; still && (id != before || !granted) {
		w.Fatalf("%s holds %s, and was given %s", c.Pod.UID, before, id)
	}
	if _, holds := w.held[id]; holds != granted {
		w.Fatalf("told %v, but holds a slot: %v", granted, holds)
	}
	w.last[c.Pod.UID] = id
}

// past is a time of an earlier table, or a little ahead of this one's.
func (w *world) past() time.Time {
	return w.now.Add(time.Duration(rapid.IntRange(-40, 2).Draw(w.T, "since")) * time.Second)
}

// expect keeps a place for a pod, which is on nobody's books yet.
func (w *world) expect() {
	c := w.draw()
	c.Since = w.past()
	w.table.Advance(w.now)
	w.digest()
	known := w.table.Knows(c.Pod.UID)
	w.table.Expect(w.now, c)
	for _, p := range w.table.Queue(w.now) {
		if p.Pod.UID == c.Pod.UID && !known {
			w.wait(&claim{id: p.ID, uid: p.Pod.UID, weight: p.Weight, priority: p.Priority, since: p.ClaimedAt,
				client: away, leaveAt: w.now.Add(w.cfg.Grace), expected: true})
			known = true
		}
	}
	if !known {
		w.Fatalf("no place is kept for %s", c.Pod.UID)
	}
	w.digest()
}

func TestTableKeepsItsPromisesWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"acquire": func(*rapid.T) { w.acquire() },
			"legacy": func(*rapid.T) {
				c := w.draw()
				c.Pod.UID, c.Legacy, c.Priority = "", true, 0
				id, granted := w.table.TryAcquire(w.now, c)
				w.digest()
				if _, holds := w.held[id]; holds != granted {
					w.Fatalf("told %v, but holds a slot: %v", granted, holds)
				}
			},
			"leave": func(*rapid.T) {
				if c := w.pick("who leaves"); c != nil && w.held[c.id] == nil {
					c.client, c.leaveAt = away, w.now.Add(w.cfg.Grace)
					w.table.Leave(w.now, c.id)
					w.digest()
				}
			},
			"hang up": func(*rapid.T) {
				if c := w.pick("who hangs up"); c != nil {
					c.hangup, c.client, c.leaveAt = true, gone, w.now.Add(w.cfg.Grace)
					w.table.Hangup(w.now, c.id)
					w.digest()
					c.hangup = false
				}
			},
			"deliver": func(*rapid.T) {
				if c := w.pick("who is told"); c != nil && w.held[c.id] != nil {
					w.table.Delivered(w.now, c.id)
					w.digest()
				}
			},
			"release": func(rt *rapid.T) {
				c := w.pick("who releases")
				if c == nil || rapid.Bool().Draw(rt, "forged") {
					if err := w.table.Release(w.now, "forged"); err == nil {
						w.Fatalf("an unknown id was released")
					}
				} else {
					c.release = true
					if err := w.table.Release(w.now, c.id); err != nil {
						w.Fatalf("release %s: %v", c.id, err)
					}
				}
				w.digest()
			},
			"pod is ready": func(*rapid.T) {
				uid := w.draw().Pod.UID
				of := func(c *claim) bool { return c.uid == uid }
				w.waiting = slices.DeleteFunc(w.waiting, func(c *claim) bool { return of(c) && c.expected })
				theirs := slices.Concat(w.waiting, slices.Collect(maps.Values(w.held)))
				theirs = slices.DeleteFunc(theirs, func(c *claim) bool { return !of(c) })
				for _, c := range theirs {
					c.ended = true
				}
				w.table.End(w.now, uid, PodReady)
				w.digest()
				if w.table.Knows(uid) {
					w.Fatalf("%s is still in the table", uid)
				}
			},
			"adopt": func(rt *rapid.T) {
				c := w.draw()
				since := w.past()
				w.table.Adopt(w.now, c, since)
				w.digest()
				for _, g := range w.table.Grants() {
					if left := g.ExpiresAt.Sub(w.now); left > g.Lease || left <= 0 {
						w.Fatalf("%s has %s left of a lease of %s", g.ID, left, g.Lease)
					}
				}
			},
			"expect": func(*rapid.T) { w.expect() },
			"limit": func(rt *rapid.T) {
				w.limit = rapid.IntRange(0, 5).Draw(rt, "limit")
				w.table.SetLimit(w.now, w.limit)
				w.digest()
			},
			"gate": func(rt *rapid.T) {
				w.open = rapid.Bool().Draw(rt, "open")
				w.table.SetGate(w.now, w.open)
				w.digest()
			},
			"time passes": func(rt *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "ms")) * time.Millisecond)
				w.table.Advance(w.now)
				w.digest()
				if at, ok := w.table.Next(); ok && !at.After(w.now) {
					w.Fatalf("nothing is due, but Next says %s ago", w.now.Sub(at))
				}
			},
			"restart": func(rt *rapid.T) { w.restart(rt) },
		})
		w.finish()
	})
}

// restart carries the table through JSON into a new life, with a wall clock that may have jumped.
func (w *world) restart(rt *rapid.T) {
	b, err := json.Marshal(w.table.Snapshot())
	if err != nil {
		w.Fatalf("marshal: %v", err)
	}
	var s Snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		w.Fatalf("unmarshal: %v", err)
	}
	w.now = w.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(rt, "clock jump")) * time.Second)
	w.table, err = Restore(w.cfg, w.limit, w.now, s)
	if err != nil {
		w.Fatalf("restore: %v", err)
	}
	w.table.SetGate(w.now, w.open)
	for _, c := range w.waiting {
		w.seq++
		c.seq = w.seq
		c.client, c.leaveAt = away, w.now.Add(w.cfg.Grace)
		if c.since.After(w.now) {
			c.since = w.now
		}
	}
	for _, g := range w.table.Grants() {
		if left := g.ExpiresAt.Sub(w.now); left > g.Lease {
			w.Fatalf("the restart made a lease of %s last %s more", g.Lease, left)
		}
	}
	w.digest()
}

// finish lets every client come back, and time do the rest.
func (w *world) finish() {
	w.limit = 1
	w.table.SetLimit(w.now, w.limit)
	w.digest()
	w.open = true
	w.table.SetGate(w.now, w.open)
	w.digest()
	for _, c := range slices.Clone(w.waiting) {
		if c.expected {
			continue // nobody ever claims it
		}
		c.client = here
		w.table.Acquire(w.now, Claim{Pod: Pod{UID: c.uid}, Weight: 1, Lease: time.Second})
		w.digest()
	}
	for range 1000 {
		at, ok := w.table.Next()
		if !ok {
			break
		}
		w.now = at
		w.table.Advance(w.now)
		w.digest()
	}
	if len(w.waiting)+len(w.held) > 0 || w.granted != w.claimed || w.left != w.claimed {
		w.Fatalf("%d claimed, %d granted or withdrawn, %d ended: %s", w.claimed, w.granted, w.left,
			fmt.Sprint(w.table.Queue(w.now)))
	}
}
