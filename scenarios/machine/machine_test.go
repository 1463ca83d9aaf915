package machine

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// proc is a made-up machine of two CPUs.
type proc struct {
	t   *testing.T
	dir string
}

// meter reads the machine, of which some CPUs count, or all.
func (p proc) meter(cpus ...int) *Meter {
	return newMeter(pressure.MeterOptions{Proc: p.dir, Cgroups: p.dir, CPUs: cpus})
}

// is makes the machine have used so many CPU-seconds on each CPU.
func (p proc) is(cpu0, cpu1 float64) {
	ticks := func(seconds float64) string { return strconv.Itoa(int(math.Round(seconds * 100))) }
	p.write("stat", "cpu  "+ticks(cpu0+cpu1)+" 0 0 1000\ncpu0 "+ticks(cpu0)+" 0 0 500\ncpu1 "+ticks(cpu1)+" 0 0 500\n")
}

// waited makes tasks have waited for a resource for so many seconds.
func (p proc) waited(resource string, seconds float64) {
	p.write("pressure/"+resource, "some avg10=1.00 avg60=2.00 avg300=3.00 total="+strconv.Itoa(int(seconds*1e6))+"\n")
}

func (p proc) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// like compares what was measured; negative is what nobody counted.
func like(t *testing.T, s record.Sample, busy, cpu, io, memory float64) {
	t.Helper()
	value := func(v *float64) float64 {
		if v == nil {
			return -1
		}
		return *v
	}
	got, want := [...]float64{s.Busy, value(s.Pressure), value(s.IO), value(s.Memory)}, [...]float64{busy, cpu, io, memory}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Fatalf("busy and pressure of CPU, IO and memory are %v, want %v", got, want)
		}
	}
}

func TestWatchKeepsWhatHappened(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cpus []int
		busy float64
	}{
		"all CPUs":  {nil, 1.2},
		"one CPU":   {[]int{1}, 0.8},
		"two, both": {[]int{0, 1}, 1.2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proc{t, t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				p.is(7, 8)
				p.waited("cpu", 1)
				p.waited("memory", 1)
				ctx, stop := context.WithCancel(t.Context())
				began := time.Now()
				kept := make(chan record.Sample)
				go func() {
					p.meter(test.cpus...).Watch(ctx, func(at time.Time, s record.Sample) {
						if s.At = at.Sub(began).Seconds(); math.Mod(s.At, 0.25) != 0 {
							t.Errorf("a sample after %v s", s.At)
						}
						kept <- s
					})
					close(kept)
				}()
				synctest.Wait()
				p.is(7.1, 8.2)
				p.waited("cpu", 1.125)
				p.waited("memory", 1.25)
				like(t, <-kept, test.busy, 0.5, -1, 1)
				p.write("stat", "nothing\n")
				p.waited("io", 3)
				time.Sleep(300 * time.Millisecond) // over one tick, which finds nothing
				p.is(7.1, 8.2)
				if s := <-kept; s.At != 0.75 {
					t.Errorf("the sample after the gap is of %v s", s.At)
				} else {
					like(t, s, 0, 0, -1, 0)
				}
				p.waited("io", 3.05)
				like(t, <-kept, 0, 0, 0.2, 0)
				stop()
				if s, more := <-kept; more {
					t.Errorf("a sample after the end: %+v", s)
				}
			})
		})
	}
}

func TestIdleIsTheMeanOverAWhile(t *testing.T) {
	t.Parallel()
	p := proc{t, t.TempDir()}
	p.is(1, 1)
	synctest.Test(t, func(t *testing.T) {
		go func() {
			time.Sleep(time.Second)
			p.is(1.5, 3)
		}()
		if cores, err := p.meter().Idle(t.Context(), 10*time.Second); err != nil || math.Abs(cores-0.25) > 1e-9 {
			t.Errorf("%v, %v", cores, err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := p.meter().Idle(ended, time.Hour); err == nil {
			t.Error("it went on")
		}
	})
}

func TestAMachineThatDoesNotCountIsAnError(t *testing.T) {
	t.Parallel()
	p := proc{t, t.TempDir()}
	m := p.meter()
	m.Watch(t.Context(), func(time.Time, record.Sample) { t.Error("a sample of nothing") }) // and returns
	if _, err := m.Idle(t.Context(), time.Hour); err == nil {
		t.Error("idle use of nothing")
	}
	p.is(1, 1)
	if _, err := p.meter(0, 7).Read(); err == nil {
		t.Error("a CPU that is not there was read")
	}
	r, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := r.Since(r); ok {
		t.Errorf("in no time: %+v", s)
	}
}

func TestThisMachine(t *testing.T) {
	t.Parallel()
	m := Describe("a test")
	if m.Cores < 1 || m.Node != "a test" {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if m.Kernel == "" {
		t.Errorf("%+v", m)
	}
	if r, err := NewMeter(nil).Read(); err != nil || r.Used <= 0 {
		t.Errorf("used %v, %v", r.Used, err)
	}
}
