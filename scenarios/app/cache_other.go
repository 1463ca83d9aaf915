//go:build !linux

// cache_other.go is for systems without fadvise: what is read may come from memory there.

package main

import "os"

func uncache(*os.File) error { return nil }
