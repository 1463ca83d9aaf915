package pressure

import (
	"strings"
	"testing"
	"time"
)

// v2Quota is a node in a container with a quota of two cores, as it sees itself.
func v2Quota(f files) files {
	return f.with(files{
		"proc/self/cgroup":       "0::/\n",
		"cgroup/cpu.max":         "200000 100000\n",
		"cgroup/cpu.stat":        "usage_usec 1000000\nuser_usec 1\nsystem_usec 2\nnr_periods 5\nnr_throttled 1\nthrottled_usec 0\n",
		"cgroup/cpu.pressure":    psiText(1_000_000, 0),
		"cgroup/io.pressure":     psiText(0, 0),
		"cgroup/memory.pressure": psiText(0, 0),
	})
}

// v1Group is a cgroup of version 1, with both controllers in one tree.
func v1Group(path, quota, usage, throttled string) files {
	return files{
		"cgroup/cpu,cpuacct" + path + "/cpu.cfs_quota_us":  quota + "\n",
		"cgroup/cpu,cpuacct" + path + "/cpu.cfs_period_us": "100000\n",
		"cgroup/cpu,cpuacct" + path + "/cpuacct.usage":     usage + "\n",
		"cgroup/cpu,cpuacct" + path + "/cpu.stat":          "nr_periods 10\nnr_throttled 3\nthrottled_time " + throttled + "\n",
	}
}

func v1Own(path string) files {
	return files{"proc/self/cgroup": "9:name=systemd:" + path + "\n4:cpu,cpuacct:" + path + "\n3:memory:/elsewhere\n0::/other\n"}
}

func TestAQuotaOfTheNodeIsWhatTheNodeHas(t *testing.T) {
	t.Parallel()
	const pod = "/docker/f2f8/kubelet/kubepods/burstable/pod123/9ab"
	machine := ordinary // with no quota in force
	// From the group: 1.5 of 2 cores in use, for a quarter of the time held back.
	limited := func(change func(s *Sample)) Sample {
		s := ordinary
		s.Cores, s.Busy, s.Running, s.Blocked = 2, 1.5, -1, -1
		change(&s)
		return s
	}
	whole := func(s *Sample) {}
	inGroup := func(s *Sample) { s.CPU, s.IO, s.IOFull, s.Memory, s.MemoryFull = 0.75, 0.2, 0.1, 0.02, 0.01 }
	v2 := v2Quota(nil).with(files{"proc/self/cgroup": ""})
	v2After := files{
		"cgroup/cpu.stat":        "usage_usec 2500000\nnr_throttled 2\nthrottled_usec 250000\n",
		"cgroup/cpu.pressure":    psiText(1_750_000, 0),
		"cgroup/io.pressure":     psiText(200_000, 100_000),
		"cgroup/memory.pressure": psiText(20_000, 10_000),
	}
	v1 := func(path string) files { return v1Group(path, "200000", "1000000000", "0") }
	v1After := func(path string) files { return v1Group(path, "200000", "2500000000", "250000000") }
	free := func(path string) files { return v1Group(path, "-1", "1000000000", "0") }
	nested := func(f files, path string) files {
		all := files{}
		for name, text := range f {
			all[strings.Replace(name, "cgroup/", "cgroup"+path+"/", 1)] = text
		}
		return all
	}
	tests := map[string]struct {
		inPod         bool
		before, after files
		want          Sample
		missing       []string
	}{
		"version 2, a container's own": {false, v2Quota(nil), v2After, limited(inGroup), []string{"quota of cgroup /;"}},
		"version 2, on the path of a process": {
			false, nested(v2, "/docker/x").with(files{"proc/self/cgroup": "0::/docker/x/init\n", "cgroup/docker/x/init/cpu.max": "max 100000\n"}),
			nested(v2After, "/docker/x"), limited(inGroup), []string{"quota of cgroup /docker/x;"},
		},
		"version 2, the smallest of three": {
			false, nested(v2, "/a/b").with(files{"proc/self/cgroup": "0::/a/b/c\n", "cgroup/a/cpu.max": "250000 100000\n", "cgroup/a/b/c/cpu.max": "9900000 100000\n"}),
			nested(v2After, "/a/b"), limited(inGroup), []string{"quota of cgroup /a/b;"},
		},
		"version 2, more than the CPUs":   {false, v2Quota(nil).with(files{"cgroup/cpu.max": "400000 100000\n"}), v2After, machine, nil},
		"version 2, none":                 {false, v2Quota(nil).with(files{"cgroup/cpu.max": "max 100000\n"}), v2After, machine, nil},
		"version 2, of a period of none":  {false, v2Quota(nil).with(files{"cgroup/cpu.max": "100000 0\n"}), v2After, machine, nil},
		"version 2, of no period":         {false, v2Quota(nil).with(files{"cgroup/cpu.max": "100000\n"}), v2After, machine, nil},
		"version 2, outside of the view":  {false, v2Quota(nil).with(files{"proc/self/cgroup": "0::/../x\n"}), v2After, machine, nil},
		"version 2, of somebody else":     {false, nested(v2, "/a").with(files{"proc/self/cgroup": "0::/b\n", "cgroup/b/cpu.max": "max 100000"}), v2After, machine, nil},
		"version 2, in a pod":             {true, v2Quota(nil), v2After, machine, nil},
		"version 2, in a pod on its path": {true, nested(v2, "/kubepods.slice/pod1").with(files{"proc/self/cgroup": "0::/kubepods.slice/pod1\n"}), nested(v2After, "/kubepods.slice/pod1"), machine, nil},
		"version 2, above the pods": {
			true, nested(v2, "/kubelet.slice").with(files{
				"proc/self/cgroup": "0::/kubelet.slice/kubelet-kubepods.slice/pod1\n",
				"cgroup/kubelet.slice/kubelet-kubepods.slice/cpu.max": "100000 100000", "cgroup/kubelet.slice/kubelet-kubepods.slice/pod1/cpu.max": "10000 100000",
			}),
			nested(v2After, "/kubelet.slice"), limited(inGroup), []string{"quota of cgroup /kubelet.slice;"},
		},
		"version 2 without pressure": {
			false, v2Quota(nil).with(files{"cgroup/cpu.pressure": "", "cgroup/io.pressure": "", "cgroup/memory.pressure": ""}), files{"cgroup/cpu.stat": v2After["cgroup/cpu.stat"]},
			limited(whole), []string{"quota of cgroup /;", "no CPU pressure of cgroup /;"},
		},
		"version 1, on the path":        {false, free("").with(v1("/docker/x")).with(v1Own("/docker/x")), v1After("/docker/x"), limited(whole), []string{"quota of cgroup /docker/x;", "no CPU pressure of cgroup /docker/x;"}},
		"version 1, mounted from there": {false, v1("").with(v1Own("/docker/x")), v1After(""), limited(whole), []string{"quota of cgroup /docker/x;", "no CPU pressure"}},
		"version 1, mounted from above": {false, v1("").with(free("/init")).with(v1Own("/docker/x/init")), v1After(""), limited(whole), []string{"quota of cgroup /docker/x;", "no CPU pressure"}},
		"version 1, none":               {false, free("").with(v1Own("/")), nil, machine, nil},
		"version 1, two trees": {
			false, files{
				"proc/self/cgroup": "2:cpuacct:/x\n1:cpu:/x\n", "cgroup/cpu/x/cpu.cfs_quota_us": "200000\n", "cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
				"cgroup/cpu/x/cpu.stat": "throttled_time 0\n", "cgroup/cpuacct/x/cpuacct.usage": "1000000000\n",
			},
			files{"cgroup/cpu/x/cpu.stat": "throttled_time 250000000\n", "cgroup/cpuacct/x/cpuacct.usage": "2500000000\n"},
			limited(whole), []string{"quota of cgroup /x;", "no CPU pressure"},
		},
		"version 1, in a pod":            {true, v1("").with(v1Own(pod)), v1After(""), machine, nil},
		"version 1, above the pod":       {true, v1("/docker/f2f8").with(v1Group(pod, "10000", "0", "0")).with(v1Own(pod)), v1After("/docker/f2f8"), limited(whole), []string{"quota of cgroup /docker/f2f8;", "no CPU pressure"}},
		"version 1, throttled on 4 CPUs": {false, v1("").with(v1Own("/")), v1Group("", "200000", "2500000000", "4000000000"), limited(func(s *Sample) { s.CPU = 1 }), []string{"quota", "no CPU pressure"}},
		"no pressure at all": {
			false, v1("").with(v1Own("/")).with(files{"proc/pressure/cpu": "none", "proc/pressure/io": "none", "proc/pressure/memory": "none"}),
			v1After("").with(files{"proc/pressure/cpu": "none", "proc/pressure/io": "none", "proc/pressure/memory": "none"}),
			Sample{Cores: 2, Busy: 1.5, Running: -1, Blocked: -1, PSI: true, CPU: 0.25}, []string{"quota", "no CPU pressure", "no IO pressure", "no memory pressure"},
		},
		"a cgroup file of nonsense": {false, v1("").with(files{"proc/self/cgroup": "\n4\n:::\nx:cpu:relative\n"}), v1After(""), machine, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			before.with(test.before).write(t, root)
			m := meterOf(t, root, MeterOptions{InPod: test.inPod})
			if _, ok, err := m.Read(start); ok || err != nil {
				t.Fatalf("the first look: %v, %v", ok, err)
			}
			after.with(test.after).write(t, root)
			s, ok, err := m.Read(start.Add(time.Second))
			if !ok || err != nil {
				t.Fatalf("the second look: %v, %v", ok, err)
			}
			expect(t, s, test.want)
			expectWords(t, m.Missing(), test.missing)
		})
	}
}

func TestAQuotaThatIsSetOrLiftedIsNotComparedAcross(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	v2Quota(before).write(t, root)
	m := meterOf(t, root, MeterOptions{})
	second := 0
	look := func(quota string, cores float64, compared bool) {
		t.Helper()
		files{"cgroup/cpu.max": quota}.write(t, root)
		second++
		s, ok, err := m.Read(start.Add(time.Duration(second) * time.Second))
		if err != nil || ok != compared || s.Cores != cores {
			t.Errorf("%q: %+v, %v, %v", quota, s, ok, err)
		}
	}
	look("max 100000", 0, false) // the first
	look("max 100000", 4, true)
	look("150000 100000", 0, false)
	look("150000 100000", 1.5, true)
	look("50000 100000", 0.5, true)
	look("max 100000", 0, false)
	look("max 100000", 4, true)
}

func TestAQuotaWhoseUseIsNotCountedIsAnError(t *testing.T) {
	t.Parallel()
	for name, stat := range map[string]string{"no figure": "user_usec 7\n", "no number": "usage_usec much\n", "nothing": "\n"} {
		root := t.TempDir()
		v2Quota(before).with(files{"cgroup/cpu.stat": stat}).write(t, root)
		if _, _, err := meterOf(t, root, MeterOptions{}).Read(start); err == nil || !strings.Contains(err.Error(), "read CPU use of cgroup /: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
