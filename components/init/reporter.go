// What a waiting pod tells those who read its log, and how its wait ended.

package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// What init has to say. The wait ends with one of the last three.
const (
	waiting             = "waiting for a startup slot"
	slotGranted         = "startup slot granted"
	slotGrantedByLegacy = "startup slot granted by a lock of an earlier generation"
	startsWithout       = lockapi.StartsWithout
)

// reporter logs the place in the queue when it changes, and now and then.
type reporter struct {
	log  *slog.Logger
	last string // what was said last, as far as a change of it is news
	at   time.Time
}

func (r *reporter) place(p *lockapi.Place) {
	attrs := []any{"place", p.Position, "queue", p.Queue}
	if p.ETA != nil {
		attrs = append(attrs, "eta", roughly(p.ETA.Std()))
	}
	attrs = append(attrs, "held", p.Held)
	if len(p.Ahead) > 0 {
		heldBy := strings.Join(p.Ahead, ", ")
		if p.Held > len(p.Ahead) {
			heldBy += ", …"
		}
		attrs = append(attrs, "heldBy", heldBy)
	}
	attrs = append(attrs, "reason", p.Reason)
	r.say(fmt.Sprint(p.Position, " ", p.Reason), attrs)
}

func (r *reporter) legacy(pause lockapi.Duration) {
	r.say("legacy", []any{"reason", "locked by a lock of an earlier generation, which has no queue", "pause", pause})
}

func (r *reporter) say(news string, attrs []any) {
	now := time.Now()
	if news == r.last && now.Sub(r.at) < reportEvery {
		return
	}
	r.last, r.at = news, now
	r.log.Info(waiting, attrs...)
}

// ending is how a wait ended: one line for the log and for the termination log.
type ending struct {
	message string
	facts   []any // name, value, name, value, …
}

// String is the line in words: "startup slot granted: waited 41s, lease 10s, limit 2".
func (e ending) String() string {
	var said []string
	for i := 0; i+1 < len(e.facts); i += 2 {
		said = append(said, fmt.Sprint(e.facts[i], " ", e.facts[i+1]))
	}
	return e.message + ": " + strings.Join(said, ", ")
}

// roughly is d as exactly as a person wants it.
func roughly(d time.Duration) lockapi.Duration {
	if d < 10*time.Second {
		return lockapi.Duration(d.Round(100 * time.Millisecond))
	}
	return lockapi.Duration(d.Round(time.Second))
}
