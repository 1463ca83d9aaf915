// question.go reads what a plan is asked for.

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// question is what the command line says; empty is not given.
type question struct {
	from                             string
	cores, pods, cpu, idle, read     string
	delay, period, timeout, failures string
	noLiveness                       bool
	readiness, lease, out            string
}

// What may be asked for at most, as in a scenario.
const (
	mostCores = 1024
	mostPods  = 1000
	mostTime  = time.Hour
	mostRead  = 16 << 30
	mostWork  = 24 * time.Hour // of all pods, one after the other: nobody waits longer
)

// herd is the scenario that is asked about, without its policies, and the lease
// of the lock; or everything that is wrong.
func (q question) herd() (*spec.Scenario, lockapi.Duration, error) {
	var a answers
	lease := a.time("--lease", q.lease, 2*time.Minute, time.Second, lockapi.MaxLease)
	var s *spec.Scenario
	if q.from != "" {
		s = q.recorded(&a)
	} else {
		s = q.made(&a)
	}
	if s != nil && len(a.problems) == 0 {
		work := time.Duration(0)
		for _, g := range s.Pods {
			work += time.Duration(g.Count) * start(g)
		}
		if work > mostWork {
			a.problem("%s of starts, if one follows the other: more than %s cannot be planned", work.Round(time.Minute), mostWork)
		}
	}
	return s, lease, errors.Join(a.problems...)
}

// made is the herd that the flags describe.
func (q question) made(a *answers) *spec.Scenario {
	s := &spec.Scenario{Name: "plan"}
	s.Node.Cores = a.number("--cores", q.cores, 0, mostCores)
	g := spec.Group{Name: "pod", Weight: 1}
	g.Count = a.number("--pods", q.pods, 0, mostPods)
	g.Startup.CPU = a.time("--cpu", q.cpu, 0, 0, mostTime)
	g.Startup.Idle = a.time("--idle", q.idle, 0, 0, mostTime)
	if q.read != "" {
		var err error
		if g.Startup.Read, err = spec.ParseBytes(q.read); err != nil {
			a.problem("--read: %w", err)
		} else if g.Startup.Read > mostRead {
			a.problem("--read: %s is more than %s", q.read, spec.Bytes(mostRead))
		}
	}
	if q.cpu == "" && q.idle == "" && q.read == "" {
		a.problem("what does a start cost? want --cpu, --idle or --read, or --from")
	}
	g.Probes.Readiness = &spec.Probe{Period: a.seconds("--readiness-period", q.readiness, 10*time.Second, time.Second), Timeout: spec.Duration(time.Second), Failures: 3}
	l := &spec.Probe{
		InitialDelay: a.seconds("--liveness-delay", q.delay, 10*time.Second, 0),
		Period:       a.seconds("--liveness-period", q.period, 10*time.Second, time.Second),
		Timeout:      a.seconds("--liveness-timeout", q.timeout, time.Second, time.Second),
		Failures:     a.number("--liveness-failures", q.failures, 3, mostPods),
	}
	switch given := q.delay + q.period + q.timeout + q.failures; {
	case !q.noLiveness:
		g.Probes.Liveness = l
	case given != "":
		a.problem("--no-liveness: and yet a flag says what the liveness probe is like")
	}
	s.Pods = []spec.Group{g}
	return s
}

// recorded is the herd of a result. What the model of a node does not have is left out.
func (q question) recorded(a *answers) *spec.Scenario {
	for _, f := range []struct {
		flag  string
		given bool
	}{
		{"--pods", q.pods != ""}, {"--cpu", q.cpu != ""}, {"--idle", q.idle != ""}, {"--read", q.read != ""},
		{"--liveness-delay", q.delay != ""}, {"--liveness-period", q.period != ""}, {"--liveness-timeout", q.timeout != ""},
		{"--liveness-failures", q.failures != ""}, {"--no-liveness", q.noLiveness}, {"--readiness-period", q.readiness != ""},
	} {
		if f.given {
			a.problem("%s: --from brings it already", f.flag)
		}
	}
	dir := q.from
	if filepath.Base(dir) == record.File {
		dir = filepath.Dir(dir)
	}
	cores := 0
	if q.cores != "" {
		cores = a.number("--cores", q.cores, 0, mostCores)
	}
	result, err := record.Read(dir)
	if err != nil {
		a.problem("--from: %w", err)
		return nil
	}
	s := modelled(result.Scenario)
	if cores > 0 {
		s.Node.Cores = cores
	}
	if n := s.Node.Cores; n < 1 || n > mostCores {
		a.problem("--from: %s: a node of %d cores: want --cores", q.from, n)
	}
	if n := s.Count(); n < 1 || n > mostPods {
		a.problem("--from: %s: %d pods that can become Ready: want 1 to %d", q.from, n, mostPods)
	}
	for _, g := range s.Pods {
		for _, p := range []*spec.Probe{g.Probes.Liveness, g.Probes.Readiness} {
			if p != nil && (p.Period.Std() < time.Second || p.Failures < 1) {
				a.problem("--from: %s: group %s: no such probe can be: %+v", q.from, g.Name, *p)
			}
		}
		if g.Count < 1 || g.Startup.CPU < 0 || g.Startup.Idle < 0 || g.Startup.Read < 0 {
			a.problem("--from: %s: group %s: no such pods can be", q.from, g.Name)
		}
	}
	return s
}

// modelled is a scenario without what the model of a node does not have: faulty
// pods, DaemonSets, a reboot. Its policies are of no interest here.
func modelled(s *spec.Scenario) *spec.Scenario {
	m := &spec.Scenario{Name: s.Name, Node: s.Node}
	for _, g := range s.Pods {
		if g.Fault == "" {
			m.Pods = append(m.Pods, g)
		}
	}
	return m
}

// answers collects what is wrong with the flags.
type answers struct{ problems []error }

func (a *answers) problem(format string, args ...any) {
	a.problems = append(a.problems, fmt.Errorf(format, args...))
}

// number reads one of 1 to most; what is not given is the fallback, or missing if that is 0.
func (a *answers) number(flag, text string, fallback, most int) int {
	if text == "" {
		if fallback == 0 {
			a.problem("%s: want a number of 1 to %d", flag, most)
		}
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		a.problem("%s: want a number of 1 to %d, not %q", flag, most, text)
	}
	return n
}

// time reads a duration within bounds.
func (a *answers) time(flag, text string, fallback, least, most time.Duration) spec.Duration {
	if text == "" {
		return spec.Duration(fallback)
	}
	d, err := lockapi.ParseDuration(text)
	switch {
	case err != nil:
		a.problem("%s: %w", flag, err)
	case d.Std() < least || d.Std() > most:
		a.problem("%s: want %s to %s, not %s", flag, spec.Duration(least), spec.Duration(most), d)
	}
	return d
}

// seconds reads what Kubernetes has in whole seconds.
func (a *answers) seconds(flag, text string, fallback, least time.Duration) spec.Duration {
	d := a.time(flag, text, fallback, least, mostTime)
	if d.Std()%time.Second != 0 {
		a.problem("%s: want whole seconds, not %s", flag, d)
	}
	return d
}
