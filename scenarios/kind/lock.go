// lock.go reads the record of the lock on the worker, through the API server.

package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// Lock is where the chart was installed.
type Lock struct {
	Namespace, Service string
	Port               int
	// Selector finds the lock's pods by their labels.
	Selector string
}

// host is the name by which pods reach the lock on their node.
func (l Lock) host() string { return l.Service + "." + l.Namespace }

// State reads the state of the lock on the cluster's worker.
func (l Lock) State(ctx context.Context, c *cluster.Cluster) (*lockapi.State, error) {
	pods, err := c.Client.CoreV1().Pods(l.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: l.Selector, FieldSelector: "spec.nodeName=" + c.Worker(),
	})
	if err != nil {
		return nil, fmt.Errorf("find the lock on %s: %w", c.Worker(), err)
	}
	if len(pods.Items) == 0 {
		return nil, fmt.Errorf("find the lock on %s: no pod in %s has the labels %s", c.Worker(), l.Namespace, l.Selector)
	}
	// One that was deleted may still be there beside its successor.
	newest := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	body, err := c.Client.CoreV1().RESTClient().Get().Namespace(l.Namespace).Resource("pods").
		Name(newest.Name + ":" + strconv.Itoa(l.Port)).SubResource("proxy").Suffix(lockapi.PathState).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of the lock on %s: %w", c.Worker(), err)
	}
	var state lockapi.State
	if err := json.Unmarshal(body, &state); err != nil {
		return nil, fmt.Errorf("read the state of the lock on %s: %w", c.Worker(), err)
	}
	return &state, nil
}

// follow reads the state about once a second, because the lock remembers ended
// grants for a while only.
func (l Lock) follow(ctx context.Context, c *cluster.Cluster, log *record.Log) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.ask(ctx, c, log)
		}
	}
}

// ask adds the lock's state to the log. One that cannot be read now is read the next time.
func (l Lock) ask(ctx context.Context, c *cluster.Cluster, log *record.Log) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if state, err := l.State(ctx, c); err == nil {
		log.Merge(state)
	}
}
