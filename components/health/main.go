// Command health knows whether its node is ready for pods to start, and how far
// each pod on it is. It alone talks to the Kubernetes API; the lock listens to it.
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

func main() {
	// One of these runs on every node: a small heap is worth more here than the
	// CPU that collecting it costs.
	debug.SetGCPercent(30)
	os.Exit(daemon.Main(newApp(run), os.Args))
}

// newApp binds the settings to what serve does with them.
func newApp(serve func(context.Context, *Config, *slog.Logger) error) *cli.App {
	cfg := defaults()
	return &cli.App{
		Name:            "health",
		Usage:           "tell whether pods may start on this node",
		Description:     "Every flag of the 1.x and every variable of the 2.x generation is understood. A bare number is seconds.",
		Version:         daemon.BuildInfo().Version,
		HideHelpCommand: true,
		Flags:           cfg.flags(),
		Action: func(c *cli.Context) error {
			if err := cfg.Validate(c.Args().Slice()); err != nil {
				return err
			}
			log, err := cfg.Logging.Logger(os.Stderr)
			if err != nil {
				return err
			}
			return serve(c.Context, cfg, log)
		},
	}
}
