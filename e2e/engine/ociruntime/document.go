// This file finds the document in which an engine asks runc for capabilities, and takes some of them out.

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// document is a JSON file, and the path of the object in it that holds the capabilities.
type document struct {
	file string
	path []string
}

// findDocument reads runc's command line: a new container's capabilities are in its bundle, those of
// a process that joins one are in the file named by --process.
func findDocument(args []string) (document, bool) {
	switch {
	case slices.Contains(args, "create"), slices.Contains(args, "run"), slices.Contains(args, "restore"):
		bundle := flagValue(args, "bundle", "b")
		if bundle == "" {
			bundle = "."
		}
		return document{filepath.Join(bundle, "config.json"), []string{"process", "capabilities"}}, true
	case slices.Contains(args, "exec"):
		if process := flagValue(args, "process", "p"); process != "" {
			return document{process, []string{"capabilities"}}, true
		}
	}
	return document{}, false
}

// flagValue finds --long v, --long=v, -short v and -short=v.
func flagValue(args []string, long, short string) string {
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		if name != "--"+long && name != "-"+long && name != "-"+short {
			continue
		}
		if joined {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// restrict leaves only grantable capabilities in every set of the object at path, and all else as it is.
func restrict(doc []byte, path []string, grantable capabilities) ([]byte, error) {
	if len(path) == 0 {
		return restrictSets(doc, grantable)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(doc, &object); err != nil {
		return nil, fmt.Errorf("read the object that holds %q: %w", path[0], err)
	}
	inner, ok := object[path[0]]
	if !ok || string(inner) == "null" {
		return doc, nil // asks for no capabilities
	}
	inner, err := restrict(inner, path[1:], grantable)
	if err != nil {
		return nil, err
	}
	object[path[0]] = inner
	return json.Marshal(object)
}

func restrictSets(doc []byte, grantable capabilities) ([]byte, error) {
	var sets map[string][]string
	if err := json.Unmarshal(doc, &sets); err != nil {
		return nil, fmt.Errorf("read capability sets: %w", err)
	}
	for name, set := range sets {
		kept := []string{}
		for _, capability := range set {
			if grantable.has(capability) {
				kept = append(kept, capability)
			}
		}
		sets[name] = kept
	}
	return json.Marshal(sets)
}
