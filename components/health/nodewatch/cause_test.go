// Every reason that the watcher gives is one that can be counted.

package nodewatch

import (
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

func TestEveryReasonHasItsCause(t *testing.T) {
	t.Parallel()
	known := func(node *corev1.Node) *Watcher {
		w := New(Config{Node: thisNode, StartupTaints: []string{"cni"}}, Sources{}, slog.New(slog.DiscardHandler))
		w.pods.synced, w.daemonSets.synced, w.node.synced = true, true, true
		if node != nil {
			w.node.all[types.NamespacedName{Name: thisNode}] = node
		}
		return w
	}
	withDaemonSet := known(newNode())
	ds := newDaemonSet("kube-proxy")
	withDaemonSet.daemonSets.all[types.NamespacedName{Namespace: ds.Namespace, Name: ds.Name}] = ds
	withDaemonSet.daemonSets.version++
	loaded := func(l healthapi.Load) *Watcher {
		w := known(newNode())
		w.load = &l
		return w
	}
	denied := known(newNode())
	denied.sources.connection.watches = []*watched{{resource: "pods", denied: "list"}}
	for name, tt := range map[string]struct {
		w    *Watcher
		want healthapi.Cause
	}{
		"nothing known":   {New(Config{Node: thisNode}, Sources{}, slog.New(slog.DiscardHandler)), healthapi.CauseUnknown},
		"not permitted":   {denied, healthapi.CausePermission},
		"no such node":    {known(nil), healthapi.CauseNodeCondition},
		"not Ready":       {known(newNode(nodeIs(corev1.NodeReady, corev1.ConditionFalse, "", "booting"))), healthapi.CauseNodeCondition},
		"not reported":    {known(newNode(func(n *corev1.Node) { n.Status.Conditions = nil })), healthapi.CauseNodeCondition},
		"no network":      {known(newNode(nodeIs(corev1.NodeNetworkUnavailable, corev1.ConditionTrue, "", ""))), healthapi.CauseNodeCondition},
		"startup taint":   {known(newNode(tainted("cni", corev1.TaintEffectPreferNoSchedule))), healthapi.CauseStartupTaint},
		"DaemonSet":       {withDaemonSet, healthapi.CauseDaemonSet},
		"load":            {loaded(healthapi.Load{CPU: 90, Threshold: 80}), healthapi.CauseNodeLoad},
		"load is unknown": {loaded(healthapi.Load{Threshold: 80, Error: "node load: no metrics"}), healthapi.CauseNodeLoad},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.w.mu.Lock()
			reasons := tt.w.look().Reasons
			tt.w.mu.Unlock()
			if len(reasons) != 1 || healthapi.CauseOf(reasons[0]) != tt.want {
				t.Errorf("reasons %q, want one of cause %q", reasons, tt.want)
			}
		})
	}
	if c := healthapi.CauseOf("something new"); c != healthapi.CauseOther {
		t.Errorf("an unknown reason is %q", c)
	}
}
