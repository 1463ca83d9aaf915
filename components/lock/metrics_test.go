// The table of the lock's metrics in the docs.

package main

import (
	"flag"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon/reference"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/server"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

var update = flag.Bool("update", false, "write the table of metrics")

func TestTheTableOfMetricsIsUpToDate(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(buildInfo())
	s := server.New(server.Config{Limit: 1}, slog.New(slog.DiscardHandler), reg)
	t.Cleanup(s.Close)
	s.SetHealth(lockapi.Health{})
	s.Adjust(&pressure.Sample{PSI: true}, func([]pressure.Grant, int) (int, string) { return 1, "test" })
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", lockapi.PathLivez, nil))
	if err := reference.Check("METRICS.md", "lock", reg, *update); err != nil {
		t.Error(err)
	}
}
