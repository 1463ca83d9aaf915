// Package healthapi is the contract between health, which alone talks to the
// Kubernetes API, and the lock on the same node: routes, JSON types, the stream
// of changes with its two ends. Both sides import it, so they cannot drift apart.
package healthapi

import "time"

// Routes. GET / is the legacy one: 200 or 412, with reasons in the body.
const (
	PathLegacy  = "/"
	PathNode    = "/v1/node"
	PathWatch   = "/v1/watch"
	PathLivez   = "/livez"
	PathReadyz  = "/readyz"
	PathMetrics = "/metrics"
)

// Bounds of the stream that both sides rely on.
const (
	// Heartbeat is the longest time between two lines of a stream.
	Heartbeat = 5 * time.Second
	// Silence is how long a reader waits for a line before it gives the stream up.
	Silence = 3 * Heartbeat
	// MaxLine is the longest line in bytes: a node's pods fit in many times over.
	MaxLine = 4 << 20
)

// Node is everything that health knows of its node.
type Node struct {
	Name string `json:"name"`
	Status
	// Pods are the pods on this node, by namespace and name.
	Pods []Pod `json:"pods"`
}

// Status is all of a Node but its pods.
type Status struct {
	// Synced is false until health has seen everything once: there are no pods then.
	Synced bool `json:"synced"`
	// Healthy is whether pods may start on this node; Reasons say why not.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons,omitempty"`
	// API is how health hears of the cluster.
	API API `json:"api"`
	// DaemonSets are those that must be ready before other pods may start, by namespace and name.
	DaemonSets []DaemonSet `json:"daemonSets,omitempty"`
	// Load is how busy the node is, when health is told to look.
	Load *Load `json:"load,omitempty"`
}

// API is the connection to the Kubernetes API server. While it is away, all
// else is what was known last.
type API struct {
	Connected bool `json:"connected"`
	// Since is when the connection was made or lost. The age of what is known
	// of the cluster is the time since then, when it was lost.
	Since time.Time `json:"since"`
	// Error is what happened at the last attempt, while not connected.
	Error string `json:"error,omitempty"`
}

// DaemonSet is one that must be ready here.
type DaemonSet struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	// Reason says why it is not ready: "pod not Ready".
	Reason string `json:"reason,omitempty"`
}

// Load is how busy the node is, by the metrics API.
type Load struct {
	// CPU is the use in percent of what the node can allocate.
	CPU       int       `json:"cpuPercent"`
	Threshold int       `json:"thresholdPercent"`
	At        time.Time `json:"at"` // when it was measured
	// Error is why there is no measurement, if so.
	Error string `json:"error,omitempty"`
}

// PodState is where a pod is on its way to Ready. The words are about the pod's
// present life: a node that reboots begins a new one, with its init containers.
type PodState string

// The states; a closed set, yet a reader ignores a pod in a state it does not know.
const (
	PodWaiting  PodState = "waiting"  // has not passed the init container that waits for a slot
	PodStarting PodState = "starting" // has passed it; some container has not started yet
	PodStarted  PodState = "started"  // all its containers have started, and it was not Ready yet
	// PodReady has been Ready since it passed. It stays so when a container
	// restarts later: such a pod is no starter.
	PodReady       PodState = "ready"
	PodStuck       PodState = "stuck"       // in a state that no slot helps: image not pulled, bad config, crash loop
	PodEnded       PodState = "ended"       // all its containers have ended for good, well or not
	PodTerminating PodState = "terminating" // it is being deleted
)

// Pod is a pod on this node as far as a lock needs it. Times are the kubelet's:
// whole seconds, on the clock of the node, rounded down.
type Pod struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	UID       string   `json:"uid"`
	State     PodState `json:"state"`
	// Reason says more of PodStuck and PodEnded: "ImagePullBackOff", "Failed".
	Reason string `json:"reason,omitempty"`
	// Guarded is whether it has an init container that waits for a slot.
	Guarded bool `json:"guarded,omitempty"`
	// PatienceSeconds is for how long after its containers start the kubelet lets
	// the pod be not alive, at the least, before it kills one of them. It is never
	// negative; zero is without end.
	PatienceSeconds int32 `json:"patienceSeconds,omitzero"`
	// WaitsSince is when that init container began to run; zero before.
	WaitsSince time.Time `json:"waitsSince,omitzero"`
	// Passed is when the pod was done waiting for its slot in this life: the end
	// of that init container, or of the last one where none is known to wait.
	// Zero before.
	Passed time.Time `json:"passed,omitzero"`
	// FailedOpen is whether it passed without a slot, because no lock gave it one
	// in time. False again once the kubelet cleaned that init container away.
	FailedOpen bool `json:"failedOpen,omitempty"`
	// ReadyAt is when it became Ready; zero unless it is Ready now.
	ReadyAt time.Time `json:"readyAt,omitzero"`
}

// Starting tells whether the pod is on its way: past the wait, and not yet Ready.
func (p Pod) Starting() bool { return p.State == PodStarting || p.State == PodStarted }

// Patience is PatienceSeconds as a length of time; zero is without end.
func (p Pod) Patience() time.Duration { return time.Duration(p.PatienceSeconds) * time.Second }

// Event is one line of the stream: the whole state, one change of it, or, with
// nothing but At, a heartbeat. The first line is a whole state.
type Event struct {
	// At is when the line was written, on the node's clock.
	At time.Time `json:"at"`
	// Node replaces everything.
	Node *Node `json:"node,omitempty"`
	// Status replaces all but the pods.
	Status *Status `json:"status,omitempty"`
	// Pod is new, or changed.
	Pod *Pod `json:"pod,omitempty"`
	// Gone is the UID of a pod that is not on the node any more.
	Gone string `json:"gone,omitempty"`
}
