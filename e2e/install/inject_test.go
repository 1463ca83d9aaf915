// The init container is written twice, in the chart and in `init inject`: here the two are one.

package install

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pod-startup-lock/pod-startup-lock/components/init/inject"
)

func TestInjectAndChartHaveTheSameInitContainer(t *testing.T) {
	t.Parallel()
	notes := mustRender(t, "pod-startup-lock", "pod-startup-lock", "").notes
	_, rest, _ := strings.Cut(notes, "\ninitContainers:\n")
	block, _, _ := strings.Cut(rest, "\n\n")
	var want corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte("initContainers:\n"+block), &want); err != nil || len(want.InitContainers) != 1 {
		t.Fatalf("%v in the notes\n%s", err, notes)
	}

	for name, in := range map[string]string{
		"block": "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: a, image: a}\n",
		"flow":  `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "image": "a"}]}}`,
	} {
		out, _, err := inject.Manifests([]byte(in), inject.Defaults("v"+loadChart(t).AppVersion()))
		if err != nil {
			t.Fatal(err)
		}
		var got corev1.Pod
		if err := yaml.UnmarshalStrict(out, &got); err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, out)
		}
		if !reflect.DeepEqual(got.Spec.InitContainers, want.InitContainers) {
			t.Errorf("%s: inject has\n%+v\nthe chart has\n%+v", name, got.Spec.InitContainers, want.InitContainers)
		}
	}
}
