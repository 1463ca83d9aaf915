// What becomes of manifests, by golden files and by table.

package inject

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
			if name != "list.json" && bytes.Count(crlf, []byte("\n")) != bytes.Count(crlf, []byte("\r\n")) {
				t.Error("line ends of two kinds")
			}
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

func TestOfAKeyGivenTwiceTheLastCounts(t *testing.T) {
	t.Parallel()
	const before, after = "{apiVersion: v1, kind: Pod, spec: {initContainers: [], initContainers: [", "{name: b}]}}"
	out, _, err := Manifests([]byte(before+after), testOptions())
	if err != nil || !strings.HasPrefix(string(out), before+"{") || !strings.HasSuffix(string(out), "}, "+after) {
		t.Errorf("error %v, got %s", err, out)
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
		"a second owner":         head + "metadata: {ownerReferences: [{kind: DaemonSet}, {kind: Job, controller: true}]}\nspec: {}\n",
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
