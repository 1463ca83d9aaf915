package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMissingControllers(t *testing.T) {
	t.Parallel()
	const known = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t2\t1\t1\nnet_cls\t0\t1\t1\npids\t0\t1\t0\n"
	for name, tc := range map[string]struct {
		table string
		want  []hierarchy
	}{
		"nothing mounted": {"proc /proc proc rw 0 0\n", []hierarchy{{"cpu", "cpu"}, {"memory", "memory"}, {"systemd", "none,name=systemd"}}},
		"all mounted": {
			"cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n",
			nil,
		},
		"one missing": {
			"cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n",
			[]hierarchy{{"memory", "memory"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := missingControllers(tc.table, known); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestMounted(t *testing.T) {
	t.Parallel()
	const table = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
	if !mounted(table, "/sys/fs/cgroup") || mounted(table, "/sys/fs") {
		t.Error("the mount table is misread")
	}
}

// Two clones with caches of their own must not share a daemon, and a socket's path must stay short.
func TestDaemonFolders(t *testing.T) {
	t.Parallel()
	long := "/home/" + strings.Repeat("very/", 40) + "long"
	a, b := newDaemon(long), newDaemon("/home/other")
	if a.run == b.run {
		t.Errorf("two caches share %s", a.run)
	}
	if len(a.socket) > 60 {
		t.Errorf("the socket's path has %d characters", len(a.socket))
	}
	if !strings.HasPrefix(a.data, long) || !strings.HasPrefix(a.log, long) {
		t.Errorf("data in %s and log in %s are outside the cache", a.data, a.log)
	}
}

// A process that has the number of a daemon long gone must not be taken for it, let alone be ended.
func TestStopLeavesStrangersAlone(t *testing.T) {
	t.Parallel()
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Skip("no sleep command")
	}
	t.Cleanup(func() {
		if err := stranger.Process.Kill(); err != nil {
			t.Errorf("the stranger was ended: %v", err)
		}
		_ = stranger.Wait()
	})
	d := newDaemon(t.TempDir())
	d.pidfile = filepath.Join(t.TempDir(), "docker.pid")
	if err := os.WriteFile(d.pidfile, []byte(strconv.Itoa(stranger.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestStopOfHostEngine(t *testing.T) {
	t.Parallel()
	if err := (&Engine{Host: "unix:///none"}).Stop(context.Background()); err != nil {
		t.Errorf("the host's engine was touched: %v", err)
	}
}

func TestDockerErrorSaysWhatWasTried(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("no docker command")
	}
	e := &Engine{Host: "unix://" + filepath.Join(t.TempDir(), "none.sock")}
	_, err := e.Docker(context.Background(), "version")
	if err == nil || !strings.Contains(err.Error(), "docker version") || !strings.Contains(err.Error(), "none.sock") {
		t.Errorf("got %v", err)
	}
}
