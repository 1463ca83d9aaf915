package local

import (
	"testing"

	"golang.org/x/sys/unix"
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
	l, err := newLauncher(1000)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if l.note == "" || l.cores != len(l.cpus) || l.cores < 1 {
		t.Errorf("%d cores, note %q", l.cores, l.note)
	}
}
