package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const allBut24 = capabilities(0x1fffeffffff) // everything but CAP_SYS_RESOURCE

func TestFindDocument(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want document
		ok   bool
	}{
		"create":             {[]string{"--root", "/r", "create", "--bundle", "/b", "id"}, document{"/b/config.json", []string{"process", "capabilities"}}, true},
		"create, joined":     {[]string{"create", "--bundle=/b", "id"}, document{"/b/config.json", []string{"process", "capabilities"}}, true},
		"run here":           {[]string{"run", "id"}, document{"config.json", []string{"process", "capabilities"}}, true},
		"exec":               {[]string{"exec", "-d", "--process", "/p.json", "id"}, document{"/p.json", []string{"capabilities"}}, true},
		"exec by words":      {[]string{"exec", "id", "sh"}, document{}, false},
		"flag without value": {[]string{"exec", "id", "--process"}, document{}, false},
		"delete":             {[]string{"delete", "--force", "id"}, document{}, false},
		"nothing":            {nil, document{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := findDocument(tc.args)
			if ok != tc.ok || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, %v; want %v, %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestRestrict(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ doc, want string }{
		"one is missing": {
			`{"ociVersion":"1.0","process":{"args":["x"],"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"]}}}`,
			`{"ociVersion":"1.0","process":{"args":["x"],"capabilities":{"bounding":["CAP_CHOWN"],"effective":[]}}}`,
		},
		"unknown stays":   {`{"process":{"capabilities":{"bounding":["CAP_FUTURE"]}}}`, `{"process":{"capabilities":{"bounding":["CAP_FUTURE"]}}}`},
		"no capabilities": {`{"process":{"args":[]}}`, `{"process":{"args":[]}}`},
		"null":            {`{"process":{"capabilities":null}}`, `{"process":{"capabilities":null}}`},
		"big numbers":     {`{"n":12345678901234567890,"process":{"capabilities":{}}}`, `{"n":12345678901234567890,"process":{"capabilities":{}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := restrict([]byte(tc.doc), []string{"process", "capabilities"}, allBut24)
			if err != nil || string(got) != tc.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
}

func TestRestrictRefusesOtherDocuments(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{``, `[]`, `{"process":7}`, `{"process":{"capabilities":["CAP_CHOWN"]}}`} {
		if got, err := restrict([]byte(doc), []string{"process", "capabilities"}, allBut24); err == nil {
			t.Errorf("%q became %q", doc, got)
		}
	}
}

func TestRewriteKeepsTheMode(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(file, []byte(`{"capabilities":{"bounding":["CAP_SYS_RESOURCE"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(document{file, []string{"capabilities"}}, allBut24); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != `{"capabilities":{"bounding":[]}}` {
		t.Errorf("got %s, %v", got, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
}

func TestBoundingSet(t *testing.T) {
	t.Parallel()
	got, err := boundingSet([]byte("Name:\tx\nCapEff:\t0\nCapBnd:\t000001fffeffffff\n"))
	if err != nil || got != allBut24 {
		t.Errorf("got %x, %v", got, err)
	}
	if got.has("CAP_SYS_RESOURCE") || !got.has("CAP_SYS_ADMIN") || !got.has("CAP_CHECKPOINT_RESTORE") {
		t.Errorf("bits and names of %x are not matched", got)
	}
	for _, status := range []string{"", "CapBnd:\tzz\n"} {
		if _, err := boundingSet([]byte(status)); err == nil {
			t.Errorf("%q was read", status)
		}
	}
}

// FuzzRestrict: whatever an engine hands over, no missing capability is left and the rest is untouched.
func FuzzRestrict(f *testing.F) {
	f.Add([]byte(`{"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"]},"args":["a"]}}`), uint64(allBut24))
	f.Add([]byte(`{"process":null}`), uint64(0))
	f.Fuzz(func(t *testing.T, doc []byte, bits uint64) {
		grantable := capabilities(bits)
		out, err := restrict(doc, []string{"process", "capabilities"}, grantable)
		if err != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(doc, &before) != nil || json.Unmarshal(out, &after) != nil {
			t.Fatalf("%q became %q", doc, out)
		}
		if len(before) != len(after) {
			t.Fatalf("%d keys became %d", len(before), len(after))
		}
		var process map[string]json.RawMessage
		var sets map[string][]string
		if json.Unmarshal(after["process"], &process) != nil || json.Unmarshal(process["capabilities"], &sets) != nil {
			return // asks for nothing
		}
		for set, names := range sets {
			for _, name := range names {
				if !grantable.has(name) {
					t.Fatalf("%s is left in %s", name, set)
				}
			}
		}
	})
}
