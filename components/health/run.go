// The life of health, from taking its port to giving it back.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/health/events"
	"github.com/pod-startup-lock/pod-startup-lock/components/health/nodeload"
	"github.com/pod-startup-lock/pod-startup-lock/components/health/nodewatch"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// shutdownGrace is plenty: streams end at once, all else is answered at once.
const shutdownGrace = 3 * time.Second

// run serves until ctx is done.
func run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	adoptKlog(log)
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	api := counted(cfg.api, m.apiRequests)
	sources, err := nodewatch.Connect(api, cfg.watch.Node)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	view := nodewatch.New(cfg.watch, sources, log)
	jobs := []func(context.Context){view.Run}
	if cfg.Load {
		load, err := newLoad(cfg, api, view.SetLoad, log)
		if err != nil {
			return err
		}
		jobs = append(jobs, load.Run)
	}
	if cfg.Events {
		lock := &http.Transport{}
		defer lock.CloseIdleConnections()
		teller, err := newTeller(cfg, m, view, lock, registry, log)
		if err != nil {
			return err
		}
		jobs = append(jobs, teller.Run)
	}
	log.Info("health watches", "node", cfg.watch.Node, "apiServer", api.Host, "nodeLoad", bool(cfg.Load), "events", bool(cfg.Events))
	log.Debug("pauses between checks are moot: nothing is polled", "failHc", cfg.PauseFail.String(), "passHc", cfg.PausePass.String())
	return serve(ctx, cfg, view, jobs, registry, m, log)
}

// newLoad looks at the node's load, with the credentials of api.
func newLoad(cfg *Config, api *rest.Config, tell func(*healthapi.Load), log *slog.Logger) (*nodeload.Poller, error) {
	client, err := rest.HTTPClientFor(api)
	if err != nil {
		return nil, fmt.Errorf("make a client for the metrics API: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(api)
	if err != nil {
		return nil, fmt.Errorf("read the address of the API server: %w", err)
	}
	return nodeload.New(nodeload.Config{
		Node: cfg.watch.Node, Threshold: int(cfg.Threshold), Period: cfg.LoadPeriod.Std(), BaseURL: base, Client: client,
	}, tell, log), nil
}

// newTeller writes events with the credentials of cfg, and asks the lock by way of lock.
func newTeller(cfg *Config, m *metrics, view healthapi.Source, lock http.RoundTripper, registry *prometheus.Registry, log *slog.Logger) (*events.Teller, error) {
	api := rest.CopyConfig(cfg.api)
	api.Wrap(func(next http.RoundTripper) http.RoundTripper { return creates{counter{next, m.apiRequests}} })
	client, err := rest.HTTPClientFor(api)
	if err != nil {
		return nil, fmt.Errorf("make a client for events: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(api)
	if err != nil {
		return nil, fmt.Errorf("read the address of the API server: %w", err)
	}
	return events.New(events.Config{
		Node: cfg.watch.Node, After: cfg.EventsAfter.Std(), View: view, BaseURL: base, Client: client,
		Lock: lockapi.NewClient(string(cfg.Lock), &http.Client{Transport: lock}),
	}, registry, log), nil
}

// creates counts requests as what they are: all others of health only look.
type creates struct{ counter }

// RoundTrip implements http.RoundTripper.
func (c creates) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	code := "none" // nobody answered
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	c.requests.WithLabelValues("create", code).Inc()
	return resp, err
}

// serve answers until ctx is done, while jobs keep view up to date.
func serve(ctx context.Context, cfg *Config, view healthapi.Source, jobs []func(context.Context),
	registry *prometheus.Registry, m *metrics, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.address())
	if err != nil {
		return fmt.Errorf("take port %d: %w; is another health running here? --port chooses another", cfg.Port, err)
	}
	working, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	for _, job := range jobs {
		work.Go(func() { job(working) })
	}
	defer work.Wait()
	defer stop()

	health := newServer(view, registry, m)
	srv := daemon.NewServer(health, log)
	srv.RegisterOnShutdown(health.Close)
	log.Info("health serves", "address", listener.Addr().String(), "version", daemon.BuildInfo().Version)
	err = daemon.Serve(ctx, listener, srv, shutdownGrace)
	if err == nil {
		log.Info("health stopped")
	}
	return err
}
