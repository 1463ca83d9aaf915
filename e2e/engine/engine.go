// Package engine finds a container engine that can run privileged containers, or starts a private one.
package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
)

// Engine is a Docker engine that runs privileged containers.
type Engine struct {
	// Host is what DOCKER_HOST must be to reach it; empty means as the docker command finds it.
	Host string

	private *daemon // nil for the host's own engine
}

// Find answers the host's own engine where that runs privileged containers, else a private one, whose
// data is kept in the cache folder. A private one that runs already is used again.
func Find(ctx context.Context, cacheDir string) (*Engine, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, fmt.Errorf("find the docker command (on Debian as root: apt-get install docker.io): %w", err)
	}
	host := &Engine{Host: os.Getenv("DOCKER_HOST")}
	hostErr := host.usable(ctx)
	if hostErr == nil {
		return host, nil
	}

	private := newDaemon(cacheDir)
	if err := private.start(ctx); err != nil {
		return nil, fmt.Errorf("no container engine can run a kind cluster here; start Docker, or point DOCKER_HOST at one that runs privileged containers\n"+
			"  the host's own engine: %w\n  a private one: %w", hostErr, err)
	}
	e := &Engine{Host: private.host(), private: private}
	if err := e.usable(ctx); err != nil {
		return nil, fmt.Errorf("the private engine does not run privileged containers (its log is %s): %w", private.log, err)
	}
	return e, nil
}

// Use makes this engine the one that docker commands of this process reach: the kind library runs
// them with the process's own environment.
func (e *Engine) Use() error {
	if e.Host == "" {
		return nil
	}
	if err := os.Setenv("DOCKER_HOST", e.Host); err != nil {
		return fmt.Errorf("set DOCKER_HOST: %w", err)
	}
	return nil
}

// Private says whether the engine was started by Find, now or earlier.
func (e *Engine) Private() bool { return e.private != nil }

// String tells a person which engine it is.
func (e *Engine) String() string {
	switch {
	case e.Private():
		return "private dockerd at " + e.Host
	case e.Host == "":
		return "this host's docker"
	default:
		return "docker at " + e.Host
	}
}

// Stop ends a private engine and leaves the host's alone. It refuses while containers run: another
// program may have a cluster in the same engine.
func (e *Engine) Stop(ctx context.Context) error {
	if e.private == nil {
		return nil
	}
	running, err := e.Docker(ctx, "ps", "--format", "{{.Names}}")
	if err != nil {
		return fmt.Errorf("see what runs in the private engine: %w", err)
	}
	if running != "" {
		return fmt.Errorf("leave the private engine running, containers run in it: %s", strings.Join(strings.Fields(running), ", "))
	}
	return e.private.stop(ctx)
}

// Docker runs a docker command and answers what it printed.
func (e *Engine) Docker(ctx context.Context, args ...string) (string, error) {
	return e.DockerIn(ctx, nil, args...)
}

// DockerIn runs a docker command that reads in.
func (e *Engine) DockerIn(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	if e.Host != "" {
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host)
	}
	cmd.Stdin = in
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// usable runs a tiny privileged container: an engine that answers may still not be able to.
func (e *Engine) usable(ctx context.Context) error {
	arch, err := e.arch(ctx)
	if err != nil {
		return err
	}
	const ref = "pod-startup-lock/probe:1"
	if _, err := e.Docker(ctx, "image", "inspect", ref); err != nil {
		if err := e.loadProbe(ctx, ref, arch); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := e.Docker(ctx, "run", "--rm", "--privileged", "--network=none", ref)
	if err != nil {
		return fmt.Errorf("run a privileged container: %w", err)
	}
	if out != "privileged" {
		return fmt.Errorf("run a privileged container: it said %q", out)
	}
	return nil
}

// arch asks the engine for its architecture, and so whether it answers.
func (e *Engine) arch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	arch, err := e.Docker(ctx, "version", "--format", "{{.Server.Arch}}")
	if err != nil {
		return "", err
	}
	if arch == "" {
		return "", errors.New("docker version: the engine names no architecture")
	}
	return arch, nil
}

// loadProbe needs no registry: the image is built here. It runs as root, because it tries a mount.
func (e *Engine) loadProbe(ctx context.Context, ref, arch string) error {
	platform := images.Linux(arch)
	program, err := images.Compile(ctx, images.Component{Name: "probe", Package: "./e2e/engine/probe"}, platform)
	if err != nil {
		return err
	}
	img, err := images.Scratch(platform, v1.Config{Entrypoint: []string{"/probe"}}, gzip.BestSpeed,
		images.File{Path: "/probe", Mode: 0o755, Data: program})
	if err != nil {
		return fmt.Errorf("build the probe image: %w", err)
	}
	if err := e.Load(ctx, images.Image{Image: img, Ref: ref}); err != nil {
		return fmt.Errorf("load the probe image: %w", err)
	}
	return nil
}

// Load brings images into the engine.
func (e *Engine) Load(ctx context.Context, list ...images.Image) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(images.Archive(writer, list...)) }()
	_, err := e.DockerIn(ctx, reader, "load", "--quiet")
	reader.Close()
	return err
}
