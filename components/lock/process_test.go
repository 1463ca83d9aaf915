// Real processes: a lock that is killed in mid-herd, and one whose memory is damaged.

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// process is a real lock on a port of its own.
type process struct {
	t    *testing.T
	port string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  *os.File
}

func newProcess(t *testing.T, args ...string) *process {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	p := &process{t: t, port: port, dir: t.TempDir(), args: args}
	p.log, err = os.Create(filepath.Join(t.TempDir(), "lock.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if b, _ := os.ReadFile(p.log.Name()); t.Failed() {
			t.Logf("the lock's log:\n%s", b)
		}
	})
	return p
}

func (p *process) start() {
	p.cmd = exec.Command(os.Args[0], append([]string{"--host", "127.0.0.1", "--port", p.port, "--state-dir", p.dir}, p.args...)...)
	p.cmd.Env = append(os.Environ(), "PSL_TEST_IS_LOCK=1")
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.until("it serves", func(*lockapi.State) bool { return true })
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// until reads the lock's state until it is as wanted.
func (p *process) until(what string, wanted func(*lockapi.State) bool) *lockapi.State {
	p.t.Helper()
	s, err := awaitState(p.t.Context(), "http://127.0.0.1:"+p.port, wanted)
	if err != nil {
		p.t.Fatalf("until %s: %v", what, err)
	}
	return s
}

// awaitState reads a lock's state until it is as wanted, for at most 30 s.
func awaitState(ctx context.Context, url string, wanted func(*lockapi.State) bool) (*lockapi.State, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := lockapi.NewClient(url, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := client.State(ctx)
		if err == nil && wanted(s) {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("waited in vain (last error: %w), last state %+v", err, s)
		}
	}
}

func buildInit(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "init")
	if out, err := exec.Command("go", "build", "-o", path, "../init").CombinedOutput(); err != nil {
		t.Fatalf("build init: %v\n%s", err, out)
	}
	return path
}

// TestALockKilledInMidHerd runs real processes: a herd of init clients, and a
// lock that dies twice without warning.
func TestALockKilledInMidHerdStartsNobodyTwiceAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	const herd, locks, lease = 14, 2, 500 * time.Millisecond
	client := buildInit(t)
	lock := newProcess(t, "--locks", strconv.Itoa(locks), "--timeout", lease.String())
	lock.start()

	ended := make(chan error, herd)
	for i := range herd {
		name := fmt.Sprintf("pod-%02d", i)
		cmd := exec.CommandContext(t.Context(), client, "--host", "127.0.0.1", "--port", lock.port, "--pause", "200ms",
			"--on-max-wait", "fail")
		cmd.Env = append(os.Environ(), "POD_NAMESPACE=herd", "POD_NAME="+name, "POD_UID=uid-"+name)
		var log strings.Builder
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			err := cmd.Wait()
			if err != nil {
				err = fmt.Errorf("%s: %w\n%s", name, err, log.String())
			}
			ended <- err
		}()
		lock.until(name+" has claimed", func(s *lockapi.State) bool { // so that the order is known
			return slices.ContainsFunc(claims(s), func(c lockapi.GrantState) bool { return c.Pod.Name == name })
		})
	}
	for _, after := range []int{4, 8} {
		lock.until(fmt.Sprintf("%d pods were granted", after), func(s *lockapi.State) bool { return len(s.Grants)+len(s.Recent) >= after })
		lock.kill()
		lock.start()
	}
	for range herd {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	s := lock.until("all leases have ended", func(s *lockapi.State) bool { return len(s.Recent) == herd && len(s.Grants) == 0 })

	for i, e := range s.Recent {
		running := 0
		for _, other := range s.Recent {
			if !other.GrantedAt.After(e.GrantedAt) && other.ExpiresAt.After(e.GrantedAt) {
				running++
			}
		}
		if running > locks {
			t.Errorf("%d starters at the grant of %s, want at most %d", running, e.Pod, locks)
		}
		if e.Ended != "lease" {
			t.Errorf("%s ended by %s", e.Pod, e.Ended)
		}
		if i > 0 && s.Recent[i-1].ClaimedAt.After(e.ClaimedAt) {
			t.Errorf("%s was granted before %s, which claimed earlier", s.Recent[i-1].Pod, e.Pod)
		}
	}
	names := map[string]int{}
	for _, e := range s.Recent {
		names[e.Pod.Name]++
	}
	if len(names) != herd {
		t.Errorf("started: %v, want each of %d once", names, herd)
	}
}

// claims is everyone the lock knows of, as grants.
func claims(s *lockapi.State) (all []lockapi.GrantState) {
	all = append(all, s.Grants...)
	for _, r := range s.Recent {
		all = append(all, r.GrantState)
	}
	for _, c := range s.Queue {
		all = append(all, lockapi.GrantState{Pod: c.Pod, ClaimedAt: c.ClaimedAt})
	}
	return all
}

func TestABadStateFileIsSetAsideWithAWarningAndTheLockServes(t *testing.T) {
	t.Parallel()
	lock := newProcess(t)
	lock.start()
	if _, err := http.Get("http://127.0.0.1:" + lock.port + "/"); err != nil {
		t.Fatal(err)
	}
	lock.kill()
	path := filepath.Join(lock.dir, "state.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{string(whole[:len(whole)/2]), "garbage", strings.Replace(string(whole), `"weight":1`, `"weight":-1`, 1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		lock.start()
		s := lock.until("it serves", func(*lockapi.State) bool { return true })
		if len(s.Grants) != 0 {
			t.Errorf("after %.20q: %+v", content, s.Grants)
		}
		lock.kill()
		if bad, _ := filepath.Glob(path + ".bad-*"); len(bad) != 1 {
			t.Errorf("after %.20q: set aside %v", content, bad)
		}
	}
	if log, _ := os.ReadFile(lock.log.Name()); strings.Count(string(log), "state file is unusable") != 3 {
		t.Errorf("log:\n%s", log)
	}
}
