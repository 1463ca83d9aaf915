// Lengths of time, as people write them.

package lockapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in settings, queries and JSON. A bare number is
// seconds, as both earlier generations have it; anything else is a Go duration
// such as 90s or 1m30s. It is a flag.Value.
type Duration time.Duration

// ParseDuration reads a Duration. It refuses what is negative, unreadable or
// beyond what a time.Duration holds.
func ParseDuration(s string) (Duration, error) {
	if s == "" {
		return 0, errors.New("empty: want whole seconds (60) or a Go duration (90s, 1m30s)")
	}
	var d time.Duration
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n > math.MaxInt64/int64(time.Second) {
			return 0, fmt.Errorf("%s seconds is too long", s)
		}
		d = time.Duration(n) * time.Second
	} else if d, err = time.ParseDuration(s); err != nil {
		return 0, fmt.Errorf("%q is not whole seconds (60) nor a Go duration (90s, 1m30s)", shorten(s))
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", shorten(s))
	}
	return Duration(d), nil
}

// shorten keeps a hostile value from filling logs and answers.
func shorten(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Std is d as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the Go form, without the zero units at its end: 1m, not 1m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Set implements flag.Value.
func (d *Duration) Set(s string) error {
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// MarshalJSON writes the Go form as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a string as ParseDuration does, or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	return d.Set(s)
}
