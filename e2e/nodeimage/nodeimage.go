// This file finds the node image, or has it built.

package nodeimage

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cache"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/engine"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// Ensure answers the name of a node image that the engine has. In this order: the one that
// E2E_NODE_IMAGE names, one that was built from these sources before, the public one where a registry
// is in reach, and one built from source. Building takes about 15 minutes on two cores; what is
// compiled is kept, so that an interrupted build goes on where it was.
func Ensure(ctx context.Context, e *engine.Engine) (string, error) {
	if given := os.Getenv("E2E_NODE_IMAGE"); given != "" {
		return given, nil // kind pulls it where the engine lacks it
	}
	ref, err := builtRef()
	if err != nil {
		return "", err
	}
	if has(ctx, e, ref) {
		return ref, nil
	}
	if has(ctx, e, publicImage) || pulled(ctx, e) {
		return publicImage, nil
	}

	dir, err := cache.Dir()
	if err != nil {
		return "", err
	}
	unlock, err := cache.Lock(ctx, filepath.Join(dir, "node-image.lock"))
	if err != nil {
		return "", fmt.Errorf("wait for another build of the node image: %w", err)
	}
	defer unlock()
	if has(ctx, e, ref) {
		return ref, nil // built by another while we waited
	}
	archive := filepath.Join(dir, "node-image.tar")
	if err := restore(ctx, e, archive, ref); err == nil {
		return ref, nil
	}
	progress.Note(ctx, "build the node image from source: the first time about 15 minutes")
	if err := newBuilder(e, dir).build(ctx, ref); err != nil {
		return "", fmt.Errorf("build the node image (or name one with E2E_NODE_IMAGE): %w", err)
	}
	forgetOlder(ctx, e, ref)
	if e.Private() {
		return ref, nil // its data is in the cache folder already
	}
	return ref, progress.Step(ctx, "keep the node image in "+archive, func() error {
		_, err := e.Docker(ctx, "save", "--output", archive, ref)
		return err
	})
}

// restore loads the archive of an earlier build, if it holds this very image.
func restore(ctx context.Context, e *engine.Engine, archive, ref string) error {
	if _, err := os.Stat(archive); err != nil {
		return err
	}
	return progress.Step(ctx, "load the node image from "+archive, func() error {
		if _, err := e.Docker(ctx, "load", "--quiet", "--input", archive); err != nil {
			return err
		}
		if !has(ctx, e, ref) {
			return fmt.Errorf("%s holds another version", archive)
		}
		return nil
	})
}

// forgetOlder removes the images of earlier sources, a gigabyte each; one that a cluster runs stays.
func forgetOlder(ctx context.Context, e *engine.Engine, ref string) {
	list, err := e.Docker(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository)
	if err != nil {
		progress.Note(ctx, "leave older node images: %v", err)
		return
	}
	for older := range strings.FieldsSeq(list) {
		if older == ref {
			continue
		}
		if users, err := e.Docker(ctx, "ps", "--all", "--quiet", "--filter", "ancestor="+older); err == nil && users != "" {
			continue
		}
		if _, err := e.Docker(ctx, "rmi", older); err != nil {
			progress.Note(ctx, "keep the older node image %s: %v", older, err)
		}
	}
}

func has(ctx context.Context, e *engine.Engine, ref string) bool {
	_, err := e.Docker(ctx, "image", "inspect", "--format", "{{.Id}}", ref)
	return err == nil
}

// pulled pulls the public image where a registry answers soon; no registry is no error.
func pulled(ctx context.Context, e *engine.Engine) bool {
	if !registryAnswers(ctx, "https://registry-1.docker.io/v2/") {
		return false
	}
	return progress.Step(ctx, "pull "+publicImage, func() error {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
		defer cancel()
		_, err := e.Docker(ctx, "pull", "--quiet", publicImage)
		return err
	}) == nil
}

// registryAnswers takes the usual "not authorized" for an answer too.
func registryAnswers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusUnauthorized
}
