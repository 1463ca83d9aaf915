// The sources in a real cluster.

package nodewatch

import (
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

// Connect makes the sources of a node from the address and credentials of an API server.
func Connect(cfg *rest.Config, node string) (Sources, error) {
	c := newConnection()
	cfg = rest.CopyConfig(cfg)
	if cfg.Dial == nil {
		cfg.Dial = daemon.Dialer{}.DialContext
	}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return transport{next, c} })
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return Sources{}, fmt.Errorf("make a client for the Kubernetes API: %w", err)
	}
	// A clientset knows all groups of the API, and takes twice the memory of the two that matter here.
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return Sources{}, fmt.Errorf("make the scheme of the Kubernetes API: %w", err)
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()

	clientFor := func(gv schema.GroupVersion, path string) (*rest.RESTClient, error) {
		cfg := rest.CopyConfig(cfg)
		cfg.APIPath, cfg.GroupVersion, cfg.NegotiatedSerializer = path, &gv, codecs
		cfg.ContentType = runtime.ContentTypeProtobuf
		cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
		rc, err := rest.RESTClientForConfigAndClient(cfg, client)
		if err != nil {
			return nil, fmt.Errorf("make a client for %s: %w", gv, err)
		}
		return rc, nil
	}
	core, err := clientFor(corev1.SchemeGroupVersion, "/api")
	if err != nil {
		return Sources{}, err
	}
	apps, err := clientFor(appsv1.SchemeGroupVersion, "/apis")
	if err != nil {
		return Sources{}, err
	}
	return Sources{
		Pods:       cache.NewListWatchFromClient(core, podsResource, metav1.NamespaceAll, fields.OneTermEqualSelector("spec.nodeName", node)),
		Node:       cache.NewListWatchFromClient(core, nodesResource, metav1.NamespaceAll, fields.OneTermEqualSelector("metadata.name", node)),
		DaemonSets: cache.NewListWatchFromClient(apps, daemonSetsResource, metav1.NamespaceAll, fields.Everything()),
		API:        c.api,
		connection: c,
	}, nil
}
