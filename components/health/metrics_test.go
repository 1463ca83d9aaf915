// The table of health's metrics in the docs.

package main

import (
	"flag"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon/reference"
	"github.com/pod-startup-lock/pod-startup-lock/components/health/events"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

var update = flag.Bool("update", false, "write the table of metrics")

func TestTheTableOfMetricsIsUpToDate(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	n := healthy()
	n.Load = &healthapi.Load{}
	s := newServer(newView(n), reg, m)
	events.New(events.Config{After: time.Second}, reg, slog.New(slog.DiscardHandler))
	m.apiRequests.WithLabelValues("watch", "200").Inc()
	ask(s, "GET", healthapi.PathLivez)
	if err := reference.Check("../lock/METRICS.md", "health", reg, *update); err != nil {
		t.Error(err)
	}
}
