// Input that is broken, hostile or long.

package inject

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestBadInputIsNamedAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n"
	const good = "{apiVersion: v1, kind: Pod, spec: {containers: []}}"
	tests := map[string]struct{ in, want string }{
		"not YAML":               {"a: b\nc: [\n", "line 2"},
		"not YAML, later":        {good + "\n---\na: b\n c: d\n", "line 4"},
		"a text":                 {"Dear all,\nhello\n", `line 1: not a manifest: want a map, got "Dear all, hello"`},
		"a list":                 {"- a\n", "line 1: not a manifest: want a map, got a list"},
		"not text":               {"\xff\xfe{}", "not UTF-8"},
		"template is a list":     {deployment + "spec:\n  template: []\n", "Deployment shop/web: line 5: template: want a map, got a list"},
		"template is a text":     {deployment + "spec:\n  template: x\n", `Deployment shop/web: line 5: template: want a map, got "x"`},
		"pod's spec is a text":   {deployment + "spec: {template: {spec: x}}\n", `Deployment shop/web: line 4: spec: want a map, got "x"`},
		"initContainers a map":   {deployment + "spec: {template: {spec: {initContainers: {}}}}\n", "Deployment shop/web: line 4: initContainers: want a list, got a map"},
		"init container a text":  {deployment + "spec: {template: {spec: {initContainers: [x]}}}\n", "Deployment shop/web: line 4: want a map"},
		"labels are a list":      {deployment + "spec: {template: {metadata: {labels: []}, spec: {}}}\n", "Deployment shop/web: line 4: want a map"},
		"items is a map":         {"apiVersion: v1\nkind: List\nitems: {}\n", "List: line 3: items: want a list"},
		"one broken item":        {"apiVersion: v1\nkind: List\nitems:\n- " + good + "\n- " + strings.ReplaceAll(deployment, "\n", "\n  ") + "spec: {template: []}\n", "items[1] Deployment shop/web: line 8: template"},
		"an item that is a text": {"apiVersion: v1\nkind: List\nitems:\n- " + good + "\n- x\n", `items[1]: line 5: want a map, got "x"`},
		"a list in a list":       {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [" + good + ", 1]}]", "items[0].items[1]: line 3"},
		"an item of a PodList":   {"apiVersion: v1\nkind: PodList\nitems: [{spec: 1}]", "items[0] Pod: line 3: spec: want a map"},
		"shared spec":            {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, spec: &s {containers: []}}\n- {apiVersion: v1, kind: Pod, spec: *s}\n", "items[0] Pod: line 4: cannot insert where YAML has an anchor"},
		"spec by alias":          {"x: &s {a: b}\napiVersion: v1\nkind: Pod\nspec: *s\n", "Pod: line 4: spec: want a map, got an alias (*s)"},
		"spec by merge":          {"x: &s {a: b}\napiVersion: v1\nkind: Pod\nspec:\n  <<: *s\n", "Pod: line 5: os may come from a merge key"},
		"a tag of nothing":       {"apiVersion: v1\nkind: Pod\nspec: !\n  a: b\n", "line 3: cannot insert the init container into such a layout"},
		"kind is a list":         {"kind: []\n", "a document: line 1: kind: want a text, got a list"},
		"kind by merge":          {"x: &s {kind: Pod}\n<<: *s\n", "a document: line 1: kind may come from a merge key"},
		"too long":               {strings.Repeat(" ", MaxBytes+1), "longer than 32 MiB"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, warnings, err := Manifests([]byte(test.in), testOptions())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error that has %q", err, test.want)
			}
			if out != nil || warnings != nil {
				t.Errorf("beside the error: warnings %q, output\n%.200s", warnings, out)
			}
		})
	}
}

func TestAliasBombsStaySmall(t *testing.T) {
	t.Parallel()
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 {x: y}\n")
	for i := range 40 {
		fmt.Fprintf(&bomb, "a%d: &a%[1]d [*a%[2]d,*a%[2]d,*a%[2]d,*a%[2]d]\n", i+1, i)
	}
	in := bomb.String() + "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: b}, finalizers: *a40}\nspec:\n  containers: []\n"
	started := time.Now()
	out, _, err := Manifests([]byte(in), testOptions())
	if err != nil || len(out) > len(in)+4096 || time.Since(started) > 10*time.Second {
		t.Errorf("error %v, %d bytes of %d after %s", err, len(out), len(in), time.Since(started))
	}
}

func TestTenMegabytesAreTaken(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("reads it twice, which takes a while with the race detector")
	}
	one := append(read(t, "deployment.yaml"), "---\napiVersion: v1\nkind: ConfigMap\ndata:\n  large: |\n"...)
	one = append(bytes.Join([][]byte{one, bytes.Repeat([]byte("    # a line of some length, of which there are many\n"), 5000)}, nil), "---\n"...)
	in := bytes.Repeat(one, 10<<20/len(one)+1)
	out, _, err := Manifests(in, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := bytes.Count(out, []byte("PSL_MAX_WAIT")), bytes.Count(in, []byte("kind: Deployment")); got != want || want < 10 {
		t.Errorf("%d injected of %d", got, want)
	}
}
