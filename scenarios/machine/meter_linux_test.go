package machine

import (
	"os"
	"path/filepath"
	"testing"
)

const stat = `cpu  300 10 200 1000 50 5 15 100 7 0
cpu0 100 10 100 500 25 5 5 50 7 0
cpu1 200 0 100 500 25 0 10 50 0 0
intr 1
`

func TestRead(t *testing.T) {
	t.Parallel()
	const good = "some avg10=1.00 avg60=2.00 avg300=3.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
	tests := map[string]struct {
		stat, pressure string
		cpus           []int
		busy           float64
		stalled        float64 // negative for none
		bad            bool
	}{
		"all CPUs":            {stat, good, nil, 5.3, 2.5, false},
		"one CPU":             {stat, good, []int{1}, 3.1, 2.5, false},
		"two CPUs":            {stat, good, []int{0, 1}, 5.3, 2.5, false},
		"a CPU that is not":   {stat, good, []int{0, 7}, 0, 0, true},
		"no pressure":         {stat, "", nil, 5.3, -1, false},
		"odd pressure":        {stat, "some avg10=1 total=x\n", nil, 5.3, -1, false},
		"pressure of nothing": {stat, "some\n\n", nil, 5.3, -1, false},
		"empty stat":          {"", good, nil, 0, 0, true},
		"odd stat":            {"cpu  a b c d e f g h\n", good, nil, 0, 0, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proc := t.TempDir()
			write(t, filepath.Join(proc, "stat"), test.stat)
			if test.pressure != "" {
				write(t, filepath.Join(proc, "pressure", "cpu"), test.pressure)
			}
			r, err := newMeter(proc, test.cpus).Read()
			if (err != nil) != test.bad {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if r.Busy != test.busy || (r.Stalled == nil) != (test.stalled < 0) || r.Stalled != nil && *r.Stalled != test.stalled {
				t.Errorf("busy %v, stalled %v", r.Busy, r.Stalled)
			}
		})
	}
}

func TestThisMachine(t *testing.T) {
	t.Parallel()
	r, err := NewMeter(nil).Read()
	if err != nil || r.Busy <= 0 {
		t.Errorf("busy %v, %v", r.Busy, err)
	}
	if m := Describe("a test"); m.Cores < 1 || m.Kernel == "" || m.Node != "a test" {
		t.Errorf("%+v", m)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
