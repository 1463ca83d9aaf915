//go:build e2e

// Nothing tuned: the chart with its defaults, on herds that make a node collapse.

package suite

import (
	"context"
	"testing"

	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"
)

// The ratio that is held here is the one of the worst of five runs; one run
// tells no more. That the other four are nearer to the bound is seen with
// go run ./scenarios run herd --on kind --policy auto --repeat 5.
func TestUntunedHerdsAreReadyNearTheNodeBound(t *testing.T) {
	for _, file := range []string{"herd.yaml", "heavy.yaml"} {
		suite.Test(t, features.New("what this node can do at best: "+file).
			Assess("is measured", suite.measureBound(file)).
			Feature())
		suite.Test(t, suite.withLock(file, "auto").
			Assess("land on a fresh node and are started as fast as it can", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
				s, p := suite.scenario(t, file, "auto")
				suite.land(ctx, t, s, p, enough, suite.herd, smallHealth)
				return ctx
			}).
			Feature())
	}
}
