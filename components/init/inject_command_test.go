// init inject as a whole: files and stdin, exit codes, and what is written when.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/init/inject"
)

const (
	aPod       = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: []\n"
	aConfigMap = `{"apiVersion": "v1", "kind": "ConfigMap"}`
)

// runInject is `init inject`.
func runInject(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd, errOut := command(t, nil, append([]string{"inject"}, args...)...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = strings.NewReader(stdin), &out
	code = exitCode(t, cmd.Run())
	return code, out.String(), errOut.String()
}

func file(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInjectWritesWhatItReadWithTheContainer(t *testing.T) {
	t.Parallel()
	want, _, err := inject.Manifests([]byte(aPod), inject.Defaults(daemon.BuildInfo().Version))
	if err != nil || bytes.Equal(want, []byte(aPod)) {
		t.Fatalf("error %v, got\n%s", err, want)
	}
	stdinOnly := []string{"-f", "-"}
	both := []string{"-f", file(t, "a,b.json", aConfigMap), "-f", "-", "-f", file(t, "c.yaml", "---\n"+aPod)}
	for want, args := range map[string][]string{
		string(want): stdinOnly,
		aConfigMap + "\n---\n" + string(want) + "---\n" + string(want): both,
	} {
		if code, out, errOut := runInject(t, aPod, args...); code != 0 || out != want || errOut != "" {
			t.Errorf("%q: exit code %d, stderr %q, got\n%s\nwant\n%s", args, code, errOut, out, want)
		}
	}
}

func TestInjectTakesItsSettings(t *testing.T) {
	t.Parallel()
	in := strings.Replace(strings.Replace(aPod, "name: a", "namespace: kube-system, ownerReferences: [{kind: DaemonSet, controller: true}]", 1),
		"spec:", "spec:\n  hostNetwork: true", 1)
	code, out, errOut := runInject(t, in, "-f", "-", "--image", "r:5000/i@sha256:0", "--image-pull-policy=Never", "--host", "h.svc", "--port=99",
		"--daemonsets", "--kube-system")
	for _, want := range []string{`"r:5000/i@sha256:0"`, `"Never"`, `"--host=h.svc"`, `"--port=99"`} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s in\n%s", want, out)
		}
	}
	if code != 0 || !strings.Contains(errOut, "init: warning: stdin: Pod: hostNetwork") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("exit code %d, stderr %q", code, errOut)
	}
}

func TestInjectWritesNothingWhenSomethingIsWrong(t *testing.T) {
	t.Parallel()
	good := file(t, "good.yaml", strings.Replace(aPod, "spec:", "spec:\n  hostNetwork: true", 1))
	bad := file(t, "bad.yaml", "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, spec: x}]\n")
	long := file(t, "long.yaml", strings.Repeat("#", inject.MaxBytes+1))
	tests := map[string]struct {
		args []string
		code int
		want []string
	}{
		"a broken file":     {[]string{"-f", good, "-f", bad}, 1, []string{bad, "items[0] Pod: line 3: spec"}},
		"a file not there":  {[]string{"-f", good, "-f", bad + "x"}, 1, []string{"no such file"}},
		"a folder":          {[]string{"-f", filepath.Dir(bad)}, 1, []string{"is a directory"}},
		"a long file":       {[]string{"-f", good, "-f", long}, 1, []string{"longer than 32 MiB"}},
		"no file":           {nil, 2, []string{"-f: want a file"}},
		"stdin twice":       {[]string{"-f", "-", "-f", "-"}, 2, []string{"only one stdin"}},
		"an argument":       {[]string{"-f", good, "x"}, 2, []string{`unexpected argument "x"`}},
		"an unknown flag":   {[]string{"-f", good, "--nope"}, 2, []string{"nope"}},
		"all that is wrong": {[]string{"-f", good, "--image=", "--image-pull-policy=no", "--host=a b", "--port=x"}, 2, []string{"--image ", "--image-pull-policy", "--host", "--port"}},
		"a port too high":   {[]string{"-f", good, "--port=65536"}, 2, []string{"--port 65536"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := runInject(t, "", test.args...)
			if code != test.code || out != "" || strings.Contains(errOut, "warning") {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q", code, test.code, out, errOut)
			}
			for _, want := range test.want {
				if !strings.Contains(errOut, want) {
					t.Errorf("stderr %q, want %q in it", errOut, want)
				}
			}
		})
	}
}
