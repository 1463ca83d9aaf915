// Command lock hands out the startup slots of one node, in order.
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

func main() {
	// One queue is work for one core. And a second thread, woken to find nothing to do, would be
	// counted by the next look at the node: as a task that waits for a core.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	os.Exit(daemon.Main(newApp(run, os.Stdout), os.Args))
}

// newApp binds the settings to what serve does with them.
func newApp(serve func(context.Context, *Config, *slog.Logger) error, stdout *os.File) *cli.App {
	cfg := defaults()
	return &cli.App{
		Name:            "lock",
		Usage:           "hand out the startup slots of this node",
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
		Commands: []*cli.Command{statusCommand(stdout)},
	}
}
