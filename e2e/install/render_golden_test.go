// The chart's modes, one values file each in chart/ci: what each renders, to the letter, and that Kubernetes would have it.

package install

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// modes are the files of chart/ci, by name.
func modes(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(chartPath, "ci", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		modes[strings.TrimSuffix(filepath.Base(path), ".yaml")] = string(content)
	}
	if len(modes) < 6 {
		t.Fatalf("only %d modes", len(modes))
	}
	return modes
}

// renderMode renders everything, hooks too, as a release of the mode's name on a cluster that has all the APIs the
// chart can use.
func renderMode(t *testing.T, mode, values string) string {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	version := kubeVersion()
	install := action.NewInstall(memoryCluster())
	install.KubeVersion, install.ReleaseName, install.Namespace = &version, mode, "startup"
	install.APIVersions = chartutil.VersionSet{"admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
		"monitoring.coreos.com/v1", "monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule"}
	install.ClientOnly, install.DryRun = true, true
	r, err := install.RunWithContext(t.Context(), loadChart(t), v)
	if err != nil {
		t.Fatal(err)
	}
	var rendered strings.Builder
	rendered.WriteString(r.Manifest)
	for _, hook := range r.Hooks {
		rendered.WriteString("---\n# Source: " + hook.Path + "\n" + hook.Manifest + "\n")
	}
	return rendered.String()
}

func TestModesAreAsGolden(t *testing.T) {
	t.Parallel()
	for mode, values := range modes(t) {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			got := renderMode(t, mode, values)
			path := filepath.Join("testdata", mode+".yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got == string(want) {
				return
			}
			at := 0
			gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
			for at < min(len(gotLines), len(wantLines)) && gotLines[at] == wantLines[at] {
				at++
			}
			t.Errorf("not as in %s, from line %d on:\n%s\nIf that is meant, go test ./e2e/install -run Golden -update", path, at+1,
				strings.Join(gotLines[min(at, len(gotLines)):min(at+5, len(gotLines))], "\n"))
		})
	}
}

// Every object is one that Kubernetes knows, without a field that it does not; every pod, and every pod that the policy
// puts the init container into, is admitted where "restricted" is enforced.
func TestModesAreStrictAndRestricted(t *testing.T) {
	t.Parallel()
	for mode, values := range modes(t) {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			pods, injected := 0, 0
			for _, object := range decodeStrictly(t, renderMode(t, mode, values)) {
				switch o := object.(type) {
				case *appsv1.DaemonSet:
					pods++
					restricted(t, &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec)
				case *corev1.Pod:
					pods++
					restricted(t, &o.ObjectMeta, &o.Spec)
				case *admissionv1.MutatingAdmissionPolicy:
					injected++
					pod := minimalPod()
					pod.InitContainers = append(pod.InitContainers, injectedContainer(t, o))
					restricted(t, &metav1.ObjectMeta{}, pod)
				}
			}
			if pods < 2 || (injected == 1) != (mode != "no-health") {
				t.Errorf("%d pods and %d policies", pods, injected)
			}
		})
	}
}

// decodeStrictly reads what is rendered as strictly as an API server with strict field validation; it leaves out the kinds of
// the Prometheus operator, whose types are not at hand.
func decodeStrictly(t *testing.T, manifest string) []runtime.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	var objects []runtime.Object
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if kind.Kind == "" || strings.HasPrefix(kind.APIVersion, "monitoring.coreos.com/") {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

// minimalPod is the least that "restricted" admits.
func minimalPod() *corev1.PodSpec {
	yes, no := true, false
	return &corev1.PodSpec{Containers: []corev1.Container{{Name: "app", SecurityContext: &corev1.SecurityContext{
		RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}}}}
}

// injectedContainer is what the policy adds. Its expression is JSON but for what CEL wants of it: dyn around every value,
// and one variable.
func injectedContainer(t *testing.T, policy *admissionv1.MutatingAdmissionPolicy) corev1.Container {
	t.Helper()
	for _, variable := range policy.Spec.Variables {
		if variable.Name != "waits" {
			continue
		}
		text := strings.ReplaceAll(variable.Expression, `"--host=" + variables.host`, `"--host=lock"`)
		text = regexp.MustCompile(`dyn\(|\)`).ReplaceAllString(text, "")
		if !json.Valid([]byte(text)) {
			t.Fatalf("not read as JSON:\n%s", text)
		}
		var container corev1.Container
		if err := yaml.UnmarshalStrict([]byte(text), &container); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if container.Name != "startup-lock" || container.SecurityContext == nil {
			t.Fatalf("container %+v", container)
		}
		return container
	}
	t.Fatal("the policy has no container to add")
	return corev1.Container{}
}
