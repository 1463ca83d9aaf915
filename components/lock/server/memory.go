// What the desk remembers across restarts, and when it is written down.

package server

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
)

// memory is what the state file holds.
type memory struct {
	Table  slots.Snapshot `json:"table"`
	Recent []slots.Event  `json:"recent"`
	// FailedOpen are the pods counted as started without a slot, by UID.
	FailedOpen []string `json:"failedOpen,omitempty"`
}

// saveDelay gathers claims into one write. Grants do not wait for it.
const saveDelay = 100 * time.Millisecond

// remember restores the table from the state file, or starts an empty one. A
// file that makes no sense must not stop the node's pods from starting.
func (d *desk) remember(cfg Config, now time.Time) *slots.Table {
	table := slots.Config{Grace: cfg.Grace, Aging: cfg.Aging, NewID: cfg.NewID}
	d.opened = newFailOpens(nil)
	if d.folder == nil {
		return slots.New(table, cfg.Limit)
	}
	var m memory
	found, err := d.folder.Load(&m)
	if err == nil && found {
		var t *slots.Table
		if t, err = slots.Restore(table, cfg.Limit, now, m.Table); err == nil {
			d.recent.restore(m.Recent)
			d.opened = newFailOpens(m.FailedOpen)
			t.SetHold(d.recent.hold())
			d.log.Info("state restored", "grants", len(t.Grants()), "queue", t.Waiting())
			return t
		}
	}
	if err != nil {
		aside, asideErr := d.folder.SetAside(now)
		d.log.Warn("state file is unusable, starting with an empty table", "error", errors.Join(err, asideErr), "setAside", aside)
	}
	return slots.New(table, cfg.Limit)
}

func (d *desk) saveLate() {
	d.mu.Lock()
	d.lateSave = false
	upTo := d.changes
	d.mu.Unlock()
	d.save(upTo)
}

// save returns when the file knows every change up to this one, or cannot be
// written: a full disk must not stop the node's pods from starting. Those who
// come while a save is under way share the next one.
func (d *desk) save(upTo uint64) {
	if d.folder == nil {
		return
	}
	d.saveMu.Lock()
	defer d.saveMu.Unlock()
	if d.saved >= upTo {
		return
	}
	d.mu.Lock()
	m := memory{Table: d.table.Snapshot(), Recent: d.recent.list(), FailedOpen: slices.Sorted(maps.Keys(d.opened))}
	now := d.changes
	d.mu.Unlock()
	err := d.folder.Save(m)
	d.saved = now
	switch {
	case err != nil:
		d.metrics.saveFailures.Inc()
		if !d.broken {
			d.log.Warn("state not saved: a restart of the lock would forget its grants and queue", "error", err)
		}
	case d.broken:
		d.log.Info("state saved again")
	}
	d.broken = err != nil
}
