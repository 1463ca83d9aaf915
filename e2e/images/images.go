// Package images builds container images without a registry and without a container engine: a static
// Go program in an otherwise empty image.
package images

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is an image and the name that it is to be loaded under.
type Image struct {
	v1.Image
	Ref string
}

// Component is a main package of this module, and how it becomes an image.
type Component struct {
	Name    string // the image's last name, and the program's: lock is /lock in .../lock
	Package string // relative to the module's root: ./components/lock
	Tag     string // the image's tag; "e2e" when empty
	LDFlags string // more linker flags, such as -X for the version
	// BuildTags are more build tags, separated by commas.
	BuildTags string
	// LimitMB is how big the image may be, in megabytes, uncompressed; 0 is as big as it likes.
	LimitMB float64
}

// nonroot is the user that distroless images run as too.
const nonroot = "65532:65532"

// Linux is the platform of an architecture, such as amd64.
func Linux(arch string) v1.Platform {
	return v1.Platform{OS: "linux", Architecture: arch}
}

// Ref is the name that a component's image is loaded under. No registry is asked for it: it is loaded
// into the nodes, and pods use it with imagePullPolicy IfNotPresent or Never.
func (c Component) Ref() string {
	tag := c.Tag
	if tag == "" {
		tag = "e2e"
	}
	return "ghcr.io/pod-startup-lock/" + c.Name + ":" + tag
}

// Build compiles a component and puts it into an image. The same source gives the same image.
func Build(ctx context.Context, c Component, platform v1.Platform) (Image, error) {
	program, err := Compile(ctx, c, platform)
	if err != nil {
		return Image{}, fmt.Errorf("build the image of %s for %s: %w", c.Name, platform, err)
	}
	img, err := Scratch(platform, v1.Config{
		Entrypoint: []string{"/" + c.Name},
		User:       nonroot,
		Labels: map[string]string{
			"org.opencontainers.image.title":    c.Name,
			"org.opencontainers.image.source":   "https://github.com/pod-startup-lock/pod-startup-lock",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}, gzip.DefaultCompression, File{Path: "/" + c.Name, Mode: 0o755, Data: program})
	if err != nil {
		return Image{}, fmt.Errorf("build the image of %s for %s: %w", c.Name, platform, err)
	}
	return Image{Image: img, Ref: c.Ref()}, nil
}

// Archive writes images as docker save does, which every engine and containerd reads.
func Archive(out io.Writer, images ...Image) error {
	refs := map[name.Reference]v1.Image{}
	for _, img := range images {
		ref, err := name.ParseReference(img.Ref)
		if err != nil {
			return fmt.Errorf("read the image name %q: %w", img.Ref, err)
		}
		refs[ref] = img.Image
	}
	if err := tarball.MultiRefWrite(refs, out); err != nil {
		return fmt.Errorf("write an image archive: %w", err)
	}
	return nil
}

// Build tags that leave out what nobody reaches in a program: a twentieth of its size.
const (
	noManuals = "urfave_cli_no_docs" // of the command line library
	// noHTTP2 is for those who speak HTTP/1 only. Health does not: it has one HTTP/2 connection to the API server.
	// With Go 1.26 that is the one of golang.org/x/net, which this tag leaves alone, from Go 1.27 on that of net/http.
	noHTTP2 = "nethttpomithttp2"
)

// Compile answers the static program of a component.
func Compile(ctx context.Context, c Component, platform v1.Platform) ([]byte, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "psl-image-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to compile into: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, c.Name)
	tags := noManuals
	if c.BuildTags != "" {
		tags += "," + c.BuildTags
	}

	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", strings.TrimSpace("-s -w "+c.LDFlags), "-o", file, c.Package)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", c.Package, err, complaint.String())
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the compiled program: %w", err)
	}
	return program, nil
}

// moduleRoot finds the module from any folder of it: tests run in their package's folder.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find this module's folder (run from inside the clone): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
