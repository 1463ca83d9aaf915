// What is counted of the way to the API server, and what client-go says on it.

package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

func TestVerb(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/v1/pods?fieldSelector=spec.nodeName%3Dn1":          "list",
		"/api/v1/pods?watch=true":                                "watch",
		"/api/v1/nodes?watch=1":                                  "watch",
		"/api/v1/nodes?watch=false":                              "list",
		"/api/v1/nodes/n1":                                       "get",
		"/api/v1/nodes/api":                                      "get",
		"/apis/apps/v1/daemonsets":                               "list",
		"/apis/apps/v1/namespaces/kube-system/daemonsets":        "list",
		"/apis/metrics.k8s.io/v1beta1/nodes/n1":                  "get",
		"/k8s/clusters/c-1/apis/metrics.k8s.io/v1beta1/nodes/n1": "get",
		"/k8s/clusters/c-1/api/v1/pods":                          "list",
	} {
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := verb(u); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func TestRequestsToTheAPIServerAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	original := &rest.Config{Host: "http://api", Transport: answers(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/api/v1/away" {
			return nil, errors.New("connection refused")
		}
		return &http.Response{StatusCode: 403, Body: http.NoBody}, nil
	})}
	client, err := rest.HTTPClientFor(counted(original, m.apiRequests))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/pods", "/api/v1/pods?watch=true", "/api/v1/away", "/api/v1/pods"} {
		if resp, err := client.Get("http://api" + path); err == nil {
			_ = resp.Body.Close()
		}
	}
	body := ask(newServer(newView(healthy()), registry, m), "GET", "/metrics").Body.String()
	for _, want := range []string{`{code="403",verb="list"} 2`, `{code="403",verb="watch"} 1`, `{code="none",verb="list"} 1`} {
		if !strings.Contains(body, "\nstartup_lock_health_api_requests_total"+want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if original.WrapTransport != nil {
		t.Error("the caller's config was changed")
	}
}

func TestClientGoIsHeardAtDebugOnly(t *testing.T) { // not parallel: klog has one logger
	defer klog.ClearLogger()
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var b bytes.Buffer
		adoptKlog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})))
		klog.Warning("a warning")
		klog.ErrorS(errors.New("oops"), "an error", "pod", "a")
		klog.Background().WithName("x").WithValues("k", "v").Info("in groups")
		lines := strings.Count(b.String(), "\n")
		if want := map[slog.Level]int{slog.LevelDebug: 3}[level]; lines != want || strings.Count(b.String(), "level=DEBUG") != want ||
			strings.Count(b.String(), "from=client-go") != want {
			t.Errorf("at %s:\n%s", level, b.String())
		}
	}
}
