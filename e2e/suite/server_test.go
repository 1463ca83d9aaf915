//go:build e2e

// The API server: what health costs it, and how a herd does without it.

package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// steady is how long health is watched. A watch ends after 5 to 10 minutes, so
// each is opened anew at least once in it.
const steady = 10 * time.Minute

// smallest is the memory that health may take on this small cluster.
const smallest = 25 << 20

func TestHealthCostsTheAPIServerItsWatchesAndNothingElse(t *testing.T) {
	suite.Test(t, features.New("health for the worker, beside the other tests").
		Assess("asks for nothing but its watches, in ten minutes full of pods", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			c := suite.cost
			if left := time.Until(c.synced.Add(steady)); left > 0 {
				progress.Note(ctx, "watching health for another %s", left.Round(time.Second))
				select {
				case <-time.After(left):
				case <-ctx.Done():
					t.Fatal(context.Cause(ctx))
				}
			}
			before, after := c.stop()
			progress.Note(ctx, "until it knew everything health asked for %v; in the %s after that for %v, and was told of %d changes",
				before, time.Since(c.synced).Round(time.Second), after, c.changes)
			for what, n := range after {
				if !strings.HasPrefix(what, "WATCH ") {
					t.Errorf("%d × %s in a steady state, want watches only", n, what)
				}
			}
			if len(before) == 0 || c.changes == 0 {
				t.Error("that was another health: it asked for nothing, or no pod changed in all that time")
			}
			return ctx
		}).
		Feature())
}

func TestAHerdGoesOnWhileTheAPIServerIsAway(t *testing.T) {
	const away = time.Minute
	s, p := suite.scenario(t, "herd.yaml", "cores")
	p.Expect.Ratio = nil // the node cannot tell who is Ready for a while
	p.Expect.Starters = nil
	delete(p.Only, "kind")
	lock := *p.Lock
	lock.Lease = lockapi.Duration(15 * time.Second)
	p.Lock = &lock
	var left, back time.Time
	herd := suite.herd
	herd.During = func(ctx context.Context, c *cluster.Cluster, _ string, log *record.Log) error {
		if err := readyBy(ctx, log, s.Count()/4); err != nil {
			return err
		}
		left = time.Now()
		if err := c.StopAPIServer(ctx); err != nil {
			return err
		}
		progress.Note(ctx, "the API server is away, for %s", away)
		select {
		case <-time.After(time.Until(left.Add(away))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, err := c.Client.ServerVersion(); err == nil {
			return errors.New("the API server was not away")
		}
		if err := c.StartAPIServer(ctx); err != nil {
			return err
		}
		back = time.Now()
		progress.Note(ctx, "the API server is back after %s", back.Sub(left).Round(time.Second))
		return nil
	}
	suite.Test(t, features.New("24 pods of 3 CPU-seconds, the API server away in the middle").
		Setup(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.install(ctx, t, p.Lock)
			return ctx
		}).
		Assess("go on with what the node knows, and all get Ready", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			suite.land(ctx, t, s, p, enough, herd, func(_ context.Context, t *testing.T, _ *runner, _ string, run *record.Run) {
				meanwhile := 0
				for i := range run.Pods {
					grants := 0
					for _, e := range run.Pods[i].Events {
						if e.What != record.Granted {
							continue
						}
						grants++
						if at := run.Appeared.Add(time.Duration(e.At * float64(time.Second))); at.After(left) && at.Before(left.Add(away)) {
							meanwhile++
						}
					}
					if grants != 1 {
						t.Errorf("%s was granted a slot %d times", run.Pods[i].Name, grants)
					}
				}
				// Two slots, each free again after a lease.
				if least := int(away/lock.Lease.Std()) - 1; meanwhile < least {
					t.Errorf("%d slots were granted while the API server was away, want %d or more", meanwhile, least)
				}
			})
			return ctx
		}).
		Teardown(func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			if err := suite.cluster.StartAPIServer(ctx); err != nil { // in case it is still away
				t.Error(err)
			}
			suite.uninstall(ctx, t)
			return ctx
		}).
		Feature())
}

// smallHealth holds health's memory on the worker to its bound.
func smallHealth(ctx context.Context, t *testing.T, r *runner, _ string, _ *record.Run) {
	pid, err := r.cluster.Exec(ctx, r.cluster.Worker(), "pgrep", "-f", "^/health ")
	if err != nil {
		t.Fatal(err)
	}
	status, err := r.cluster.Exec(ctx, r.cluster.Worker(), "cat", "/proc/"+strings.TrimSpace(pid)+"/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(status, "VmRSS:")
	text, _, _ := strings.Cut(strings.TrimSpace(after), " kB")
	kib, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("no memory in the status of health: %v:\n%s", err, status)
	}
	progress.Note(ctx, "health takes %.1f MiB", float64(kib)/1024)
	if kib<<10 >= smallest {
		t.Errorf("health takes %d KiB, want less than %d", kib, smallest>>10)
	}
}

// cost is one more health, for the worker, on this machine: all that it asks the
// API server goes through a proxy that counts.
type cost struct {
	proxy  *httptest.Server
	end    func() // safe to call again
	synced time.Time
	watch  sync.WaitGroup

	mu            sync.Mutex
	before, after map[string]int
	changes       int // events of pods
}

// count starts it, and returns when it knows everything.
func count(ctx context.Context, c *cluster.Cluster, root string) (*cost, error) {
	k := &cost{before: map[string]int{}, after: map[string]int{}}
	transport, err := rest.TransportFor(c.Config)
	if err != nil {
		return nil, fmt.Errorf("make a proxy of the API server: %w", err)
	}
	target, err := url.Parse(c.Config.Host)
	if err != nil {
		return nil, fmt.Errorf("make a proxy of the API server: %w", err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	k.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := map[bool]string{true: "WATCH ", false: r.Method + " "}[r.URL.Query().Get("watch") != ""] + r.URL.Path
		k.mu.Lock()
		if k.synced.IsZero() {
			k.before[what]++
		} else {
			k.after[what]++
		}
		k.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	dir, err := os.MkdirTemp("", "psl-health-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for health: %w", err)
	}
	binary := filepath.Join(dir, "health")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./components/health")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build health: %w\n%s", err, out)
	}
	free, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port for health: %w", err)
	}
	address := free.Addr().String()
	_ = free.Close()
	host, port, _ := strings.Cut(address, ":")
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	health := exec.CommandContext(run, binary, "--host", host, "--port", port, "--node-name", c.Worker(), "--baseUrl", k.proxy.URL)
	if err := health.Start(); err != nil {
		end()
		return nil, fmt.Errorf("start health: %w", err)
	}
	k.end = sync.OnceFunc(func() { end(); k.watch.Wait(); _ = health.Wait(); k.proxy.Close(); os.RemoveAll(dir) })
	synced := make(chan struct{})
	k.watch.Go(func() {
		for first := true; run.Err() == nil; {
			_ = healthapi.NewClient("http://"+address, nil).Watch(run, func(e healthapi.Event) {
				if first && e.Node != nil && e.Node.Synced {
					first = false
					close(synced)
				}
				if e.Pod != nil || e.Gone != "" {
					k.mu.Lock()
					k.changes++
					k.mu.Unlock()
				}
			})
			select {
			case <-time.After(100 * time.Millisecond):
			case <-run.Done():
			}
		}
	})
	select {
	case <-synced:
	case <-time.After(time.Minute):
		k.end()
		return nil, fmt.Errorf("health did not get to know the node %s; it asked for %v", c.Worker(), k.before)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.synced = time.Now()
	return k, nil
}

// stop ends it and tells what it asked for: until it knew everything, and since.
func (k *cost) stop() (before, after map[string]int) {
	k.mu.Lock()
	before, after = maps.Clone(k.before), maps.Clone(k.after)
	k.mu.Unlock()
	k.end()
	return before, after
}
