//go:build e2e

// A node that is not ready yet, and one that is rebooted.

package suite

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

func TestNobodyStartsBeforeTheDaemonSetsThatShouldRunHere(t *testing.T) {
	suite.Test(t, suite.withLock("gate.yaml", "cores").
		Assess("land on a fresh node, wait for the slow one, and for none that is not meant for it", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			s, p := suite.scenario(t, "gate.yaml", "cores")
			herd := suite.herd
			herd.During = suite.whyDoIWait
			suite.land(ctx, t, s, p, enough, herd)
			return ctx
		}).
		Feature())
}

func TestARebootedNodeIsStaggeredAgain(t *testing.T) {
	suite.Test(t, suite.withLock("reboot.yaml", "cores").
		Assess("are Ready, lose their node for a moment, and start in order again", suite.lands("reboot.yaml", "cores", enough)).
		Feature())
}

// whyDoIWait holds the answers to each other that are given while a DaemonSet
// keeps the gate closed: in the state, by lock status, and in the init
// container's log.
func (r *runner) whyDoIWait(ctx context.Context, c *cluster.Cluster, namespace string, _ *record.Log) error {
	const slow = "slow"
	var why string
	var pod lockapi.Pod
	err := r.until(ctx, time.Minute, func(s *lockapi.State) bool {
		if s.Gate.Open || len(s.Queue) == 0 {
			return false
		}
		why, pod = s.Queue[0].Reason, s.Queue[0].Pod
		return strings.Contains(why, "DaemonSet "+namespace+"/"+slow+": ")
	})
	if err != nil {
		return fmt.Errorf("no claim waits for the DaemonSet %s: %w", slow, err)
	}
	for _, elsewhere := range []string{"repelled", "distant"} {
		if strings.Contains(why, elsewhere) {
			return fmt.Errorf("a DaemonSet that is not meant for this node holds its pods up: %s", why)
		}
	}
	progress.Note(ctx, "%s waits: %s", pod, why)
	if said, err := r.lockStatus(ctx); err != nil {
		return err
	} else if !strings.Contains(said, why) {
		return fmt.Errorf("the state says %q, lock status says\n%s", why, said)
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); ; <-tick.C {
		log, err := r.cluster.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "startup-lock"}).DoRaw(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("read the log of %s: %w", pod, err)
		case strings.Contains(string(log), why):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the log of %s does not say %q:\n%s", pod, why, log)
		}
	}
}
