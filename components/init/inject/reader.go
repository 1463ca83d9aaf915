// Looking up what a manifest says, with the first thing that is not as it must be kept as the error.

package inject

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"
)

// reader looks up keys. It follows an alias, but never copies what it stands
// for: a bomb of aliases stays small. The zero value is ready for use.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// own is the value of key in m itself; nil when there is none, or it is null.
func (r *reader) own(m *yaml.Node, key string) *yaml.Node {
	m = follow(m)
	if m == nil || isNull(m) || r.err != nil {
		return nil
	}
	if m.Kind != yaml.MappingNode {
		r.fail("line %d: want a map that may have %s, got %s", m.Line, key, kindOf(m))
		return nil
	}
	var found *yaml.Node
	merges := false
	for i := 0; i+1 < len(m.Content); i += 2 {
		switch follow(m.Content[i]).Value {
		case key:
			found = m.Content[i+1] // of two with one key the last counts, as for the API server
		case "<<":
			merges = true
		}
	}
	if found == nil && merges {
		r.fail("line %d: %s may come from a merge key (<<): write it out", m.Line, key)
	}
	return found
}

// value is own, an alias followed and a null taken for nothing.
func (r *reader) value(m *yaml.Node, key string) *yaml.Node {
	if v := follow(r.own(m, key)); !isNull(v) {
		return v
	}
	return nil
}

// text is a scalar as it is written; empty when it is not there.
func (r *reader) text(m *yaml.Node, key string) string {
	v := r.value(m, key)
	if v == nil {
		return ""
	}
	if v.Kind != yaml.ScalarNode {
		r.fail("line %d: %s: want a text, got %s", v.Line, key, kindOf(v))
	}
	return v.Value
}

func (r *reader) mapping(m *yaml.Node, key string) *yaml.Node {
	return r.want(m, key, yaml.MappingNode, "a map")
}

func (r *reader) sequence(m *yaml.Node, key string) *yaml.Node {
	return r.want(m, key, yaml.SequenceNode, "a list")
}

// want does not follow an alias: this is a place to write to.
func (r *reader) want(m *yaml.Node, key string, kind yaml.Kind, called string) *yaml.Node {
	v := r.own(m, key)
	if v == nil || isNull(v) {
		return nil
	}
	if v.Kind != kind {
		r.fail("line %d: %s: want %s, got %s", v.Line, key, called, kindOf(v))
		return nil
	}
	return v
}

// walk is root and the maps at each step of path, up to the first that is not there.
func (r *reader) walk(root *yaml.Node, path []string) []*yaml.Node {
	way := []*yaml.Node{root}
	for _, key := range path {
		next := r.mapping(way[len(way)-1], key)
		if next == nil {
			break
		}
		way = append(way, next)
	}
	return way
}

func follow(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// kindOf says what n is, in words.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (*" + n.Value + "): write it out"
	}
	return fmt.Sprintf("%.40q", n.Value)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
