package cache

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	home := func() (string, error) { return "/home/me", nil }
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"asked for": {map[string]string{"PSL_CACHE_DIR": "/big/disk", "XDG_CACHE_HOME": "/xdg"}, "/big/disk"},
		"xdg":       {map[string]string{"XDG_CACHE_HOME": "/xdg"}, "/xdg/pod-startup-lock"},
		"home":      {nil, "/home/me/.cache/pod-startup-lock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := choose(func(key string) string { return tc.env[key] }, home)
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestChooseWithoutHome(t *testing.T) {
	t.Parallel()
	homeless := errors.New("no home")
	_, err := choose(func(string) string { return "" }, func() (string, error) { return "", homeless })
	if !errors.Is(err, homeless) {
		t.Errorf("got %v, want %v", err, homeless)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Lock(ctx, file); !errors.Is(err, context.Canceled) {
		t.Errorf("the lock was given out twice: %v", err)
	}
	unlock()
	unlock, err = Lock(context.Background(), file)
	if err != nil {
		t.Fatalf("the lock was not given back: %v", err)
	}
	unlock()
}
