// watcher.go turns what the API server says of pods into a record.

package kind

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// watcher follows the pods of a herd, and those of its DaemonSets, through one
// life after the other. It is safe for concurrent use.
type watcher struct {
	begin  func(at time.Time) *record.Log
	counts func(pod *record.Pod) bool

	mu      sync.Mutex
	index   map[string]int // of the herd's pods, by UID
	seen    []seen
	daemons map[string]*seen // the DaemonSets' pods, by UID
	early   []func(*record.Log)
	now     *life
	started chan struct{} // closed when the first life begins
}

// life is the herd from one moment to the end.
type life struct {
	log   *record.Log
	ready chan struct{} // closed when all pods that count are Ready
	once  sync.Once
}

// newWatcher makes records with begin; counts tells which pods have to be Ready.
func newWatcher(pods []record.Pod, counts func(*record.Pod) bool, begin func(at time.Time) *record.Log) *watcher {
	w := &watcher{
		begin: begin, counts: counts, started: make(chan struct{}),
		index: map[string]int{}, seen: make([]seen, len(pods)), daemons: map[string]*seen{},
	}
	for i, p := range pods {
		w.index[p.UID] = i
	}
	return w
}

// handler hands the watcher what an informer of pods hears.
func (w *watcher) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.see(o.(*corev1.Pod), time.Now()) },
		UpdateFunc: func(_, o any) { w.see(o.(*corev1.Pod), time.Now()) },
		DeleteFunc: func(o any) {
			if unseen, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unseen.Obj
			}
			if pod, ok := o.(*corev1.Pod); ok {
				w.forget(pod, time.Now())
			}
		},
	}
}

// see takes note of a pod as it was told at a time. The herd appears at the
// moment when the first of its pods is placed on the node.
func (w *watcher) see(pod *corev1.Pod, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ours := w.index[string(pod.UID)]
	switch {
	case pod.Spec.NodeName == "":
		return
	case !ours:
		w.seeDaemon(pod, now)
		return
	case w.now == nil:
		w.live(now)
		close(w.started)
	}
	for _, e := range w.seen[i].update(pod, now) {
		w.now.log.Add(i, e.at, e.what, e.note)
	}
	w.look()
}

// forget takes note that a pod is not in the cluster any more.
func (w *watcher) forget(pod *corev1.Pod, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i, ours := w.index[string(pod.UID)]; ours {
		w.note(func(log *record.Log) { log.Add(i, now, record.Deleted, "") })
		w.look()
	}
}

// seeDaemon takes note of a DaemonSet's pod. When it became Ready is the whole
// second that the kubelet says, rounded down: those who wait for it may hear of
// it a little sooner than we do.
func (w *watcher) seeDaemon(pod *corev1.Pod, now time.Time) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "DaemonSet" {
		return
	}
	s := w.daemons[string(pod.UID)]
	if s == nil {
		s = &seen{}
		w.daemons[string(pod.UID)] = s
	}
	for _, e := range s.update(pod, now) {
		if e.what == record.Ready {
			w.note(func(log *record.Log) { log.DaemonSet(owner.Name, e.stamp) })
		}
	}
}

// reborn begins another life of the same pods. What is still told of the
// former one counts for nothing.
func (w *watcher) reborn(now time.Time) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.seen {
		w.seen[i] = w.seen[i].reborn()
	}
	for uid, s := range w.daemons {
		again := s.reborn()
		w.daemons[uid] = &again
	}
	w.live(now)
	return w.now
}

// life is the present one.
func (w *watcher) life() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watcher) live(now time.Time) {
	w.now = &life{log: w.begin(now), ready: make(chan struct{})}
	for _, f := range w.early {
		f(w.now.log)
	}
	w.early = nil
}

// note writes into the log, which may not be there yet.
func (w *watcher) note(f func(*record.Log)) {
	if w.now == nil {
		w.early = append(w.early, f)
		return
	}
	f(w.now.log)
}

// look tells whether the present life is complete.
func (w *watcher) look() {
	if w.now != nil && w.now.log.AllReady(w.counts) {
		w.now.once.Do(func() { close(w.now.ready) })
	}
}
