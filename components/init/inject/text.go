// Where in the text something stands, and what to insert there.

package inject

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// edit replaces the bytes from at to end, mostly none, with text.
type edit struct {
	at, end int
	text    string
	line    int // of the text before the edit, for people
}

func apply(in []byte, edits []edit) []byte {
	size := len(in)
	for _, e := range edits {
		size += len(e.text)
	}
	out := make([]byte, 0, size)
	done := 0
	for _, e := range edits {
		out = append(append(out, in[done:e.at]...), e.text...)
		done = e.end
	}
	return append(out, in[done:]...)
}

// text knows where its lines begin, as YAML counts them.
type text struct {
	bytes []byte
	lines []int
}

func newText(b []byte) *text {
	start := 0
	if bytes.HasPrefix(b, []byte("\uFEFF")) { // a mark of the byte order is no column
		start = len("\uFEFF")
	}
	t := &text{bytes: b, lines: []int{start}}
	for i := start; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		i += size
		switch r {
		case '\r':
			if i < len(b) && b[i] == '\n' {
				i++
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		t.lines = append(t.lines, i)
	}
	return t
}

// start is where a line begins, counted from 1. One beyond the text is the last.
func (t *text) start(line int) int { return t.lines[min(line, len(t.lines))-1] }

// offset is where n begins.
func (t *text) offset(n *yaml.Node) int {
	at := t.start(n.Line)
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(t.bytes[at:])
		at += size
	}
	return at
}

// insert makes the container the first of inits, which spec may lack.
func (t *text) insert(o Options, spec, inits *yaml.Node) (edit, error) {
	var r reader
	switch null := r.own(spec, "initContainers"); {
	case inits != nil && inits.Style&yaml.FlowStyle != 0:
		return t.intoFlow(o, inits, "[", "", "")
	case inits != nil:
		return t.intoBlock(inits, o.block()), nil
	case null != nil:
		return t.insteadOf(o, null)
	case spec.Style&yaml.FlowStyle != 0:
		return t.intoFlow(o, spec, "{", `"initContainers": [`, "]")
	}
	lines := o.block()
	indent := strings.Repeat(" ", t.listIndent(spec))
	for i := range lines {
		lines[i] = indent + lines[i]
	}
	return t.intoBlock(spec, append([]string{"initContainers:"}, lines...)), nil
}

// listIndent is how much deeper than its key the spec's own list of containers stands.
func (t *text) listIndent(spec *yaml.Node) int {
	var r reader
	containers := r.value(spec, "containers")
	if containers == nil || containers.Kind != yaml.SequenceNode || containers.Style&yaml.FlowStyle != 0 {
		return 0
	}
	return min(max(containers.Column-spec.Column, 0), 8)
}

// intoBlock inserts lines before the first entry of n, and before its comments.
func (t *text) intoBlock(n *yaml.Node, lines []string) edit {
	indent := strings.Repeat(" ", n.Column-1)
	at, start := t.offset(n), t.start(n.Line)
	newline := "\n"
	if bytes.HasSuffix(t.bytes[:start], []byte("\r\n")) {
		newline = "\r\n"
	}
	all := strings.Join(lines, newline+indent) + newline
	if len(bytes.Trim(t.bytes[start:at], " ")) > 0 { // it begins behind something else
		return edit{at: at, end: at, text: all + indent, line: n.Line}
	}
	for line := n.Line; line > 1 && isComment(t.bytes[t.start(line-1):start]); line-- {
		start = t.start(line - 1)
	}
	return edit{at: start, end: start, text: indent + all, line: n.Line}
}

// isComment also takes a line with nothing in it.
func isComment(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// intoFlow inserts the container, with before and after around it, behind the
// bracket that opens n; in lines of their own where the entries of n are.
func (t *text) intoFlow(o Options, n *yaml.Node, bracket, before, after string) (edit, error) {
	at := t.offset(n)
	if !bytes.HasPrefix(t.bytes[at:], []byte(bracket)) {
		return edit{}, fmt.Errorf("line %d: cannot insert the init container into such a layout", n.Line)
	}
	at++
	lead, indent, comma := "", "", ""
	if len(n.Content) > 0 {
		comma = ", "
		if first := n.Content[0]; first.Line > n.Line {
			rest := t.bytes[t.start(first.Line):]
			lead = "\n" + string(rest[:len(rest)-len(bytes.TrimLeft(rest, " \t"))])
			indent, comma = "    ", "," // four, as kubectl writes it
		}
	}
	c, err := o.flow(strings.TrimPrefix(lead, "\n"), indent)
	return edit{at: at, end: at, text: lead + before + c + after + comma, line: n.Line}, err
}

// insteadOf writes a list over null, which may be written as nothing at all.
func (t *text) insteadOf(o Options, null *yaml.Node) (edit, error) {
	at := t.offset(null)
	if null.Kind != yaml.ScalarNode || null.Anchor != "" || null.Style != 0 || !bytes.HasPrefix(t.bytes[at:], []byte(null.Value)) {
		return edit{}, fmt.Errorf("line %d: cannot insert the init container into such a layout", null.Line)
	}
	c, err := o.flow("", "")
	lead := ""
	if null.Value == "" {
		lead = " "
	}
	return edit{at: at, end: at + len(null.Value), text: lead + "[" + c + "]", line: null.Line}, err
}
