// Command ociruntime is runc for a host that may not hand out every capability: it takes those that
// this host's bounding set lacks out of what the engine asks for, and becomes runc.
//
// An engine asks for all capabilities for a privileged container, whatever the host can give, and
// runc refuses to start it where one is missing.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "ociruntime: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("find runc: %w", err)
	}
	if doc, ok := findDocument(args[1:]); ok {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return fmt.Errorf("read this process's capabilities: %w", err)
		}
		grantable, err := boundingSet(status)
		if err != nil {
			return err
		}
		if err := rewrite(doc, grantable); err != nil {
			return fmt.Errorf("take missing capabilities out of %s: %w", doc.file, err)
		}
	}
	if err := syscall.Exec(runc, append([]string{"runc"}, args[1:]...), os.Environ()); err != nil {
		return fmt.Errorf("become %s: %w", runc, err)
	}
	return nil
}

func rewrite(doc document, grantable capabilities) error {
	before, err := os.ReadFile(doc.file)
	if err != nil {
		return err
	}
	after, err := restrict(before, doc.path, grantable)
	if err != nil || bytes.Equal(before, after) {
		return err
	}
	info, err := os.Stat(doc.file)
	if err != nil {
		return err
	}
	return os.WriteFile(doc.file, after, info.Mode().Perm())
}
