// build.go makes the programs of the herd from this module's source.

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are the paths of the executables.
type programs struct{ lock, init, app string }

// build compiles the three programs into a folder, which it makes.
func build(ctx context.Context, dir string) (programs, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return programs{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return programs{}, fmt.Errorf("make a folder for the programs: %w", err)
	}
	// One command for all three: go build shares the work and uses every core.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(filepath.Separator),
		"./components/lock", "./components/init", "./scenarios/app")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return programs{}, fmt.Errorf("build lock, init and app in %s: %w\n%s", root, err, bytes.TrimSpace(out))
	}
	return programs{
		lock: filepath.Join(dir, "lock"),
		init: filepath.Join(dir, "init"),
		app:  filepath.Join(dir, "app"),
	}, nil
}

// moduleRoot is the folder of this module, of which the working folder has to be a part.
func moduleRoot(ctx context.Context) (string, error) {
	const module = "github.com/pod-startup-lock/pod-startup-lock"
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(failed.Stderr))
		}
		return "", fmt.Errorf("find the source to build from (run this within the project's folder): %w", err)
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if path != module || dir == "" {
		return "", fmt.Errorf("find the source to build from: this is the module %q, not %s: run this within the project's folder", path, module)
	}
	return dir, nil
}
