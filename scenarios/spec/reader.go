// reader.go walks YAML nodes strictly and collects every problem with its line.

package spec

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// reader collects problems instead of stopping at the first.
type reader struct {
	file     string
	problems Problems
}

func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// field is one key that a mapping may have.
type field struct {
	key      string
	required bool
	read     func(value *yaml.Node)
}

// mapping reads n as a mapping with exactly these fields; what names n in messages.
func (r *reader) mapping(n *yaml.Node, what string, fields ...field) {
	if !r.kind(n, yaml.MappingNode, what, "a mapping (key: value)") {
		return
	}
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, twice := seen[key.Value]; twice {
			r.problem(key, "%s: %s is given twice, first in line %d", what, shorten(key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		at := slices.Index(known, key.Value)
		if at < 0 || key.Kind != yaml.ScalarNode {
			r.problem(key, "%s: unknown key %q; known are %s", what, shorten(key.Value), strings.Join(known, ", "))
			continue
		}
		fields[at].read(value)
	}
	for _, f := range fields {
		if _, ok := seen[f.key]; f.required && !ok {
			r.problem(n, "%s: %s is missing", what, f.key)
		}
	}
}

// list reads n as a list with at least one element.
func (r *reader) list(n *yaml.Node, what string, each func(i int, n *yaml.Node)) {
	if !r.kind(n, yaml.SequenceNode, what, "a list (- …)") {
		return
	}
	if len(n.Content) == 0 {
		r.problem(n, "%s: empty, want at least one", what)
	}
	for i, c := range n.Content {
		each(i, c)
	}
}

// kind tells whether n is of a kind, and says so when it is not. Aliases are
// refused: a scenario is short enough to be read from top to bottom.
func (r *reader) kind(n *yaml.Node, want yaml.Kind, what, wanted string) bool {
	if n.Kind == want {
		return true
	}
	r.problem(n, "%s: want %s, not %s", what, wanted, describe(n))
	return false
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (*" + shorten(n.Value) + ")"
	default:
		return strconv.Quote(shorten(n.Value))
	}
}

func (r *reader) scalar(n *yaml.Node, what string) (string, bool) {
	if !r.kind(n, yaml.ScalarNode, what, "a value") {
		return "", false
	}
	return n.Value, true
}

func (r *reader) text(into *string, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n, what); ok {
			*into = s
		}
	}
}

// name reads a name that may become part of a pod's name.
func (r *reader) name(into *string, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.scalar(n, what)
		if !ok {
			return
		}
		if !isLabel(s) {
			r.problem(n, "%s: %q is no name: want lower case letters, digits and dashes, 40 at most, a letter first and no dash last", what, shorten(s))
			return
		}
		*into = s
	}
}

func isLabel(s string) bool {
	if s == "" || len(s) > 40 || s[0] < 'a' || s[0] > 'z' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// yes reads true or false.
func (r *reader) yes(into *bool, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var word string
		oneOf(r, &word, what, "true", "false")(n)
		*into = word == "true"
	}
}

// oneOf reads one of a few words.
func oneOf[T ~string](r *reader, into *T, what string, words ...T) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.scalar(n, what)
		if !ok {
			return
		}
		if !slices.Contains(words, T(s)) {
			r.problem(n, "%s: %q is none of %v", what, shorten(s), words)
			return
		}
		*into = T(s)
	}
}

func (r *reader) number(into *int, least, most int, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.scalar(n, what)
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < least || v > most {
			r.problem(n, "%s: %q is not a whole number from %d to %d", what, shorten(s), least, most)
			return
		}
		*into = v
	}
}

func (r *reader) duration(into *Duration, least, most Duration, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.scalar(n, what)
		if !ok {
			return
		}
		var d Duration
		if err := d.Set(s); err != nil {
			r.problem(n, "%s: %v", what, err)
			return
		}
		if d < least || d > most {
			r.problem(n, "%s: %s is out of range: want %s to %s", what, d, least, most)
			return
		}
		*into = d
	}
}

// seconds reads a duration of whole seconds, as Kubernetes' probes and the wish
// for a lease have them.
func (r *reader) seconds(into *Duration, least, most Duration, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.duration(into, least, most, what)(n)
		if into.Std()%time.Second != 0 {
			r.problem(n, "%s: %s is not whole seconds, which is all that it can be", what, *into)
		}
	}
}

func (r *reader) bytes(into *Bytes, most Bytes, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.scalar(n, what)
		if !ok {
			return
		}
		b, err := ParseBytes(s)
		if err != nil {
			r.problem(n, "%s: %v", what, err)
			return
		}
		if b > most {
			r.problem(n, "%s: %s is more than %s", what, b, most)
			return
		}
		*into = b
	}
}

// bounds reads a range: one value for exactly that, or {least, most}.
func (r *reader) bounds(into **Range, what string, parse func(string) (float64, error)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		value := func(what string) func(*yaml.Node) *float64 {
			return func(n *yaml.Node) *float64 {
				s, ok := r.scalar(n, what)
				if !ok {
					return nil
				}
				v, err := parse(s)
				if err != nil {
					r.problem(n, "%s: %v", what, err)
					return nil
				}
				return &v
			}
		}
		var got Range
		if n.Kind == yaml.ScalarNode {
			v := value(what)(n)
			got = Range{Least: v, Most: v}
		} else {
			r.mapping(n, what,
				field{key: "least", read: func(n *yaml.Node) { got.Least = value(what + ".least")(n) }},
				field{key: "most", read: func(n *yaml.Node) { got.Most = value(what + ".most")(n) }},
			)
			if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
				r.problem(n, "%s: empty: want a value, or least or most", what)
			}
		}
		if got.Least != nil && got.Most != nil && *got.Least > *got.Most {
			r.problem(n, "%s: least %v is above most %v", what, *got.Least, *got.Most)
		}
		*into = &got
	}
}

// parseAmount reads a number that counts or measures something: never negative, never NaN.
func parseAmount(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0, fmt.Errorf("%q is not a number of 0 or more", shorten(s))
	}
	return v, nil
}

// parseSeconds reads a Duration as seconds.
func parseSeconds(s string) (float64, error) {
	var d Duration
	if err := d.Set(s); err != nil {
		return 0, err
	}
	return d.Std().Seconds(), nil
}

// shorten keeps a mistake in a file from filling the screen.
func shorten(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
