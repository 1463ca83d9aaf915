// The settings by name: the flags of the 1.x generation, the environment of the
// 2.x generation, and what is new.

package main

import (
	"flag"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

// flags binds every setting to c.
func (c *Config) flags() []cli.Flag {
	return slices.Concat(
		[]cli.Flag{
			c.Flag("host", &c.Host, "`ADDRESS` to serve on", "PSL_BIND_HOST"),
			c.Flag("port", &c.Port, "`PORT` to serve on", "PSL_BIND_PORT"),
			c.Flag("node-name", &c.Node, "`NAME` of this node", "NODE_NAME", "PSL_NODE_NAME"),
			c.Flag("kubeconfig", &c.Kubeconfig, "`FILE` that says how to reach the API server; none is the way of a pod in its cluster", "PSL_KUBECONFIG"),
			c.Flag("baseUrl", &c.BaseURL, "`URL` of an API server that asks for no credentials, such as kubectl proxy", "PSL_K8S_API_URL"),
			c.Flag("pod-namespace", &c.PodNamespace, "namespace of health's own pod: its DaemonSet does not wait for itself", "POD_NAMESPACE"),
			c.Flag("pod-name", &c.PodName, "name of health's own pod", "POD_NAME"),
		},
		[]cli.Flag{
			c.Flag("daemonsets", &c.DaemonSets, "false waits for no DaemonSet", "PSL_HC_DAEMONSET_ENABLED"),
			c.Flag("namespace", &c.Namespace, "wait for the DaemonSets of this `NAMESPACE` only", "PSL_HC_DAEMONSET_NAMESPACE"),
			bare{c.Flag("hostNet", &c.HostNet, "wait for DaemonSets on the host's network only", "PSL_HC_DAEMONSET_HOST_NETWORK")},
		},
		c.list("in", &c.Include, "`KEY:VALUE` of a label that a DaemonSet must have to be waited for; repeatable, all must match", "PSL_HC_DAEMONSET_INCLUDE_LABELS"),
		c.list("ex", &c.Exclude, "`KEY:VALUE` of a label whose DaemonSets are not waited for; repeatable", "PSL_HC_DAEMONSET_EXCLUDE_LABELS"),
		c.list("startup-taint", &c.StartupTaints, "`KEY` of a taint that must be gone before pods may start; repeatable", "PSL_STARTUP_TAINTS"),
		c.list("init-container", &c.InitContainers, "`NAME` of the init containers that wait for a slot; repeatable; none is "+defaultInitContainer, "PSL_INIT_CONTAINERS"),
		[]cli.Flag{
			bare{c.Flag("node-load", &c.Load, "hold pods back while the node's CPU is busy; asks the metrics API", "PSL_HC_NODELOAD_ENABLED")},
			c.Flag("cpu-threshold", &c.CPUThreshold, "`PERCENT` of the node's allocatable CPU from which it is busy; switches --node-load on [$PSL_HC_NODELOAD_CPU_THRESHOLD, which does not]"),
			c.Hidden("node-load-cpu-threshold", &c.Threshold, "what --cpu-threshold takes, without switching anything on", "PSL_HC_NODELOAD_CPU_THRESHOLD"),
			c.Flag("load-period", &c.LoadPeriod, "`TIME` between two looks at the node's load", "PSL_HC_NODELOAD_PERIOD"),
			bare{c.Flag("events", &c.Events, "write Kubernetes Events on pods that wait long for their slot", "PSL_EVENTS")},
			c.Flag("events-after", &c.EventsAfter, "`TIME` that a pod waits before --events tells it why", "PSL_EVENTS_AFTER"),
			c.Flag("lock", &c.Lock, "`URL` of the lock on this node; --events asks it for its queue while some pod waits long", "PSL_LOCK_URL"),
			c.Hidden("failHc", &c.PauseFail, "accepted for the 1.x generation: a watch has no pauses", "PSL_HC_DAEMONSET_PERIOD_FAIL"),
			c.Hidden("passHc", &c.PausePass, "accepted for the 1.x generation: a watch has no pauses", "PSL_HC_DAEMONSET_PERIOD_PASS"),
		},
		c.Logging.Flags(),
	)
}

// list binds a repeatable flag and a variable with a comma list. They are not
// one, since the flag wins: its items do not add to the variable's.
func (c *Config) list(name string, to *list, usage, env string) []cli.Flag {
	return []cli.Flag{
		c.Flag(name, &to.flag, usage+" [$"+env+", a comma list]"),
		c.Hidden(name+"-list", &to.env, "comma list of what --"+name+" takes", env),
	}
}

// list is a setting of several texts.
type list struct{ flag, env daemon.List }

func (l list) items() []string {
	if len(l.flag) > 0 {
		return l.flag
	}
	return l.env
}

// flagged is a number that means more when it is given as a flag.
type flagged struct {
	daemon.Number
	given bool
}

// Set implements flag.Value.
func (n *flagged) Set(s string) error { n.given = true; return n.Number.Set(s) }

// bare is a switch that may stand alone: --hostNet, or --hostNet=true.
type bare struct{ *cli.GenericFlag }

// Apply implements cli.Flag.
func (f bare) Apply(set *flag.FlagSet) error {
	f.Value = alone{f.Value}
	return f.GenericFlag.Apply(set)
}

// TakesValue and String are for --help.
func (f bare) TakesValue() bool { return false }

func (f bare) String() string { return cli.FlagStringer(f) }

// alone tells package flag that no value means true.
type alone struct{ cli.Generic }

func (alone) IsBoolFlag() bool { return true }
