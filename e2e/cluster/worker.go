// This file takes the worker away, brings it back as a new node, and reboots it.

package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

//go:embed clean-node.sh
var cleanNode string

// Fresh makes the worker a new node: nothing of its former life is left but the images. Bare pods that
// ran on it are gone, those of controllers come back, all at once.
func (c *Cluster) Fresh(ctx context.Context) error {
	if err := c.StopWorker(ctx); err != nil {
		return err
	}
	return c.StartWorker(ctx)
}

// StopWorker takes the worker out of the cluster. Pods that are created now stay Pending, and flood in
// when StartWorker brings it back.
func (c *Cluster) StopWorker(ctx context.Context) error {
	return progress.Step(ctx, "take the worker away", func() error {
		if _, err := c.Exec(ctx, c.Worker(), "timeout", "60", "bash", "-c", cleanNode); err != nil {
			return fmt.Errorf("clean the worker: %w", err)
		}
		if err := c.Client.CoreV1().Nodes().Delete(ctx, c.Worker(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the worker's node: %w", err)
		}
		return c.deletePodsOfWorker(ctx)
	})
}

// StartWorker brings the worker back as a new node, and waits until that is Ready and kube-proxy runs on it.
func (c *Cluster) StartWorker(ctx context.Context) error {
	return progress.Step(ctx, "bring the worker back", func() error {
		if _, err := c.Exec(ctx, c.Worker(), "systemctl", "start", "kubelet"); err != nil {
			return fmt.Errorf("start the worker's kubelet: %w", err)
		}
		return c.await(ctx, "the worker to be Ready", 2*time.Minute, c.workerServes(time.Time{}))
	})
}

// Reboot restarts the worker as it is, and waits until it is Ready again and kube-proxy runs again.
func (c *Cluster) Reboot(ctx context.Context) error {
	return progress.Step(ctx, "reboot the worker", func() error {
		// The node's clock, which is this machine's unless the engine is a virtual machine.
		now, err := c.Exec(ctx, c.Worker(), "date", "+%s")
		if err != nil {
			return fmt.Errorf("read the worker's clock: %w", err)
		}
		var seconds int64
		if _, err := fmt.Sscan(now, &seconds); err != nil {
			return fmt.Errorf("read the worker's clock: %w", err)
		}
		if _, err := c.Engine.Docker(ctx, "restart", "--time", "10", c.Worker()); err != nil {
			return fmt.Errorf("restart the worker: %w", err)
		}
		return c.await(ctx, "the worker to be Ready again", 2*time.Minute, c.workerServes(time.Unix(seconds, 0)))
	})
}

// workerServes checks that the worker is Ready and reaches Services, both since the given time: what
// the API server says of a node that went away a moment ago is old.
func (c *Cluster) workerServes(since time.Time) check {
	return func(ctx context.Context) (string, error) {
		node, err := c.Client.CoreV1().Nodes().Get(ctx, c.Worker(), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if !ready(node, since) {
			return "the node is not Ready", nil
		}
		pods, err := c.Client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{
			LabelSelector: "k8s-app=kube-proxy", FieldSelector: "spec.nodeName=" + c.Worker(),
		})
		if err != nil {
			return "", err
		}
		for _, pod := range pods.Items {
			if startedSince(&pod, since) {
				return "", nil
			}
		}
		return "kube-proxy does not run on it", nil
	}
}

// ready says whether the kubelet has reported the node as Ready since the time.
func ready(node *corev1.Node, since time.Time) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && !condition.LastHeartbeatTime.Time.Before(since)
		}
	}
	return false
}

// startedSince says whether all containers of the pod have started since the time, and are ready.
func startedSince(pod *corev1.Pod, since time.Time) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, container := range pod.Status.ContainerStatuses {
		if !container.Ready || container.State.Running == nil || container.State.Running.StartedAt.Time.Before(since) {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0
}

// deletePodsOfWorker removes the pods of a node that is gone at once; the control plane would take its time.
func (c *Cluster) deletePodsOfWorker(ctx context.Context) error {
	return c.await(ctx, "the worker's pods to be gone", time.Minute, func(ctx context.Context) (string, error) {
		pods, err := c.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + c.Worker()})
		if err != nil {
			return "", err
		}
		for _, pod := range pods.Items {
			err := c.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
				GracePeriodSeconds: new(int64),
				Preconditions:      &metav1.Preconditions{UID: &[]types.UID{pod.UID}[0]},
			})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return "", err
			}
		}
		if len(pods.Items) > 0 {
			return fmt.Sprintf("%d are left", len(pods.Items)), nil
		}
		return "", nil
	})
}

// controlPlaneServes checks that the API server answers and the control plane's node is Ready.
func (c *Cluster) controlPlaneServes(ctx context.Context) (string, error) {
	node, err := c.Client.CoreV1().Nodes().Get(ctx, c.ControlPlane(), metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if !ready(node, time.Time{}) {
		return "the node is not Ready", nil
	}
	return "", nil
}

// check says what is still missing; nothing means that all is well.
type check func(ctx context.Context) (missing string, err error)

// await asks until nothing is missing. An API server that is busy may fail to answer now and then.
func (c *Cluster) await(ctx context.Context, what string, limit time.Duration, ask check) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last := "nothing was heard yet"
	for {
		missing, err := ask(ctx)
		switch {
		case err == nil && missing == "":
			return nil
		case err == nil:
			last = missing
		case ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %s", what, ctx.Err(), last)
		case <-tick.C:
		}
	}
}
