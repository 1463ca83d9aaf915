// Package nodewatch is one watch of this node: its pods, its Node object, and
// the DaemonSets that should run on it. It never polls.
package nodewatch

import (
	"context"
	"log/slog"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// Config is what to look at.
type Config struct {
	Node string // name of the node
	// PodNamespace and PodName are health's own pod: its DaemonSet never waits for itself. Empty outside a cluster.
	PodNamespace, PodName string
	DaemonSets            Selection
	// StartupTaints are keys of taints that must be gone before pods may start.
	StartupTaints []string
	// InitContainers are the names of init containers that wait for a slot.
	InitContainers []string
}

// Sources are where the objects come from: lists and watches of the API.
type Sources struct {
	Pods, DaemonSets, Node cache.ListerWatcher
	// API is how the connection is doing.
	API func() healthapi.API

	connection *connection // nil unless made by Connect
}

// Watcher keeps the view of one node. Safe for concurrent use.
type Watcher struct {
	cfg     Config
	sources Sources
	log     *slog.Logger

	mu         sync.Mutex
	pods       *objects[*corev1.Pod]
	daemonSets *objects[*appsv1.DaemonSet]
	node       *objects[*corev1.Node]
	load       *healthapi.Load
	required   []*appsv1.DaemonSet // by namespace and name
	requiredAt int                 // the versions of daemonSets and node that required was made of
	view       *healthapi.Node
	changed    chan struct{} // closed, and made anew, with every new view
}

// New is a watcher that knows nothing yet.
func New(cfg Config, sources Sources, log *slog.Logger) *Watcher {
	if sources.connection == nil {
		sources.connection = &connection{}
	}
	if sources.API == nil {
		sources.API = sources.connection.api
	}
	w := &Watcher{cfg: cfg, sources: sources, log: log, changed: make(chan struct{})}
	w.pods = newObjects(w.update, stripPod)
	w.daemonSets = newObjects(w.update, stripDaemonSet)
	w.node = newObjects(w.update, stripNode)
	if cfg.DaemonSets.Disabled { // then health needs no permission to see them, either
		w.daemonSets.synced = true
		sources.connection.ignore(daemonSetsResource)
	}
	w.view = w.look()
	return w
}

// Run watches until ctx is done. It never ends for an API server that is away.
func (w *Watcher) Run(ctx context.Context) {
	var reflectors sync.WaitGroup
	defer reflectors.Wait()
	reflectors.Go(func() { follow(ctx, w.sources.Pods, &corev1.Pod{}, w.pods) })
	reflectors.Go(func() { follow(ctx, w.sources.Node, &corev1.Node{}, w.node) })
	if !w.cfg.DaemonSets.Disabled {
		reflectors.Go(func() { follow(ctx, w.sources.DaemonSets, &appsv1.DaemonSet{}, w.daemonSets) })
	}
	for {
		select {
		case <-w.sources.connection.changes:
			w.update(func() bool { return true })
		case <-ctx.Done():
			return
		}
	}
}

// Node is the view now. It is never changed afterwards.
func (w *Watcher) Node() *healthapi.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// Changed is closed when there is something new since it was called.
func (w *Watcher) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// SetLoad adds the node's load to the view.
func (w *Watcher) SetLoad(l *healthapi.Load) {
	w.update(func() bool { w.load = l; return true })
}

// update runs f, which tells whether it changed anything, and brings the view
// up to date. A look costs some 100 µs, so every change is shown at once; those
// who wait for changes sum up what comes faster than they read.
func (w *Watcher) update(f func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !f() {
		return
	}
	was, is := w.view, w.look()
	events := healthapi.Changes(was, is)
	if len(events) == 0 {
		return
	}
	w.view = is
	close(w.changed)
	w.changed = make(chan struct{})
	w.tell(was, is, events)
}

// tell logs what an operator wants to know.
func (w *Watcher) tell(was, is *healthapi.Node, events []healthapi.Event) {
	if was.API.Connected != is.API.Connected {
		if is.API.Connected {
			w.log.Info("API server is connected")
		} else {
			w.log.Info("API server is away: going on with what was known last", "since", is.API.Since, "err", is.API.Error)
		}
	}
	if !is.Synced && is.API.Error != "" && is.API.Error != was.API.Error {
		w.log.Info("API server is not reached yet", "err", is.API.Error)
	}
	denied := !is.Synced && len(is.Reasons) > len(was.Reasons)
	if was.Healthy != is.Healthy || was.Synced != is.Synced || denied {
		if is.Healthy {
			w.log.Info("node is healthy")
		} else {
			w.log.Info("node is not healthy", "reasons", is.Reasons)
		}
	}
	for _, e := range events {
		switch {
		case e.Pod != nil:
			w.log.Debug("pod changed", "pod", e.Pod.Namespace+"/"+e.Pod.Name, "uid", e.Pod.UID, "state", e.Pod.State, "reason", e.Pod.Reason)
		case e.Gone != "":
			w.log.Debug("pod is gone", "uid", e.Gone)
		case e.Status != nil:
			w.log.Debug("node changed", "healthy", is.Healthy, "reasons", is.Reasons)
		}
	}
}
