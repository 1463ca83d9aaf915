package pressure

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// FuzzASampleIsSane reads a node whose files hold anything, twice.
func FuzzASampleIsSane(f *testing.F) {
	stat, pressure := before["proc/stat"], before["proc/pressure/cpu"]
	f.Add(stat, after["proc/stat"], pressure, after["proc/pressure/cpu"], "max 100000", "usage_usec 7\n", "usage_usec 9\nthrottled_usec 4\n", "0::/", "0-1", int64(time.Second))
	f.Add(stat, stat, "", pressure, "1 9223372036854775807", "usage_usec 0", "usage_usec 18446744073709551615", "0::/", "", int64(1))
	f.Add("cpu  0 0 0 1\ncpu0 0 0 0 1", "cpu  18446744073709551615 18446744073709551615 0 0\ncpu0 1 1 1 1", "some total=0", "some total=18446744073709551615", "", "", "", "1:cpu:/", "1-70,", int64(math.MaxInt64))
	root := f.TempDir() // every file is written anew, each time
	f.Fuzz(func(t *testing.T, stat1, stat2, psi1, psi2, quota, group1, group2, own, allowed string, dt int64) {
		files{
			"proc/stat": stat1, "proc/pressure/cpu": psi1, "proc/self/cgroup": own, "proc/self/status": "Cpus_allowed_list:\t" + allowed,
			"cgroup/cpu.max": quota, "cgroup/cpu.stat": group1, "cgroup/cpu.pressure": psi1,
		}.write(t, root)
		m := meterOf(t, root, MeterOptions{})
		if _, ok, _ := m.Read(start); ok {
			t.Error("a sample of a single look")
		}
		m.Missing()
		files{"proc/stat": stat2, "proc/pressure/cpu": psi2, "cgroup/cpu.stat": group2, "cgroup/cpu.pressure": psi2}.write(t, root)
		s, ok, err := m.Read(start.Add(time.Duration(dt)))
		m.Missing()
		if ok {
			sane(t, s)
		}
		if ok && err != nil || !ok && s != (Sample{}) {
			t.Errorf("%+v, %v, %v", s, ok, err)
		}
	})
}

// FuzzParsers gives any text to all that read one.
func FuzzParsers(f *testing.F) {
	for _, node := range []files{before, after, v2Quota(nil), v1Group("/x", "200000", "1", "2"), v1Own("/docker/x")} {
		for _, text := range node {
			f.Add(text, "100000")
		}
	}
	f.Add("\t0-2,7\n", "1")
	f.Add("7-2", "2")
	f.Fuzz(func(t *testing.T, text, more string) {
		if s, err := parseStat([]byte(text), nil); err == nil && (s.cores < 1 || !s.whole || s.running < -1 || s.blocked < -1) {
			t.Errorf("stat %+v", s)
		}
		if s, err := parseStat([]byte(text), cpuSet{more: true}); err == nil && (s.cores < 1 || !strings.Contains(text, "cpu"+more)) {
			t.Errorf("stat of CPU %q: %+v", more, s)
		}
		if some, _, err := parsePSI([]byte(text)); err == nil && some > 0 && !strings.Contains(text, "total=") {
			t.Errorf("pressure %d", some)
		}
		if cores, ok := parseQuota([]byte(text), []byte(more)); ok && !(cores > 0 && cores <= math.MaxInt64) || !ok && cores != 0 {
			t.Errorf("quota %v, %v", cores, ok)
		}
		if n, err := parseFigure([]byte(text), more); err == nil && n > 0 && !strings.Contains(text, more) {
			t.Errorf("figure %d", n)
		}
		if o := parseOwn(text); o.path != "" && !strings.Contains(text, ":"+o.path) || o.cpu != "" && o.path == "" {
			t.Errorf("own cgroup %+v", o)
		}
		if len(text) < 100 { // "0-65535" is a long list
			if set, err := parseAllowed([]byte("Cpus_allowed_list:" + text)); err == nil && len(set) == 0 {
				t.Error("nothing is allowed")
			}
		}
	})
}

func TestAnyTwoCountsMakeASaneSampleOrNone(t *testing.T) {
	t.Parallel()
	of := [2]*source{{}, {}}
	groups := [3]*group{nil, {}, {}}
	rapid.Check(t, func(r *rapid.T) {
		seconds := func(name string) float64 { return float64(rapid.Uint64().Draw(r, name)) / 1e6 }
		stalled := func() Stalled {
			return Stalled{Some: seconds("some"), Full: seconds("full"), of: rapid.SampledFrom([]*source{nil, of[0], of[1]}).Draw(r, "file")}
		}
		counters := func(at time.Time) Counters {
			c := Counters{
				At: at, Used: seconds("used"), CPU: stalled(), IO: stalled(), Memory: stalled(),
				Cores:   float64(rapid.IntRange(1, 1e9).Draw(r, "cores")) / 1000,
				Running: float64(rapid.IntRange(-1, 1e6).Draw(r, "running")), Blocked: float64(rapid.IntRange(-1, 1e6).Draw(r, "blocked")),
				of: rapid.SampledFrom(groups[:]).Draw(r, "group"),
			}
			return c
		}
		dt := time.Duration(rapid.Int64Range(-1e9, math.MaxInt64).Draw(r, "dt"))
		first, second := counters(start), counters(start.Add(dt))
		s, ok := second.Since(first)
		if want := dt > 0 && first.of == second.of; ok != want {
			t.Fatalf("%v of %+v since %+v", ok, second, first)
		}
		if ok {
			sane(t, s)
		}
	})
}
