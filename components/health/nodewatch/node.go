// The rules of the Node object.

package nodewatch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// maxMessage is how much of a condition's message is told, in bytes.
const maxMessage = 120

// nodeReasons says why pods should not start on node, which is nil when the
// cluster has none of this name.
func nodeReasons(name string, node *corev1.Node, startupTaints []string) []string {
	if node == nil {
		return []string{fmt.Sprintf("node %q is not in the cluster: check --node-name", name)}
	}
	var reasons []string
	if c := nodeCondition(node, corev1.NodeReady); c == nil {
		reasons = append(reasons, "node is not Ready: it has not reported yet")
	} else if c.Status != corev1.ConditionTrue {
		reasons = append(reasons, because("node is not Ready", c))
	}
	if c := nodeCondition(node, corev1.NodeNetworkUnavailable); c != nil && c.Status == corev1.ConditionTrue {
		reasons = append(reasons, because("node's network is unavailable", c))
	}
	for _, key := range startupTaints {
		if slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key }) {
			reasons = append(reasons, "node still has the startup taint "+key)
		}
	}
	return reasons
}

func nodeCondition(node *corev1.Node, of corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == of {
			return c
		}
	}
	return nil
}

// because adds to what the condition says of itself, on one short line.
func because(what string, c *corev1.NodeCondition) string {
	why := strings.Join(strings.Fields(cmp.Or(c.Message, c.Reason)), " ")
	if why == "" {
		return what
	}
	if len(why) > maxMessage {
		cut := maxMessage - len("…")
		for !utf8.RuneStart(why[cut]) {
			cut--
		}
		why = why[:cut] + "…"
	}
	return what + ": " + why
}

// stripNode keeps what the rules look at. Heartbeats are not among it.
func stripNode(n *corev1.Node) *corev1.Node {
	s := &corev1.Node{ObjectMeta: stripMeta(&n.ObjectMeta)}
	s.Labels = n.Labels
	for _, t := range n.Spec.Taints {
		s.Spec.Taints = append(s.Spec.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	for _, of := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeNetworkUnavailable} {
		if c := nodeCondition(n, of); c != nil {
			s.Status.Conditions = append(s.Status.Conditions,
				corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
		}
	}
	return s
}
