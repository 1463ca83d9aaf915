package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
)

// fakeMeter answers with what it is told to.
type fakeMeter struct {
	sample  pressure.Sample
	ok      bool
	err     error
	missing []string
}

func (m *fakeMeter) Read(now time.Time) (pressure.Sample, bool, error) {
	m.sample.At = now
	return m.sample, m.ok, m.err
}

func (m *fakeMeter) Missing() []string { return m.missing }

// fakeLock holds nothing and remembers its limit.
type fakeLock struct {
	node  *pressure.Sample
	limit int
	why   string
}

func (l *fakeLock) Adjust(node *pressure.Sample, decide func([]pressure.Grant, int) (int, string)) {
	l.node = node
	l.limit, l.why = decide(nil, 0)
}

func TestALockFollowsWhatItSeesOfTheNode(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	m, lock := &fakeMeter{}, &fakeLock{limit: 7}
	f := follower{meter: m, lock: lock, log: slog.New(slog.NewTextHandler(&said, nil)), controller: pressure.NewController(pressure.Config{})}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	look := func(times int) {
		for range times {
			now = now.Add(pressure.Interval)
			f.look(now)
		}
	}
	look(1)
	if lock.limit != 7 {
		t.Errorf("limit %d without anything to compare with", lock.limit)
	}
	m.ok, m.sample, m.missing = true, pressure.Sample{Cores: 4, Busy: 0.5, Running: -1, Blocked: -1}, []string{"no PSI here"}
	look(8)
	if lock.limit != 3 || lock.node == nil || strings.Count(said.String(), "no PSI here") != 1 {
		t.Errorf("limit %d (%s), node %v, said\n%s", lock.limit, lock.why, lock.node, &said)
	}
	m.err = errors.New("/proc is gone")
	look(8)
	if lock.limit != 4 || lock.node != nil || !strings.Contains(lock.why, "/proc is gone") || strings.Count(said.String(), "/proc is gone") != 1 {
		t.Errorf("limit %d (%s), node %v, said\n%s", lock.limit, lock.why, lock.node, &said)
	}
	m.err = nil
	look(8)
	if lock.limit != 3 || strings.Count(said.String(), "level=INFO") != 1 || strings.Count(said.String(), "level=WARN") != 2 {
		t.Errorf("limit %d (%s), said\n%s", lock.limit, lock.why, &said)
	}
}
