// Package lockapi is the contract between the lock and those who ask it for a
// startup slot: routes, JSON types, and a Go client. Lock and init both import
// it, so they cannot drift apart.
//
// Two protocols live on one port. The legacy one (any GET is an acquire,
// answered in plain text) is what the earlier generations of clients and
// servers speak; v1 is JSON and adds identity, a queue and a long poll.
package lockapi

import "time"

// Routes of the v1 contract. Every other path is a legacy acquire.
const (
	PathAcquire = "/v1/acquire"
	PathRelease = "/v1/release"
	PathState   = "/v1/state"
	PathLivez   = "/livez"
	PathReadyz  = "/readyz"
	PathMetrics = "/metrics"
)

// Bounds that the server enforces and a client may rely on.
const (
	// MaxBody is the largest request body in bytes; more is answered 413.
	MaxBody = 64 << 10
	// MaxWait is the longest a server holds one long poll.
	MaxWait = 25 * time.Second
	// MaxLease is the longest lease a client may wish for.
	MaxLease = 24 * time.Hour
	// MaxPriority bounds a claim's priority in both directions.
	MaxPriority = 1000
	// MaxWeight bounds a claim's weight.
	MaxWeight = 1000
	// MaxName bounds each part of a pod's identity, in bytes. Kubernetes allows 253.
	MaxName = 253
)

// Bodies of the legacy protocol, byte for byte what earlier servers send.
const (
	LegacyAcquired = "Lock acquired"
	LegacyLocked   = "Locked"
)

// StartsWithout begins the termination message of an init container that let
// its pod start without a slot. By it health knows of such starts: the container
// cannot tell them itself, as it is gone when the lock is back.
const StartsWithout = "starting without a startup slot"

// ReleaseOn says what ends a grant before its lease does.
type ReleaseOn string

// The release policies. The lease ends every grant at the latest; without health
// in reach of the lock it is all that does.
const (
	ReleaseOnTimeout ReleaseOn = "timeout" // the lease alone, as the original did
	ReleaseOnStarted ReleaseOn = "started" // the pod's containers have started
	ReleaseOnReady   ReleaseOn = "ready"   // the pod is Ready
)

// Pod is who asks. UID alone is the identity; the names are for people.
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid"`
}

// String is namespace/name, as far as known, else the UID.
func (p Pod) String() string {
	switch {
	case p.Namespace != "" && p.Name != "":
		return p.Namespace + "/" + p.Name
	case p.Name != "":
		return p.Name
	default:
		return p.UID
	}
}

// AcquireRequest asks for a slot. The lease wish travels as ?duration= beside
// it, because that is where legacy servers look for it.
type AcquireRequest struct {
	Pod Pod `json:"pod"`
	// Weight is the number of slots the claim takes, 1 to MaxWeight; 0 means 1.
	Weight int `json:"weight,omitempty"`
	// Priority orders the queue, higher first, within ±MaxPriority.
	Priority int `json:"priority,omitempty"`
	// ReleaseOn is empty for the server's default.
	ReleaseOn ReleaseOn `json:"releaseOn,omitempty"`
	// Wait is how long the server may hold the request before it answers with
	// a place; capped at MaxWait. 0 asks for an answer at once.
	Wait Duration `json:"wait,omitzero"`
	// ClaimedAt repeats Place.ClaimedAt of an earlier answer: a lock that took
	// another's place a moment ago restores the order by it.
	ClaimedAt time.Time `json:"claimedAt,omitzero"`
}

// AcquireResponse holds a grant (status 200) or a place (status 202).
type AcquireResponse struct {
	Grant *Grant `json:"grant,omitempty"`
	Place *Place `json:"place,omitempty"`
}

// Grant is a slot held.
type Grant struct {
	// ID releases the grant; nothing else does.
	ID        string    `json:"id"`
	GrantedAt time.Time `json:"grantedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// Lease is how much of the lease was left when the answer was written: a
	// client measures from it and need not share the server's clock.
	Lease Duration `json:"lease"`
	// Limit is the number of slots on the node at the time of the answer.
	Limit int `json:"limit"`
	// Waited is the time from the claim to the grant.
	Waited Duration `json:"waited"`
}

// Place is where a claim stands in the queue.
type Place struct {
	// ID gives the place up through PathRelease; it becomes the grant's id.
	ID string `json:"id"`
	// ClaimedAt is when the claim was made.
	ClaimedAt time.Time `json:"claimedAt,omitzero"`
	// Position counts from 1, the head of the queue.
	Position int `json:"position"`
	// Queue is the number of claims that wait, this one included.
	Queue int `json:"queue"`
	// Ahead names a few of those who hold a slot now, oldest first.
	Ahead []string `json:"ahead,omitempty"`
	// Held is the number of slots held now.
	Held int `json:"held"`
	// ETA is an estimate of the wait that is left; absent when nothing is known, as with a closed gate.
	ETA *Duration `json:"eta,omitempty"`
	// Reason says in words why the claim waits.
	Reason string `json:"reason"`
}

// ReleaseRequest gives up a grant or a place.
type ReleaseRequest struct {
	ID string `json:"id"`
}

// Error is the body of every v1 answer from 400 on.
type Error struct {
	// Error is a constant for programs, such as "bad_request".
	Error string `json:"error"`
	// Detail is for people: what was wrong and what to do.
	Detail string `json:"detail"`
}

// State is everything the lock knows, for people and tests.
type State struct {
	Now   time.Time `json:"now"`
	Limit Limit     `json:"limit"`
	Gate  Gate      `json:"gate"`
	// Health is how the lock hears of the node's pods; absent when it is not told to.
	Health *Health `json:"health,omitempty"`
	// Grants are the slots held now, oldest first.
	Grants []GrantState `json:"grants"`
	// Queue are the claims that wait, next first.
	Queue []ClaimState `json:"queue"`
	// Recent are the last grants that ended, oldest first; a bounded record.
	Recent []EndedState `json:"recent"`
}

// Limit is the number of slots, and who says so.
type Limit struct {
	Slots  int    `json:"slots"`
	Reason string `json:"reason"`
	// Node is what the limit follows; absent when it is fixed.
	Node *Node `json:"node,omitempty"`
}

// Node is how contended the node was in the last quarter of a second.
type Node struct {
	// Cores is what the node has, Busy how many of them were in use.
	Cores float64 `json:"cores"`
	Busy  float64 `json:"busy"`
	// CPU, IO and Memory are the shares of the time, 0 to 1, in which some task
	// waited for it. Absent where the kernel does not count them.
	CPU    *float64 `json:"cpu,omitempty"`
	IO     *float64 `json:"io,omitempty"`
	Memory *float64 `json:"memory,omitempty"`
}

// Gate tells whether anyone may start now, and why not.
type Gate struct {
	Open    bool     `json:"open"`
	Reasons []string `json:"reasons,omitempty"`
}

// Health is the lock's connection to health, and health's to the API server.
// While either is away the lock goes on with what it knew last.
type Health struct {
	Connected bool `json:"connected"`
	// API is whether health hears from the API server.
	API bool `json:"api"`
	// Since is when the connection was made or lost: whichever of the two is away, or both are there.
	Since time.Time `json:"since"`
	// Error says why one of them is away.
	Error string `json:"error,omitempty"`
}

// GrantState is a held slot as PathState shows it. The id is left out: it is a
// right to release, not a fact for everyone.
type GrantState struct {
	Pod       Pod       `json:"pod"`
	Weight    int       `json:"weight"`
	Priority  int       `json:"priority"`
	ReleaseOn ReleaseOn `json:"releaseOn"`
	// Legacy is true for a grant to a client of an earlier generation.
	Legacy bool `json:"legacy,omitempty"`
	// Adopted is true for a start that this lock did not grant: an earlier lock
	// did, or it stopped waiting. ClaimedAt and GrantedAt are when it passed its
	// init container then, rounded down to the second.
	Adopted   bool      `json:"adopted,omitempty"`
	ClaimedAt time.Time `json:"claimedAt"`
	GrantedAt time.Time `json:"grantedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// ClaimState is a waiting claim as PathState shows it.
type ClaimState struct {
	Position  int       `json:"position"`
	Pod       Pod       `json:"pod"`
	Weight    int       `json:"weight"`
	Priority  int       `json:"priority"`
	ClaimedAt time.Time `json:"claimedAt"`
	// Connected is false between two polls of the client and when it is gone.
	Connected bool `json:"connected"`
	// Expected is true for a pod that waited at an earlier lock, and has not asked this one yet.
	Expected bool      `json:"expected,omitempty"`
	ETA      *Duration `json:"eta,omitempty"`
	// Reason is Place.Reason: why the claim waits.
	Reason string `json:"reason"`
}

// EndedState is a grant of the past.
type EndedState struct {
	GrantState
	EndedAt time.Time `json:"endedAt"`
	// Ended is why: lease, released, undelivered, or what became of the pod:
	// started, ready, stuck, ended, gone.
	Ended string `json:"ended"`
}
