// Package statefile keeps the lock's memory in one file of a folder, so that a
// restarted lock knows its grants and its queue. Writes are atomic against the
// death of the process at any moment. They are not synced to the disk: what
// kills the node kills its pods, too.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	name    = "state.json"
	version = 1
	// most bounds what Load reads: 20,000 claims are about 8 MB.
	most = 64 << 20
)

// envelope tells our files from others, and this layout from later ones.
type envelope[State any] struct {
	Version int   `json:"version"`
	State   State `json:"state"`
}

// Folder is where the state file lives. Not safe for concurrent use.
type Folder struct{ path string }

// Open checks that the folder can be written to.
func Open(path string) (*Folder, error) {
	probe, err := os.CreateTemp(path, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("state folder %s cannot be written to (mount an emptyDir there, owned by this user): %w", path, err)
	}
	_ = probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return nil, fmt.Errorf("state folder %s: %w", path, err)
	}
	return &Folder{path: path}, nil
}

// Save replaces the state with v.
func (f *Folder) Save(v any) error {
	b, err := json.Marshal(envelope[any]{Version: version, State: v})
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	// One writer, one temporary name: what a dead process left is overwritten.
	tmp := filepath.Join(f.path, name+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(f.path, name)); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// Load reads the state into v; false when there is none yet. After an error,
// SetAside makes room.
func (f *Folder) Load(v any) (bool, error) {
	path := filepath.Join(f.path, name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read state: %w", err)
	case info.Size() > most:
		return false, fmt.Errorf("read state %s: %d bytes is more than a lock ever writes", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read state: %w", err)
	}
	var e envelope[json.RawMessage]
	if err := json.Unmarshal(b, &e); err != nil {
		return false, fmt.Errorf("read state %s: %w", path, err)
	}
	if e.Version != version {
		return false, fmt.Errorf("read state %s: it has version %d, this lock reads %d", path, e.Version, version)
	}
	if err := json.Unmarshal(e.State, v); err != nil {
		return false, fmt.Errorf("read state %s: %w", path, err)
	}
	return true, nil
}

// SetAside renames a state file that cannot be used, so that a person can look
// at it and the lock can start. One bad file is kept: the newest.
func (f *Folder) SetAside(now time.Time) (string, error) {
	old, _ := filepath.Glob(filepath.Join(f.path, name+".bad-*"))
	for _, path := range old {
		_ = os.Remove(path)
	}
	aside := filepath.Join(f.path, name+".bad-"+now.UTC().Format("20060102T150405Z"))
	if err := os.Rename(filepath.Join(f.path, name), aside); err != nil {
		return "", fmt.Errorf("set bad state aside: %w", err)
	}
	return aside, nil
}
