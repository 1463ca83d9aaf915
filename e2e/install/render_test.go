// Rendering the chart, and what a test wants to know of the objects.

package install

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartPath)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startRegistry(t *testing.T) (host string) {
	t.Helper()
	srv := httptest.NewServer(ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// render is `helm template` with values in YAML.
func render(t *testing.T, releaseName, namespace, values string) (*release.Release, error) {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	version := kubeVersion()
	install := action.NewInstall(memoryCluster())
	install.KubeVersion = &version
	install.ReleaseName, install.Namespace, install.ClientOnly, install.DryRun = releaseName, namespace, true, true
	return install.RunWithContext(t.Context(), loadChart(t), v)
}

// objects are the rendered objects, none more and none less; unknown fields fail.
type objects struct {
	daemonSet appsv1.DaemonSet
	service   corev1.Service
	account   *corev1.ServiceAccount
	role      *rbacv1.ClusterRole
	binding   *rbacv1.ClusterRoleBinding
	notes     string
}

func (o *objects) pod() *corev1.PodSpec         { return &o.daemonSet.Spec.Template.Spec }
func (o *objects) container() *corev1.Container { return &o.pod().Containers[0] }

// health is its container; nil without one.
func (o *objects) health() *corev1.Container {
	for i := range o.pod().Containers {
		if c := &o.pod().Containers[i]; c.Name == "health" {
			return c
		}
	}
	return nil
}

func mustRender(t *testing.T, releaseName, namespace, values string) *objects {
	t.Helper()
	r, err := render(t, releaseName, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	out := &objects{notes: r.Info.Notes}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(r.Manifest)))
	for {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &meta); err != nil {
			t.Fatal(err)
		}
		var into any
		switch meta.Kind {
		case "DaemonSet":
			into = &out.daemonSet
		case "Service":
			into = &out.service
		case "ServiceAccount":
			out.account = &corev1.ServiceAccount{}
			into = out.account
		case "ClusterRole":
			out.role = &rbacv1.ClusterRole{}
			into = out.role
		case "ClusterRoleBinding":
			out.binding = &rbacv1.ClusterRoleBinding{}
			into = out.binding
		case "": // a comment
			continue
		default:
			t.Fatalf("unexpected object:\n%s", doc)
		}
		if err := yaml.UnmarshalStrict(doc, into); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
	}
}

// refused fails when the values are taken, or the error does not say what is wrong.
func refused(t *testing.T, values, want string) {
	t.Helper()
	if _, err := render(t, "lock", "startup", values); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%q: got %v, want an error that names %q", values, err, want)
	}
}

// restricted fails when the pod would not be admitted where "restricted" is enforced.
func restricted(t *testing.T, meta *metav1.ObjectMeta, spec *corev1.PodSpec) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, meta, spec) {
		if !result.Allowed {
			t.Errorf("not restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}
