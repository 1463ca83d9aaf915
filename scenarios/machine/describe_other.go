//go:build !linux

// describe_other.go is for systems that tell less about themselves.

package machine

func identify() (kernel, cpu string) { return "", "" }
