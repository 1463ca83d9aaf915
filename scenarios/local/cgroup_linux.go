// cgroup_linux.go makes the cgroup of a node that a CPU quota limits. The kernel
// keeps cgroups in one tree (version 2) or in one tree per resource (version 1).

package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// groupPrefix begins the name of every cgroup made here; the number of the process that made it follows.
	groupPrefix = "psl-scenarios-"
	// quotaPeriod is what a quota is a part of, in microseconds: the kernel's default.
	quotaPeriod = 100_000
)

// trees are where cgroups are mounted.
type trees struct {
	cpu, usage string // of version 1; the same where one tree has both
	unified    string // of version 2
}

// parseTrees finds the trees in the text of /proc/self/mountinfo. CPU quotas of
// a machine that has both versions are with version 1, if that has them at all.
func parseTrees(mountinfo string) trees {
	var t trees
	for line := range strings.Lines(mountinfo) {
		mount, system, found := strings.Cut(strings.TrimSpace(line), " - ")
		mounted, of := strings.Fields(mount), strings.Fields(system)
		if !found || len(mounted) < 5 || len(of) < 3 {
			continue
		}
		switch of[0] {
		case "cgroup2":
			t.unified = mounted[4]
		case "cgroup":
			for option := range strings.SplitSeq(of[2], ",") {
				switch option {
				case "cpu":
					t.cpu = mounted[4]
				case "cpuacct":
					t.usage = mounted[4]
				}
			}
		}
	}
	return t
}

// all are the trees in which a node's cgroup needs a folder, each once.
func (t trees) all() []string {
	switch {
	case t.cpu != "" && t.usage != "" && t.cpu != t.usage:
		return []string{t.cpu, t.usage}
	case t.cpu != "" && t.usage != "":
		return []string{t.cpu}
	case t.cpu == "" && t.unified != "":
		return []string{t.unified}
	default:
		return nil
	}
}

// cgroup holds all processes of a node to a CPU quota.
type cgroup struct {
	trees trees
	name  string
	// folder is open for version 2, where children are born into it.
	folder *os.File
}

// newCgroup makes a cgroup that may use that many cores, and removes what runs
// that have crashed have left behind.
func newCgroup(t trees, cores int) (_ *cgroup, err error) {
	all := t.all()
	if all == nil {
		return nil, errors.New("no cgroup tree with CPU quotas and CPU accounting is mounted")
	}
	removeStale(all)
	first, err := os.MkdirTemp(all[0], fmt.Sprintf("%s%d-*", groupPrefix, os.Getpid()))
	if err != nil {
		return nil, err // it names the folder
	}
	g := &cgroup{trees: t, name: filepath.Base(first)}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	for _, tree := range all[1:] {
		if err := os.Mkdir(filepath.Join(tree, g.name), 0o755); err != nil {
			return nil, err
		}
	}
	quota := cores * quotaPeriod
	if t.cpu != "" {
		return g, errors.Join(
			write(strconv.Itoa(quotaPeriod), first, "cpu.cfs_period_us"),
			write(strconv.Itoa(quota), first, "cpu.cfs_quota_us"))
	}
	if err := errors.Join(
		write("+cpu", t.unified, "cgroup.subtree_control"),
		write(fmt.Sprintf("%d %d", quota, quotaPeriod), first, "cpu.max")); err != nil {
		return nil, err
	}
	g.folder, err = os.Open(first)
	return g, err
}

// removeStale removes the cgroups of processes that are no more.
func removeStale(trees []string) {
	for _, tree := range trees {
		left, _ := filepath.Glob(filepath.Join(tree, groupPrefix+"*")) // the pattern is good
		for _, folder := range left {
			number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), groupPrefix), "-")
			pid, err := strconv.Atoi(number)
			if err == nil && pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
				_ = os.Remove(folder) // not even that one: it is not in our way
			}
		}
	}
}

// join moves the calling thread into the cgroup, and with it the children that
// it starts, where single threads can be moved: in version 1.
func (g *cgroup) join() error { return g.move(g.name) }

// leave moves the calling thread out again, to the root of the tree.
func (g *cgroup) leave() error { return g.move(".") }

func (g *cgroup) move(to string) error {
	if g.folder != nil {
		return nil
	}
	var failed error
	for _, tree := range g.trees.all() {
		failed = errors.Join(failed, write(strconv.Itoa(unix.Gettid()), tree, to, "tasks"))
	}
	return failed
}

// attributes makes a child be born in the cgroup, which in version 1 it is anyway.
func (g *cgroup) attributes(a *syscall.SysProcAttr) {
	if g.folder != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(g.folder.Fd())
	}
}

// used is the CPU-seconds that the cgroup's processes have used so far.
func (g *cgroup) used() (float64, error) {
	path, unit := filepath.Join(g.trees.usage, g.name, "cpuacct.usage"), 1e9
	if g.folder != nil {
		path, unit = filepath.Join(g.trees.unified, g.name, "cpu.stat"), 1e6
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the CPU use of the node: %w", err)
	}
	n, err := parseUsage(string(text))
	if err != nil {
		return 0, fmt.Errorf("read the CPU use of the node: %s: %w", path, err)
	}
	return float64(n) / unit, nil
}

// parseUsage reads one number, or the line usage_usec of several.
func parseUsage(text string) (uint64, error) {
	number := strings.TrimSpace(text)
	for line := range strings.Lines(text) {
		if usec, ok := strings.CutPrefix(line, "usage_usec "); ok {
			number = strings.TrimSpace(usec)
		}
	}
	return strconv.ParseUint(number, 10, 64)
}

// close removes the cgroup, which has to be empty, or about to be: threads take
// a moment to end.
func (g *cgroup) close() error {
	if g.folder != nil {
		_ = g.folder.Close() // only read from
	}
	var failed error
	for _, tree := range g.trees.all() {
		path := filepath.Join(tree, g.name)
		err := os.Remove(path)
		for range 100 {
			if !errors.Is(err, syscall.EBUSY) {
				break
			}
			time.Sleep(10 * time.Millisecond)
			err = os.Remove(path)
		}
		if !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// write puts a text into a file that is there.
func write(text string, path ...string) error {
	return os.WriteFile(filepath.Join(path...), []byte(text), 0o644)
}
