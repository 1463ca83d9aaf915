// This file finds everything in the cluster that has a label.

package cluster

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// Labelled lists the objects that a label selector matches, of every kind and in every namespace: "pods shop/web-1".
func (c *Cluster) Labelled(ctx context.Context, selector string) ([]string, error) {
	client, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", c.Name, err)
	}
	kinds, err := discovery.ServerPreferredResources(c.Client.Discovery())
	if err != nil {
		return nil, fmt.Errorf("ask %s which kinds of objects there are: %w", c.Name, err)
	}
	var found []string
	for _, group := range kinds {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("read the kinds of %s: %w", c.Name, err)
		}
		for _, kind := range group.APIResources {
			if !slices.Contains(kind.Verbs, "list") {
				continue
			}
			list, err := client.Resource(version.WithResource(kind.Name)).List(ctx, metav1.ListOptions{LabelSelector: selector})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s with %s: %w", kind.Name, selector, err)
			}
			for _, object := range list.Items {
				found = append(found, fmt.Sprintf("%s %s/%s", kind.Name, object.Namespace, object.Name))
			}
		}
	}
	return found, nil
}
