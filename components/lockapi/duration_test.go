// Durations as settings, queries and JSON have them.

package lockapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"0": 0, "60": time.Minute, "007": 7 * time.Second, "90s": 90 * time.Second, "1m30s": 90 * time.Second, "250ms": 250 * time.Millisecond,
	} {
		if got, err := ParseDuration(in); err != nil || got.Std() != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "abc", "-5", "-5s", "1e9", "5 s", "99999999999999999999", "9223372036854775807", strings.Repeat("9", 1<<20)} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%.40q: %s, want an error", in, got)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.40q: an error of %d bytes", in, len(err.Error()))
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"0", "60", "90s", "1h", "-1", "abc", "1.5h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %s", s, d)
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back Duration
		if err := json.Unmarshal(text, &back); err != nil || back != d {
			t.Fatalf("%q: %s came back as %s, %v", s, d, back, err)
		}
	})
}
