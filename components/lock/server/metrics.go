// The lock's metrics.

package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/gate"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
)

// metrics are the lock's own. Label sets are closed: reasons, generations and
// routes come from constants, never from a request.
type metrics struct {
	limit, held, queue, gateOpen prometheus.Gauge
	gateReasons                  *prometheus.GaugeVec
	cores, busy, psi             prometheus.Gauge
	pressure, health             *prometheus.GaugeVec
	grants, ends, withdrawals    *prometheus.CounterVec
	wait, hold, handOver         prometheus.Histogram
	requests                     *prometheus.CounterVec
	adoptions, saveFailures      prometheus.Counter
	failOpens                    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "startup_lock_" + name, Help: help})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "startup_lock_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "startup_lock_" + name, Help: help, Buckets: buckets})
	}
	starts := []float64{0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280}
	m := &metrics{
		limit:    gauge("limit_slots", "Startup slots on this node."),
		held:     gauge("held_slots", "Startup slots held now: the sum of the weights of all grants."),
		queue:    gauge("queue_claims", "Claims that wait for a slot."),
		gateOpen: gauge("gate_open", "1 while slots may be granted, 0 while the gate holds them all back."),
		cores:    gauge("node_cores", "Cores of this node, as the limit follows them; 0 while it follows nothing."),
		busy:     gauge("node_busy_cores", "Cores in use on this node, by everybody, in the last look at it."),
		psi:      gauge("node_psi", "1 while the limit follows the kernel's count of who waits (PSI), 0 while it makes do with CPU use."),
		pressure: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "startup_lock_node_pressure_ratio",
			Help: "Share of the time in which some task on this node waited for the resource, in the last look at it."}, []string{"resource"}),
		health: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "startup_lock_health_connected",
			Help: "1 while the lock hears from health, and health from the API server, 0 while it goes on with what it knew last."}, []string{"to"}),
		adoptions: prometheus.NewCounter(prometheus.CounterOpts{Name: "startup_lock_adoptions_total",
			Help: "Starts that this lock did not grant and took over: of a lock that was replaced, or of pods that stopped waiting."}),
		grants:      counter("grants_total", "Slots granted, by protocol of the client.", "protocol"),
		ends:        counter("grant_ends_total", "Grants that ended, by reason.", "reason"),
		withdrawals: counter("withdrawals_total", "Claims that left the queue without a grant, by reason.", "reason"),
		wait:        histogram("wait_seconds", "Time from a claim to its grant.", starts...),
		hold:        histogram("hold_seconds", "Time from a grant to its end.", starts...),
		handOver: histogram("hand_over_seconds", "Time from the end of a grant until the next who waited has the slot.",
			0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
		failOpens: prometheus.NewCounter(prometheus.CounterOpts{Name: "startup_lock_fail_opens_total",
			Help: "Pods that started without a slot, because no lock gave them one in time; health tells."}),
		gateReasons: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "startup_lock_gate_reasons",
			Help: "Reasons for which the gate is closed now, by their cause; all 0 while it is open."}, []string{"cause"}),
		requests: counter("http_requests_total", "HTTP requests answered, by route and status code.", "route", "code"),
		saveFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "startup_lock_state_save_failures_total",
			Help: "Writes of the state file that failed; a restart would forget what came after."}),
	}
	reg.MustRegister(m.limit, m.held, m.queue, m.gateOpen, m.cores, m.busy, m.psi, m.pressure, m.grants, m.ends, m.withdrawals,
		m.wait, m.hold, m.requests, m.health, m.adoptions, m.saveFailures, m.handOver, m.failOpens, m.gateReasons)
	for _, p := range []string{"v1", "legacy"} {
		m.grants.WithLabelValues(p)
	}
	for _, r := range []slots.Reason{slots.LeaseEnded, slots.Released, slots.Undelivered,
		slots.PodStarted, slots.PodReady, slots.PodStuck, slots.PodEnded, slots.PodGone} {
		m.ends.WithLabelValues(string(r))
	}
	for _, r := range []slots.Reason{slots.GraceEnded, slots.Released, slots.PodEnded, slots.PodGone} {
		m.withdrawals.WithLabelValues(string(r))
	}
	return m
}

// gate shows why it is closed.
func (m *metrics) gate(reasons []string) {
	count := map[healthapi.Cause]int{}
	for _, r := range reasons {
		count[gate.CauseOf(r)]++
	}
	for _, c := range gate.Causes() {
		m.gateReasons.WithLabelValues(string(c)).Set(float64(count[c]))
	}
}

// count takes an event in.
func (m *metrics) count(ev slots.Event) {
	switch ev.Kind {
	case slots.Granted:
		protocol := "v1"
		if ev.Legacy {
			protocol = "legacy"
		}
		m.grants.WithLabelValues(protocol).Inc()
		m.wait.Observe(seconds(ev.GrantedAt.Sub(ev.ClaimedAt)))
	case slots.Adopted:
		m.adoptions.Inc()
	case slots.Ended:
		m.ends.WithLabelValues(string(ev.Reason)).Inc()
		m.hold.Observe(seconds(ev.At.Sub(ev.GrantedAt)))
	case slots.Withdrawn:
		m.withdrawals.WithLabelValues(string(ev.Reason)).Inc()
	}
}

// see shows the node as it was sampled.
func (m *metrics) see(s pressure.Sample) {
	m.cores.Set(s.Cores)
	m.busy.Set(s.Busy)
	m.psi.Set(oneIf(s.PSI))
	if !s.PSI {
		m.pressure.Reset()
		return
	}
	for resource, share := range map[string]float64{"cpu": s.CPU, "io": s.IO, "memory": s.Memory} {
		m.pressure.WithLabelValues(resource).Set(share)
	}
}

// observe shows the table as it is.
func (m *metrics) observe(t *slots.Table) {
	m.limit.Set(float64(t.Limit()))
	m.held.Set(float64(t.Held()))
	m.queue.Set(float64(t.Waiting()))
	m.gateOpen.Set(oneIf(t.Open()))
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
