// Health's metrics.

package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

const prefix = "startup_lock_health_"

// metrics are what health counts. Label sets are closed: routes, verbs and
// status codes, never what a request says.
type metrics struct {
	streams                   prometheus.Gauge
	httpRequests, apiRequests *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	b := daemon.BuildInfo()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "build_info", Help: "What this health was built from; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion}})
	build.Set(1)
	m := &metrics{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "streams_open", Help: "Streams of changes that are followed now."}),
		httpRequests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "http_requests_total",
			Help: "HTTP requests answered, by route and status code; a stream counts when it ends."}, []string{"route", "code"}),
		apiRequests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "api_requests_total",
			Help: "Requests to the Kubernetes API server, by verb and status code; code none is one that nobody answered."}, []string{"verb", "code"}),
	}
	reg.MustRegister(build, m.streams, m.httpRequests, m.apiRequests)
	return m
}

// node shows a node as it is when somebody looks.
type node struct {
	source                            healthapi.Source
	healthy, synced, connected        *prometheus.Desc
	required, notReady, pods, cpuUsed *prometheus.Desc
	failedOpen                        *prometheus.Desc
}

func newNode(source healthapi.Source) *node {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	return &node{
		source:     source,
		healthy:    desc("healthy", "1 while pods may start on this node."),
		synced:     desc("synced", "1 once everything was seen."),
		connected:  desc("api_connected", "1 while health hears of the cluster from the API server."),
		required:   desc("daemonsets_required", "DaemonSets that must be ready before pods may start."),
		notReady:   desc("daemonsets_not_ready", "DaemonSets that must be ready, and are not."),
		pods:       desc("pods", "Pods on this node, by state on their way to Ready.", "state"),
		failedOpen: desc("failed_open_pods", "Pods on this node that started without a slot, because no lock gave them one in time."),
		cpuUsed:    desc("node_cpu_used_ratio", "CPU used of what the node can allocate, 0 to 1; absent while it is not looked at, or unknown."),
	}
}

// Describe implements prometheus.Collector.
func (n *node) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{n.healthy, n.synced, n.connected, n.required, n.notReady, n.pods, n.failedOpen, n.cpuUsed} {
		all <- d
	}
}

// Collect implements prometheus.Collector.
func (n *node) Collect(all chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	is := n.source.Node()
	gauge(n.healthy, number(is.Healthy))
	gauge(n.synced, number(is.Synced))
	gauge(n.connected, number(is.API.Connected))
	notReady := 0
	for _, d := range is.DaemonSets {
		if !d.Ready {
			notReady++
		}
	}
	gauge(n.required, float64(len(is.DaemonSets)))
	gauge(n.notReady, float64(notReady))
	failedOpen, count := 0, map[healthapi.PodState]int{}
	for _, p := range is.Pods {
		count[p.State]++
		if p.FailedOpen {
			failedOpen++
		}
	}
	for _, s := range []healthapi.PodState{healthapi.PodWaiting, healthapi.PodStarting, healthapi.PodStarted, healthapi.PodReady,
		healthapi.PodStuck, healthapi.PodEnded, healthapi.PodTerminating} {
		gauge(n.pods, float64(count[s]), string(s))
	}
	gauge(n.failedOpen, float64(failedOpen))
	if is.Load != nil && is.Load.Error == "" {
		gauge(n.cpuUsed, float64(is.Load.CPU)/100)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
