// Package cache tells where things that are expensive to make are kept between runs.
package cache

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is a folder outside the clone, so that neither a fresh clone nor a clean one builds a node
// image again: $PSL_CACHE_DIR, or pod-startup-lock in $XDG_CACHE_HOME or ~/.cache. It is made when missing.
func Dir() (string, error) {
	dir, err := choose(os.Getenv, os.UserHomeDir)
	if err != nil {
		return "", fmt.Errorf("choose a cache folder (set PSL_CACHE_DIR): %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder (set PSL_CACHE_DIR to another): %w", err)
	}
	return dir, nil
}

func choose(env func(string) string, home func() (string, error)) (string, error) {
	if dir := env("PSL_CACHE_DIR"); dir != "" {
		return dir, nil
	}
	if dir := env("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "pod-startup-lock"), nil
	}
	dir, err := home()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, ".cache", "pod-startup-lock"), nil
}
