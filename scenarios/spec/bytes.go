// bytes.go reads and writes amounts of data as Kubernetes does: 64Mi.

package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of data, written as a number with an optional Ki, Mi or Gi.
type Bytes int64

// binary units, largest first, so that String finds the shortest form.
func units() []struct {
	suffix string
	size   int64
} {
	return []struct {
		suffix string
		size   int64
	}{{"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}}
}

// ParseBytes reads an amount such as 64Mi.
func ParseBytes(s string) (Bytes, error) {
	digits, size := s, int64(1)
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, size = rest, u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/size {
		return 0, fmt.Errorf("%q is not an amount of data: want bytes, or a number with Ki, Mi or Gi (64Mi)", s)
	}
	return Bytes(n * size), nil
}

// String is the shortest exact form.
func (b Bytes) String() string {
	for _, u := range units() {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Set implements flag.Value.
func (b *Bytes) Set(s string) error {
	v, err := ParseBytes(s)
	if err == nil {
		*b = v
	}
	return err
}

// MarshalJSON writes the short form as a string.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// UnmarshalJSON reads a string as ParseBytes does, or a number.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) != nil {
		s = string(data)
	}
	return b.Set(s)
}
