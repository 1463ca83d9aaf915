// Package nodewatch is one watch of this node: its pods, its Node object, and
// the DaemonSets that should run on it. It never polls.
package nodewatch

import (
	"context"
	"log/slog"

	"k8s.io/client-go/rest"
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

// Selection is the user's choice among the DaemonSets that are required here.
type Selection struct {
	Disabled        bool // none is waited for
	Namespace       string
	HostNetworkOnly bool
	Include         map[string]string // all must match
	Exclude         map[string]string // any excludes; never together with Include
}

// Sources are where the objects come from: lists and watches of the API.
type Sources struct {
	Pods, DaemonSets, Node cache.ListerWatcher
	// API is how the connection is doing.
	API func() healthapi.API
}

// Connect makes the sources of a node from the address and credentials of an API server.
func Connect(cfg *rest.Config, node string) (Sources, error) { panic("to be written") }

// Watcher keeps the view of one node. Safe for concurrent use.
type Watcher struct{}

// New is a watcher that knows nothing yet.
func New(cfg Config, sources Sources, log *slog.Logger) *Watcher { panic("to be written") }

// Run watches until ctx is done. It never ends for an API server that is away.
func (w *Watcher) Run(ctx context.Context) { panic("to be written") }

// Node is the view now. It is never changed afterwards.
func (w *Watcher) Node() *healthapi.Node { panic("to be written") }

// Changed is closed when there is something new since it was called.
func (w *Watcher) Changed() <-chan struct{} { panic("to be written") }

// SetLoad adds the node's load to the view.
func (w *Watcher) SetLoad(l *healthapi.Load) { panic("to be written") }
