// This file compiles the programs of a node from their published Go modules.

package nodeimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// compiler compiles sources into a cache in which every program has a name made of its content, so
// that an interrupted build goes on where it was, and a changed version compiles anew.
type compiler struct {
	bin  string // compiled programs
	work string // the small modules that they are compiled in
}

// compileAll compiles every program that the cache lacks and answers where each of them is.
func (c compiler) compileAll(ctx context.Context) (map[string]string, error) {
	programs := map[string]string{}
	for _, src := range sources() {
		key, err := src.key()
		if err != nil {
			return nil, err
		}
		prepared := false
		for _, name := range slices.Sorted(maps.Keys(src.programs)) {
			file := filepath.Join(c.bin, name+"-"+key)
			programs[name] = file
			if _, err := os.Stat(file); err == nil {
				continue
			}
			if !prepared {
				if err := progress.Step(ctx, "fetch the sources of "+src.name+" "+src.version, func() error { return c.prepare(ctx, src) }); err != nil {
					return nil, fmt.Errorf("prepare the sources of %s: %w", src.name, err)
				}
				prepared = true
			}
			if err := progress.Step(ctx, "compile "+name, func() error { return c.compile(ctx, src, src.programs[name], file) }); err != nil {
				return nil, fmt.Errorf("compile %s: %w", name, err)
			}
		}
	}
	return programs, nil
}

// key identifies what a source compiles to.
func (s source) key() (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOARCH, s.module, s.version, s.tags, s.ldflags, s.staging)
	if s.main != "" {
		text, err := files.ReadFile("files/" + s.main)
		if err != nil {
			return "", fmt.Errorf("read the embedded %s: %w", s.main, err)
		}
		hash.Write(text)
	}
	return strings.TrimPrefix(s.version+"-", "-") + hex.EncodeToString(hash.Sum(nil))[:10], nil
}

// prepare makes the small module that requires the source.
func (c compiler) prepare(ctx context.Context, src source) error {
	dir := filepath.Join(c.work, src.name)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the module of an earlier build: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the module's folder: %w", err)
	}
	if _, err := c.goTool(ctx, dir, "mod", "init", "node-image.invalid/"+src.name); err != nil {
		return err
	}
	if src.main != "" {
		text, err := files.ReadFile("files/" + src.main)
		if err != nil {
			return fmt.Errorf("read the embedded %s: %w", src.main, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "main.go"), text, 0o644); err != nil {
			return fmt.Errorf("write main.go: %w", err)
		}
	}
	if src.staging != "" {
		edits, err := c.stagingEdits(ctx, dir, src)
		if err != nil {
			return err
		}
		if _, err := c.goTool(ctx, dir, append([]string{"mod", "edit"}, edits...)...); err != nil {
			return err
		}
	}
	if src.module == "" {
		return nil
	}
	_, err := c.goTool(ctx, dir, "get", src.module+"@"+src.version)
	return err
}

// stagingEdits replaces the modules that the source's repository holds itself by their published versions.
func (c compiler) stagingEdits(ctx context.Context, dir string, src source) ([]string, error) {
	out, err := c.goTool(ctx, dir, "mod", "download", "-json", src.module+"@"+src.version)
	if err != nil {
		return nil, err
	}
	var download struct{ GoMod string }
	if err := json.Unmarshal(out, &download); err != nil {
		return nil, fmt.Errorf("read what go mod download answered: %w", err)
	}
	if out, err = c.goTool(ctx, dir, "mod", "edit", "-json", download.GoMod); err != nil {
		return nil, err
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, fmt.Errorf("read the go.mod of %s: %w", src.module, err)
	}
	var edits []string
	for _, r := range mod.Require {
		if r.Version == "v0.0.0" {
			edits = append(edits, fmt.Sprintf("-replace=%s=%s@%s", r.Path, r.Path, src.staging))
		}
	}
	return edits, nil
}

// compile writes the program under a temporary name first: a file with the final name is whole.
func (c compiler) compile(ctx context.Context, src source, pkg, file string) error {
	if err := os.MkdirAll(c.bin, 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	partial := file + ".partial"
	args := []string{"build", "-trimpath", "-tags", src.tags, "-ldflags", "-s -w" + src.ldflags, "-o", partial, pkg}
	if _, err := c.goTool(ctx, filepath.Join(c.work, src.name), args...); err != nil {
		return err
	}
	if err := os.Rename(partial, file); err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	return nil
}

// goTool runs the go command untouched by the settings of whoever runs us.
func (c compiler) goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, tail(complaint.String()))
	}
	return out.Bytes(), nil
}

// tail keeps the end of a long output, where the reason stands.
func tail(text string) string {
	const most = 2000
	text = strings.TrimSpace(text)
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}
