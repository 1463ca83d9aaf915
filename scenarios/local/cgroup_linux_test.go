package local

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	apart = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	together = "33 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
	unified  = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)

func TestTreesOfCgroups(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mountinfo string
		want      []string
	}{
		"version 1":              {apart, []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct"}},
		"version 1, one tree":    {together, []string{"/sys/fs/cgroup/cpu,cpuacct"}},
		"version 2":              {unified, []string{"/sys/fs/cgroup"}},
		"no accounting":          {"32 31 0:29 / /cpu rw - cgroup cgroup rw,cpu\n", nil},
		"accounting and nothing": {"32 31 0:29 / /a rw - cgroup cgroup rw,cpuacct\n" + unified, []string{"/sys/fs/cgroup"}},
		"none":                   {"31 23 0:28 / / rw,relatime - ext4 /dev/vda rw\n", nil},
		"garbage":                {" - \ncgroup2 - cgroup2\n - cgroup2 a b\n", nil},
		"empty":                  {"", nil},
	} {
		if got := parseTrees(test.mountinfo).all(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func FuzzTreesOfCgroups(f *testing.F) {
	for _, text := range []string{apart, together, unified, " - cgroup2 a b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, mountinfo string) {
		for _, tree := range parseTrees(mountinfo).all() {
			if tree == "" || !strings.Contains(mountinfo, tree) {
				t.Errorf("%q out of nowhere", tree)
			}
		}
	})
}

func TestQuotaIsWrittenAsTheKernelReadsIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		trees func(dir string) trees
		want  map[string]string // by the path's end
	}{
		"version 1": {
			func(dir string) trees {
				return trees{cpu: dir + "/cpu", usage: dir + "/cpuacct", unified: dir + "/unified"}
			},
			map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "300000"},
		},
		"version 2": {
			func(dir string) trees { return trees{unified: dir + "/unified"} },
			map[string]string{"cpu.max": "300000 100000", "../cgroup.subtree_control": "+cpu"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in := test.trees(dir)
			for _, tree := range in.all() {
				if err := os.Mkdir(tree, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			g, err := newCgroup(in, 3)
			if err != nil {
				t.Fatal(err)
			}
			for file, want := range test.want {
				path := filepath.Join(in.all()[0], g.name, file)
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("%s: %q, %v, want %q", file, got, err, want)
				}
				if err := os.Remove(path); err != nil { // the kernel's files are no obstacle
					t.Error(err)
				}
			}
			if err := g.close(); err != nil {
				t.Error(err)
			}
			for _, tree := range in.all() {
				if left, err := os.ReadDir(tree); err != nil || len(left) > 0 {
					t.Errorf("%s keeps %v, %v", tree, left, err)
				}
			}
		})
	}
}

func TestWhereThereIsNoQuotaItIsSaid(t *testing.T) {
	t.Parallel()
	for want, in := range map[string]trees{
		"no cgroup tree with CPU quotas": {},
		"/no/such/tree":                  {cpu: "/no/such/tree", usage: "/no/such/tree"},
	} {
		if _, err := newCgroup(in, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestRemainsOfCrashedRunsAreRemoved(t *testing.T) {
	t.Parallel()
	const nobody = 1 << 30 // no process has such a number
	dir := t.TempDir()
	keep := []string{fmt.Sprintf("psl-scenarios-%d-1", os.Getpid()), "psl-scenarios-x", "psl-scenarios-0-1", "docker"}
	for _, name := range append([]string{fmt.Sprintf("psl-scenarios-%d-1", nobody), fmt.Sprintf("psl-scenarios-%d", nobody)}, keep...) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	removeStale([]string{dir})
	left, err := os.ReadDir(dir)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if slices.Sort(keep); err != nil || !slices.Equal(names, keep) {
		t.Errorf("left %v, want %v, %v", names, keep, err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"123456789\n": 123456789,
		"usage_usec 7\nuser_usec 5\nsystem_usec 2\ncore_sched.force_idle_usec 0\n": 7,
	} {
		if got, err := parseUsage(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "user_usec 5\n", "usage_usec\n", "usage_usec x\n"} {
		if got, err := parseUsage(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func FuzzUsage(f *testing.F) {
	for _, text := range []string{"1\n", "usage_usec 7\nuser_usec 5\n", "usage_usec "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseUsage(text)
		if err != nil {
			return
		}
		if again, err := parseUsage(fmt.Sprintf("usage_usec %d\n", got)); err != nil || again != got {
			t.Errorf("%q: %d, and read again %d, %v", text, got, again, err)
		}
	})
}
