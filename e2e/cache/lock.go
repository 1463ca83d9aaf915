// This file lets one process at a time make an expensive thing.

package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Lock waits until no other process holds the lock file, and answers how to give it back. The lock of
// a process that dies is free.
func Lock(ctx context.Context, file string) (unlock func(), err error) {
	handle, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	for {
		err := unix.Flock(int(handle.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { handle.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			handle.Close()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
		select {
		case <-ctx.Done():
			handle.Close()
			return nil, fmt.Errorf("lock %s, which another process holds: %w", file, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
