// The way to the API server, and what it costs.

package main

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

// connection is the address and the credentials that the settings name. It
// does not connect.
func (c *Config) connection(p *daemon.Problems) *rest.Config {
	var cfg *rest.Config
	var err error
	switch {
	case c.Kubeconfig != "" && c.BaseURL != "":
		p.Add("--kubeconfig and --baseUrl: give one of them")
		return nil
	case c.Kubeconfig != "":
		if cfg, err = fromKubeconfig(string(c.Kubeconfig)); err != nil {
			p.Add("--kubeconfig %s: %v", c.Kubeconfig, err)
			return nil
		}
	case c.BaseURL != "":
		u, err := url.Parse(string(c.BaseURL))
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			p.Add("--baseUrl %.200q: want http://host:port or https://host:port, perhaps with a path, without credentials", c.BaseURL)
			return nil
		}
		cfg = &rest.Config{Host: strings.TrimRight(string(c.BaseURL), "/")}
	default:
		cfg, err = rest.InClusterConfig()
		switch {
		case errors.Is(err, rest.ErrNotInCluster):
			p.Add("not in a cluster: give --kubeconfig or --baseUrl")
			return nil
		case err != nil:
			p.Add("credentials of the pod: %v; is its service account's token mounted?", err)
			return nil
		}
	}
	cfg.UserAgent = "pod-startup-lock-health/" + daemon.BuildInfo().Version
	return cfg
}

// fromKubeconfig reads that file and no other, whatever KUBECONFIG says.
func fromKubeconfig(file string) (*rest.Config, error) {
	content, err := (&clientcmd.ClientConfigLoadingRules{ExplicitPath: file}).Load()
	if err != nil {
		return nil, err
	}
	return clientcmd.NewDefaultClientConfig(*content, &clientcmd.ConfigOverrides{}).ClientConfig()
}

// counted makes cfg count every request that it carries.
func counted(cfg *rest.Config, requests *prometheus.CounterVec) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, requests} })
	return cfg
}

type counter struct {
	next     http.RoundTripper
	requests *prometheus.CounterVec
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	code := "none" // nobody answered
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	c.requests.WithLabelValues(verb(r.URL), code).Inc()
	return resp, err
}

// WrappedRoundTripper lets client-go reach the transport below.
func (c counter) WrappedRoundTripper() http.RoundTripper { return c.next }

// verb is what RBAC calls a GET. The only other requests are those of events, which count themselves.
func verb(u *url.URL) string {
	if watch, _ := strconv.ParseBool(u.Query().Get("watch")); watch {
		return "watch"
	}
	// /api/VERSION/… or /apis/GROUP/VERSION/…, behind the path of a proxy perhaps.
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	for i, part := range parts {
		if part == "api" || part == "apis" {
			parts = parts[min(i+2+len(part)-len("api"), len(parts)):]
			break
		}
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	if len(parts) == 1 {
		return "list"
	}
	return "get"
}
