// This file gives a built node image a name that changes with everything it is made of.

package nodeimage

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
)

// files are what the image holds of our own; recipe is how it is made.
var (
	//go:embed files
	files embed.FS
	//go:embed *.go podnet/*.go files
	recipe embed.FS
)

const repository = "pod-startup-lock/node"

// builtRef is the name of the image that these sources make.
func builtRef() (string, error) {
	key, err := contentKey(recipe, runtime.Version()+" "+runtime.GOARCH)
	if err != nil {
		return "", fmt.Errorf("compute the key of the node image: %w", err)
	}
	return repository + ":" + kubernetesVersion + "-" + key, nil
}

// contentKey is a hash over names and contents, tests left out, in an order that is always the same.
func contentKey(sources fs.FS, toolchain string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, toolchain)
	err := fs.WalkDir(sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := fs.ReadFile(sources, path)
		if err != nil {
			return err
		}
		fmt.Fprintln(hash, path, len(content))
		hash.Write(content)
		return nil
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}
