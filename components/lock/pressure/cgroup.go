// cgroup.go finds the CPU quota of a node that is a container itself, and what is used of it.

package pressure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// group is a cgroup that may have a CPU quota, of version 1 or 2.
type group struct {
	path   string  // as the kernel names it
	quota  *source // of version 2 with the period in it
	period *source // of version 1, as usage
	usage  *source
	stat   *source
	psi    psi // of version 2
}

// findGroups finds the cgroups on the own path whose quota would be the node's,
// as far as they can be seen. In a pod those of the pod are not: only what is above
// the kubelet's. Most pods see nothing above their own container.
func findGroups(proc, root string, inPod bool) []*group {
	text, err := os.ReadFile(filepath.Join(proc, "self", "cgroup"))
	if err != nil {
		return nil // no cgroups, no quotas
	}
	own := parseOwn(string(text))
	if own.path == "" {
		return nil
	}
	elements := strings.FieldsFunc(own.path, func(r rune) bool { return r == '/' })
	if slices.Contains(elements, "..") {
		return nil // outside of what this namespace shows
	}
	tree, usage := root, ""
	if own.cpu != "" {
		tree, usage = firstFolder(root, own.cpu, "cpu"), firstFolder(root, own.usage, "cpuacct")
	}
	hidden, deepest := mountedAt(tree, elements), len(elements)
	if inPod {
		deepest = slices.IndexFunc(elements, func(e string) bool { return strings.Contains(e, "kubepods") })
	}
	var groups []*group
	for depth := hidden; depth <= deepest; depth++ {
		path, below := "/"+strings.Join(elements[:depth], "/"), filepath.Join(elements[hidden:depth]...)
		g := newGroup(path, filepath.Join(tree, below))
		if own.cpu != "" {
			g = newGroupV1(path, filepath.Join(tree, below), filepath.Join(usage, below))
		}
		if _, err := g.quota.read(); err != nil { // the root of version 2 has none
			continue
		}
		groups = append(groups, g)
	}
	return groups
}

// mountedAt is how many leading elements of the own path are not to be seen:
// the tree may be mounted from somewhere on the path downwards, usually from its end.
func mountedAt(tree string, elements []string) int {
	for hidden := range elements {
		if _, err := os.Stat(filepath.Join(tree, filepath.Join(elements[hidden:]...))); err == nil {
			return hidden
		}
	}
	return len(elements)
}

// firstFolder is where the tree of a controller is mounted: under the name of
// all controllers in it, or of the one.
func firstFolder(root, all, one string) string {
	if path := filepath.Join(root, all); isFolder(path) {
		return path
	}
	return filepath.Join(root, one)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// own is the cgroup that this process is in.
type own struct {
	path       string
	cpu, usage string // the controllers of each tree of version 1; "" for version 2
}

// parseOwn reads /proc/self/cgroup. A line is number:controllers:path; that of
// version 2 names no controllers, and counts if version 1 has not got the CPU.
func parseOwn(text string) own {
	var v1, v2 own
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(path, "/") {
			continue
		}
		if controllers == "" {
			v2.path = path
		}
		for c := range strings.SplitSeq(controllers, ",") {
			switch c {
			case "cpu":
				v1.path, v1.cpu = path, controllers
			case "cpuacct":
				v1.usage = controllers
			}
		}
	}
	if v1.cpu != "" {
		return v1
	}
	return own{path: v2.path}
}

func newGroup(path, dir string) *group {
	stat := newSource(dir, "cpu.stat")
	return &group{
		path: path, quota: newSource(dir, "cpu.max"), usage: stat, stat: stat,
		psi: psi{newSource(dir, "cpu.pressure"), newSource(dir, "io.pressure"), newSource(dir, "memory.pressure")},
	}
}

func newGroupV1(path, dir, usage string) *group {
	return &group{
		path: path, quota: newSource(dir, "cpu.cfs_quota_us"), period: newSource(dir, "cpu.cfs_period_us"),
		usage: newSource(usage, "cpuacct.usage"), stat: newSource(dir, "cpu.stat"),
	}
}

func (g *group) close() {
	for _, s := range append(g.psi[:], g.quota, g.period, g.usage, g.stat) {
		s.close()
	}
}

// cores is how many cores the quota is worth, if there is one now.
func (g *group) cores() (float64, bool) {
	text, err := g.quota.read()
	if err != nil {
		return 0, false
	}
	quota, period, _ := bytes.Cut(bytes.TrimSpace(text), []byte(" "))
	if g.period != nil {
		if period, err = g.period.read(); err != nil {
			return 0, false
		}
	}
	return parseQuota(quota, period)
}

// parseQuota divides the time that may be used by that in which it may be.
// What is not a number means that there is no quota.
func parseQuota(quota, period []byte) (cores float64, ok bool) {
	if string(quota) == "max" || string(quota) == "-1" { // as it nearly always is; an error would cost
		return 0, false
	}
	q, err := strconv.ParseUint(string(quota), 10, 63)
	if err != nil || q == 0 {
		return 0, false
	}
	p, err := strconv.ParseUint(string(bytes.TrimSpace(period)), 10, 63)
	if err != nil || p == 0 {
		return 0, false
	}
	return float64(q) / float64(p), true
}

// used is the CPU-seconds that the group has used.
func (g *group) used() (float64, error) {
	text, err := g.usage.read()
	if err != nil {
		return 0, err
	}
	name, unit := "usage_usec", 1e6
	if g.period != nil {
		name, unit = "", 1e9
	}
	v, err := parseFigure(text, name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", g.usage.path, err)
	}
	return float64(v) / unit, nil
}

// throttled is for how long the quota held the group back, counted for each CPU
// that it did so on: as pressure it is an upper bound.
func (g *group) throttled() (Stalled, error) {
	text, err := g.stat.read()
	if err != nil {
		return Stalled{}, err
	}
	name, unit := "throttled_usec", 1e6
	if g.period != nil {
		name, unit = "throttled_time", 1e9
	}
	v, err := parseFigure(text, name)
	if err != nil {
		return Stalled{}, fmt.Errorf("%s: %w", g.stat.path, err)
	}
	return Stalled{Some: float64(v) / unit, of: g.stat}, nil
}

// parseFigure is the figure behind a name, on a line of its own, or the only one.
func parseFigure(text []byte, name string) (uint64, error) {
	for line := range bytes.Lines(text) {
		if figure, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte(name)); ok {
			return strconv.ParseUint(string(bytes.TrimSpace(figure)), 10, 64)
		}
	}
	return 0, fmt.Errorf("it has no %s", name)
}
