//go:build e2e

// What the chart renders in each mode, as a real API server takes it.

package suite

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"
)

func TestEveryRenderedObjectIsAccepted(t *testing.T) {
	suite.Test(t, features.New("what the chart renders in each of its modes").
		Assess("is accepted by a dry run with strict validation", suite.accepts).
		Feature())
}

// accepts creates what the golden files of the chart hold, dry, in a namespace that enforces the strictest Pod
// Security level. Of the kinds that others define, only those are left out which the chart says are not its own.
func (r *runner) accepts(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
	ns, err := r.cluster.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "rendered-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.cluster.Client.CoreV1().Namespaces().Delete(context.WithoutCancel(ctx), ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	client, err := dynamic.NewForConfig(r.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	kinds := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(r.cluster.Client.Discovery()))
	files, err := filepath.Glob(filepath.Join(r.root, "e2e/install/testdata/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	accepted := 0
	for _, file := range files {
		rendered, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for decode := yaml.NewYAMLOrJSONDecoder(strings.NewReader(string(rendered)), 4096); ; {
			object := &unstructured.Unstructured{}
			if err := decode.Decode(object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			gvk := object.GroupVersionKind()
			if gvk.Kind == "" || gvk.Group == "monitoring.coreos.com" {
				continue
			}
			mapping, err := kinds.RESTMapping(gvk.GroupKind(), gvk.Version)
			if err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(file), gvk, err)
				continue
			}
			options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
			if object.GetNamespace() != "" {
				object.SetNamespace(ns.Name)
				_, err = client.Resource(mapping.Resource).Namespace(ns.Name).Create(ctx, object, options)
			} else {
				_, err = client.Resource(mapping.Resource).Create(ctx, object, options)
			}
			if err != nil {
				t.Errorf("%s: %s %s: %v", filepath.Base(file), gvk.Kind, object.GetName(), err)
				continue
			}
			accepted++
		}
	}
	t.Logf("%d objects of %d modes accepted", accepted, len(files))
	return ctx
}
