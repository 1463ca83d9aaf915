// The life of a lock, from taking its port to giving it back.

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
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
		Limit:       int(cfg.Locks),
		LimitReason: fmt.Sprintf("fixed by --locks %d", cfg.Locks),
		Lease:       cfg.Lease.Std(),
		Grace:       cfg.Grace.Std(),
		Aging:       cfg.Aging.Std(),
		GateClosed:  len(cfg.endpoints) > 0,
		GateReason:  "endpoints are not checked yet",
		MaxQueue:    maxQueue,
		Folder:      cfg.folder,
		NewID:       rand.Text,
	}, log, registry)

	checking, stopChecking := context.WithCancel(ctx)
	var checks sync.WaitGroup
	if len(cfg.endpoints) > 0 {
		checks.Go(func() {
			gate.Checks{
				Endpoints: cfg.endpoints, PauseFail: cfg.CheckFail.Std(), PausePass: cfg.CheckPass.Std(),
				Timeout: cfg.CheckTimeout.Std(), Log: log,
			}.Run(checking, lock.SetGate)
		})
	}
	defer checks.Wait()
	defer stopChecking()

	srv := daemon.NewServer(lock, log)
	srv.RegisterOnShutdown(lock.Close)
	log.Info("lock serves", "address", listener.Addr().String(), "locks", int(cfg.Locks), "lease", cfg.Lease.String(),
		"endpoints", len(cfg.endpoints), "stateDir", string(cfg.StateDir), "version", daemon.BuildInfo().Version)
	err = daemon.Serve(ctx, listener, srv, shutdownGrace)
	lock.Close()
	if err == nil {
		log.Info("lock stopped")
	}
	return err
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
