// Answers of the metrics API, good and bad, and the pace of asking.

package nodeload

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pathNode    = "/api/v1/nodes/n1"
	pathMetrics = "/apis/metrics.k8s.io/v1beta1/nodes/n1"
	twoCPUs     = `{"kind":"Node","metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"1930m","memory":"4Gi"}}}`
	oneCPU      = `{"kind":"NodeMetrics","timestamp":"2026-01-01T12:00:00Z","window":"20s","usage":{"cpu":"965500000n","memory":"1Gi"}}`
)

// answer is what a path gets.
type answer struct {
	code int
	body string
}

func look(t *testing.T, answers map[string]answer) *healthapi.Load {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, known := answers[strings.TrimPrefix(r.URL.Path, "/k8s")]
		if !known {
			a = answer{404, "404 page not found\n"}
		}
		w.WriteHeader(a.code)
		_, _ = io.WriteString(w, a.body)
	}))
	defer srv.Close()
	base, err := url.Parse(srv.URL + "/k8s/") // behind a proxy
	if err != nil {
		t.Fatal(err)
	}
	p := New(Config{Node: "n1", Threshold: 80, Period: 10 * time.Second, BaseURL: base, Client: srv.Client()}, nil, nil)
	load, err := p.look(t.Context())
	if load == nil || (load.Error == "") != (err == nil) {
		t.Fatalf("%+v, %v", load, err)
	}
	return load
}

func TestLoad(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	node, used := answer{200, twoCPUs}, func(cpu string) answer { return answer{200, strings.Replace(oneCPU, "965500000n", cpu, 1)} }
	status := func(code int, message, details string) answer {
		return answer{code, `{"kind":"Status","status":"Failure","message":"` + message + `","details":{` + details + `}}`}
	}
	for name, tt := range map[string]struct {
		node, metrics answer
		percent       int
		err           string
	}{
		"half":              {node: node, metrics: answer{200, oneCPU}, percent: 50},
		"idle":              {node: node, metrics: used("0")},
		"in whole cores":    {node: node, metrics: used("1"), percent: 52},
		"more than allowed": {node: node, metrics: used("1999999999n"), percent: 104},
		"absurd":            {node: node, metrics: used("9E"), percent: 1e6},
		"no metrics API": {node: node, metrics: answer{404, "404 page not found\n"},
			err: "node load: metrics.k8s.io is not served: is metrics-server installed? (or switch it off)"},
		"not measured yet": {node: node, metrics: status(404, `nodemetrics.metrics.k8s.io \"n1\" not found`, `"name":"n1"`),
			err: "node load: metrics.k8s.io has not measured node n1 yet"},
		"forbidden": {node: node, metrics: status(403, "nodes.metrics.k8s.io is forbidden", ""),
			err: "node load: health's role does not allow it to get nodes.metrics.k8s.io: nodes.metrics.k8s.io is forbidden"},
		"node forbidden": {node: status(403, "nodes is forbidden", ""), metrics: used("1"),
			err: "node load: health's role does not allow it to get nodes: nodes is forbidden"},
		"no such node": {node: status(404, "nodes n1 not found", `"name":"n1"`), metrics: used("1"),
			err: "node load: get nodes n1: status 404: nodes n1 not found"},
		"metrics-server is down": {node: node, metrics: answer{503, "service unavailable\n"},
			err: "node load: metrics.k8s.io does not answer: is metrics-server running? (service unavailable)"},
		"API server in trouble": {node: answer{500, strings.Repeat("panic ", 1000)}, metrics: used("1"), err: "node load: get nodes n1: status 500: panic panic"},
		"no JSON":               {node: node, metrics: answer{200, "<html>"}, err: "node load: read nodes.metrics.k8s.io n1: invalid character"},
		"cut":                   {node: answer{200, twoCPUs[:60]}, metrics: used("1"), err: "node load: read nodes n1: unexpected end"},
		"no quantity":           {node: node, metrics: used("lots"), err: "node load: read nodes.metrics.k8s.io n1: quantities must match"},
		"negative":              {node: node, metrics: used("-1"), err: "node load: the metrics of node n1 do not say"},
		"says nothing":          {node: node, metrics: answer{200, "{}"}, err: "node load: the metrics of node n1 do not say"},
		"no allocatable":        {node: answer{200, "{}"}, metrics: used("1"), err: "node load: node n1 has no allocatable cpu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := look(t, map[string]answer{pathNode: tt.node, pathMetrics: tt.metrics})
			if got.CPU != tt.percent || got.Threshold != 80 || !strings.HasPrefix(got.Error, tt.err) || (got.Error == "") != (tt.err == "") ||
				len(got.Error) > 400 || !got.At.Equal(map[bool]time.Time{true: at}[tt.err == ""]) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// api answers with no network in between.
type api struct {
	mu      sync.Mutex
	asked   []string
	trouble error
	hangs   bool
	refuses bool
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.URL.Path)
	if a.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.trouble != nil {
		return nil, a.trouble
	}
	if a.refuses {
		return &http.Response{StatusCode: 403, Body: http.NoBody}, nil
	}
	body := oneCPU
	if r.URL.Path == pathNode {
		body = twoCPUs
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (a *api) count(path string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, asked := range a.asked {
		if asked == path {
			n++
		}
	}
	return n
}

// start polls every 10 s until the test ends.
func start(t *testing.T, a *api) (told func() []*healthapi.Load, log *bytes.Buffer) {
	t.Helper()
	var mu sync.Mutex
	var all []*healthapi.Load
	log = &bytes.Buffer{}
	p := New(Config{Node: "n1", Threshold: 80, Period: 10 * time.Second, BaseURL: &url.URL{Scheme: "http", Host: "api"}, Client: &http.Client{Transport: a}},
		func(l *healthapi.Load) { mu.Lock(); defer mu.Unlock(); all = append(all, l) }, slog.New(slog.NewTextHandler(log, nil)))
	done := make(chan struct{})
	go func() { p.Run(t.Context()); close(done) }()
	t.Cleanup(func() { <-done })
	return func() []*healthapi.Load {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return all
	}, log
}

func TestTheAllocatableCPUIsAskedForRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		told, log := start(t, a)
		if got := told(); len(got) != 1 || got[0].CPU != 50 {
			t.Errorf("at once: %+v", got)
		}
		time.Sleep(time.Hour)
		if n := len(told()); n != 361 || a.count(pathMetrics) != 361 || a.count(pathNode) != 7 {
			t.Errorf("in an hour: %d told, asked %d times for metrics, %d for the node", n, a.count(pathMetrics), a.count(pathNode))
		}
		if log.Len() > 0 {
			t.Errorf("%s", log)
		}
	})
}

func TestWhileNobodyAnswersAMeasurementStandsForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{trouble: errors.New("connection refused")}
		told, log := start(t, a)
		is := func() *healthapi.Load { all := told(); return all[len(all)-1] }
		set := func(trouble error, hangs bool) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.trouble, a.hangs = trouble, hangs
		}
		time.Sleep(time.Minute)
		if is() != nil || len(told()) != 7 {
			t.Errorf("never seen: %+v", told())
		}
		set(nil, false)
		time.Sleep(10 * time.Second)
		good := is()
		if good == nil || good.CPU != 50 {
			t.Fatalf("back again: %+v", good)
		}
		set(errors.New("connection reset"), false)
		time.Sleep(believed - 10*time.Second)
		if now := is(); now == nil || *now != *good {
			t.Errorf("away for less than a minute: %+v", now)
		}
		set(nil, true)
		time.Sleep(20 * time.Second)
		if now := is(); now != nil {
			t.Errorf("away for more than a minute: %+v", now)
		}
		if s := log.String(); strings.Count(s, "connection refused") != 1 || strings.Count(s, "connection reset") != 1 ||
			strings.Count(s, "deadline exceeded") != 1 || strings.Count(s, "node load is known again") != 1 {
			t.Errorf("log:\n%s", s)
		}
	})
}

func TestARefusalEndsWhatWasBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		told, _ := start(t, a)
		told()
		for _, next := range []*api{{refuses: true}, {trouble: errors.New("connection refused")}} {
			a.mu.Lock()
			a.refuses, a.trouble = next.refuses, next.trouble
			a.mu.Unlock()
			time.Sleep(10 * time.Second)
			told()
		}
		got := told()
		if len(got) != 3 || got[0].CPU != 50 || got[1].Error == "" || got[2] != nil {
			t.Errorf("%+v", got)
		}
	})
}
