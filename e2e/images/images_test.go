package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// probe is a main package that is small and always there.
func probe() Component { return Component{Name: "probe", Package: "./e2e/engine/probe"} }

func TestBuild(t *testing.T) {
	t.Parallel()
	img, err := Build(context.Background(), probe(), Linux(runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != runtime.GOARCH {
		t.Errorf("the image is for %s/%s", config.OS, config.Architecture)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/probe"}) {
		t.Errorf("the image runs %v as %s", config.Config.Entrypoint, config.Config.User)
	}
	if img.Ref != "ghcr.io/pod-startup-lock/probe:e2e" {
		t.Errorf("the image is called %s", img.Ref)
	}
	again, err := Build(context.Background(), probe(), Linux(runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := img.Digest()
	if second, err := again.Digest(); err != nil || first != second {
		t.Errorf("the same source gave %v and then %v, %v", first, second, err)
	}
}

func TestBuildNamesThePackage(t *testing.T) {
	t.Parallel()
	_, err := Build(context.Background(), Component{Name: "x", Package: "./no/such/package"}, Linux("amd64"))
	if err == nil || !strings.Contains(err.Error(), "./no/such/package") {
		t.Errorf("got %v", err)
	}
}

func TestCompileBuildTags(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]string{"": "urfave_cli_no_docs", "a,b": "urfave_cli_no_docs,a,b"} {
		c := probe()
		c.BuildTags = more
		program, err := Compile(context.Background(), c, Linux(runtime.GOARCH))
		if err != nil {
			t.Fatal(err)
		}
		info, err := buildinfo.Read(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				got = s.Value
			}
		}
		if got != want {
			t.Errorf("with %q: built with the tags %s, want %s", more, got, want)
		}
	}
}

// What the chart asks for is built, under its name; health alone keeps HTTP/2.
func TestProduct(t *testing.T) {
	t.Parallel()
	want := map[string]struct {
		limit float64
		http2 bool
	}{"lock": {12, false}, "init": {12, false}, "health": {40, true}}
	for _, c := range Product("1.2.3") {
		w, ok := want[c.Name]
		if !ok || c.Package != "./components/"+c.Name || c.Ref() != "ghcr.io/pod-startup-lock/"+c.Name+":1.2.3" {
			t.Errorf("unexpected %+v", c)
		}
		if c.LimitMB != w.limit || strings.Contains(c.BuildTags, "omithttp2") == w.http2 {
			t.Errorf("%s: limit %g MB, build tags %q, want %+v", c.Name, c.LimitMB, c.BuildTags, w)
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("not built: %v", want)
	}
}

func TestScratch(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("from disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := Scratch(Linux("arm64"), v1.Config{}, gzip.NoCompression,
		File{Path: "/usr/bin/b", Mode: 0o755, Source: source},
		File{Path: "/usr/bin/a", Mode: 0o644, Data: []byte("from memory")},
		File{Path: "/usr/bin/c", Link: "a"},
		File{Path: "/var/empty/"},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := entries(t, img)
	want := []string{"usr/", "usr/bin/", "usr/bin/a from memory", "usr/bin/b from disk", "usr/bin/c -> a", "var/", "var/empty/"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestScratchMissingFile(t *testing.T) {
	t.Parallel()
	_, err := Scratch(Linux("amd64"), v1.Config{}, gzip.NoCompression, File{Path: "/a", Source: filepath.Join(t.TempDir(), "none")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	img, err := Scratch(Linux("amd64"), v1.Config{User: "7"}, gzip.BestSpeed, File{Path: "/a", Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := Archive(&archive, Image{img, "example.org/a:1"}); err != nil {
		t.Fatal(err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil || len(manifest) != 1 || !slices.Equal(manifest[0].RepoTags, []string{"example.org/a:1"}) {
		t.Errorf("got %+v, %v", manifest, err)
	}
	if err := Archive(io.Discard, Image{img, "NOT A NAME"}); err == nil {
		t.Error("an impossible name was archived")
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limit  float64
		tooBig bool
	}{"fits": {100, false}, "too big": {0.5, true}, "no limit": {0, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c := probe()
			c.LimitMB = tc.limit
			err := Report(context.Background(), &out, []Component{c}, []v1.Platform{Linux("amd64")})
			if (err != nil) != tc.tooBig || strings.Contains(out.String(), "TOO BIG") != tc.tooBig {
				t.Errorf("got %v and\n%s", err, out.String())
			}
			if !strings.Contains(out.String(), "linux/amd64") {
				t.Errorf("no platform in\n%s", out.String())
			}
		})
	}
}

// entries lists the only layer of an image.
func entries(t *testing.T, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var list []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() > 0 {
			t.Errorf("%s has the time %v", header.Name, header.ModTime)
		}
		switch header.Typeflag {
		case tar.TypeDir:
			list = append(list, header.Name)
		case tar.TypeSymlink:
			list = append(list, header.Name+" -> "+header.Linkname)
		default:
			data, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, header.Name+" "+string(data))
		}
	}
}
