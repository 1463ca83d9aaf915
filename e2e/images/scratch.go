// This file makes an image of nothing but given files.

package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is a file of an image, or a folder. What a file holds comes from one of Data, Source and Link.
type File struct {
	Path   string // absolute in the image; a folder's ends with a slash
	Mode   int64
	Data   []byte
	Source string // a file of this machine
	Link   string // the file is a symbolic link to this
}

// Scratch makes an image of one layer that holds the files and the folders that lead to them. No
// time stands in it: equal files give an equal image. level is a gzip level.
func Scratch(platform v1.Platform, config v1.Config, level int, files ...File) (v1.Image, error) {
	layer, err := Layer(level, files...)
	if err != nil {
		return nil, err
	}
	return Stack(platform, config, layer)
}

// Layer makes a layer of files. They are read again whenever the layer is.
func Layer(level int, files ...File) (v1.Layer, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(writeTar(writer, files)) }()
		return reader, nil
	}, tarball.WithCompressionLevel(level))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	return layer, nil
}

// Stack makes an image of layers, the lowest first.
func Stack(platform v1.Platform, config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS:           platform.OS,
		Architecture: platform.Architecture,
		Created:      v1.Time{Time: time.Unix(0, 0).UTC()},
		Config:       config,
		RootFS:       v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("set the configuration: %w", err)
	}
	if img, err = mutate.AppendLayers(img, layers...); err != nil {
		return nil, fmt.Errorf("add the layers: %w", err)
	}
	return img, nil
}

func writeTar(out io.Writer, files []File) error {
	archive := tar.NewWriter(out)
	made := map[string]bool{}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, file := range files {
		if err := writeFolders(archive, path.Dir(file.Path), made); err != nil {
			return err
		}
		if strings.HasSuffix(file.Path, "/") {
			continue
		}
		if err := writeFile(archive, file); err != nil {
			return fmt.Errorf("add %s: %w", file.Path, err)
		}
	}
	return archive.Close()
}

func writeFolders(archive *tar.Writer, dir string, made map[string]bool) error {
	if dir == "/" || dir == "." || made[dir] {
		return nil
	}
	if err := writeFolders(archive, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755})
}

func writeFile(archive *tar.Writer, file File) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(file.Path, "/"), Mode: file.Mode}
	var content io.Reader = bytes.NewReader(file.Data)
	switch {
	case file.Link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, file.Link, 0o777
		return archive.WriteHeader(header)
	case file.Source != "":
		source, err := os.Open(file.Source)
		if err != nil {
			return err
		}
		defer source.Close()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		content, header.Size = source, info.Size()
	default:
		header.Size = int64(len(file.Data))
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}
