// Whatever comes in: no panic, the same when done again, and all else as it was.

package inject

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

func FuzzManifests(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatalf("find seeds: %v", err)
	}
	for _, name := range files {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, false, false)
	}
	f.Add([]byte("apiVersion: v1\nkind: Pod\n? spec\n: ? initContainers\n  : - name: x\n"), false, false)
	f.Add([]byte("\uFEFFapiVersion: v1\r\nkind: Pod\rspec:\u0085  # c\u2028  a: \"\u2029\"\n"), true, true)
	f.Add([]byte("&a {apiVersion: v1, kind: Pod, spec: {<<: *a, initContainers: [*a]}}"), true, true)
	f.Fuzz(func(t *testing.T, in []byte, daemonSets, kubeSystem bool) {
		o := testOptions()
		o.DaemonSets, o.KubeSystem = daemonSets, kubeSystem
		before := bytes.Clone(in)
		out, _, err := Manifests(in, o)
		if !bytes.Equal(before, in) {
			t.Fatal("the input was written to")
		}
		if err != nil {
			if out != nil {
				t.Errorf("output beside the error %v", err)
			}
			return
		}
		sound(t, in, out, o)
	})
}

// sound fails unless out is in plus containers, and stays the same when done again.
func sound(t *testing.T, in, out []byte, o Options) {
	t.Helper()
	again, _, err := Manifests(out, o)
	if err != nil || !bytes.Equal(again, out) {
		t.Fatalf("done again: error %v, got\n%s\nof\n%s", err, again, out)
	}
	before, after := parse(t, in), parse(t, out)
	if len(before) != len(after) {
		t.Fatalf("%d documents became %d:\n%s", len(before), len(after), out)
	}
	for i := range before {
		if !same(before[i], after[i]) {
			t.Fatalf("document %d is not the same plus containers:\n%s\nbecame\n%s", i, in, out)
		}
	}
}

func parse(t *testing.T, in []byte) []*yaml.Node {
	t.Helper()
	var all []*yaml.Node
	for documents := yaml.NewDecoder(bytes.NewReader(in)); ; {
		var n yaml.Node
		if err := documents.Decode(&n); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read\n%s: %v", in, err)
		}
		all = append(all, &n)
	}
}

// same compares what a says with what b says without our containers.
func same(a, b *yaml.Node) bool {
	ac, bc := a.Content, withoutOurs(a, b)
	return a.Kind == b.Kind && a.Value == b.Value && a.Anchor == b.Anchor && a.ShortTag() == b.ShortTag() &&
		slices.EqualFunc(ac, bc, same)
}

// withoutOurs are b's parts; a list that we made, or made of null, is gone again.
func withoutOurs(a, b *yaml.Node) []*yaml.Node {
	if b.Kind != yaml.MappingNode {
		return b.Content
	}
	content := slices.Clone(b.Content)
	for i := 0; i+1 < len(content); i += 2 {
		list := content[i+1]
		if content[i].Value != "initContainers" || list.Kind != yaml.SequenceNode || len(list.Content) == 0 || !injected(list.Content[0]) {
			continue
		}
		switch {
		case len(b.Content) > len(a.Content):
			return slices.Delete(content, i, i+2)
		case i+1 < len(a.Content) && isNull(a.Content[i+1]):
			content[i+1] = a.Content[i+1]
		case i+1 < len(a.Content) && len(list.Content) > len(a.Content[i+1].Content):
			rest := *list
			rest.Content = list.Content[1:]
			content[i+1] = &rest
		}
	}
	return content
}

func injected(container *yaml.Node) bool {
	var c struct {
		Name, Image string
		Args        []string
	}
	return container.Decode(&c) == nil && c.Name == containerName && c.Image == testOptions().Image && len(c.Args) == 2
}
