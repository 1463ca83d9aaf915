package main

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPlanFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		nodes    map[string]corev1.Node
		conflist string
		routes   map[string]string
	}{
		"alone, without a network yet": {map[string]corev1.Node{"me": node("", "172.28.0.2")}, "", nil},
		"alone":                        {map[string]corev1.Node{"me": node("10.244.1.0/24", "172.28.0.2")}, "10.244.1.0/24", nil},
		"with another": {
			map[string]corev1.Node{"me": node("10.244.1.0/24", "172.28.0.2"), "other": node("10.244.2.0/24", "172.28.0.3")},
			"10.244.1.0/24", map[string]string{"10.244.2.0/24": "172.28.0.3"},
		},
		"the other is not complete": {
			map[string]corev1.Node{"me": node("10.244.1.0/24", "172.28.0.2"), "other": node("", "172.28.0.3"), "third": node("10.244.3.0/24", "")},
			"10.244.1.0/24", nil,
		},
		"this node was deleted": {map[string]corev1.Node{"other": node("10.244.2.0/24", "172.28.0.3")}, "", map[string]string{"10.244.2.0/24": "172.28.0.3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := planFor("me", tc.nodes)
			if (got.conflist == nil) != (tc.conflist == "") || !strings.Contains(string(got.conflist), tc.conflist) {
				t.Errorf("got the configuration %s, want %q in it", got.conflist, tc.conflist)
			}
			if !maps.Equal(got.routes, tc.routes) {
				t.Errorf("got the routes %v, want %v", got.routes, tc.routes)
			}
		})
	}
}

func node(podCIDR, address string) corev1.Node {
	n := corev1.Node{Spec: corev1.NodeSpec{PodCIDR: podCIDR}}
	if address != "" {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: address}}
	}
	return n
}
