// The life of a lock, from taking its port to giving it back.

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/gate"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/server"
)

// shutdownGrace is enough to answer every waiting client with its place.
const shutdownGrace = 3 * time.Second

// maxQueue is far more than a node has pods; it takes about 30 MiB of forged claims.
const maxQueue = 10_000

// run serves until ctx is done.
func run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.address())
	if err != nil {
		return fmt.Errorf("take port %d: %w; is another lock running here? --port chooses another", cfg.Port, err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(buildInfo())
	lock := server.New(server.Config{
		Limit:       cfg.firstLimit(),
		LimitReason: cfg.limitReason(),
		Lease:       cfg.Lease.Std(),
		Grace:       cfg.Grace.Std(),
		Aging:       cfg.Aging.Std(),
		ReleaseOn:   cfg.releaseOn(),
		GateReason:  cfg.gateReason(),
		MaxQueue:    maxQueue,
		Folder:      cfg.folder,
		NewID:       rand.Text,
	}, log, registry)

	watching, stopWatching := context.WithCancel(ctx)
	var watches sync.WaitGroup
	defer watches.Wait()
	defer stopWatching()
	for _, w := range cfg.watches(lock, log) {
		watches.Go(func() { w(watching) })
	}
	if cfg.Locks == auto {
		watches.Go(func() { cfg.follow(watching, lock, log) })
	}

	srv := daemon.NewServer(lock, log)
	srv.RegisterOnShutdown(lock.Close)
	log.Info("lock serves", "address", listener.Addr().String(), "locks", cfg.Locks.String(), "lease", cfg.Lease.String(),
		"releaseOn", cfg.releaseOn(), "health", string(cfg.Health), "endpoints", len(cfg.endpoints), "stateDir", string(cfg.StateDir), "version", daemon.BuildInfo().Version)
	err = daemon.Serve(ctx, listener, srv, shutdownGrace)
	lock.Close()
	if err == nil {
		log.Info("lock stopped")
	}
	return err
}

// gateReason is why the gate is closed at first.
func (c *Config) gateReason() string {
	if c.Health == "" && len(c.endpoints) == 0 {
		return ""
	}
	return gate.NotLooked
}

// watches are what decides on the gate, each to be run until its context is
// done. Without any the gate is open.
func (c *Config) watches(lock *server.Server, log *slog.Logger) []func(context.Context) {
	g := gate.New(lock.SetGate)
	var all []func(context.Context)
	if len(c.endpoints) > 0 {
		checks := gate.Checks{
			Endpoints: c.endpoints, PauseFail: c.CheckFail.Std(), PausePass: c.CheckPass.Std(),
			Timeout: c.CheckTimeout.Std(), Log: log,
		}
		report := g.Part(gate.NotChecked)
		all = append(all, func(ctx context.Context) { checks.Run(ctx, report) })
	}
	if c.Health != "" {
		health := gate.Health{
			Client: healthapi.NewClient(string(c.Health), &http.Client{Transport: &http.Transport{}}), Patience: c.HealthPatience.Std(),
			Log: log, Tell: lock.Tell, Connection: lock.SetHealth,
		}
		report := g.Part(gate.NotHeard)
		all = append(all, func(ctx context.Context) { health.Run(ctx, report) })
	}
	return all
}

// buildInfo is a metric that tells versions apart on a graph.
func buildInfo() prometheus.Collector {
	b := daemon.BuildInfo()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "startup_lock_build_info", Help: "What this lock was built from; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion},
	})
	g.Set(1)
	return g
}
