// Package inject puts the init container that waits for a startup slot into
// manifests, for clusters whose API server cannot. It is pure: text in, text
// out. It only ever inserts, so that all else, comments and layout included,
// stays as it was, byte for byte. Nothing of it needs a lock.
package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the longest input that Manifests takes.
const MaxBytes = 32 << 20

// Options say what to inject, and where besides the usual.
type Options struct {
	Image      string
	PullPolicy string // Always, IfNotPresent or Never
	Host       string // name or address of the lock's Service
	Port       int
	DaemonSets bool // into pods of DaemonSets too
	KubeSystem bool // into the namespace kube-system too
}

// Defaults are those of the chart, when it is installed under its own name into
// a namespace of that name. version is that of the build.
func Defaults(version string) Options {
	return Options{
		Image:      "ghcr.io/pod-startup-lock/init:" + strings.TrimPrefix(version, "v"),
		PullPolicy: "IfNotPresent",
		Host:       "pod-startup-lock.pod-startup-lock.svc",
		Port:       8888,
	}
}

// Manifests returns in with the init container first in each pod template that
// has none, and warnings about pods that may not find the lock. in is YAML or
// JSON of at most MaxBytes, with any number of documents; those that hold no
// pod template pass through, and so do the pods that are to start without
// waiting. On an error, which names the line and the object, there is no output.
func Manifests(in []byte, o Options) (out []byte, warnings []string, err error) {
	if len(in) > MaxBytes {
		return nil, nil, fmt.Errorf("the manifests are longer than %d MiB", MaxBytes>>20)
	}
	if !utf8.Valid(in) {
		return nil, nil, errors.New("the manifests are not UTF-8 text")
	}
	p, err := newPlan(in, o)
	if err != nil {
		return nil, nil, err
	}
	if len(p.edits) == 0 {
		return in, nil, nil
	}
	out = apply(in, p.edits)
	// YAML has corners that nobody knows. What reads otherwise than it was meant must not get out.
	if again, err := newPlan(out, o); err != nil || len(again.edits) > 0 {
		return nil, nil, fmt.Errorf("line %d: cannot insert the init container into such a layout", p.edits[0].line)
	}
	return out, p.warnings, nil
}

// plan is what to insert into a text, and what to tell.
type plan struct {
	options  Options
	text     *text
	edits    []edit // in the order of the text
	warnings []string
}

func newPlan(in []byte, o Options) (*plan, error) {
	p := &plan{options: o, text: newText(in)}
	documents := yaml.NewDecoder(bytes.NewReader(in))
	for {
		var doc yaml.Node
		if err := documents.Decode(&doc); errors.Is(err, io.EOF) {
			return p, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the manifests: %w", err)
		}
		for _, root := range doc.Content { // one, or none
			if isNull(root) {
				continue
			}
			if root.Kind != yaml.MappingNode {
				return nil, fmt.Errorf("line %d: not a manifest: want a map, got %s", root.Line, kindOf(root))
			}
			if err := p.object(root, object{}); err != nil {
				return nil, err
			}
		}
	}
}
