// Package live shows a herd while it starts: on a terminal as a timeline that is
// redrawn in place, elsewhere as a line now and then.
package live

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Progress is told what happens and shows it to whoever watches.
type Progress interface {
	// Note says one thing.
	Note(format string, args ...any)
	// Follow shows a run until stop is called; now is the run as it is at the
	// moment. Horizon is about how long it may take, for the scale; 0 is unknown.
	Follow(title string, horizon time.Duration, now func() *record.Run) (stop func())
}

// To chooses how to show progress on a file: a terminal gets the timeline.
func To(out *os.File) Progress {
	fd := int(out.Fd())
	if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" {
		return Lines(out)
	}
	return &terminal{
		out:   out,
		size:  func() (int, int, error) { return term.GetSize(fd) },
		paint: painter(os.Getenv("NO_COLOR") == ""),
	}
}

// Lines shows progress as plain lines.
func Lines(out io.Writer) Progress { return &lines{out: out} }

type lines struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *lines) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, format+"\n", args...)
}

// Follow writes the counts when they change, once a second at most.
func (l *lines) Follow(title string, _ time.Duration, now func() *record.Run) func() {
	l.Note("%s", title)
	last := ""
	return every(time.Second, func() {
		run := now()
		if text := tally(run).String(); text != last {
			l.Note("%6.1f s  %s", run.Ended, text)
			last = text
		}
	})
}

// Title names a run. The run without work is a means, so it says what for.
func Title(s *spec.Scenario, p spec.Policy) string {
	if s.CPU() == 0 && p.Name == spec.ZeroWork {
		return s.Name + ", with no work in it: what it costs to start the pods as such"
	}
	return fmt.Sprintf("%s, policy %s: %s", s.Name, p.Name, p)
}

// every calls f now and then, and a last time when the returned function is called.
func every(period time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				f()
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		ticking.Wait()
		f()
	})
}

// counts is how many pods are in which state.
type counts struct {
	waiting, starting, ready, backOff, restarts int
	pods                                        int // that can be Ready
}

func tally(run *record.Run) counts {
	var c counts
	for i := range run.Pods {
		if run.Pods[i].Sound() {
			c.pods++
		}
		spans := run.Pods[i].Spans(run.Ended)
		switch spans[len(spans)-1].State {
		case record.Waiting:
			c.waiting++
		case record.Starting:
			c.starting++
		case record.Serving:
			c.ready++
		case record.BackOff:
			c.backOff++
		}
		c.restarts += len(run.Pods[i].Restarts())
	}
	return c
}

// String is the footer: what everybody is doing.
func (c counts) String() string {
	s := fmt.Sprintf("waiting %d · starting %d · ready %d of %d", c.waiting, c.starting, c.ready, c.pods)
	if c.backOff > 0 {
		s += fmt.Sprintf(" · back-off %d", c.backOff)
	}
	return s + fmt.Sprintf(" · restarts %d", c.restarts)
}
