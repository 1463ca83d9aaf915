// Package progress tells a person on stderr which long step is being taken, and for how long.
package progress

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Log writes a line when a step begins and one when it ends. While the step runs it shows that it
// lives: on a terminal by a running clock, elsewhere by a line every half minute.
type Log struct {
	mu    sync.Mutex
	out   io.Writer
	tty   bool
	begun time.Time
}

type logKey struct{}

// New makes a log that writes to out.
func New(out io.Writer) *Log {
	file, ok := out.(*os.File)
	return &Log{out: out, tty: ok && term.IsTerminal(int(file.Fd())), begun: time.Now()}
}

// Into hands the log to everything that is called with the context.
func (l *Log) Into(ctx context.Context) context.Context {
	return context.WithValue(ctx, logKey{}, l)
}

// From finds the context's log; without one, steps are written to stderr.
func From(ctx context.Context) *Log {
	if l, ok := ctx.Value(logKey{}).(*Log); ok {
		return l
	}
	return New(os.Stderr)
}

// Step runs f as a step of the context's log.
func Step(ctx context.Context, name string, f func() error) error {
	return From(ctx).Step(name, f)
}

// Note writes one line to the context's log.
func Note(ctx context.Context, format string, args ...any) {
	From(ctx).line(fmt.Sprintf(format, args...))
}

// Step runs f, and tells its beginning, its life and its end with the time it took.
func (l *Log) Step(name string, f func() error) error {
	begun := time.Now()
	l.line(name + " ...")
	stop := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() { l.keepAlive(name, begun, stop) })

	err := f()

	close(stop)
	alive.Wait()
	outcome := "done"
	if err != nil {
		outcome = "FAILED"
	}
	l.line(fmt.Sprintf("%s: %s in %s", name, outcome, short(time.Since(begun))))
	return err
}

func (l *Log) keepAlive(name string, begun time.Time, stop <-chan struct{}) {
	every := 30 * time.Second
	if l.tty {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			running := fmt.Sprintf("%s: running for %s", name, short(time.Since(begun)))
			if l.tty {
				l.overwrite(running)
			} else {
				l.line(running)
			}
		}
	}
}

// line writes a whole line, over whatever running clock stood there.
func (l *Log) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	erase := ""
	if l.tty {
		erase = "\r\x1b[K"
	}
	fmt.Fprintf(l.out, "%s%8s  %s\n", erase, short(time.Since(l.begun)), text)
}

// overwrite shows text on the line that the next line will replace.
func (l *Log) overwrite(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "\r\x1b[K%8s  %s", short(time.Since(l.begun)), text)
}

func short(d time.Duration) string {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
