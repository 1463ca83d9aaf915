package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestChildrenAreBoundToTheNodesCPUs(t *testing.T) {
	t.Parallel()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	l := testLauncher(t)
	p, _ := child(t, l, "obedient")
	defer p.Stop(0)
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(p.cmd.Process.Pid, &set); err != nil {
		t.Fatal(err)
	}
	if set.Count() != 1 || !set.IsSet(l.cpus[0]) || l.cores != 1 || l.note != "" {
		t.Errorf("bound to %d CPUs, want 1 (%v)", set.Count(), l.cpus)
	}
	var after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("this program's own binding changed: %v", err)
	}
}

func TestMoreCoresThanThereAreIsSaid(t *testing.T) {
	t.Parallel()
	l, err := newLauncher(spec.Node{Cores: 1000}, true)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	if !strings.Contains(l.note, "wants a node of 1000 cores") || l.cores != len(l.cpus) || l.cores < 1 {
		t.Errorf("%d cores, note %q", l.cores, l.note)
	}
}

// canHold skips a test on a machine on which nobody can make a CPU quota.
func canHold(t *testing.T) {
	t.Helper()
	l, err := newLauncher(spec.Node{Cores: 1, Quota: true}, false)
	if err != nil {
		t.Skipf("no cgroups here: %v", err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
}

func TestChildrenAreHeldToTheQuota(t *testing.T) {
	t.Parallel()
	canHold(t)
	l, err := newLauncher(spec.Node{Cores: 1, Quota: true}, false)
	if err != nil {
		t.Fatal(err)
	}
	folder := l.group.trees.all()[0] + "/" + l.group.name
	p, _ := child(t, l, "obedient")
	of, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(of), "/"+l.group.name+"\n") {
		t.Errorf("the child is in the cgroups\n%s%v", of, err)
	}
	mine, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || strings.Contains(string(mine), l.group.name) {
		t.Errorf("this program is in the cgroups\n%s%v", mine, err)
	}
	var set, allowed unix.CPUSet
	if err := unix.SchedGetaffinity(p.cmd.Process.Pid, &set); err != nil {
		t.Error(err)
	}
	if err := unix.SchedGetaffinity(0, &allowed); err != nil || set != allowed {
		t.Errorf("a quota takes CPUs away: %d are left of %d, %v", set.Count(), allowed.Count(), err)
	}
	if used, err := l.used()(); err != nil || used <= 0 || used > 60 {
		t.Errorf("used %v CPU-seconds, %v", used, err)
	}
	p.Stop(0)
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("%s stays: %v", folder, err)
	}
}

func TestChildrenAreBornInACgroupOfVersion2(t *testing.T) {
	t.Parallel()
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	tree := parseTrees(string(mountinfo)).unified
	name := fmt.Sprintf("%s%d-test", groupPrefix, os.Getpid())
	if err := os.Mkdir(filepath.Join(tree, name), 0o755); tree == "" || err != nil {
		t.Skipf("no cgroups of version 2 here: %v", err)
	}
	folder, err := os.Open(filepath.Join(tree, name))
	if err != nil {
		t.Fatal(err)
	}
	l := testLauncher(t)
	l.group = &cgroup{trees: trees{unified: tree}, name: name, folder: folder}
	p, _ := child(t, l, "obedient")
	defer p.Stop(0)
	of, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(of), "0::/"+name+"\n") {
		t.Errorf("the child is in the cgroups\n%s%v", of, err)
	}
}

func TestWhatALockThatFollowsASmallerNodeCannotSeeIsSaid(t *testing.T) {
	t.Parallel()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	for cores, note := range map[int]bool{1: allowed.Count() > 1, allowed.Count(): false} {
		l, err := newLauncher(spec.Node{Cores: cores}, true)
		if err != nil {
			t.Fatal(err)
		}
		closed(t, l)
		if said := strings.Contains(l.note, fmt.Sprintf("all %d cores of the machine", allowed.Count())); said != note || len(l.cpus) != cores {
			t.Errorf("%d cores: CPUs %v, note %q", cores, l.cpus, l.note)
		}
	}
}
