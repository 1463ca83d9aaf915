// What becomes of manifests, by golden files and by table.

package inject

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testOptions() Options { return Defaults("v1.2.3") }

func TestEveryKindMatchesItsGoldenFile(t *testing.T) {
	t.Parallel()
	warnings := map[string]string{"pod.yaml": "Pod one-: hostNetwork without dnsPolicy ClusterFirstWithHostNet"}
	for _, name := range []string{
		"deployment.yaml", "statefulset.yaml", "pod.yaml", "cronjob.yaml", "job.yaml", "others.yaml", "list.yaml", "list.json",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := read(t, name)
			out, warned, err := Manifests(in, testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(warned, "\n"); !strings.HasPrefix(got, warnings[name]) || (got == "") != (warnings[name] == "") {
				t.Errorf("warnings %q, want %q", got, warnings[name])
			}
			golden := filepath.Join("testdata", "injected", name)
			if *update {
				if err := os.WriteFile(golden, out, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out, want) {
				t.Errorf("got\n%s\nwant\n%s", out, want)
			}
			sound(t, in, out, testOptions())
			windows := bytes.ReplaceAll(in, []byte("\n"), []byte("\r\n"))
			crlf, _, err := Manifests(windows, testOptions())
			if err != nil {
				t.Fatalf("with CRLF: %v", err)
			}
			sound(t, windows, crlf, testOptions())
		})
	}
}

func TestPodsThatNeedNotWaitStayAsTheyAre(t *testing.T) {
	t.Parallel()
	in := read(t, "left_alone.yaml")
	out, warnings, err := Manifests(in, testOptions())
	if err != nil || !bytes.Equal(in, out) || len(warnings) > 0 {
		t.Errorf("error %v, warnings %q, output\n%s", err, warnings, out)
	}
}

func TestWhatIsLeftAloneIsInjectedWhenAsked(t *testing.T) {
	t.Parallel()
	const daemonSet = `{apiVersion: apps/v1, kind: DaemonSet, spec: {template: {spec: {containers: []}}}}`
	const owned = `{apiVersion: v1, kind: Pod, metadata: {ownerReferences: [{kind: DaemonSet, controller: true}]}, spec: {containers: []}}`
	const system = `{apiVersion: v1, kind: Pod, metadata: {namespace: kube-system}, spec: {containers: []}}`
	for _, in := range []string{daemonSet, owned, system} {
		if out, _, err := Manifests([]byte(in), testOptions()); err != nil || string(out) != in {
			t.Errorf("not asked: error %v, got %s", err, out)
		}
		o := testOptions()
		o.DaemonSets, o.KubeSystem = in != system, in == system
		out, _, err := Manifests([]byte(in), o)
		if err != nil || strings.Count(string(out), `"startup-lock"`) != 1 {
			t.Errorf("asked: error %v, got %s", err, out)
		}
	}
}

func TestUnusualLayoutsAreUnderstood(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: v1\nkind: Pod\n"
	tests := map[string]string{
		"byte order mark":        "\uFEFF{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": []}}",
		"empty spec":             head + "spec: {}",
		"no newline at the end":  head + "spec:\n  containers: []",
		"null":                   head + "spec:\n  initContainers: null\n  containers: []\n",
		"tilde":                  head + "spec:\n  initContainers: ~ # none\n",
		"key in quotes":          head + "spec:\n  \"initContainers\":\n    - name: b\n",
		"explicit key":           "apiVersion: v1\nkind: Pod\n? spec\n: containers: []\n  hostPID: true\n",
		"flow over lines":        head + "spec: {\n  # which\n  containers: []}\n",
		"tabs":                   "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n\t\"spec\": {\n\t\t\"containers\": []\n\t}\n}",
		"wide letters before it": "{apiVersion: v1, kind: Pod, metadata: {name: \"ü\u2028日本\"}, spec: {containers: []}}",
		"a key twice":            head + "spec:\n  initContainers: []\n  initContainers: [{name: b}]\n",
		"alias for labels":       head + "metadata: {labels: &l {a: b}, annotations: *l}\nspec:\n  containers: []\n",
		"a typed list":           "apiVersion: v1\nkind: PodList\nitems:\n- spec:\n    containers: []\n",
		"a list of a list":       "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, spec: {}}]}]",
		"comments far out":       head + "spec:\n# left\n\n      # right\n  containers: []\n",
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, _, err := Manifests([]byte(in), testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(out), "PSL_MAX_WAIT") != 1 {
				t.Errorf("not injected once:\n%s", out)
			}
			sound(t, []byte(in), out, testOptions())
		})
	}
}

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

func TestPodsWithoutTheClustersNameServiceAreWarnedOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		spec, host string
		warns      bool
	}{
		{`{hostNetwork: true}`, "lock.svc", true},
		{`{hostNetwork: true, dnsPolicy: ClusterFirst}`, "lock.svc", true},
		{`{hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet}`, "lock.svc", false},
		{`{dnsPolicy: Default}`, "lock.svc", true},
		{`{dnsPolicy: None}`, "lock.svc", true},
		{`{hostNetwork: true}`, "10.0.0.7", false},
		{`{hostNetwork: true}`, "fd00::7", false},
		{`{hostNetwork: false}`, "lock.svc", false},
	}
	for _, test := range tests {
		t.Run(test.spec+" "+test.host, func(t *testing.T) {
			t.Parallel()
			o := testOptions()
			o.Host = test.host
			out, warnings, err := Manifests([]byte("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: "+test.spec+"}"), o)
			if err != nil || !strings.Contains(string(out), "--host="+test.host) {
				t.Errorf("error %v, output %s", err, out)
			}
			if (len(warnings) == 1) != test.warns || test.warns && !strings.HasPrefix(warnings[0], "Pod p: ") {
				t.Errorf("warnings %q, want one: %t", warnings, test.warns)
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

func TestHostileTextsStayTexts(t *testing.T) {
	t.Parallel()
	o := Options{Image: "a\"b: {\n\x00\u2028\U0001F600'#", PullPolicy: "*x", Host: "%!s\\", Port: -1}
	for _, in := range []string{"apiVersion: v1\nkind: Pod\nspec:\n  a: b\n", `{"apiVersion": "v1", "kind": "Pod", "spec": {}}`} {
		out, _, err := Manifests([]byte(in), o)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Spec struct {
				InitContainers []struct {
					Image           string
					ImagePullPolicy string `yaml:"imagePullPolicy"`
					Args            []string
				} `yaml:"initContainers"`
			}
		}
		if err := yaml.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		c := got.Spec.InitContainers[0]
		if c.Image != o.Image || c.ImagePullPolicy != o.PullPolicy || c.Args[0] != "--host="+o.Host || c.Args[1] != "--port=-1" {
			t.Errorf("got %+q", c)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
