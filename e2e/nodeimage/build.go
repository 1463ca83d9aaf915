// This file builds a node image from source, with nothing but Go modules and Debian packages.

package nodeimage

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/engine"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// builder builds node images. What takes long, and does not change with our own sources, it keeps.
type builder struct {
	engine *engine.Engine
	cache  string
	work   string // removed after the build
}

func newBuilder(e *engine.Engine, cacheDir string) builder {
	return builder{engine: e, cache: cacheDir, work: filepath.Join(cacheDir, "build")}
}

// build leaves the image in the engine under the name.
func (b builder) build(ctx context.Context, ref string) error {
	if err := missingTools(); err != nil {
		return err
	}
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(b.work)

	// The one waits for the network and for dpkg, the other for the processors.
	var root string
	var programs map[string]string
	group, parallel := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		root, err = b.rootfs(parallel)
		return err
	})
	group.Go(func() (err error) {
		programs, err = compiler{bin: filepath.Join(b.cache, "bin"), work: filepath.Join(b.cache, "src")}.compileAll(parallel)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := progress.Step(ctx, "compile podnet", func() error { return b.compilePodnet(ctx, programs) }); err != nil {
		return err
	}
	refs, err := workloadRefs(ctx, programs["kubeadm"])
	if err != nil {
		return err
	}
	base := ref + "-base"
	if err := progress.Step(ctx, "load the root file system into the engine", func() error {
		return b.loadBase(ctx, base, root, programs, refs)
	}); err != nil {
		return err
	}
	return progress.Step(ctx, "put the cluster's images into the node image", func() error {
		list, err := workloads(refs, programs, root)
		if err != nil {
			return err
		}
		return b.preload(ctx, base, ref, list)
	})
}

// compilePodnet builds the one program of the image that is ours.
func (b builder) compilePodnet(ctx context.Context, programs map[string]string) error {
	program, err := images.Compile(ctx, images.Component{Name: "podnet", Package: "./e2e/nodeimage/podnet"}, images.Linux(runtime.GOARCH))
	if err != nil {
		return fmt.Errorf("compile podnet: %w", err)
	}
	programs["podnet"] = filepath.Join(b.work, "podnet")
	if err := os.WriteFile(programs["podnet"], program, 0o755); err != nil {
		return fmt.Errorf("write podnet: %w", err)
	}
	return nil
}

// loadBase loads the image without the cluster's images in it.
func (b builder) loadBase(ctx context.Context, base, root string, programs map[string]string, refs []string) error {
	pause := ""
	for _, ref := range refs {
		if programOf(ref) == "pause" {
			pause = ref
		}
	}
	node, err := b.nodeFiles(ctx, programs, pause)
	if err != nil {
		return err
	}
	packed, err := b.pack(ctx, root)
	if err != nil {
		return err
	}
	lower, err := tarball.LayerFromFile(packed, tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return fmt.Errorf("make a layer of the root file system: %w", err)
	}
	upper, err := images.Layer(gzip.NoCompression, node...)
	if err != nil {
		return err
	}
	img, err := images.Stack(images.Linux(runtime.GOARCH), v1.Config{
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=docker"},
		Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"},
		StopSignal: "SIGRTMIN+3", // systemd's
	}, lower, upper)
	if err != nil {
		return err
	}
	return b.engine.Load(ctx, images.Image{Image: img, Ref: base})
}

// preload runs the base image, imports the images into its containerd, and keeps what came of it.
func (b builder) preload(ctx context.Context, base, ref string, list []images.Image) error {
	container, err := b.engine.Docker(ctx, "run", "--detach", "--privileged", "--network=none", "--entrypoint=sleep", base, "infinity")
	if err != nil {
		return fmt.Errorf("run the root file system: %w", err)
	}
	defer b.remove(ctx, container, base)

	if _, err := b.engine.Docker(ctx, "exec", "--detach", container, "containerd"); err != nil {
		return fmt.Errorf("start containerd in it: %w", err)
	}
	if err := b.await(ctx, container); err != nil {
		return fmt.Errorf("wait for containerd in it: %w", err)
	}
	for _, img := range list {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(images.Archive(writer, img)) }()
		_, err := b.engine.DockerIn(ctx, reader, "exec", "--interactive", container, "ctr", "--namespace=k8s.io", "images", "import",
			"--all-platforms", "--no-unpack", "--digests", "--label=io.cri-containerd.pinned=pinned", "-")
		reader.Close()
		if err != nil {
			return fmt.Errorf("import %s: %w", img.Ref, err)
		}
	}
	const end = "pkill -x containerd; while pgrep -x containerd >/dev/null; do sleep 0.1; done"
	if _, err := b.engine.Docker(ctx, "exec", container, "sh", "-c", end); err != nil {
		return fmt.Errorf("stop containerd in it: %w", err)
	}
	if _, err := b.engine.Docker(ctx, "commit", "--change", `ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]`, "--change", "CMD []", container, ref); err != nil {
		return fmt.Errorf("keep the image: %w", err)
	}
	return nil
}

func (b builder) await(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := b.engine.Docker(ctx, "exec", container, "ctr", "--namespace=k8s.io", "images", "ls", "--quiet")
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// remove cleans up even when the build was cancelled.
func (b builder) remove(ctx context.Context, container, base string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if _, err := b.engine.Docker(ctx, "rm", "--force", "--volumes", container); err != nil {
		progress.Note(ctx, "leave a container behind: %v", err)
	}
	// The kept image has the base's layers; the name is of no more use.
	if _, err := b.engine.Docker(ctx, "rmi", "--no-prune", base); err != nil {
		progress.Note(ctx, "leave an image behind: %v", err)
	}
}
