// work.go is the startup work: CPU time as the kernel counts it, waiting, and reads that reach the disk.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// work does all of the startup, one part after the other.
func work(ctx context.Context, s spec.Startup, dir string) error {
	if err := read(ctx, int64(s.Read), dir); err != nil {
		return err
	}
	if err := burn(ctx, s.CPU.Std()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.Idle.Std()):
		return nil
	}
}

// burn computes until the process as a whole has used that much CPU time. What
// it used before is part of the bill, so that 3s means 3 CPU-seconds in all.
func burn(ctx context.Context, total time.Duration) error {
	x := uint64(seed)
	for {
		used, err := cpuTime()
		if err != nil {
			return err
		}
		if used >= total {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if x = spin(x); x == 0 { // never; but the compiler cannot know, and keeps the loop
			return errors.New("xorshift reached zero")
		}
	}
}

// seed is any number but zero.
const seed = 88172645463325252

// spin computes for well under a millisecond: xorshift, many times.
func spin(x uint64) uint64 {
	for range 200_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// cpuTime is the CPU time of this process so far.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// read makes a file of that size, puts it out of the page cache, and reads it
// back. The file has no name any more by then: it goes with the process.
func read(ctx context.Context, size int64, dir string) (err error) {
	if size == 0 {
		return nil
	}
	f, err := os.CreateTemp(dir, "app-read-*")
	if err != nil {
		return fmt.Errorf("make a file to read from: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("unlink the file to read from: %w", err)
	}
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for left := size; left > 0; left -= int64(len(block)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := f.Write(block[:min(left, int64(len(block)))]); err != nil {
			return fmt.Errorf("write %d bytes to read back: %w", size, err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %d bytes to read back: %w", size, err)
	}
	if err := uncache(f); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := f.Read(block); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
	}
}
