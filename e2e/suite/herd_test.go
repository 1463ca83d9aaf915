//go:build e2e

// Herds of the scenarios on a fresh worker, held to what the scenarios expect
// and to what the kubelet says.

package suite

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/kind"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

const (
	// giveUp is enough to see a herd without a lock trample itself.
	giveUp = 100 * time.Second
	// enough is more than any herd needs that does not.
	enough = 5 * time.Minute
)

func TestHerdWithoutALockFightsAndIsRestarted(t *testing.T) {
	suite.Test(t, features.New("24 pods of 3 CPU-seconds, no init container").
		Assess("land on a fresh node and fight", suite.lands("herd.yaml", "none", giveUp)).
		Feature())
}

func TestHerdWithALockStartsOneAfterAnother(t *testing.T) {
	suite.Test(t, suite.withLock("herd.yaml", "fixed").
		Assess("land on a fresh node and start in order", suite.lands("herd.yaml", "fixed", enough, inOrder)).
		Assess("and an operator can ask who did", suite.status).
		Feature())
}

func TestLightPodsStartASecondApart(t *testing.T) {
	suite.Test(t, suite.withLock("light.yaml", "paced").
		Assess("land on a fresh node and are paced", suite.lands("light.yaml", "paced", enough, inOrder)).
		Feature())
}

// scenario reads a committed scenario and one of its policies.
func (r *runner) scenario(t *testing.T, file, policy string) (*spec.Scenario, spec.Policy) {
	t.Helper()
	s, err := spec.ReadFile(filepath.Join(r.root, "scenarios", file))
	if err != nil {
		t.Fatal(err)
	}
	policies, err := s.Select(policy)
	if err != nil {
		t.Fatal(err)
	}
	return s, policies[0]
}

// withLock is a feature with the chart installed as a policy of a scenario wants it.
func (r *runner) withLock(file, policy string) *features.FeatureBuilder {
	return features.New(file + ", policy " + policy).
		Setup(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			_, p := r.scenario(t, file, policy)
			r.install(ctx, t, p.Lock)
			return ctx
		}).
		Teardown(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			r.uninstall(ctx, t)
			return ctx
		})
}

// check is one more thing to hold a run to, while its pods are still there.
type check func(ctx context.Context, t *testing.T, r *runner, namespace string, run *record.Run)

// lands runs a scenario's herd on a fresh worker and holds it to what the scenario expects, and to more.
func (r *runner) lands(file, policy string, limit time.Duration, more ...check) features.Func {
	return func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
		s, p := r.scenario(t, file, policy)
		r.land(ctx, t, s, p, limit, r.herd, more...)
		return ctx
	}
}

// land runs a herd and holds it to what is expected.
func (r *runner) land(ctx context.Context, t *testing.T, s *spec.Scenario, p spec.Policy, limit time.Duration, herd kind.Herd, more ...check) {
	t.Helper()
	herd.Done = func(ctx context.Context, namespace string, run *record.Run) {
		r.judge(ctx, t, s, run)
		for _, c := range more {
			c(ctx, t, r, namespace, run)
		}
		if t.Failed() {
			r.dump(ctx, t, namespace)
		}
	}
	if _, err := herd.Run(ctx, r.cluster, s, p, limit); err != nil {
		r.dump(ctx, t)
		t.Fatal(err)
	}
}

// judge checks a run and leaves its report beside the artifacts.
func (r *runner) judge(ctx context.Context, t *testing.T, s *spec.Scenario, run *record.Run) {
	result := &record.Result{Version: 1, Made: run.Appeared, On: kind.On, Scenario: s, Machine: machine.Describe("worker of a kind cluster")}
	if run.Policy.Expect.Ratio != nil || run.Policy.Only[kind.On].Ratio != nil {
		result.Bound = r.bounds[s.Name]
	}
	outcome := result.Add(run)
	for _, c := range outcome.Checks {
		if c.Holds {
			progress.Note(ctx, "%s", c)
		} else {
			t.Error(c)
		}
	}
	dir := folder(t)
	if err := result.Write(dir); err != nil {
		t.Error(err)
	}
	if _, err := report.Write(dir, result); err != nil {
		t.Error(err)
	}
	var table bytes.Buffer
	report.Table(&table, result)
	t.Logf("\n%s\nreport: %s", table.String(), dir)
}

// The kubelet's times are whole seconds, and it takes its own time: to notice
// the end of an init container, and to start the application of one pod before
// that of another.
const (
	kubeletNotices = 5 * time.Second
	kubeletSwaps   = 2 * time.Second
)

// inOrder holds the lock's own record against what the kubelet says, where
// leases alone pace one slot: each init container ended soon after its grant and
// not before, each application started after it, in the order of the grants,
// and every grant lasted as long as its lease.
func inOrder(ctx context.Context, t *testing.T, r *runner, namespace string, run *record.Run) {
	state, err := r.herd.Lock.State(ctx, r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := r.cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range state.Recent {
		if e.Ended != "lease" {
			t.Errorf("the grant of %s ended by %q, want its lease alone", e.Pod, e.Ended)
		}
	}
	grants := granted(state)
	if len(grants) != len(run.Pods) {
		t.Errorf("the lock's record has %d grants for %d pods", len(grants), len(run.Pods))
	}
	var before time.Time
	for i, g := range grants {
		if i > 0 && g.ClaimedAt.Before(grants[i-1].ClaimedAt) {
			t.Errorf("%s was granted after %s, but claimed earlier", g.Pod, grants[i-1].Pod)
		}
		if i > 0 && g.GrantedAt.Before(grants[i-1].ExpiresAt) {
			t.Errorf("%s was granted before the lease of %s ended", g.Pod, grants[i-1].Pod)
		}
		p := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return string(p.UID) == g.Pod.UID })
		if p < 0 {
			t.Errorf("the lock granted a slot to %s, which is no pod of the herd", g.Pod)
			continue
		}
		status := pods.Items[p].Status
		waited, app := status.InitContainerStatuses[0].State.Terminated, status.ContainerStatuses[0]
		if waited == nil || app.State.Running == nil {
			t.Errorf("%s holds a grant, but does not run: %+v", g.Pod, status.ContainerStatuses)
			continue
		}
		at := g.GrantedAt.Truncate(time.Second)
		if end := waited.FinishedAt.Time; end.Before(at) || end.Sub(at) > kubeletNotices {
			t.Errorf("%s was granted its slot at %s, its init container ended at %s", g.Pod, g.GrantedAt.UTC(), end.UTC())
		}
		started := app.State.Running.StartedAt.Time
		if started.Before(at) || before.Sub(started) >= kubeletSwaps {
			t.Errorf("%s started at %s: before its grant, or before the pod ahead of it (%s)", g.Pod, started.UTC(), before.UTC())
		}
		before = started
	}
}

// granted is every grant that the lock remembers, in the order in which it granted.
func granted(s *lockapi.State) []lockapi.GrantState {
	grants := slices.Clone(s.Grants)
	for _, e := range s.Recent {
		grants = append(grants, e.GrantState)
	}
	slices.SortFunc(grants, func(a, b lockapi.GrantState) int { return a.GrantedAt.Compare(b.GrantedAt) })
	return grants
}

// status is what an operator does with kubectl exec.
func (r *runner) status(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
	out, err := r.lockStatus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "LIMIT  1 (fixed by --locks 1)") || !strings.Contains(out, "GATE   open") || !strings.Contains(out, "HEALTH connected\n") {
		t.Errorf("lock status printed\n%s", out)
	}
	return ctx
}

// lockStatus is what lock status prints in the worker's lock.
func (r *runner) lockStatus(ctx context.Context) (string, error) {
	client, err := klient.New(r.cluster.Config)
	if err != nil {
		return "", fmt.Errorf("make a client: %w", err)
	}
	pods, err := r.cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: r.herd.Lock.Selector, FieldSelector: "spec.nodeName=" + r.cluster.Worker()})
	if err != nil || len(pods.Items) != 1 {
		return "", fmt.Errorf("find the lock: %w, %d pods", err, len(pods.Items))
	}
	var stdout, stderr bytes.Buffer
	if err := client.Resources().ExecInPod(ctx, namespace, pods.Items[0].Name, "lock", []string{"/lock", "status"}, &stdout, &stderr); err != nil {
		return "", fmt.Errorf("lock status: %w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}
