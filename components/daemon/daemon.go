// Package daemon is what the binaries share: logging flags, signals and exit
// codes, the life of an HTTP server, and build info. It knows nothing of locks.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes of every binary, beside 0.
const (
	ExitFailure     = 1
	ExitBadSettings = 2
)

// BadSettings is the error for settings that cannot work. Main prints every
// problem on a line of its own and exits with ExitBadSettings.
type BadSettings struct{ Problems []string }

func (e *BadSettings) Error() string {
	return "bad settings:\n  " + strings.Join(e.Problems, "\n  ")
}

// Problems collects bad settings, so that all are named in one go. The zero
// value is ready for use; not safe for concurrent use.
type Problems struct{ found []string }

// Add notes a problem.
func (p *Problems) Add(format string, args ...any) {
	p.found = append(p.found, fmt.Sprintf(format, args...))
}

// Err is nil when nothing was added, else a *BadSettings.
func (p *Problems) Err() error {
	if len(p.found) == 0 {
		return nil
	}
	return &BadSettings{Problems: p.found}
}

// Signalled is the cause of a context that Main cancelled because of a signal.
type Signalled struct{ Signal syscall.Signal }

func (e *Signalled) Error() string { return "received signal: " + e.Signal.String() }

// Main runs app until it is done and returns the exit code. SIGTERM and SIGINT
// cancel its context with a *Signalled as the cause; a second one kills the
// process as usual.
func Main(app *cli.App, args []string) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	app.ExitErrHandler = func(*cli.Context, error) {} // the exit code is ours to choose
	var usage error
	app.OnUsageError = func(_ *cli.Context, err error, _ bool) error { usage = err; return err }
	for _, c := range app.Commands {
		c.OnUsageError = app.OnUsageError
	}
	if app.ErrWriter == nil {
		app.ErrWriter = os.Stderr
	}
	err := app.RunContext(ctx, args)
	if err != nil && errors.Is(err, usage) {
		err = &BadSettings{Problems: []string{err.Error()}}
	}
	return exitCode(app, err)
}

func exitCode(app *cli.App, err error) int {
	var bad *BadSettings
	var coder cli.ExitCoder
	switch {
	case err == nil:
		return 0
	case errors.As(err, &bad):
		report(app.ErrWriter, app.Name, err)
		fmt.Fprintf(app.ErrWriter, "%s --help lists every setting.\n", app.Name)
		return ExitBadSettings
	case errors.As(err, &coder):
		if coder.Error() != "" {
			report(app.ErrWriter, app.Name, err)
		}
		return coder.ExitCode()
	default:
		report(app.ErrWriter, app.Name, err)
		return ExitFailure
	}
}

func report(w io.Writer, name string, err error) { fmt.Fprintf(w, "%s: %v\n", name, err) }

// withSignals is signal.NotifyContext with the signal kept as the cause.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // so that a second one kills
			sig, _ := s.(syscall.Signal)
			cancel(&Signalled{Signal: sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(context.Canceled) }
}
