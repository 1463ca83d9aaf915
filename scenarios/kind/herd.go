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
	// Done is told the namespace of the herd while its pods are still there, for
	// whoever wants to look at them; nil looks at nothing.
	Done func(ctx context.Context, namespace string, run *record.Run)
}

// Run lets the herd land on a fresh worker and follows it until all pods are
// Ready, or until the limit, if there is one, is over. A policy with a lock
// needs it installed. The herd is gone afterwards.
func (h Herd) Run(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, policy spec.Policy, limit time.Duration) (_ *record.Run, err error) {
	fail := func(doing string, err error) error {
		return fmt.Errorf("run %s with policy %s on the cluster %s: %s: %w", s.Name, policy.Name, c.Name, doing, err)
	}
	if err := c.StopWorker(ctx); err != nil {
		return nil, fail("take the worker away", err)
	}
	namespace, err := h.namespace(ctx, c, s, policy)
	if err != nil {
		return nil, fail("make a namespace", err)
	}
	defer func() {
		// Also when the context is over: nothing of the herd may stay.
		if left := remove(context.WithoutCancel(ctx), c, namespace); left != nil {
			err = errors.Join(err, fail("remove the herd", left))
		}
	}()
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

// remove deletes the herd and waits until it is gone.
func remove(ctx context.Context, c *cluster.Cluster, namespace string) error {
	if namespace == "" {
		return nil
	}
	api := c.Client.CoreV1().Namespaces()
	if err := api.Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Second, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := api.Get(ctx, namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

// follow brings the worker back and records what happens then. The herd appears
// at the moment when the first of its pods is placed on the node.
func (h Herd) follow(ctx context.Context, c *cluster.Cluster, s *spec.Scenario, policy spec.Policy, limit time.Duration, namespace string, pods []record.Pod) (*record.Run, error) {
	herd, stop := context.WithCancel(ctx)
	defer stop()
	group, herd := errgroup.WithContext(herd)
	w := newWatcher(s, policy, pods)

	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.see(o.(*corev1.Pod), time.Now()) },
		UpdateFunc: func(_, o any) { w.see(o.(*corev1.Pod), time.Now()) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch the pods: %w", err)
	}
	factory.Start(herd.Done())
	defer factory.Shutdown()
	defer stop() // before Shutdown, which waits
	if !cache.WaitForCacheSync(herd.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watch the pods: %w", context.Cause(herd))
	}
	group.Go(func() error { return c.StartWorker(herd) })
	select {
	case <-w.appeared:
	case <-herd.Done():
		return nil, errors.Join(ctx.Err(), group.Wait())
	}
	if h.Progress != nil {
		done := h.Progress.Follow(live.Title(s, policy), limit, func() *record.Run { return w.log.Snapshot(time.Now()) })
		defer done()
	}
	group.Go(func() error { machine.NewMeter(nil).Watch(herd, w.log.Sample); return nil })
	if policy.Lock != nil {
		group.Go(func() error { h.Lock.follow(herd, c, w.log); return nil })
	}
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	gaveUp := false
	select {
	case <-w.ready:
	case <-over:
		gaveUp = true
	case <-herd.Done():
	}
	if policy.Lock != nil && herd.Err() == nil {
		h.Lock.ask(ctx, c, w.log)
	}
	w.log.Finish(time.Now(), gaveUp)
	stop()
	// The worker may still be on its way to what StartWorker waits for: that it
	// is cut short is no failure of the herd.
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.log.Snapshot(time.Now()), nil
}

// watcher turns what the API server says of pods into a record.
type watcher struct {
	mu       sync.Mutex
	index    map[string]int // by UID
	seen     []seen
	log      *record.Log
	appeared chan struct{} // closed when the first pod is placed
	ready    chan struct{} // closed when all are Ready
	begin    func(at time.Time) *record.Log
	once     sync.Once
}

func newWatcher(s *spec.Scenario, policy spec.Policy, pods []record.Pod) *watcher {
	w := &watcher{
		index: map[string]int{}, seen: make([]seen, len(pods)),
		appeared: make(chan struct{}), ready: make(chan struct{}),
		begin: func(at time.Time) *record.Log { return record.NewLog(On, s, policy, pods, at) },
	}
	for i, p := range pods {
		w.index[p.UID] = i
	}
	return w
}

// see takes note of a pod as it was told at a time.
func (w *watcher) see(pod *corev1.Pod, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ours := w.index[string(pod.UID)]
	if !ours || pod.Spec.NodeName == "" {
		return
	}
	if w.log == nil {
		w.log = w.begin(now)
		close(w.appeared)
	}
	for _, e := range w.seen[i].update(pod, now) {
		w.log.Add(i, e.at, e.what, e.note)
	}
	if w.log.AllReady() {
		w.once.Do(func() { close(w.ready) })
	}
}
