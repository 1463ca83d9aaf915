// herd.go runs one herd on a cluster from the node's birth to its end, and records it.

package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// Herd is what its pods are made of and where its lock is.
type Herd struct {
	// InitImage and AppImage are on the nodes already.
	InitImage, AppImage string
	// Lock is the installed chart; not used by a policy without a lock.
	Lock Lock
	// Progress is told what happens; nil shows nothing.
	Progress live.Progress
	// Expected tells which pods have to be Ready for the run to be over; nil is
	// those without a fault. One that was deleted is never waited for.
	Expected func(pod *record.Pod) bool
	// During runs beside the herd from the beginning of what is recorded. The run
	// is not over before it is, unless its limit is, and fails if it does.
	During func(ctx context.Context, c *cluster.Cluster, namespace string, log *record.Log) error
	// Done is told the namespace of the herd while its pods are still there, for
	// whoever wants to look at them; nil looks at nothing.
	Done func(ctx context.Context, namespace string, run *record.Run)

	// idle gives the pods an init container that does nothing, as there is one in every herd with a lock.
	idle bool
}

// Run lets the herd land on a fresh worker and follows it until all pods are
// Ready, or until the limit, if there is one, is over. A policy with a lock
// needs it installed. The herd is gone afterwards. The API server may be away
// for a while in the middle.
func (h Herd) Run(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, policy spec.Policy, limit time.Duration) (_ *record.Run, err error) {
	fail := func(doing string, err error) error {
		return fmt.Errorf("run %s with policy %s on the cluster %s: %s: %w", s.Name, policy.Name, c.Name, doing, err)
	}
	s = s.For(policy)
	if err := c.StopWorker(ctx); err != nil {
		return nil, fail("take the worker away", err)
	}
	namespace, err := h.namespace(ctx, c, s, policy)
	if err != nil {
		return nil, fail("make a namespace", err)
	}
	defer func() {
		// Also when the context is over: nothing of the herd may stay.
		ctx := context.WithoutCancel(ctx)
		if left := errors.Join(remove(ctx, c, namespace), untaintWorker(ctx, c, s)); left != nil {
			err = errors.Join(err, fail("remove the herd", left))
		}
	}()
	if err := h.createDaemonSets(ctx, c, s, namespace, func(d spec.DaemonSet) bool { return d.Elsewhere != spec.ByTaint }); err != nil {
		return nil, fail("create the DaemonSets", err)
	}
	pods, err := h.create(ctx, c, s, policy, namespace)
	if err != nil {
		return nil, fail("create the pods", err)
	}
	run, err := h.follow(ctx, c, s, policy, limit, namespace, pods)
	if err != nil {
		return nil, fail("follow the herd", err)
	}
	if h.Done != nil {
		h.Done(ctx, namespace, run)
	}
	return run, nil
}

// namespace makes a new one: a herd never meets the remains of another.
func (h Herd) namespace(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, policy spec.Policy) (string, error) {
	ns, err := c.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: s.Name + "-" + policy.Name + "-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	// Pods are refused until the default ServiceAccount is there.
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		_, err := c.Client.CoreV1().ServiceAccounts(ns.Name).Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	return ns.Name, err
}

// create makes the pods, in order, and tells which they are. They stay Pending.
func (h Herd) create(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, policy spec.Policy, namespace string) ([]record.Pod, error) {
	pods := record.Pods(s, func(string) string { return "" })
	for i := range pods {
		group := s.Pods[slices.IndexFunc(s.Pods, func(g spec.Group) bool { return g.Name == pods[i].Group })]
		made, err := c.Client.CoreV1().Pods(namespace).Create(ctx, h.pod(c.Worker(), pods[i].Name, group, policy.Lock), metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		pods[i].UID = string(made.UID)
	}
	return pods, nil
}

// expected tells whether the run is not over before the pod is Ready.
func (h Herd) expected(pod *record.Pod) bool {
	if _, deleted := pod.First(record.Deleted); deleted {
		return false
	}
	if h.Expected != nil {
		return h.Expected(pod)
	}
	return pod.Sound()
}

// remove deletes the herd and waits until it is gone.
func remove(ctx context.Context, c *cluster.Cluster, namespace string) error {
	if namespace == "" {
		return nil
	}
	var last error // of an API server that is just coming back, perhaps
	err := wait.PollUntilContextTimeout(ctx, time.Second, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		last = c.Client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
		return apierrors.IsNotFound(last), nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// follow brings the worker back and records what happens then.
func (h Herd) follow(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, policy spec.Policy, limit time.Duration, namespace string, pods []record.Pod) (*record.Run, error) {
	herd, stop := context.WithCancel(ctx)
	defer stop()
	group, herd := errgroup.WithContext(herd)
	// What is cut short because the herd is over has not failed.
	try := func(f func() error) <-chan struct{} {
		done := make(chan struct{})
		group.Go(func() error {
			defer close(done)
			if err := f(); err != nil && herd.Err() == nil {
				return err
			}
			return nil
		})
		return done
	}
	w := newWatcher(pods, h.expected, func(at time.Time) *record.Log { return record.NewLog(On, s, policy, pods, at) })
	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Pods().Informer()
	if _, err := informer.AddEventHandler(w.handler()); err != nil {
		return nil, fmt.Errorf("watch the pods: %w", err)
	}
	factory.Start(herd.Done())
	defer factory.Shutdown()
	defer stop() // before Shutdown, which waits
	if !cache.WaitForCacheSync(herd.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watch the pods: %w", context.Cause(herd))
	}
	try(func() error { return c.StartWorker(herd) })
	if tainted(s) {
		try(func() error { return h.taintWorker(herd, c, s, namespace) })
	}
	select {
	case <-w.started:
	case <-herd.Done():
		return nil, errors.Join(ctx.Err(), group.Wait())
	}
	now, title, gaveUp := w.life(), live.Title(s, policy), false
	if s.Reboot {
		gaveUp = h.accompany(herd, c, title+" (before the reboot)", policy, limit, now)
	}
	if !gaveUp && herd.Err() == nil {
		if s.Reboot {
			now = w.reborn(time.Now())
			try(func() error {
				err := c.Reboot(herd)
				if err == nil {
					now.log.Rebooted(time.Now())
				}
				return err
			})
		}
		during := try(func() error {
			if h.During == nil {
				return nil
			}
			return h.During(herd, c, namespace, now.log)
		})
		h.accompany(herd, c, title, policy, limit, now, during)
	}
	stop()
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return now.log.Snapshot(time.Now()), nil
}

// accompany measures and shows one life of the herd until it is complete and
// so is whatever else it has to wait for. It tells whether the limit came first.
func (h Herd) accompany(ctx context.Context, c *cluster.Cluster, title string, policy spec.Policy, limit time.Duration, now *life, others ...<-chan struct{}) (gaveUp bool) {
	beside, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer stop()
	if h.Progress != nil {
		defer h.Progress.Follow(title, limit, func() *record.Run { return now.log.Snapshot(time.Now()) })()
	}
	watchers.Go(func() { machine.NewMeter(nil).Watch(beside, now.log.Sample) })
	if policy.Lock != nil {
		watchers.Go(func() { h.Lock.follow(beside, c, now.log) })
	}
	patience := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		patience, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	for _, complete := range append(others, now.ready) {
		select {
		case <-complete:
		case <-patience.Done():
			gaveUp = ctx.Err() == nil
		}
	}
	if policy.Lock != nil && ctx.Err() == nil {
		h.Lock.ask(ctx, c, now.log)
	}
	now.log.Finish(time.Now(), gaveUp)
	return gaveUp
}
