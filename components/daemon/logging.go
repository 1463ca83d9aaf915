// How a binary logs, as flags.

package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"
)

// Logging is how a binary logs.
type Logging struct {
	Level  string // debug, info, warn, error
	Format string // text, json
}

// Flags binds the logging flags that every binary has.
func (l *Logging) Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-level", EnvVars: []string{"PSL_LOG"}, Value: "info", Destination: &l.Level,
			Usage: "least level to log: debug, info, warn or error"},
		&cli.StringFlag{Name: "log-format", EnvVars: []string{"PSL_LOG_FORMAT"}, Value: "text", Destination: &l.Format,
			Usage: "text or json"},
	}
}

// Validate adds what is wrong with l to p.
func (l *Logging) Validate(p *Problems) {
	if _, err := l.level(); err != nil {
		p.Add("--log-level %q: want debug, info, warn or error", l.Level)
	}
	if l.Format != "" && l.Format != "text" && l.Format != "json" {
		p.Add("--log-format %q: want text or json", l.Format)
	}
}

// Logger writes to w as l says. An invalid l, which Validate refuses, is an error.
func (l *Logging) Logger(w io.Writer) (*slog.Logger, error) {
	level, err := l.level()
	if err != nil {
		return nil, fmt.Errorf("set up logging: %w", err)
	}
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

func (l *Logging) level() (slog.Level, error) {
	var level slog.Level
	if l.Level == "" { // an environment variable that is there, and empty
		return level, nil
	}
	// The 2.x generation also knew "warning".
	name := strings.TrimSuffix(strings.ToLower(l.Level), "ing")
	err := level.UnmarshalText([]byte(name))
	return level, err
}
