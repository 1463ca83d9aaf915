// parse.go turns a YAML document into a Scenario, or into all that is wrong with it.

package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// What a scenario may ask for at most. The bounds keep a slip of the pen (3h
// for 3s, 2400 for 24) from being tried.
const (
	maxCores   = 1024
	maxPods    = 1000
	maxStartup = Duration(time.Hour)
	maxRead    = Bytes(16 << 30)
	maxFile    = 1 << 20
)

// ReadFile reads a scenario from a file.
func ReadFile(path string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return Parse(filepath.Base(path), data)
}

// Parse reads a scenario. Its error is of type Problems and names everything
// that is wrong at once; file stands before each line number.
func Parse(file string, data []byte) (*Scenario, error) {
	r := &reader{file: file}
	if len(data) > maxFile {
		r.problem(nil, "%d bytes are too many for a scenario: %d at most", len(data), maxFile)
		return nil, r.problems
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		r.problem(nil, "empty: no scenario in it")
		return nil, r.problems
	} else if err != nil {
		r.problem(nil, "not YAML: %v", err) // yaml's own message has the line
		return nil, r.problems
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		r.problem(nil, "more than one document: a file holds one scenario")
		return nil, r.problems
	}
	s := r.scenario(doc.Content[0])
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (r *reader) scenario(n *yaml.Node) *Scenario {
	s := &Scenario{}
	var policies, kindOnly, notKind *yaml.Node
	r.mapping(n, "scenario",
		field{"name", true, r.name(&s.Name, "name")},
		field{"description", false, r.text(&s.Description, "description")},
		field{"on", false, func(n *yaml.Node) {
			r.list(n, "on", func(i int, n *yaml.Node) {
				var place string
				oneOf(r, &place, fmt.Sprintf("on[%d]", i), OnLocal, OnKind, OnSim)(n)
				s.On = append(s.On, place)
			})
		}},
		field{"node", true, func(n *yaml.Node) {
			r.mapping(n, "node",
				field{"cores", true, r.number(&s.Node.Cores, 1, maxCores, "node.cores")},
				field{"quota", false, func(n *yaml.Node) {
					r.yes(&s.Node.Quota, "node.quota")(n)
					if s.Node.Quota {
						notKind = n
					}
				}},
				field{"noise", false, func(n *yaml.Node) {
					notKind = n
					r.noise(&s.Node.Noise)(n)
				}})
		}},
		field{"daemonSets", false, func(n *yaml.Node) {
			kindOnly = n
			names := map[string]bool{}
			r.list(n, "daemonSets", func(i int, n *yaml.Node) {
				d := r.daemonSet(n, fmt.Sprintf("daemonSets[%d]", i))
				if names[d.Name] && d.Name != "" {
					r.problem(n, "daemonSets[%d]: one named %s is there already", i, d.Name)
				}
				names[d.Name] = true
				s.DaemonSets = append(s.DaemonSets, d)
			})
		}},
		field{"reboot", false, func(n *yaml.Node) {
			kindOnly = n
			r.yes(&s.Reboot, "reboot")(n)
		}},
		field{"pods", true, func(n *yaml.Node) {
			names := map[string]bool{}
			r.list(n, "pods", func(i int, n *yaml.Node) {
				g := r.group(n, fmt.Sprintf("pods[%d]", i))
				if names[g.Name] && g.Name != "" {
					r.problem(n, "pods[%d]: a group named %s is there already", i, g.Name)
				}
				names[g.Name] = true
				s.Pods = append(s.Pods, g)
				if g.Fault != "" {
					kindOnly = n
				}
			})
			if s.Count() > 0 && s.Healthy() == 0 {
				r.problem(n, "pods: all of them have a fault: nobody is left to start")
			}
			if s.Count() > maxPods {
				r.problem(n, "pods: %d are too many: %d at most", s.Count(), maxPods)
			}
		}},
		field{"policies", true, func(n *yaml.Node) { policies = n }},
	)
	if kindOnly != nil && (s.RunsOn(OnLocal) || s.RunsOn(OnSim)) {
		r.problem(kindOnly, "daemonSets, reboot and fault are for a cluster only: say on: [%s]", OnKind)
	}
	if notKind != nil && s.RunsOn(OnKind) {
		r.problem(notKind, "node.quota and node.noise are for every place but a cluster: say on: [%s, %s]", OnLocal, OnSim)
	}
	if policies != nil { // after the pods, because "ready: all" needs their number
		names := map[string]bool{}
		r.list(policies, "policies", func(i int, n *yaml.Node) {
			p := r.policy(n, fmt.Sprintf("policies[%d]", i), s)
			if names[p.Name] && p.Name != "" {
				r.problem(n, "policies[%d]: a policy named %s is there already", i, p.Name)
			}
			names[p.Name] = true
			s.Policies = append(s.Policies, p)
		})
	}
	return s
}

func (r *reader) noise(into **Noise) func(*yaml.Node) {
	return func(n *yaml.Node) {
		noise := &Noise{On: maxStartup}
		r.mapping(n, "node.noise",
			field{"threads", true, r.number(&noise.Threads, 1, maxCores, "node.noise.threads")},
			field{"on", false, r.duration(&noise.On, Duration(100*time.Millisecond), maxStartup, "node.noise.on")},
			field{"off", false, r.duration(&noise.Off, 0, maxStartup, "node.noise.off")},
		)
		*into = noise
	}
}

func (r *reader) daemonSet(n *yaml.Node, what string) DaemonSet {
	var d DaemonSet
	r.mapping(n, what,
		field{"name", true, r.name(&d.Name, what+".name")},
		field{"readyAfter", false, r.duration(&d.ReadyAfter, 0, maxStartup, what+".readyAfter")},
		field{"elsewhere", false, oneOf(r, &d.Elsewhere, what+".elsewhere", ByAffinity, ByTaint)},
	)
	return d
}

func (r *reader) group(n *yaml.Node, what string) Group {
	g := Group{Weight: 1}
	r.mapping(n, what,
		field{"name", true, r.name(&g.Name, what+".name")},
		field{"count", true, r.number(&g.Count, 1, maxPods, what+".count")},
		field{"startup", true, func(n *yaml.Node) {
			what := what + ".startup"
			r.mapping(n, what,
				field{"cpu", false, r.duration(&g.Startup.CPU, 0, maxStartup, what+".cpu")},
				field{"idle", false, r.duration(&g.Startup.Idle, 0, maxStartup, what+".idle")},
				field{"read", false, r.bytes(&g.Startup.Read, maxRead, what+".read")},
			)
		}},
		field{"probes", false, func(n *yaml.Node) {
			if n.Kind == yaml.ScalarNode && n.Value == "none" {
				return
			}
			r.mapping(n, what+".probes",
				field{"liveness", false, r.probe(&g.Probes.Liveness, what+".probes.liveness")},
				field{"readiness", false, r.probe(&g.Probes.Readiness, what+".probes.readiness")},
			)
		}},
		field{"weight", false, r.number(&g.Weight, 1, lockapi.MaxWeight, what+".weight")},
		field{"priority", false, r.number(&g.Priority, -lockapi.MaxPriority, lockapi.MaxPriority, what+".priority")},
		field{"fault", false, oneOf(r, &g.Fault, what+".fault", NeverReady, NoImage, CrashLoop)},
	)
	return g
}

// probe has the defaults of Kubernetes. Its durations are whole seconds there,
// and so they are here, or the same scenario could not run on a cluster.
func (r *reader) probe(into **Probe, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p := &Probe{Period: Duration(10 * time.Second), Timeout: Duration(time.Second), Failures: 3}
		r.mapping(n, what,
			field{"initialDelay", false, r.seconds(&p.InitialDelay, 0, maxStartup, what+".initialDelay")},
			field{"period", false, r.seconds(&p.Period, Duration(time.Second), maxStartup, what+".period")},
			field{"timeout", false, r.seconds(&p.Timeout, Duration(time.Second), maxStartup, what+".timeout")},
			field{"failures", false, r.number(&p.Failures, 1, 1000, what+".failures")},
		)
		*into = p
	}
}

func (r *reader) policy(n *yaml.Node, what string, s *Scenario) Policy {
	var p Policy
	r.mapping(n, what,
		field{"name", true, r.name(&p.Name, what+".name")},
		field{"lock", true, r.lock(&p.Lock, what+".lock")},
		field{"patient", false, r.yes(&p.Patient, what+".patient")},
		field{"expect", false, func(n *yaml.Node) {
			place := func(name string) field {
				return field{name, false, func(n *yaml.Node) {
					var e Expect
					r.mapping(n, what+".expect."+name, r.expect(&e, what+".expect."+name, s)...)
					if p.Only == nil {
						p.Only = map[string]Expect{}
					}
					p.Only[name] = e
				}}
			}
			fields := append(r.expect(&p.Expect, what+".expect", s), place(OnLocal), place(OnKind), place(OnSim))
			r.mapping(n, what+".expect", fields...)
		}},
	)
	return p
}

func (r *reader) lock(into **Lock, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			if n.Value != "none" {
				r.problem(n, "%s: want none or {locks, lease, releaseOn}, not %q", what, shorten(n.Value))
			}
			return
		}
		l := &Lock{ReleaseOn: lockapi.ReleaseOnTimeout}
		r.mapping(n, what,
			field{"locks", true, func(n *yaml.Node) {
				switch l.Auto, l.Oracle = n.Value == "auto", n.Value == "oracle"; {
				case l.Auto, l.Oracle:
				default:
					r.number(&l.Locks, 1, maxPods, what+".locks")(n)
				}
			}},
			field{"min", false, r.number(&l.Min, 1, maxPods, what+".min")},
			field{"max", false, r.number(&l.Max, 1, maxPods, what+".max")},
			field{"lease", true, r.seconds(&l.Lease, Duration(time.Second), Duration(lockapi.MaxLease), what+".lease")},
			field{"releaseOn", false, oneOf(r, &l.ReleaseOn, what+".releaseOn", lockapi.ReleaseOnTimeout, lockapi.ReleaseOnStarted, lockapi.ReleaseOnReady)},
		)
		if !l.Auto && (l.Min != 0 || l.Max != 0) {
			r.problem(n, "%s: min and max are bounds for locks: auto", what)
		}
		if l.Max != 0 && l.Min > l.Max {
			r.problem(n, "%s: min %d is above max %d", what, l.Min, l.Max)
		}
		*into = l
	}
}

// expect is the fields of an Expect.
func (r *reader) expect(into *Expect, what string, s *Scenario) []field {
	of := func(pods int) func(string) (float64, error) {
		return func(s string) (float64, error) {
			if s == "all" {
				return float64(pods), nil
			}
			v, err := parseAmount(s)
			if err != nil {
				return 0, fmt.Errorf("want all, or how many: %w", err)
			}
			if v > float64(pods) {
				return 0, fmt.Errorf("%s is more than the %d pods there are", s, pods)
			}
			return v, nil
		}
	}
	return []field{
		{"ready", false, r.bounds(&into.Ready, what+".ready", of(s.Count()))},
		{"healthy", false, r.bounds(&into.Healthy, what+".healthy", of(s.Healthy()))},
		{"restarts", false, r.bounds(&into.Restarts, what+".restarts", parseAmount)},
		{"starters", false, r.bounds(&into.Starters, what+".starters", parseAmount)},
		{"grants", false, r.bounds(&into.Grants, what+".grants", parseAmount)},
		{"inversions", false, r.bounds(&into.Inversions, what+".inversions", parseAmount)},
		{"ratio", false, r.bounds(&into.Ratio, what+".ratio", parseAmount)},
		{"spacing", false, r.bounds(&into.Spacing, what+".spacing", parseSeconds)},
		{"gate", false, r.bounds(&into.Gate, what+".gate", parseSeconds)},
	}
}
