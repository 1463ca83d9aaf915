// This file sees to it that names are answered from the start.

package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const dnsPods = "k8s-app=kube-dns"

// restartDNS replaces CoreDNS. What kubeadm starts is there before kube-proxy is: its first connection
// to the API server gets no answer, and it takes half a minute to give that up.
func (c *Cluster) restartDNS(ctx context.Context) error {
	now := int64(0)
	err := c.Client.CoreV1().Pods(metav1.NamespaceSystem).DeleteCollection(ctx,
		metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: dnsPods})
	if err != nil {
		return fmt.Errorf("restart CoreDNS: %w", err)
	}
	return nil
}

// dnsServes checks that CoreDNS answers.
func (c *Cluster) dnsServes(ctx context.Context) (string, error) {
	pods, err := c.Client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: dnsPods})
	if err != nil {
		return "", fmt.Errorf("look for CoreDNS: %w", err)
	}
	for _, pod := range pods.Items {
		isReady := func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}
		if pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, isReady) {
			return "", nil
		}
	}
	return "CoreDNS is not Ready", nil
}
