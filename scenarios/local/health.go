// health.go tells the lock what the kubelets here know of their pods, as
// components/health does with what the API server knows.

package local

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// health is the node as its lock sees it. It is a healthapi.Source.
type health struct {
	mu      sync.Mutex
	node    *healthapi.Node // replaced, never changed
	changed chan struct{}
}

// newHealth knows the pods of s, which have not begun to wait.
func newHealth(s *spec.Scenario, pods []record.Pod) *health {
	now := time.Now()
	node := &healthapi.Node{Name: On, Status: healthapi.Status{
		Synced: true, Healthy: true, API: healthapi.API{Connected: true, Since: now},
	}}
	for i, p := range pods {
		node.Pods = append(node.Pods, healthapi.Pod{
			Namespace: namespace, Name: p.Name, UID: p.UID, State: healthapi.PodWaiting, Guarded: true,
			PatienceSeconds: int32(groupOf(s, i).Probes.Patience().Std().Seconds()), // whole ones, by the spec
		})
	}
	slices.SortFunc(node.Pods, healthapi.ByName)
	return &health{node: node, changed: make(chan struct{})}
}

// Node is the state now.
func (h *health) Node() *healthapi.Node {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.node
}

// Changed is closed when there is something new.
func (h *health) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// tell changes what is known of a pod. Like the kubelet's, its times are whole seconds.
func (h *health) tell(uid string, change func(p *healthapi.Pod, now time.Time)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	node := *h.node
	node.Pods = slices.Clone(node.Pods)
	i := slices.IndexFunc(node.Pods, func(p healthapi.Pod) bool { return p.UID == uid })
	change(&node.Pods[i], time.Now().Truncate(time.Second))
	h.node = &node
	close(h.changed)
	h.changed = make(chan struct{})
}

// begins notes that a pod begins to wait.
func (h *health) begins(uid string) {
	h.tell(uid, func(p *healthapi.Pod, now time.Time) { p.WaitsSince = now })
}

// passes notes that a pod waits no more.
func (h *health) passes(uid string) {
	h.tell(uid, func(p *healthapi.Pod, now time.Time) { p.State, p.Passed = healthapi.PodStarting, now })
}

// happens notes what happens to a pod's application. Once Ready the pod stays
// so: a restart is not the lock's concern.
func (h *health) happens(uid string, what record.What) {
	h.tell(uid, func(p *healthapi.Pod, now time.Time) {
		switch {
		case what == record.Started && p.State == healthapi.PodStarting:
			p.State = healthapi.PodStarted
		case what == record.Ready:
			p.State, p.ReadyAt = healthapi.PodReady, now
		case what == record.Unready, what == record.Stopped:
			p.ReadyAt = time.Time{}
		}
	})
}

// serve answers on a free loopback port until stop is called.
func (h *health) serve(ctx context.Context) (url string, stop func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the node's health: %w", err)
	}
	handler := healthapi.NewHandler(h)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthapi.PathNode, handler.Node)
	mux.HandleFunc("GET "+healthapi.PathWatch, handler.Watch)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // until stop
	return "http://" + listener.Addr().String(), func() {
		handler.Close()
		_ = server.Close() // streams have no end worth waiting for
		serving.Wait()
	}, nil
}
