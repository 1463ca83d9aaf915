//go:build e2e

// The chart is upgraded and rolled back in the middle of a herd.

package suite

import (
	"context"
	"fmt"
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

// chartBefore unpacks the chart as the commit before this one has it.
func (r *runner) chartBefore(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	archive := fmt.Sprintf("git -C %q archive HEAD^ chart | tar -x -C %q", r.root, dir)
	if out, err := exec.CommandContext(ctx, "sh", "-c", archive).CombinedOutput(); err != nil {
		t.Skipf("THE UPGRADE IS NOT TESTED: this clone has no commit before this one (%v: %s)", err, out)
	}
	return filepath.Join(dir, "chart")
}
