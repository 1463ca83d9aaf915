// What is written comes back, or is noticed.

package statefile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type memory struct{ Pods []string }

func open(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	t.Parallel()
	f := open(t)
	var m memory
	if found, err := f.Load(&m); found || err != nil {
		t.Errorf("an empty folder: %v %v", found, err)
	}
	for _, pods := range [][]string{{"a", "b"}, {"c"}} {
		if err := f.Save(memory{pods}); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := f.Load(&m); !found || err != nil || strings.Join(m.Pods, "") != "c" {
		t.Errorf("loaded %v %v %v", m, found, err)
	}
	left, _ := filepath.Glob(filepath.Join(f.path, "*"))
	if len(left) != 1 {
		t.Errorf("files %v, want the state alone", left)
	}
}

// TestAStateFileCutAnywhereIsNoticed also covers the process that died while
// an unatomic filesystem copied the file: every prefix of a good one is bad.
func TestAStateFileCutAnywhereIsNoticed(t *testing.T) {
	t.Parallel()
	f := open(t)
	if err := f.Save(memory{[]string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.path, name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		write(t, path, whole[:n])
		if found, err := f.Load(&memory{}); found || err == nil {
			t.Errorf("the first %d bytes were loaded", n)
		}
	}
}

func TestGarbageIsSetAsideOnceAndMakesRoom(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"garbage":       "\x00\xff not json",
		"other version": `{"version":99,"state":{}}`,
		"other shape":   `{"version":1,"state":[1,2]}`,
		"no state":      `{"version":1}`,
	} {
		f := open(t)
		path := filepath.Join(f.path, "state.json")
		now := time.Now()
		for i := range 3 { // a crash loop must not fill the folder
			write(t, path, []byte(content))
			if found, err := f.Load(&memory{}); found || err == nil {
				t.Fatalf("%s: loaded", name)
			}
			if _, err := f.SetAside(now.Add(time.Duration(i) * time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		left, _ := filepath.Glob(filepath.Join(f.path, "*"))
		if len(left) != 1 || !strings.Contains(left[0], ".bad-") {
			t.Errorf("%s: files %v, want one that is set aside", name, left)
		}
		if found, err := f.Load(&memory{}); found || err != nil {
			t.Errorf("%s: after that %v %v", name, found, err)
		}
	}
}

func TestAFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	for _, path := range []string{file, "/nowhere/at/all", "/proc"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"version":1,"state":{"Pods":["a"]}}`))
	f.Add([]byte(`{"version":1,"state":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		folder := open(t)
		write(t, filepath.Join(folder.path, name), b)
		found, err := folder.Load(&memory{})
		if found && err != nil {
			t.Errorf("found, and %v", err)
		}
	})
}
