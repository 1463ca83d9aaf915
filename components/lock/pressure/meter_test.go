package pressure

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// files are those of a made-up node, by their paths under proc and cgroup.
type files map[string]string

// write puts them into a folder. Files that are there keep their identity, as
// those of the kernel do.
func (f files) write(t testing.TB, root string) {
	t.Helper()
	for name, text := range f {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func meterOf(t testing.TB, root string, opts MeterOptions) *Meter {
	t.Helper()
	opts.Proc, opts.Cgroups = filepath.Join(root, "proc"), filepath.Join(root, "cgroup")
	m := NewMeter(opts)
	t.Cleanup(m.Close)
	return m
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Two looks at an ordinary node of four cores, a second apart: 1.5 cores in use
// on cpu0 and cpu1, and half a core on cpu3. Guest time is in user already.
var (
	before = files{
		"proc/stat": `cpu  400 10 200 9000 50 5 15 100 7 0
cpu0 100 10 100 2500 25 5 5 50 7 0
cpu1 200 0 100 2500 25 0 10 50 0 0
cpu2 0 0 0 2000 0 0 0 0 0 0
cpu3 100 0 0 2000 0 0 0 0 0 0
intr 97 0 0 1
ctxt 253
procs_running 2
procs_blocked 0
softirq 1 2 3
`,
		"proc/pressure/cpu":    psiText(5_000_000, 0),
		"proc/pressure/io":     psiText(100, 50),
		"proc/pressure/memory": psiText(7, 7),
	}
	after = files{
		"proc/stat": `cpu  490 20 250 9130 90 15 55 200 107 0
cpu0 170 20 130 2500 45 5 25 100 107 0
cpu1 200 0 120 2530 45 0 10 100 0 0
cpu2 0 0 0 2100 0 0 0 0 0 0
cpu3 120 0 0 2000 0 10 20 0 0 0
intr 98 0 0 1
ctxt 254
procs_running 6
procs_blocked 3
softirq 1 2 3
`,
		"proc/pressure/cpu":    psiText(5_250_000, 0),
		"proc/pressure/io":     psiText(500_100, 100_050),
		"proc/pressure/memory": psiText(10_007, 5_007),
	}
	ordinary = Sample{Cores: 4, Busy: 2, Running: 5, Blocked: 3, PSI: true, CPU: 0.25, IO: 0.5, IOFull: 0.1, Memory: 0.01, MemoryFull: 0.005}
)

// with is a node that differs in some files; "" takes one away.
func (f files) with(others files) files {
	all := files{}
	for _, from := range []files{f, others} {
		for name, text := range from {
			all[name] = text
			if text == "" {
				delete(all, name)
			}
		}
	}
	return all
}

// without is the node without files under a folder.
func (f files) without(folder string) files {
	all := f.with(nil)
	for name := range f {
		if strings.HasPrefix(name, folder) {
			delete(all, name)
		}
	}
	return all
}

func psiText(some, full uint64) string {
	return "some avg10=3.57 avg60=3.92 avg300=14.21 total=" + text(some) + "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=" + text(full) + "\n"
}

func TestASampleIsWhatHappenedOnTheNode(t *testing.T) {
	t.Parallel()
	but := func(change func(s *Sample)) Sample { s := ordinary; change(&s); return s }
	tests := map[string]struct {
		opts          MeterOptions
		before, after files
		want          Sample
		missing       []string // a part of each sentence
	}{
		"an ordinary node":           {MeterOptions{}, before, after, ordinary, nil},
		"in a pod of it":             {MeterOptions{InPod: true}, before, after, ordinary, nil},
		"a kernel of before 5.13":    {MeterOptions{}, before.with(files{"proc/pressure/cpu": "some total=5000000\n"}), after.with(files{"proc/pressure/cpu": "some total=5250000\n"}), ordinary, nil},
		"a kernel of before 5.2":     {MeterOptions{}, before.with(files{"proc/stat": strings.ReplaceAll(before["proc/stat"], " 7 0\n", "\n")}), after, ordinary, nil},
		"a kernel with neither irq":  {MeterOptions{}, files{"proc/stat": "cpu 100 0 0 900\ncpu0 100 0 0 900\n"}, files{"proc/stat": "cpu 150 0 10 940\ncpu0 150 0 10 940\n"}, Sample{Cores: 1, Busy: 0.6, Running: -1, Blocked: -1}, []string{"number of tasks", "no CPU pressure", "no IO pressure", "no memory pressure"}},
		"a kernel of 4.19":           {MeterOptions{}, before.without("proc/pressure"), after.without("proc/pressure"), Sample{Cores: 4, Busy: 2, Running: 5, Blocked: 3}, []string{"no CPU pressure: the kernel was built or booted without PSI (psi=1", "no IO pressure: the kernel", "no memory pressure: the kernel"}},
		"pressure that is masked":    {MeterOptions{}, before.with(files{"proc/pressure/cpu": " \n"}), after.with(files{"proc/pressure/cpu": " \n"}), but(func(s *Sample) { s.PSI, s.CPU = false, 0 }), []string{"no CPU pressure: something masks it"}},
		"no pressure of the disk":    {MeterOptions{}, before.with(files{"proc/pressure/io": ""}), after.with(files{"proc/pressure/io": ""}), but(func(s *Sample) { s.IO, s.IOFull = 0, 0 }), []string{"no IO pressure"}},
		"pressure that is none":      {MeterOptions{}, before, after.with(files{"proc/pressure/memory": "some total=\n"}), but(func(s *Sample) { s.Memory, s.MemoryFull = 0, 0 }), []string{"no memory pressure: it holds something else"}},
		"counters that step back":    {MeterOptions{}, after, before, Sample{Cores: 4, Running: 1, PSI: true}, nil},
		"pressure of more than time": {MeterOptions{}, before, after.with(files{"proc/pressure/cpu": psiText(math.MaxUint64, math.MaxUint64)}), but(func(s *Sample) { s.CPU = 1 }), nil},
		"only some CPUs":             {MeterOptions{CPUs: []int{0, 1}}, before, after, but(func(s *Sample) { s.Cores, s.Busy, s.Running, s.Blocked = 2, 1.5, -1, -1 }), []string{"number of tasks"}},
		"all CPUs, named":            {MeterOptions{CPUs: []int{0, 1, 2, 3}}, before, after, ordinary, nil},
		"bound to one CPU":           {MeterOptions{}, before.with(files{"proc/self/status": "Name:\tlock\nCpus_allowed_list:\t3\n"}), after, but(func(s *Sample) { s.Cores, s.Busy, s.Running, s.Blocked = 1, 0.5, -1, -1 }), []string{"number of tasks"}},
		"the CPUs of a pod":          {MeterOptions{InPod: true}, before.with(files{"proc/self/status": "Cpus_allowed_list:\t3\n"}), after, ordinary, nil},
		"CPUs that were renumbered":  {MeterOptions{}, before.with(files{"proc/self/status": "Cpus_allowed_list:\t2-5\n"}), after, ordinary, nil},
		"CPUs in no order":           {MeterOptions{}, before.with(files{"proc/self/status": "Cpus_allowed_list:\tmany\n"}), after, ordinary, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			test.before.write(t, root)
			m := meterOf(t, root, test.opts)
			if _, ok, err := m.Read(start); ok || err != nil {
				t.Fatalf("the first look: %v, %v", ok, err)
			}
			test.after.write(t, root)
			s, ok, err := m.Read(start.Add(time.Second))
			if !ok || err != nil {
				t.Fatalf("the second look: %v, %v", ok, err)
			}
			expect(t, s, test.want)
			expectWords(t, m.Missing(), test.missing)
		})
	}
}

// expect compares samples to a millionth. The time is that of the look.
func expect(t *testing.T, got, want Sample) {
	t.Helper()
	sane(t, got)
	for _, f := range []*float64{&got.Cores, &got.Busy, &got.CPU, &got.IO, &got.IOFull, &got.Memory, &got.MemoryFull} {
		*f = math.Round(*f*1e6) / 1e6
	}
	want.At = got.At
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func expectWords(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("missing is said to be %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("missing is said to be %q, want %q", got[i], want[i])
		}
	}
}

// sane is what the controller may rely on.
func sane(t *testing.T, s Sample) {
	t.Helper()
	within := func(name string, v, least, most float64) {
		if !(v >= least && v <= most) || math.IsInf(v, 0) { // neither is true of NaN
			t.Errorf("%s is %v, not within %v to %v: %+v", name, v, least, most, s)
		}
	}
	within("cores", s.Cores, math.SmallestNonzeroFloat64, math.MaxFloat64)
	within("busy", s.Busy, 0, s.Cores)
	within("running", s.Running, -1, math.MaxInt32)
	within("blocked", s.Blocked, -1, math.MaxInt32)
	for _, v := range []float64{s.CPU, s.IO, s.IOFull, s.Memory, s.MemoryFull} {
		within("pressure", v, 0, 1)
	}
	if !s.PSI && s.CPU != 0 || s.At.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestAProcThatDoesNotCountIsAnError(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stat string
		opts MeterOptions
		want string
	}{
		"no Linux":             {"", MeterOptions{}, "no such file"},
		"gVisor":               {"cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nprocs_running 0\n", MeterOptions{}, "counts nothing"},
		"masked":               {"\n", MeterOptions{}, "no line for each CPU"},
		"no CPUs":              {"cpu  1 2 3 4 5 6 7\n", MeterOptions{}, "no line for each CPU"},
		"no sum":               {"cpu0 1 2 3 4 5 6 7\n", MeterOptions{}, "counts nothing"},
		"words":                {"cpu  a b c d\ncpu0 1 2 3 4\n", MeterOptions{}, `"a": invalid syntax`},
		"less than nothing":    {"cpu  -1 2 3 4\ncpu0 1 2 3 4\n", MeterOptions{}, `"-1": invalid syntax`},
		"too little":           {"cpu  1 2 3\ncpu0 1 2 3\n", MeterOptions{}, "has 3 figures"},
		"a CPU that is not":    {before["proc/stat"], MeterOptions{CPUs: []int{0, 7}}, "1 of the 2 CPUs"},
		"a CPU that cannot be": {before["proc/stat"], MeterOptions{CPUs: []int{-1}}, "0 of the 1 CPUs"},
		"a chosen CPU's words": {"cpu  1 2 3 4\ncpu0 1 2 3 x\n", MeterOptions{CPUs: []int{0}}, `"x": invalid syntax`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if test.stat != "" {
				files{"proc/stat": test.stat}.write(t, root)
			}
			_, ok, err := meterOf(t, root, test.opts).Read(start)
			if ok || err == nil || !strings.Contains(err.Error(), "read CPU use: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
}

func TestFilesThatComeAndGo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	before.write(t, root)
	m := meterOf(t, root, MeterOptions{})
	second := 0
	look := func(change files) (Sample, bool, error) {
		change.write(t, root)
		second++
		return m.Read(start.Add(time.Duration(second) * time.Second))
	}
	if _, ok, err := look(nil); ok || err != nil {
		t.Fatal(ok, err)
	}
	if s, ok, err := look(files{"proc/pressure/cpu": ""}); !ok || err != nil || s.PSI || s.CPU != 0 || len(m.Missing()) != 1 {
		t.Errorf("pressure gone: %+v, %v, %v, %v", s, ok, err, m.Missing())
	}
	if s, ok, err := look(files{"proc/pressure/cpu": psiText(9_000_000, 0)}); !ok || err != nil || s.PSI || s.CPU != 0 {
		t.Errorf("pressure back, with nothing to compare it with: %+v, %v, %v", s, ok, err)
	}
	if s, ok, err := look(files{"proc/pressure/cpu": psiText(9_500_000, 0)}); !ok || err != nil || !s.PSI || s.CPU != 0.5 || m.Missing() != nil {
		t.Errorf("pressure there: %+v, %v, %v, %v", s, ok, err, m.Missing())
	}
	if _, ok, err := look(files{"proc/stat": "intr 1\n"}); ok || err == nil {
		t.Errorf("no CPU: %v, %v", ok, err)
	}
	if s, ok, err := look(after); !ok || err != nil || math.Abs(s.Busy-1) > 1e-6 {
		t.Errorf("two cores in one of two seconds, of which one could not be read: %+v, %v, %v", s, ok, err)
	}
	if s, ok, err := m.Read(start); ok || err != nil {
		t.Errorf("a clock that steps back: %+v, %v, %v", s, ok, err)
	}
	if s, ok, err := look(files{"proc/pressure/io": psiText(1_000_100, 0)}); !ok || err != nil || s.Busy != 0 || s.IO != 0.5 {
		t.Errorf("half a second of waiting in the second since the last good look: %+v, %v, %v", s, ok, err)
	}
}

func TestThisNodeIsSane(t *testing.T) {
	t.Parallel()
	m := NewMeter(MeterOptions{})
	defer m.Close()
	_, ok, err := m.Read(time.Now())
	if runtime.GOOS != "linux" {
		if err == nil {
			t.Errorf("%s has no /proc/stat, and yet there is no error", runtime.GOOS)
		}
		return
	}
	if ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	// Until some work shows: the kernel counts in hundredths of a second.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		for i, until := 0, time.Now().Add(50*time.Millisecond); time.Now().Before(until); {
			i++
		}
		s, ok, err := m.Read(time.Now())
		if !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		sane(t, s)
		if s.Cores > float64(runtime.NumCPU()) {
			t.Errorf("%v cores, of which only %d may be used", s.Cores, runtime.NumCPU())
		}
		if s.Busy > 0 {
			return
		}
	}
	t.Error("ten seconds of work did not show")
}

func TestReadLeavesNothingToCollect(t *testing.T) { //nolint:paralleltest // counts what all of the program allocates
	root := t.TempDir()
	v2Quota(before).write(t, root)
	m := meterOf(t, root, MeterOptions{})
	now := start
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(Interval)
		if _, _, err := m.Read(now); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations for each sample", n)
	}
}

func TestManyCPUs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	bigNode().write(t, root)
	c, err := meterOf(t, root, MeterOptions{}).Count(start)
	if err != nil || c.Cores != 256 || c.Running != 299 || c.Blocked != 4 {
		t.Errorf("%+v, %v", c, err)
	}
}

// bigNode has 256 cores and some thousand interrupts.
func bigNode() files {
	var stat strings.Builder
	stat.WriteString("cpu  123456789 28677 36667300 2514183000 10132 0 14112 1024 0 0\n")
	for i := range 256 {
		stat.WriteString("cpu" + text(uint64(i)) + " 1234567 287 366673 25141830 101 0 141 10 0 0\n")
	}
	stat.WriteString("intr 97903772" + strings.Repeat(" 12345 0 0", 3000) + "\nctxt 1\nprocs_running 300\nprocs_blocked 4\n")
	return before.with(files{"proc/stat": stat.String()})
}

// BenchmarkMeterRead is the cost of a sample: of this node, and of a big one
// without what its kernel needs to write the text.
func BenchmarkMeterRead(b *testing.B) {
	read := func(b *testing.B, m *Meter) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := m.Read(time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("this node", func(b *testing.B) {
		m := NewMeter(MeterOptions{})
		defer m.Close()
		read(b, m)
	})
	b.Run("256 cores", func(b *testing.B) {
		root := b.TempDir()
		bigNode().write(b, root)
		read(b, meterOf(b, root, MeterOptions{}))
	})
}
