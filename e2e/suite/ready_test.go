//go:build e2e

// Slots that end when their pods are Ready: how near to the node bound that
// comes, how fast a slot is handed on, and what a pod that never gets there costs.

package suite

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestHerdReleasedOnReadyIsNearTheNodeBound(t *testing.T) {
	suite.Test(t, features.New("what this node can do at best").
		Assess("is measured", suite.measureBound("herd.yaml")).
		Feature())
	for _, policy := range []string{"cores", "ready3"} {
		timed := &handOvers{}
		suite.Test(t, suite.withLock("herd.yaml", policy).
			Assess("land on a fresh node and follow each other", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
				s, p := suite.scenario(t, "herd.yaml", policy)
				herd := suite.herd
				herd.During = timed.watch
				suite.land(ctx, t, s, p, enough, herd, timed.check, smallHealth)
				return ctx
			}).
			Feature())
	}
}

func TestTheSameHerdReleasedOnTimeoutTakesAsLongAsTheLeasesSay(t *testing.T) {
	suite.Test(t, suite.withLock("herd.yaml", "timeout2").
		Assess("land on a fresh node and wait for every lease", suite.lands("herd.yaml", "timeout2", enough,
			func(_ context.Context, t *testing.T, _ *runner, _ string, run *record.Run) {
				lock := run.Policy.Lock
				waves := (len(run.Pods) + lock.Locks - 1) / lock.Locks
				last := 0.0
				for i := range run.Pods {
					at, _ := run.Pods[i].First(record.Granted)
					last = max(last, at)
				}
				if least := float64(waves-1) * lock.Lease.Std().Seconds(); last < least {
					t.Errorf("the last grant came after %.1f s, leases alone say %.1f s", last, least)
				}
			})).
		Feature())
}

func TestPodsThatNeverGetReadyHoldNobodyUpForLong(t *testing.T) {
	suite.Test(t, suite.withLock("stuck.yaml", "ready1").
		Assess("land on a fresh node; the others start in normal time", suite.lands("stuck.yaml", "ready1", enough, stuckPodsLetGo)).
		Feature())
}

// stuckPodsLetGo holds the pods with a fault to what they may cost the others:
// one that may yet become Ready its lease, the others less. The kubelet tells of
// an image that it cannot pull only when it tries again, ten seconds later.
func stuckPodsLetGo(ctx context.Context, t *testing.T, r *runner, _ string, run *record.Run) {
	const few = 20 * time.Second
	state, err := r.herd.Lock.State(ctx, r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range run.Pods {
		if pod.Fault == "" {
			continue
		}
		i := slices.IndexFunc(state.Recent, func(e lockapi.EndedState) bool { return e.Pod.UID == pod.UID })
		if i < 0 {
			t.Errorf("%s has no grant that ended", pod.Name)
			continue
		}
		want, most := "stuck", few
		if pod.Fault == spec.NeverReady {
			want, most = "lease", run.Policy.Lock.Lease.Std()+time.Second
		}
		e := state.Recent[i]
		held := e.EndedAt.Sub(e.GrantedAt)
		progress.Note(ctx, "%s held its slot for %s: %s", pod.Name, held.Round(time.Millisecond), e.Ended)
		if e.Ended != want || held > most {
			t.Errorf("the slot of %s ended by %q after %s, want %q within %s", pod.Name, e.Ended, held, want, most)
		}
	}
}

func TestSlotAndPlaceOfDeletedPodsAreFreeAtOnce(t *testing.T) {
	const within = 2 * time.Second
	s, err := spec.Parse("deleted.yaml", []byte(`
name: deleted
on: [kind]
node: {cores: 2}
pods:
  - {name: slow, count: 6, startup: {idle: 10m}, probes: {readiness: {period: 1s}}}
policies:
  - name: ready1
    lock: {locks: 1, lease: 10m, releaseOn: ready}
    expect: {grants: {most: 1}, inversions: 0, restarts: 0}
`))
	if err != nil {
		t.Fatal(err)
	}
	policy := s.Policies[0]
	herd := suite.herd
	herd.Expected = func(*record.Pod) bool { return false }
	herd.During = func(ctx context.Context, c *cluster.Cluster, namespace string, _ *record.Log) error {
		deletes := func(name string, grace *int64, gone func(*lockapi.State) bool) error {
			if err := c.Client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: grace}); err != nil {
				return fmt.Errorf("delete %s: %w", name, err)
			}
			began := time.Now()
			if err := suite.until(ctx, within, gone); err != nil {
				return fmt.Errorf("%s was deleted: %w", name, err)
			}
			progress.Note(ctx, "%s was deleted, and off the books after %s", name, time.Since(began).Round(time.Millisecond))
			return nil
		}
		if err := suite.until(ctx, time.Minute, func(s *lockapi.State) bool { return len(s.Grants) == 1 && len(s.Queue) == 5 }); err != nil {
			return err
		}
		for _, step := range []struct {
			grace   *int64
			granted bool
		}{{nil, false}, {new(int64), false}, {nil, true}, {new(int64), true}} {
			state, err := suite.herd.Lock.State(ctx, c)
			if err != nil {
				return err
			}
			holder, next, last := state.Grants[0].Pod, state.Queue[0].Pod, state.Queue[len(state.Queue)-1].Pod
			name, gone := last.Name, func(s *lockapi.State) bool { return len(s.Queue) == len(state.Queue)-1 }
			if step.granted {
				name, gone = holder.Name, func(s *lockapi.State) bool { return len(s.Grants) == 1 && s.Grants[0].Pod == next }
			}
			if err := deletes(name, step.grace, gone); err != nil {
				return err
			}
		}
		return nil
	}
	suite.Test(t, features.New("deleted while they wait, and while they start").
		Setup(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.install(ctx, t, policy.Lock)
			return ctx
		}).
		Assess("leave queue and slot to the others", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.land(ctx, t, s, policy, enough, herd)
			return ctx
		}).
		Teardown(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.uninstall(ctx, t)
			return ctx
		}).
		Feature())
}

// measureBound finds out what a scenario's herd would take at best on this node.
func (r *runner) measureBound(file string) features.Func {
	return func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
		s, err := spec.ReadFile(filepath.Join(r.root, "scenarios", file))
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.herd.Bound(ctx, r.cluster, s, enough)
		if err != nil {
			t.Fatal(err)
		}
		r.bounds[s.Name] = b
		progress.Note(ctx, "the node bound of %s is %.1f s: %.0f CPU-seconds of the applications and %.1f of the node, %.0f cores of which %.2f are not free",
			s.Name, b.Seconds(), b.Applications, b.Overhead, b.Cores, b.Idle)
		return ctx
	}
}

// until asks the lock ten times a second until it is as wanted.
func (r *runner) until(ctx context.Context, limit time.Duration, wanted func(*lockapi.State) bool) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		state, err := r.herd.Lock.State(ctx, r.cluster)
		switch {
		case err == nil && wanted(state):
			return nil
		case err == nil:
			last = fmt.Sprintf("%d grants, %d in the queue, gate %+v", len(state.Grants), len(state.Queue), state.Gate)
		case ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the lock did not get there within %s: %s", limit, last)
		}
	}
}

// handOvers measures how long a slot takes from one pod to the next.
type handOvers struct {
	mu    sync.Mutex
	heard map[string]time.Time // when the API server told us that a pod is Ready, by UID
}

// watch notes when pods become Ready, through a watch like health's.
func (h *handOvers) watch(ctx context.Context, c *cluster.Cluster, namespace string, _ *record.Log) error {
	h.heard = map[string]time.Time{}
	changes, err := c.Client.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	go func() {
		defer changes.Stop()
		for e := range changes.ResultChan() {
			pod, ok := e.Object.(*corev1.Pod)
			if !ok || readySince(pod).IsZero() {
				continue
			}
			h.mu.Lock()
			if _, known := h.heard[string(pod.UID)]; !known {
				h.heard[string(pod.UID)] = time.Now()
			}
			h.mu.Unlock()
		}
	}()
	return nil
}

// slowest is the hundredth part of hand-overs that may take longer.
const slowest = 1200 * time.Millisecond

// check holds the hand-overs to their bound: from the time in the pod's status,
// a whole second rounded down, to the next grant. Where it goes is shown: the
// way of the word from the application to whoever watches the API server is the
// kubelet's and the API server's, the rest is ours.
func (h *handOvers) check(ctx context.Context, t *testing.T, r *runner, namespace string, _ *record.Run) {
	state, err := r.herd.Lock.State(ctx, r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := r.cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var total, theirs, ours []time.Duration
	h.mu.Lock()
	defer h.mu.Unlock()
	grants := granted(state)
	for _, e := range state.Recent {
		i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return string(p.UID) == e.Pod.UID })
		next := slices.IndexFunc(grants, func(g lockapi.GrantState) bool { return !g.GrantedAt.Before(e.EndedAt) })
		if e.Ended != "ready" || i < 0 || next < 0 || grants[next].ClaimedAt.After(e.EndedAt) {
			continue // nobody waited for that slot
		}
		pod := &pods.Items[i]
		said, err := saidReady(ctx, r, pod)
		if err != nil {
			t.Error(err)
			continue
		}
		total = append(total, grants[next].GrantedAt.Sub(readySince(pod)))
		theirs = append(theirs, h.heard[e.Pod.UID].Sub(said))
		ours = append(ours, grants[next].GrantedAt.Sub(h.heard[e.Pod.UID]))
	}
	if len(total) == 0 {
		t.Error("no slot was handed on because its pod was Ready")
		return
	}
	progress.Note(ctx, "from the Ready in the status (rounded down to the second) to the next grant: %s", spread(total))
	progress.Note(ctx, "  from the application's first yes to a probe until the API server tells: %s", spread(theirs))
	progress.Note(ctx, "  from there to the next grant: %s", spread(ours))
	if p99 := percentile(total, 99); p99 >= slowest {
		t.Errorf("a slot takes %s from Ready to the next grant (p99), want less than %s", p99, slowest)
	}
}

// readySince is the time in the pod's status; zero when it is not Ready.
func readySince(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// saidReady is when the application first said yes to a probe, by its own log.
func saidReady(ctx context.Context, r *runner, pod *corev1.Pod) (time.Time, error) {
	log, err := r.cluster.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the log of %s: %w", pod.Name, err)
	}
	for line := range bytes.Lines(log) {
		if at, found := strings.CutPrefix(strings.TrimSpace(string(line)), "said ready at "); found {
			return time.Parse(time.RFC3339Nano, at)
		}
	}
	return time.Time{}, fmt.Errorf("the log of %s does not tell when it was ready", pod.Name)
}

func percentile(d []time.Duration, p int) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, len(d)*p/100)]
}

func spread(d []time.Duration) string {
	ms := func(p int) time.Duration { return percentile(d, p).Round(time.Millisecond) }
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s of %d", ms(50), ms(90), ms(99), len(d))
}
