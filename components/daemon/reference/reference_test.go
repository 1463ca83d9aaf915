// A table that is right, one that is out of date, and docs without one.

package reference

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheTableIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	starts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starts_total", Help: "Starts."}, []string{"by", "how"})
	reg.MustRegister(starts, prometheus.NewGauge(prometheus.GaugeOpts{Name: "age_seconds", Help: "Age."}))
	path := filepath.Join(t.TempDir(), "METRICS.md")
	write := func(docs string) {
		if err := os.WriteFile(path, []byte(docs), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# Docs\n<!-- a -->\n<!-- /a -->\nend\n")
	if err := Check(path, "a", reg, true); err == nil || !strings.Contains(err.Error(), "starts_total has no value yet") {
		t.Errorf("a metric that never showed: %v", err)
	}
	starts.WithLabelValues("me", "well").Inc()
	if err := Check(path, "b", reg, true); err == nil || !strings.Contains(err.Error(), "no section b") {
		t.Errorf("no section: %v", err)
	}
	if err := Check(path, "a", reg, false); !errors.Is(err, ErrOutOfDate) {
		t.Errorf("an empty section: %v", err)
	}
	if err := Check(path, "a", reg, true); err != nil {
		t.Error(err)
	}
	if err := Check(path, "a", reg, false); err != nil {
		t.Errorf("right after the update: %v", err)
	}
	want := "# Docs\n<!-- a -->\n| metric | type | labels | meaning |\n|---|---|---|---|\n| `age_seconds` | gauge |  | Age. |\n" +
		"| `starts_total` | counter | `by`, `how` | Starts. |\n<!-- /a -->\nend\n"
	if docs, _ := os.ReadFile(path); string(docs) != want {
		t.Errorf("got\n%s\nwant\n%s", docs, want)
	}
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "new", Help: "New."}))
	if err := Check(path, "a", reg, false); !errors.Is(err, ErrOutOfDate) {
		t.Errorf("with a new metric: %v", err)
	}
	if err := Check(filepath.Join(t.TempDir(), "none"), "a", reg, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
