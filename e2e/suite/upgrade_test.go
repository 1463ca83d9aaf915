//go:build e2e

// The chart is upgraded and rolled back in the middle of a herd.

package suite

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/install"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/kind"
)

func TestAnUpgradeAndARollbackInMidHerdStartNoSecondOne(t *testing.T) {
	var before, after install.Options
	suite.Test(t, features.New("herd.yaml, policy cores, with the chart of the commit before").
		Setup(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			_, p := suite.scenario(t, "herd.yaml", "cores")
			before, after = suite.release(p.Lock), suite.release(p.Lock)
			before.Chart = suite.chartBefore(ctx, t)
			after.Values = kind.ChartValues(tag, p.Lock)
			after.Values["logLevel"], after.Values["podLabels"] = "debug", map[string]any{"generation": "next"}
			if _, err := install.Install(ctx, before); err != nil {
				suite.dump(ctx, t)
				t.Fatal(err)
			}
			return ctx
		}).
		Assess("go on in order through both", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			upgraded := false
			suite.landsWhile(ctx, t, func(ctx context.Context, _ *cluster.Cluster) error {
				if upgraded {
					progress.Note(ctx, "rolling back to the chart of the commit before, and to its values")
					return install.Rollback(ctx, after)
				}
				upgraded = true
				progress.Note(ctx, "upgrading to this chart, with other values")
				_, err := install.Install(ctx, after)
				return err
			})
			return ctx
		}).
		Assess("and are gone without a trace when the chart is", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.uninstall(ctx, t)
			suite.leftNothing(ctx, t)
			return ctx
		}).
		Teardown(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.uninstall(ctx, t)
			return ctx
		}).
		Feature())
}

// chartBefore unpacks the chart as the commit before this one has it, or the
// one that E2E_UPGRADE_FROM names.
func (r *runner) chartBefore(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir, commit := t.TempDir(), cmp.Or(os.Getenv("E2E_UPGRADE_FROM"), "HEAD^")
	archive := fmt.Sprintf("set -o pipefail; git -C %q archive %q chart | tar -x -C %q", r.root, commit, dir)
	if out, err := exec.CommandContext(ctx, "bash", "-c", archive).CombinedOutput(); err != nil {
		t.Fatalf("take the chart from %s (a clone needs some history for that): %v: %s", commit, err, out)
	}
	return filepath.Join(dir, "chart")
}
