//go:build linux

// Command probe is run in a privileged container, to see whether an engine really grants the privileges that a kind node needs.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := os.MkdirAll("/mnt", 0o755); err != nil {
		fail("make a folder", err)
	}
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, ""); err != nil {
		fail("mount a tmpfs", err)
	}
	if err := os.WriteFile("/mnt/file", nil, 0o600); err != nil {
		fail("write to the tmpfs", err)
	}
	fmt.Println("privileged")
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
