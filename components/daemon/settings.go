// Settings as flags and environment variables, all of them read before any is complained about.

package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Settings makes flags that note a value which they cannot read instead of
// ending the parsing at the first one, so that all can be named in one go. The
// zero value is ready for use.
type Settings struct{ unreadable map[string]error }

// Flag binds a setting to a flag and, if any, environment variables. The flag
// wins. An environment variable that is empty leaves the default alone.
func (s *Settings) Flag(name string, to cli.Generic, usage string, env ...string) *cli.GenericFlag {
	if s.unreadable == nil {
		s.unreadable = map[string]error{}
	}
	return &cli.GenericFlag{Name: name, EnvVars: env, Usage: usage,
		Value: &lenient{Generic: to, name: name, unreadable: s.unreadable}}
}

// Hidden binds a setting that --help does not show.
func (s *Settings) Hidden(name string, to cli.Generic, usage string, env ...string) *cli.GenericFlag {
	f := s.Flag(name, to, usage, env...)
	f.Hidden = true
	return f
}

// Validate adds what could not be read to p, and arguments that are no flags.
func (s *Settings) Validate(p *Problems, args []string) {
	if len(args) > 0 {
		p.Add("unexpected argument %q: settings are flags, --help lists them", args[0])
	}
	for _, name := range slices.Sorted(maps.Keys(s.unreadable)) {
		p.Add("--%s: %v", name, s.unreadable[name])
	}
}

type lenient struct {
	cli.Generic
	name       string
	unreadable map[string]error
}

func (l *lenient) Set(s string) error {
	delete(l.unreadable, l.name) // a good flag makes up for a bad environment
	if err := l.Generic.Set(s); err != nil {
		l.unreadable[l.name] = err
	}
	return nil
}

// Text is any text as a setting.
type Text string

// Set implements flag.Value.
func (t *Text) Set(s string) error { *t = Text(s); return nil }

func (t *Text) String() string { return string(*t) }

// Number is a whole number as a setting.
type Number int

// Set implements flag.Value.
func (n *Number) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%.40q is not a whole number", s)
	}
	*n = Number(v)
	return nil
}

func (n *Number) String() string { return strconv.Itoa(int(*n)) }

// Switch is true or false as a setting.
type Switch bool

// Set implements flag.Value.
func (b *Switch) Set(s string) error {
	v, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%.40q is not true or false", s)
	}
	*b = Switch(v)
	return nil
}

func (b *Switch) String() string { return strconv.FormatBool(bool(*b)) }

// List is several texts as a setting: separated by commas, or the flag repeated.
type List []string

// Set implements flag.Value: it appends.
func (l *List) Set(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

func (l *List) String() string { return strings.Join(*l, ",") }
