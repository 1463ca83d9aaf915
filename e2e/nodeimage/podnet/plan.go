// This file decides, from the nodes of a cluster, what one of them must be set up with.

package main

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// plan is how a node's part of the pod network should be.
type plan struct {
	conflist []byte            // the CNI configuration; nil while the node has no pod network
	routes   map[string]string // the other nodes' pod networks to their addresses
}

func planFor(self string, nodes map[string]corev1.Node) plan {
	p := plan{routes: map[string]string{}}
	for name, node := range nodes {
		if node.Spec.PodCIDR == "" {
			continue
		}
		if name == self {
			p.conflist = conflistFor(node.Spec.PodCIDR)
			continue
		}
		if address := internalIP(node); address != "" {
			p.routes[node.Spec.PodCIDR] = address
		}
	}
	return p
}

func internalIP(node corev1.Node) string {
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return address.Address
		}
	}
	return ""
}

// conflistFor connects each pod to the node by a pair of interfaces. The addresses that are taken are
// noted under /run: a reboot forgets them, and the pods that had them.
func conflistFor(podCIDR string) []byte {
	type object = map[string]any
	content, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "podnet",
		"plugins": []object{
			{
				"type": "ptp",
				"ipam": object{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []object{{"dst": "0.0.0.0/0"}},
					"ranges":  [][]object{{{"subnet": podCIDR}}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return nil // cannot be: it is all strings
	}
	return content
}
