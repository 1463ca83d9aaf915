// problem.go is how a scenario's mistakes are told: all of them, each with its place.

package spec

import (
	"fmt"
	"strings"
)

// Problem is one mistake. Line is 0 where no line is to blame.
type Problem struct {
	File string
	Line int
	Text string
}

// String is file:line: text, as editors and terminals make it clickable.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Text
	case p.Line == 0:
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	default:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
}

// Problems is everything that is wrong with one input, as an error.
type Problems []Problem

// Error has one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
