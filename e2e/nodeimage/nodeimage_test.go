package nodeimage

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
)

func TestContentKey(t *testing.T) {
	t.Parallel()
	sources := func(edit func(fstest.MapFS)) fstest.MapFS {
		tree := fstest.MapFS{"build.go": {Data: []byte("a")}, "files/unit": {Data: []byte("b")}, "build_test.go": {Data: []byte("c")}}
		edit(tree)
		return tree
	}
	same := func(fstest.MapFS) {}
	key := func(tree fstest.MapFS, toolchain string) string {
		got, err := contentKey(tree, toolchain)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := key(sources(same), "go1.26")
	for name, tc := range map[string]struct {
		edit      func(fstest.MapFS)
		toolchain string
		same      bool
	}{
		"nothing changed":     {same, "go1.26", true},
		"a test changed":      {func(m fstest.MapFS) { m["build_test.go"].Data = []byte("z") }, "go1.26", true},
		"a source changed":    {func(m fstest.MapFS) { m["build.go"].Data = []byte("z") }, "go1.26", false},
		"a file was added":    {func(m fstest.MapFS) { m["files/other"] = &fstest.MapFile{} }, "go1.26", false},
		"a file was renamed":  {func(m fstest.MapFS) { m["files/unit2"] = m["files/unit"]; delete(m, "files/unit") }, "go1.26", false},
		"another Go compiles": {same, "go1.27", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := key(sources(tc.edit), tc.toolchain); (got == first) != tc.same {
				t.Errorf("the key was %s and is %s", first, got)
			}
		})
	}
}

func TestBuiltRefNamesTheVersion(t *testing.T) {
	t.Parallel()
	ref, err := builtRef()
	if err != nil || !strings.HasPrefix(ref, "pod-startup-lock/node:v1.36.3-") {
		t.Errorf("got %s, %v", ref, err)
	}
}

// Every key must differ: programs of different sources share a folder.
func TestSourceKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, src := range sources() {
		key, err := src.key()
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s have the key %s", src.name, other, key)
		}
		seen[key] = src.name
		changed := src
		changed.version += "1"
		if again, err := changed.key(); err != nil || again == key {
			t.Errorf("another version of %s has the same key (%v)", src.name, err)
		}
	}
}

func TestKubernetesStamp(t *testing.T) {
	t.Parallel()
	got := kubernetesStamp("p")
	for _, want := range []string{"-X p.gitVersion=v1.36.3", "-X p.gitMajor=1", "-X p.gitMinor=36"} {
		if !strings.Contains(got+" ", want+" ") {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

func TestProgramOf(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"registry.k8s.io/kube-proxy:v1.36.3":      "kube-proxy",
		"registry.k8s.io/coredns/coredns:v1.14.2": "coredns",
		"pause": "pause",
	} {
		if got := programOf(ref); got != want {
			t.Errorf("%s is %s, want %s", ref, got, want)
		}
	}
}

func TestWorkloads(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	refs := []string{"registry.k8s.io/kube-apiserver:v1", "registry.k8s.io/pause:3"}
	list, err := workloads(refs, map[string]string{"kube-apiserver": program, "pause": program}, "")
	if err != nil || len(list) != 2 {
		t.Fatalf("got %v, %v", list, err)
	}
	for i, wantEntrypoint := range []bool{false, true} {
		config, err := list[i].ConfigFile()
		if err != nil || list[i].Ref != refs[i] || (len(config.Config.Entrypoint) > 0) != wantEntrypoint {
			t.Errorf("%s has the entrypoint %v, %v", list[i].Ref, config.Config.Entrypoint, err)
		}
	}
	if err := images.Archive(io.Discard, list...); err != nil {
		t.Error(err)
	}
	if _, err := workloads([]string{"registry.k8s.io/new-thing:v1"}, nil, ""); err == nil || !strings.Contains(err.Error(), "new-thing") {
		t.Errorf("a program that is not built: %v", err)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	units := filepath.Join(root, "usr/lib/systemd/system/sockets.target.wants")
	if err := os.MkdirAll(units, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"systemd-udevd-kernel.socket", "dbus.socket"} {
		if err := os.WriteFile(filepath.Join(units, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := clean(root); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(units)
	if err != nil || len(left) != 1 || left[0].Name() != "dbus.socket" {
		t.Errorf("%v are left, %v", left, err)
	}
}

func TestRegistryAnswers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{200: true, 401: true, 403: false, 502: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if got := registryAnswers(context.Background(), server.URL); got != want {
			t.Errorf("status %d: got %v", status, got)
		}
		server.Close()
		if registryAnswers(context.Background(), server.URL) {
			t.Error("a server that is gone answers")
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000) + "reason"
	if got := tail(long); len(got) > 2100 || !strings.HasSuffix(got, "reason") {
		t.Errorf("got %d characters", len(got))
	}
	if got := tail(" short\n"); got != "short" {
		t.Errorf("got %q", got)
	}
}
