// Command init is the init container that holds a pod back until the node's
// lock lets it start: it asks for a startup slot, waits for its turn, and exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

func main() {
	// Dozens of these wait on a node at once: a small heap is worth more here
	// than the CPU that collecting it costs.
	debug.SetGCPercent(10)
	os.Exit(daemon.Main(newApp(), os.Args))
}

func newApp() *cli.App {
	cfg := defaults()
	return &cli.App{
		Name:            "init",
		Usage:           "wait for a startup slot of this node, then exit",
		Description:     description,
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
			return run(c.Context, cfg, log)
		},
		Commands:                  []*cli.Command{injectCommand()},
		DisableSliceFlagSeparator: true, // a file's name may have a comma
	}
}

const description = `Exit codes: 0 the application may start, 1 it may not (--on-max-wait=fail),
2 bad settings, 143 SIGTERM, 130 SIGINT (the place in the queue is given up).`

// run waits for a slot. It returns nil when the application may start.
func run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	httpClient := newHTTPClient()
	defer httpClient.CloseIdleConnections()

	w := newWaiter(lockapi.NewClient(cfg.address(), httpClient), cfg, log)
	end, err := w.wait(ctx)

	if signalled, ok := errors.AsType[*daemon.Signalled](err); ok {
		log.Info("gave up waiting", "signal", signalled.Signal.String())
		return cli.Exit("", 128+int(signalled.Signal))
	}
	note := end.String()
	if err != nil {
		note = err.Error()
	}
	if writeErr := writeTerminationLog(string(cfg.TerminationLog), note); writeErr != nil {
		log.Debug("no termination message", "err", writeErr)
	}
	return err
}

// newHTTPClient is made for one connection to a lock on this very node: no
// proxy, no HTTP/2, small buffers. Its requests end with their context.
func newHTTPClient() *http.Client {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		DialContext:        daemon.Dialer{}.DialContext,
		Protocols:          &http1,
		DisableCompression: true,
		MaxIdleConns:       1,
		ReadBufferSize:     2 << 10,
		WriteBufferSize:    2 << 10,
	}}
}

// writeTerminationLog leaves a note where Kubernetes picks it up as the
// container's termination message. A file that does not exist is none of ours
// to make: outside of Kubernetes there is none.
func writeTerminationLog(path, note string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write termination log: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("write termination log: %s is not a regular file", path)
	}
	if err := os.WriteFile(path, []byte(note+"\n"), info.Mode().Perm()); err != nil {
		return fmt.Errorf("write termination log: %w", err)
	}
	return nil
}
