// The application of a herd's pods: it works before it serves, as slow starters
// do. It burns CPU time, waits, reads from the disk, and only then opens its
// HTTP port; until then a probe finds nobody there. Afterwards it costs next to nothing.
// It can also fail: by never being ready, or by ending when its work is done. Or
// it is no application at all, but the noise beside them: see --noise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// config is what the application does before it serves, and where it serves.
type config struct {
	startup    spec.Startup
	listen     string
	dir        string
	neverReady bool
	crash      bool
	exit       bool
	noise      spec.Noise
}

func main() {
	cfg, err := parse(os.Args[1:], os.LookupEnv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	// One thread of Go code: an application that starts on one core, whatever the node has.
	runtime.GOMAXPROCS(max(1, cfg.noise.Threads))
	// Ended by a signal it exits at once; the process's end frees all there is to free.
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	switch err := run(ctx, cfg); {
	case errors.Is(err, context.Canceled):
		os.Exit(128 + int(syscall.SIGTERM)) // as a program that knows nothing of signals
	case err != nil:
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

// parse reads the flags, and the environment where a flag is not given.
func parse(args []string, env func(string) (string, bool), out io.Writer) (config, error) {
	cfg := config{listen: ":8080", dir: os.TempDir()}
	set := flag.NewFlagSet("app", flag.ContinueOnError)
	set.SetOutput(out)
	set.Var(&cfg.startup.CPU, "cpu", "CPU time to burn before serving (APP_CPU)")
	set.Var(&cfg.startup.Idle, "idle", "time to wait before serving (APP_IDLE)")
	set.Var(&cfg.startup.Read, "read", "bytes to read from the disk before serving, such as 64Mi (APP_READ)")
	set.StringVar(&cfg.listen, "listen", cfg.listen, "address to serve on (APP_LISTEN)")
	set.StringVar(&cfg.dir, "dir", cfg.dir, "folder for the file to read from (APP_DIR)")
	set.BoolVar(&cfg.neverReady, "never-ready", false, "live, but never say that it is ready (APP_NEVER_READY)")
	set.BoolVar(&cfg.crash, "crash", false, "end with an error instead of serving (APP_CRASH)")
	set.BoolVar(&cfg.exit, "exit", false, "end well instead of serving (APP_EXIT)")
	set.IntVar(&cfg.noise.Threads, "noise", 0, "do nothing of all this, but compute on that many threads")
	set.Var(&cfg.noise.On, "on", "how long the noise computes")
	set.Var(&cfg.noise.Off, "off", "how long the noise then rests, again and again; 0 is not at all")
	var problems []error
	for name, variable := range map[string]string{
		"cpu": "APP_CPU", "idle": "APP_IDLE", "read": "APP_READ", "listen": "APP_LISTEN", "dir": "APP_DIR",
		"never-ready": "APP_NEVER_READY", "crash": "APP_CRASH", "exit": "APP_EXIT",
	} {
		if v, ok := env(variable); ok && v != "" {
			if err := set.Set(name, v); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", variable, err))
			}
		}
	}
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return cfg, err
	} else if err != nil {
		problems = append(problems, err)
	} else if err := validateNoise(cfg.noise); err != nil {
		problems = append(problems, err)
	}
	if set.NArg() > 0 {
		problems = append(problems, fmt.Errorf("unexpected arguments: %q", set.Args()))
	}
	return cfg, errors.Join(problems...)
}

// run does the startup work, then serves until the context ends. Its error is
// context.Canceled when it was told to stop before it served.
func run(ctx context.Context, cfg config) error {
	if cfg.noise.Threads > 0 {
		noise(ctx, cfg.noise, spin)
		return ctx.Err()
	}
	if err := work(ctx, cfg.startup, cfg.dir); err != nil {
		return err
	}
	if cfg.crash {
		return errors.New("crash, as told")
	}
	if cfg.exit {
		return nil
	}
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", cfg.listen)
	if err != nil {
		return fmt.Errorf("open the HTTP port: %w", err)
	}
	return serve(ctx, listener, !cfg.neverReady)
}

// serve answers the probes until the context ends.
func serve(ctx context.Context, listener net.Listener, ready bool) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	var told sync.Once
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			http.Error(w, "not ready, as told", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
		// The pod's status says it in whole seconds only, and later.
		told.Do(func() { fmt.Println("said ready at", time.Now().UTC().Format(time.RFC3339Nano)) })
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
