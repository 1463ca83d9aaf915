// The benchmarks of make bench: a real lock process, asked over loopback.

package main

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

const (
	benchWaiters = 200
	benchLease   = 20 * time.Millisecond
	pollPause    = 3 * time.Second // of the earlier generations
)

// BenchmarkHandOver measures from the end of a lease to the moment that the
// next client has its answer, for a herd that waits in the queue and for one
// that polls as the earlier generations do. A holder keeps the slot until the
// whole herd is there.
func BenchmarkHandOver(b *testing.B) {
	b.Run("queue", func(b *testing.B) { handOver(b, benchWaiters, waitInQueue) })
	b.Run("polling", func(b *testing.B) { handOver(b, 0, poll) })
}

func handOver(b *testing.B, queue int, acquire func(ctx context.Context, c *lockapi.Client, url, uid string) (time.Time, error)) {
	var latencies []time.Duration
	for b.Loop() {
		lock := newBenchLock(b, "--timeout", benchLease.String())
		clients := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchWaiters}}
		answered := make([]time.Time, benchWaiters)
		c := lockapi.NewClient(lock.url(), clients)
		holder, err := c.Acquire(b.Context(), lockapi.AcquireRequest{Pod: lockapi.Pod{UID: "holder"}}, lockapi.Duration(time.Hour))
		if err != nil {
			b.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range benchWaiters {
			wg.Go(func() {
				uid := strconv.Itoa(i)
				at, err := acquire(b.Context(), c, lock.url(), uid)
				if err != nil {
					b.Error(err)
				}
				answered[i] = at
			})
		}
		lock.until(b, func(s *lockapi.State) bool { return len(s.Queue) == queue })
		if err := c.Release(b.Context(), holder.Grant.ID); err != nil {
			b.Fatal(err)
		}
		wg.Wait()
		slices.SortFunc(answered, time.Time.Compare)
		s := lock.until(b, func(s *lockapi.State) bool { return len(s.Recent) == benchWaiters+1 })
		for i := 1; i < benchWaiters; i++ { // the holder's grant is the first of the record
			latencies = append(latencies, answered[i].Sub(s.Recent[i].ExpiresAt))
		}
		lock.kill()
	}
	slices.Sort(latencies)
	ms := func(q float64) float64 {
		return float64(latencies[int(q*float64(len(latencies)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
}

func waitInQueue(ctx context.Context, c *lockapi.Client, _, uid string) (time.Time, error) {
	for {
		a, err := c.Acquire(ctx, lockapi.AcquireRequest{Pod: lockapi.Pod{UID: uid}, Wait: lockapi.Duration(lockapi.MaxWait)}, 0)
		if err != nil || a.Grant != nil {
			return time.Now(), err
		}
	}
}

func poll(ctx context.Context, _ *lockapi.Client, url, _ string) (time.Time, error) {
	phase := time.NewTimer(rand.N(pollPause)) // pods do not start within one millisecond
	defer phase.Stop()
	for {
		select {
		case <-phase.C:
		case <-ctx.Done():
			return time.Now(), ctx.Err()
		}
		resp, err := http.Get(url)
		if err != nil {
			return time.Now(), err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return time.Now(), nil
		}
		phase.Reset(pollPause)
	}
}

// BenchmarkRequests asks for places and, as a legacy client, for a slot that is taken.
func BenchmarkRequests(b *testing.B) {
	lock := newBenchLock(b, "--timeout", "1h")
	clients := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	c := lockapi.NewClient(lock.url(), clients)
	if _, err := c.Acquire(b.Context(), lockapi.AcquireRequest{Pod: lockapi.Pod{UID: "holder"}}, 0); err != nil {
		b.Fatal(err)
	}
	perSecond := func(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s") }
	b.Run("v1", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			uid := crand.Text() // a pod asks over one connection at a time
			for pb.Next() {
				if _, err := c.Acquire(b.Context(), lockapi.AcquireRequest{Pod: lockapi.Pod{UID: uid}}, 0); err != nil {
					b.Error(err)
				}
			}
		})
		perSecond(b)
	})
	b.Run("legacy", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := clients.Get(lock.url())
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
		perSecond(b)
	})
}

// BenchmarkMemory is the resident memory of an idle lock, of each of 10,000
// waiters, and of an init container that waits.
func BenchmarkMemory(b *testing.B) {
	const waiters = 10_000
	for b.Loop() {
		lock := newBenchLock(b, "--timeout", "1h")
		idle := rss(b, lock.cmd.Process.Pid)
		c := lockapi.NewClient(lock.url(), nil)
		if _, err := c.Acquire(b.Context(), lockapi.AcquireRequest{Pod: lockapi.Pod{UID: "holder"}}, 0); err != nil {
			b.Fatal(err)
		}
		initRSS := waitingInit(b, lock)
		conns := make([]net.Conn, 0, waiters)
		for i := range waiters - 1 { // init waits, too
			body := fmt.Sprintf(`{"pod":{"namespace":"bench","name":"pod-%d","uid":"00000000-0000-0000-0000-%012d"},"wait":"25s"}`, i, i)
			conn, err := net.Dial("tcp", "127.0.0.1:"+lock.port)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
			if _, err := fmt.Fprintf(conn, "POST /v1/acquire HTTP/1.1\r\nHost: lock\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
				b.Fatal(err)
			}
		}
		lock.until(b, func(s *lockapi.State) bool { return len(s.Queue) >= waiters-1 })
		full := rss(b, lock.cmd.Process.Pid)
		for _, conn := range conns {
			_ = conn.Close()
		}
		lock.kill()
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(idle)/1024, "lock-idle-MiB")
		b.ReportMetric(float64(full-idle)/waiters, "KiB/waiter")
		b.ReportMetric(float64(initRSS)/1024, "init-waiting-MiB")
	}
}

// BenchmarkFollowing is what it costs to follow the node: the CPU that a lock
// uses while nobody asks it for anything, and its memory, beside one whose number
// of slots is fixed.
func BenchmarkFollowing(b *testing.B) {
	const long = 20 * time.Second
	for range b.N {
		fixed, auto := newBenchLock(b, "--locks", "2"), newBenchLock(b, "--locks", "auto")
		auto.until(b, func(s *lockapi.State) bool { return s.Limit.Node != nil })
		before := [2]float64{used(b, fixed.cmd.Process.Pid), used(b, auto.cmd.Process.Pid)}
		time.Sleep(long)
		share := func(l *benchLock, since float64) float64 {
			return (used(b, l.cmd.Process.Pid) - since) / long.Seconds() * 100
		}
		b.ReportMetric(share(auto, before[1]), "auto-%core")
		b.ReportMetric(share(fixed, before[0]), "fixed-%core")
		b.ReportMetric(float64(rss(b, auto.cmd.Process.Pid))/1024, "auto-MiB")
		b.ReportMetric(float64(rss(b, fixed.cmd.Process.Pid))/1024, "fixed-MiB")
		b.ReportMetric(0, "ns/op")
		fixed.kill()
		auto.kill()
	}
}

// used is the CPU time of a process in seconds: what each of its threads ran, as
// the scheduler counts it. /proc/PID/stat counts in hundredths of a second.
func used(b *testing.B, pid int) float64 {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Skipf("CPU time is read from /proc: no threads of %d there", pid)
	}
	total := 0.0
	for _, t := range threads {
		text, err := os.ReadFile(t)
		if err != nil {
			b.Fatal(err)
		}
		ns, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		if err != nil {
			b.Fatal(err)
		}
		total += ns / 1e9
	}
	return total
}

// waitingInit is the memory of a real init container in the queue, in KiB.
func waitingInit(b *testing.B, lock *benchLock) int {
	path := buildRelease(b, "../init")
	cmd := exec.Command(path, "--host", "127.0.0.1", "--port", lock.port)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lock.until(b, func(s *lockapi.State) bool { return len(s.Queue) == 1 && s.Queue[0].Connected })
	return rss(b, cmd.Process.Pid)
}

// buildRelease builds a program as its image holds it.
func buildRelease(b *testing.B, pkg string) string {
	b.Helper()
	path := b.TempDir() + "/program"
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs,nethttpomithttp2", "-ldflags", "-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

// rss is the resident set of a process in KiB.
func rss(b *testing.B, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skipf("resident memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kib
		}
	}
	b.Fatalf("no VmRSS in %s", status)
	return 0
}

// benchLock is a lock built as it is released.
type benchLock struct {
	port string
	cmd  *exec.Cmd
}

func newBenchLock(b *testing.B, args ...string) *benchLock {
	b.Helper()
	path := buildRelease(b, ".")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	lock := &benchLock{port: strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	_ = l.Close()
	lock.cmd = exec.Command(path, append([]string{"--host", "127.0.0.1", "--port", lock.port, "--state-dir", b.TempDir(), "--log-level", "warn"}, args...)...)
	if err := lock.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(lock.kill)
	lock.until(b, func(*lockapi.State) bool { return true })
	return lock
}

func (l *benchLock) url() string { return "http://127.0.0.1:" + l.port }

func (l *benchLock) kill() {
	if l.cmd.ProcessState == nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
	}
}

func (l *benchLock) until(b *testing.B, wanted func(*lockapi.State) bool) *lockapi.State {
	b.Helper()
	s, err := awaitState(b.Context(), l.url(), wanted)
	if err != nil {
		b.Fatal(err)
	}
	return s
}
