// Real processes: health against an API server that is there, that refuses, and that is away.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// cluster is an API server with one node and what is on it. Nothing changes.
type cluster struct {
	refuses string // a resource that nobody may see
	metrics string // the node's usage; none is an API server without metrics
}

const (
	readyNode = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"n","resourceVersion":"1"},
		"status":{"allocatable":{"cpu":"2"},"conditions":[{"type":"Ready","status":"True"}]}}`
	readyPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"cart","namespace":"shop","uid":"p","resourceVersion":"2"},
		"spec":{"nodeName":"n1","containers":[{"name":"app"}]},
		"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],
			"containerStatuses":[{"name":"app","ready":true,"started":true,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}`
)

func (c cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := path.Base(r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	refuse := func(code int, message string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"code":%d}`, message, code)
	}
	kind, items, found := map[string]string{"pods": "Pod", "nodes": "Node", "daemonsets": "DaemonSet"}[resource], []string{}, true
	switch r.URL.Path {
	case "/api/v1/pods":
		items = []string{readyPod}
	case "/api/v1/nodes":
		items = []string{readyNode}
	case "/apis/apps/v1/daemonsets":
	case "/api/v1/nodes/n1":
		_, _ = io.WriteString(w, readyNode)
		return
	case "/apis/metrics.k8s.io/v1beta1/nodes/n1":
		if c.metrics != "" {
			_, _ = io.WriteString(w, c.metrics)
			return
		}
		found = false
	default:
		found = false
	}
	query := r.URL.Query()
	version := map[bool]string{true: "apps/v1", false: "v1"}[resource == "daemonsets"]
	switch {
	case !found:
		http.NotFound(w, r)
	case resource == c.refuses:
		refuse(http.StatusForbidden, resource+" is forbidden")
	case query.Get("sendInitialEvents") == "true":
		refuse(http.StatusUnprocessableEntity, "this server streams no lists") // health lists instead
	case query.Has("watch"):
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"5"},"items":[%s]}`, kind+"List", version, strings.Join(items, ","))
	}
}

// process is a real health on a port of its own.
type process struct {
	t   *testing.T
	url string
	cmd *exec.Cmd
	log string // its file
}

func startProcess(t *testing.T, api string, args ...string) *process {
	t.Helper()
	port := freePort(t)
	p := &process{t: t, url: "http://127.0.0.1:" + port.String(), log: filepath.Join(t.TempDir(), "health.log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(os.Args[0], append([]string{"--host", "127.0.0.1", "--port", port.String(), "--node-name", "n1", "--baseUrl", api}, args...)...)
	p.cmd.Env = append(os.Environ(), "PSL_TEST_IS_HEALTH=1")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("health's log:\n%s", p.logged())
		}
	})
	return p
}

func (p *process) logged() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// until asks for a path until the answer is as wanted, for at most 30 s.
func (p *process) until(path string, code int, body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for last := ""; ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == code && strings.Contains(string(b), body) {
				return
			}
			last = fmt.Sprintf("%d %s", resp.StatusCode, b)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("GET %s: want %d %q, last answer: %s", path, code, body, last)
		}
	}
}

// stop sends SIGTERM and expects a good end, soon.
func (p *process) stop() {
	p.t.Helper()
	sent := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the end: %v", err)
	}
	if took := time.Since(sent); took >= shutdownGrace {
		p.t.Errorf("took %s to stop", took)
	}
	for line := range strings.Lines(p.logged()) {
		if !strings.HasPrefix(line, "{") || !json.Valid([]byte(line)) {
			p.t.Errorf("a line of log that is none: %q", line)
		}
	}
	if !strings.Contains(p.logged(), "health stopped") {
		p.t.Errorf("no word of the end")
	}
}

func TestAProcessTellsOfItsNodeUntilItIsStopped(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(cluster{})
	defer api.Close()
	p := startProcess(t, api.URL, "--log-format=json", "--log-level=debug")
	p.until("/readyz", 200, "ok")
	p.until("/", 200, "Ok")
	p.until("/v1/node", 200, `"healthy":true`)
	p.until("/metrics", 200, `startup_lock_health_api_requests_total{code="200",verb="list"} 3`)

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var first *healthapi.Node
	err := healthapi.NewClient(p.url, &http.Client{Transport: transport}).Watch(t.Context(), func(e healthapi.Event) {
		if e.Node != nil {
			first = e.Node
			p.stop()
		}
	})
	if !errors.Is(err, io.EOF) || first == nil || !first.Healthy || len(first.Pods) != 1 || first.Pods[0].State != healthapi.PodReady {
		t.Errorf("stream ended with %v after %+v", err, first)
	}
}

func TestAProcessNamesThePermissionsItLacks(t *testing.T) {
	t.Parallel()
	for _, resource := range []string{"pods", "nodes", "daemonsets"} {
		api := httptest.NewServer(cluster{refuses: resource})
		p := startProcess(t, api.URL, "--log-format=json")
		p.until("/", 412, "not permitted to list "+resource)
		p.until("/readyz", 503, "not_synced")
		p.stop()
		api.Close()
	}
	api := httptest.NewServer(cluster{refuses: "daemonsets"})
	defer api.Close()
	p := startProcess(t, api.URL, "--log-format=json", "--daemonsets=false")
	p.until("/", 200, "Ok")
	p.stop()
}

func TestAProcessSaysThatTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	p := startProcess(t, fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), "--log-format=json", "--log-level=debug", "--cpu-threshold=80")
	p.until("/", 412, "connection refused): nothing is known yet")
	p.until("/livez", 200, "ok")
	p.until("/readyz", 503, "not_synced")
	p.stop()

	api := httptest.NewServer(cluster{})
	defer api.Close()
	p = startProcess(t, api.URL, "--log-format=json")
	p.until("/", 200, "Ok\n")
	// The door first: a watch that is opened anew behind our back would keep Close waiting.
	if err := api.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	api.CloseClientConnections()
	api.Close()
	p.until("/", 200, "connection refused): this is what was known then")
	p.until("/readyz", 200, "ok")
	p.stop()
}

func TestAProcessLooksAtTheLoad(t *testing.T) {
	t.Parallel()
	const metrics = `{"kind":"NodeMetrics","timestamp":"2026-01-01T12:00:00Z","usage":{"cpu":"1900m"}}`
	for _, tt := range []struct {
		metrics string
		args    []string
		code    int
		body    string
	}{
		{metrics, []string{"--cpu-threshold=80"}, 412, "node load: CPU at 95 %, threshold 80 %"},
		{metrics, []string{"--cpu-threshold=96"}, 200, "Ok"},
		{"", []string{"--node-load"}, 412, "metrics.k8s.io is not served: is metrics-server installed?"},
		{"", nil, 200, "Ok"},
	} {
		api := httptest.NewServer(cluster{metrics: tt.metrics})
		p := startProcess(t, api.URL, append(tt.args, "--log-format=json")...)
		p.until("/readyz", 200, "ok")
		p.until("/", tt.code, tt.body)
		p.stop()
		api.Close()
	}
}
