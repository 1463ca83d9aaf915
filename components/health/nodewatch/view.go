// The view: what the rules make of all that is known.

package nodewatch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// look makes a new view. Needs mu.
func (w *Watcher) look() *healthapi.Node {
	n := &healthapi.Node{Name: w.cfg.Node, Pods: []healthapi.Pod{}}
	n.API, n.Load = w.sources.API(), w.load
	n.Reasons = w.sources.connection.denials()
	n.Synced = w.pods.synced && w.daemonSets.synced && w.node.synced
	if !n.Synced {
		n.Reasons = append(n.Reasons, "nothing is known of the node yet: "+w.missing(n.API))
		return n
	}
	for _, pod := range w.pods.all {
		n.Pods = append(n.Pods, podState(pod, w.cfg.InitContainers))
	}
	slices.SortFunc(n.Pods, healthapi.ByName)

	node := w.node.all[types.NamespacedName{Name: w.cfg.Node}]
	n.Reasons = append(n.Reasons, nodeReasons(w.cfg.Node, node, w.cfg.StartupTaints)...)
	n.DaemonSets = w.lookAtDaemonSets(node)
	for _, ds := range n.DaemonSets {
		if !ds.Ready {
			n.Reasons = append(n.Reasons, fmt.Sprintf("DaemonSet %s/%s: %s", ds.Namespace, ds.Name, ds.Reason))
		}
	}
	if l := w.load; l != nil && l.Error != "" {
		n.Reasons = append(n.Reasons, l.Error)
	} else if l != nil && l.CPU >= l.Threshold {
		n.Reasons = append(n.Reasons, fmt.Sprintf("node load: CPU at %d %%, threshold %d %%", l.CPU, l.Threshold))
	}
	n.Healthy = len(n.Reasons) == 0
	return n
}

// missing says what is not known yet, and why.
func (w *Watcher) missing(api healthapi.API) string {
	if api.Error != "" {
		return api.Error
	}
	var lists []string
	for _, list := range []struct {
		of     string
		synced bool
	}{{"pods", w.pods.synced}, {"DaemonSets", w.daemonSets.synced}, {"the Node object", w.node.synced}} {
		if !list.synced {
			lists = append(lists, list.of)
		}
	}
	return "waiting for " + strings.Join(lists, ", ")
}

// lookAtDaemonSets is the state of those that are required here. Needs mu.
func (w *Watcher) lookAtDaemonSets(node *corev1.Node) []healthapi.DaemonSet {
	if at := w.daemonSets.version + w.node.version; at != w.requiredAt {
		w.required, w.requiredAt = w.require(node), at
	}
	own := w.pods.all[types.NamespacedName{Namespace: w.cfg.PodNamespace, Name: w.cfg.PodName}]
	pods := map[types.UID][]*corev1.Pod{} // by owner
	for _, pod := range w.pods.all {
		if owner := metav1.GetControllerOf(pod); owner != nil {
			pods[owner.UID] = append(pods[owner.UID], pod)
		}
	}
	var all []healthapi.DaemonSet
	for _, ds := range w.required {
		if own != nil && metav1.IsControlledBy(own, ds) {
			continue // it never waits for itself
		}
		reason := notReady(ds, pods[ds.UID])
		all = append(all, healthapi.DaemonSet{Namespace: ds.Namespace, Name: ds.Name, Ready: reason == "", Reason: reason})
	}
	return all
}

// require picks the DaemonSets that must be ready on node. With hundreds of
// them this is what costs, so it is done only when they or the node changed.
func (w *Watcher) require(node *corev1.Node) []*appsv1.DaemonSet {
	if node == nil {
		return nil
	}
	var all []*appsv1.DaemonSet
	for _, ds := range w.daemonSets.all {
		if w.cfg.DaemonSets.selects(ds) && !hasInitContainer(ds.Spec.Template.Spec.InitContainers, w.cfg.InitContainers) && required(ds, node) {
			all = append(all, ds)
		}
	}
	slices.SortFunc(all, func(a, b *appsv1.DaemonSet) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}
