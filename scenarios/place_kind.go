//go:build kind

// place_kind.go adds the place kind. It is behind a build tag because it brings
// the Kubernetes client, Helm and kind with it: minutes of compilation that the
// demo on this machine has no use for.

package main

import (
	"context"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/kind"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
)

func openKind(ctx context.Context, p plan, progress live.Progress) (place, error) {
	return kind.New(ctx, p.scenario, kind.Options{Cluster: p.cluster, GiveUp: p.giveUp, Limit: p.limit, Progress: progress})
}
