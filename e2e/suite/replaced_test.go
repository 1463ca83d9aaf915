//go:build e2e

// A lock that is replaced, and one that is killed, in the middle of a herd.

package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

func TestALockThatIsReplacedInMidHerdStartsNoSecondOne(t *testing.T) {
	suite.Test(t, suite.withLock("herd.yaml", "cores").
		Assess("go on in order with a lock that remembers nothing", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.landsWhile(ctx, t, func(ctx context.Context, c *cluster.Cluster) error {
				progress.Note(ctx, "deleting the lock's pod")
				return c.Client.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{
					LabelSelector: suite.herd.Lock.Selector, FieldSelector: "spec.nodeName=" + c.Worker(),
				})
			})
			return ctx
		}).
		Feature())
}

func TestALockThatIsKilledInMidHerdStartsNoSecondOne(t *testing.T) {
	suite.Test(t, suite.withLock("herd.yaml", "cores").
		Assess("go on in order with a lock that comes back", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.landsWhile(ctx, t, func(ctx context.Context, c *cluster.Cluster) error {
				progress.Note(ctx, "killing the lock")
				_, err := c.Exec(ctx, c.Worker(), "pkill", "-KILL", "-x", "lock")
				return err
			})
			return ctx
		}).
		Feature())
}

// landsWhile runs the herd, and does something to its lock as soon as a third of
// it is Ready, and when two thirds are. At no moment are there more starters
// than slots.
func (r *runner) landsWhile(ctx context.Context, t *testing.T, do func(context.Context, *cluster.Cluster) error) {
	s, p := r.scenario(t, "herd.yaml", "cores")
	p.Expect.Ratio = nil // a lock that comes back takes its time
	delete(p.Only, "kind")
	herd := r.herd
	herd.During = func(ctx context.Context, c *cluster.Cluster, _ string, log *record.Log) error {
		for _, share := range []int{s.Count() / 3, 2 * s.Count() / 3} {
			if err := readyBy(ctx, log, share); err != nil {
				return err
			}
			if err := do(ctx, c); err != nil {
				return fmt.Errorf("when %d were Ready: %w", share, err)
			}
			// Before the next third, the lock must have something to say again.
			if err := r.until(ctx, time.Minute, func(s *lockapi.State) bool { return s.Gate.Open && s.Health != nil && s.Health.Connected }); err != nil {
				return err
			}
		}
		return nil
	}
	r.land(ctx, t, s, p, enough, herd, func(_ context.Context, t *testing.T, _ *runner, _ string, run *record.Run) {
		if most := record.Peak(record.Starters(run)); most > p.Lock.Locks {
			t.Errorf("%d starters at once, with %d slots", most, p.Lock.Locks)
		}
	})
}

// readyBy waits until so many of a herd are Ready.
func readyBy(ctx context.Context, log *record.Log, n int) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ready := 0
		for _, pod := range log.Snapshot(time.Now()).Pods {
			if _, ok := pod.ReadyAt(); ok {
				ready++
			}
		}
		if ready >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d Ready pods: %w", n, context.Cause(ctx))
		}
	}
}
