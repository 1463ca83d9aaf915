// The rules of DaemonSets and of the node, case by case.

package nodewatch

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The cases of the DaemonSet controller's own predicate, in meaning.
func TestRequired(t *testing.T) {
	t.Parallel()
	type dsEdits = []func(*appsv1.DaemonSet)
	type nodeEdits = []func(*corev1.Node)
	selector := func(labels map[string]string) func(*appsv1.DaemonSet) {
		return template(func(s *corev1.PodSpec) { s.NodeSelector = labels })
	}
	affinity := func(terms ...corev1.NodeSelectorTerm) func(*appsv1.DaemonSet) {
		return template(func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
		})
	}
	label := func(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}
	}
	field := func(op corev1.NodeSelectorOperator, name string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: op, Values: []string{name}}}}
	}
	hostNetwork := template(func(s *corev1.PodSpec) { s.HostNetwork = true })
	nodeName := func(name string) func(*appsv1.DaemonSet) {
		return template(func(s *corev1.PodSpec) { s.NodeName = name })
	}
	const noSchedule, noExecute = corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute
	for _, tt := range []struct {
		name string
		ds   dsEdits
		node nodeEdits
		want bool
	}{
		{"nothing special", nil, nil, true},
		{"is being deleted", dsEdits{func(ds *appsv1.DaemonSet) { now := metaAt(0); ds.DeletionTimestamp = &now }}, nil, false},
		{"node name is this", dsEdits{nodeName(thisNode)}, nil, true},
		{"node name is another", dsEdits{nodeName("node-2")}, nil, false},
		{"more CPU than there is", dsEdits{template(func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000")}
		})}, nil, true},

		{"selector matches", dsEdits{selector(map[string]string{"disk": "ssd"})}, nil, true},
		{"selector matches not", dsEdits{selector(map[string]string{"disk": "tape"})}, nil, false},
		{"selector of a label that is not there", dsEdits{selector(map[string]string{"gpu": ""})}, nil, false},
		{"affinity matches", dsEdits{affinity(label("disk", corev1.NodeSelectorOpIn, "hdd", "ssd"))}, nil, true},
		{"affinity matches not", dsEdits{affinity(label("disk", corev1.NodeSelectorOpNotIn, "ssd"))}, nil, false},
		{"affinity: one of its terms matches", dsEdits{affinity(label("gpu", corev1.NodeSelectorOpExists), label("disk", corev1.NodeSelectorOpExists))}, nil, true},
		{"affinity: no terms match nothing", dsEdits{affinity()}, nil, false},
		{"affinity matches, selector not", dsEdits{affinity(label("disk", corev1.NodeSelectorOpExists)), selector(map[string]string{"gpu": ""})}, nil, false},
		{"affinity by name", dsEdits{affinity(field(corev1.NodeSelectorOpIn, thisNode))}, nil, true},
		{"affinity by another's name", dsEdits{affinity(field(corev1.NodeSelectorOpIn, "node-2"))}, nil, false},
		{"affinity that makes no sense", dsEdits{affinity(label("disk", "Likes", "ssd"))}, nil, false},
		{"affinity that makes no sense, and another term", dsEdits{affinity(label("disk", "Likes", "ssd"), label("disk", corev1.NodeSelectorOpExists))}, nil, true},
		{"affinity that is only preferred", dsEdits{template(func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 1, Preference: label("gpu", corev1.NodeSelectorOpExists)}}}}
		})}, nil, true},

		{"taint", nil, nodeEdits{tainted("team", noSchedule)}, false},
		{"taint that evicts", nil, nodeEdits{tainted("team", noExecute)}, false},
		{"taint that only asks", nil, nodeEdits{tainted("team", corev1.TaintEffectPreferNoSchedule)}, true},
		{"taint that is tolerated", dsEdits{tolerating(corev1.Toleration{Key: "team", Operator: corev1.TolerationOpExists})}, nodeEdits{tainted("team", noSchedule)}, true},
		{"taint that is tolerated with another value", dsEdits{tolerating(corev1.Toleration{Key: "team", Value: "red"})}, nodeEdits{tainted("team", noSchedule)}, false},
		{"taint that is tolerated with another effect", dsEdits{tolerating(corev1.Toleration{Key: "team", Operator: corev1.TolerationOpExists, Effect: noExecute})},
			nodeEdits{tainted("team", noSchedule)}, false},
		{"one of two taints is tolerated", dsEdits{tolerating(corev1.Toleration{Key: "team", Operator: corev1.TolerationOpExists})},
			nodeEdits{tainted("team", noSchedule), tainted("gpu", noExecute)}, false},
		{"all is tolerated", dsEdits{tolerating(corev1.Toleration{Operator: corev1.TolerationOpExists})},
			nodeEdits{tainted("team", noSchedule), tainted("gpu", noExecute)}, true},
		{"unschedulable", nil, nodeEdits{tainted(corev1.TaintNodeUnschedulable, noSchedule), func(n *corev1.Node) { n.Spec.Unschedulable = true }}, true},
		{"not ready, evicts", nil, nodeEdits{tainted(corev1.TaintNodeNotReady, noExecute)}, true},
		{"not ready, not scheduled to", nil, nodeEdits{tainted(corev1.TaintNodeNotReady, noSchedule)}, false},
		{"unreachable, evicts", nil, nodeEdits{tainted(corev1.TaintNodeUnreachable, noExecute)}, true},
		{"under pressure", nil, nodeEdits{tainted(corev1.TaintNodeMemoryPressure, noSchedule), tainted(corev1.TaintNodeDiskPressure, noSchedule),
			tainted(corev1.TaintNodePIDPressure, noSchedule)}, true},
		{"no network", nil, nodeEdits{tainted(corev1.TaintNodeNetworkUnavailable, noSchedule)}, false},
		{"no network, host network", dsEdits{hostNetwork}, nodeEdits{tainted(corev1.TaintNodeNetworkUnavailable, noSchedule)}, true},
		{"host network tolerates no other taint", dsEdits{hostNetwork}, nodeEdits{tainted("team", noSchedule)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ds, node := newDaemonSet("ds", tt.ds...), newNode(tt.node...)
			if got := required(ds, node); got != tt.want {
				t.Errorf("required: %v", got)
			}
			if got := required(stripDaemonSet(stripDaemonSet(ds)), stripNode(stripNode(node))); got != tt.want {
				t.Errorf("required when stripped: %v", got)
			}
		})
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	labels := func(kv ...string) map[string]string {
		m := map[string]string{}
		for _, s := range kv {
			k, v, _ := strings.Cut(s, ":")
			m[k] = v
		}
		return m
	}
	for _, tt := range []struct {
		name      string
		selection Selection
		want      bool
	}{
		{"all", Selection{}, true},
		{"none", Selection{Disabled: true}, false},
		{"its namespace", Selection{Namespace: "kube-system"}, true},
		{"another namespace", Selection{Namespace: "default"}, false},
		{"host network", Selection{HostNetworkOnly: true}, false},
		{"all labels match", Selection{Include: labels("app:x", "tier:node")}, true},
		{"one label matches", Selection{Include: labels("app:x", "tier:other")}, false},
		{"a label is missing", Selection{Include: labels("nope:")}, false},
		{"excluded by one label", Selection{Exclude: labels("app:y", "tier:node")}, false},
		{"not excluded", Selection{Exclude: labels("app:y", "nope:")}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ds := stripDaemonSet(newDaemonSet("ds", func(ds *appsv1.DaemonSet) { ds.Labels = labels("app:x", "tier:node") }))
			if got := tt.selection.selects(ds); got != tt.want {
				t.Errorf("selects: %v", got)
			}
		})
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	onDelete := func(ds *appsv1.DaemonSet) { ds.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType }
	isReady, isDeleted := ready(true, 5), deleted
	ds, old, loose := newDaemonSet("ds", generation(3)), newDaemonSet("ds"), newDaemonSet("ds", generation(3), onDelete)
	pod := func(ds *appsv1.DaemonSet, g int, edits ...func(*corev1.Pod)) *corev1.Pod {
		return newPod("ds-pod", append([]func(*corev1.Pod){podOf(ds, g)}, edits...)...)
	}
	for _, tt := range []struct {
		name string
		ds   *appsv1.DaemonSet
		pods []*corev1.Pod
		want string
	}{
		{"no pod", ds, nil, "no pod here yet"},
		{"Ready", ds, []*corev1.Pod{pod(ds, 3, isReady)}, ""},
		{"not Ready", ds, []*corev1.Pod{pod(ds, 3)}, "pod not Ready"},
		{"image missing", ds, []*corev1.Pod{pod(ds, 3, app(waiting("ImagePullBackOff")))}, "pod not Ready (ImagePullBackOff)"},
		{"an init container says more", ds, []*corev1.Pod{pod(ds, 3, initContainer("a", waiting("PodInitializing")),
			initContainer("b", waiting("CrashLoopBackOff")), app(waiting("PodInitializing")))}, "pod not Ready (CrashLoopBackOff)"},
		{"an init container runs", ds, []*corev1.Pod{pod(ds, 3, initContainer("a", running(1, true)), app(waiting("PodInitializing")))},
			"pod not Ready (PodInitializing)"},
		{"older", ds, []*corev1.Pod{pod(ds, 2, isReady)}, "pod is of an older generation"},
		{"older, but stays so", loose, []*corev1.Pod{pod(loose, 2, isReady)}, ""},
		{"the pod's generation is unknown", ds, []*corev1.Pod{pod(ds, 0, isReady)}, ""},
		{"the DaemonSet's generation is unknown", old, []*corev1.Pod{pod(old, 2, isReady)}, ""},
		{"is being deleted", ds, []*corev1.Pod{pod(ds, 3, isReady, isDeleted)}, "pod is being deleted"},
		{"one is being deleted, one came", ds, []*corev1.Pod{pod(ds, 2, isDeleted), pod(ds, 3)}, "pod not Ready"},
		{"one is being deleted, one is old", ds, []*corev1.Pod{pod(ds, 2, isDeleted), pod(ds, 2, isReady)}, "pod is of an older generation"},
		{"surge: the new one is Ready before the old one goes", ds, []*corev1.Pod{pod(ds, 2, isReady), pod(ds, 3, isReady)}, ""},
		{"surge: the new one is not Ready", ds, []*corev1.Pod{pod(ds, 2, isReady), pod(ds, 3)}, "pod not Ready"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // the pods come in any order
				if got := notReady(tt.ds, tt.pods); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				stripped := []*corev1.Pod{}
				for _, p := range tt.pods {
					stripped = append(stripped, stripPod(p))
				}
				if got := notReady(stripDaemonSet(tt.ds), stripped); got != tt.want {
					t.Errorf("stripped: got %q, want %q", got, tt.want)
				}
				slices.Reverse(tt.pods)
			}
		})
	}
}

func TestNodeReasons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		node *corev1.Node
		want []string
	}{
		{"fine", newNode(), nil},
		{"unknown", nil, []string{`node "node-1" is not in the cluster: check --node-name`}},
		{"not Ready", newNode(nodeIs(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", "PLEG is not\nhealthy")),
			[]string{"node is not Ready: PLEG is not healthy"}},
		{"silent", newNode(nodeIs(corev1.NodeReady, corev1.ConditionUnknown, "NodeStatusUnknown", "")), []string{"node is not Ready: NodeStatusUnknown"}},
		{"says nothing", newNode(nodeIs(corev1.NodeReady, corev1.ConditionUnknown, "", "")), []string{"node is not Ready"}},
		{"talks a lot", newNode(nodeIs(corev1.NodeReady, corev1.ConditionFalse, "", strings.Repeat("ä", 100))),
			[]string{"node is not Ready: " + strings.Repeat("ä", 58) + "…"}},
		{"new", newNode(func(n *corev1.Node) { n.Status.Conditions = nil }), []string{"node is not Ready: it has not reported yet"}},
		{"no network", newNode(nodeIs(corev1.NodeNetworkUnavailable, corev1.ConditionTrue, "NoRouteCreated", "no route")),
			[]string{"node's network is unavailable: no route"}},
		{"network", newNode(nodeIs(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "RouteCreated", "route")), nil},
		{"startup taint", newNode(tainted("cni/agent-not-ready", corev1.TaintEffectNoExecute), tainted("other", corev1.TaintEffectNoSchedule)),
			[]string{"node still has the startup taint cni/agent-not-ready"}},
		{"all at once", newNode(nodeIs(corev1.NodeReady, corev1.ConditionFalse, "", "x"), nodeIs(corev1.NodeNetworkUnavailable, corev1.ConditionTrue, "", "y"),
			tainted("first", corev1.TaintEffectNoSchedule)),
			[]string{"node is not Ready: x", "node's network is unavailable: y", "node still has the startup taint first"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			taints := []string{"first", "cni/agent-not-ready"}
			if got := nodeReasons(thisNode, tt.node, taints); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if tt.node == nil {
				return
			}
			if got := nodeReasons(thisNode, stripNode(tt.node), taints); !slices.Equal(got, tt.want) {
				t.Errorf("stripped: got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
