// cache_linux.go puts a file out of the page cache.

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func uncache(f *os.File) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("put the file out of the page cache: %w", err)
	}
	return nil
}
