// This file takes the API server away, and brings it back.

package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// Where the kubelet of the control plane finds the API server, and where it does not.
const (
	apiServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	apiServerAside    = "/etc/kubernetes/kube-apiserver.yaml"
)

// StopAPIServer takes the API server away, as a crash would, and keeps the kubelet from starting it again.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	return progress.Step(ctx, "take the API server away", func() error {
		const stop = "mv " + apiServerManifest + " " + apiServerAside + " && pkill -KILL -x kube-apiserver"
		if _, err := c.Exec(ctx, c.ControlPlane(), "sh", "-c", stop); err != nil {
			return fmt.Errorf("stop the API server: %w", err)
		}
		return nil
	})
}

// StartAPIServer brings the API server back and waits until the control plane is well. It does nothing
// where the API server was not taken away.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	return progress.Step(ctx, "bring the API server back", func() error {
		const start = "test ! -e " + apiServerAside + " || mv " + apiServerAside + " " + apiServerManifest
		if _, err := c.Exec(ctx, c.ControlPlane(), "sh", "-c", start); err != nil {
			return fmt.Errorf("start the API server: %w", err)
		}
		return c.await(ctx, "the control plane to be Ready", 2*time.Minute, c.controlPlaneServes)
	})
}
