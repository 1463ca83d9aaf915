// What health can be told, and what is wrong with it.

package main

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/health/nodewatch"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

const (
	defaultInitContainer = "startup-lock"
	defaultThreshold     = 80

	shortestEventsAfter = lockapi.Duration(time.Second)
	longestEventsAfter  = lockapi.Duration(time.Hour)

	shortestLoadPeriod = lockapi.Duration(time.Second)
	longestLoadPeriod  = lockapi.Duration(time.Hour)
)

// Config is what health looks at, and where it serves.
type Config struct {
	daemon.Settings
	Host daemon.Text
	Port daemon.Number
	Node daemon.Text

	Kubeconfig   daemon.Text
	BaseURL      daemon.Text
	PodNamespace daemon.Text
	PodName      daemon.Text

	DaemonSets daemon.Switch
	Namespace  daemon.Text
	HostNet    daemon.Switch
	Include    list
	Exclude    list

	StartupTaints  list
	InitContainers list

	Load         daemon.Switch
	Threshold    daemon.Number
	CPUThreshold flagged // --cpu-threshold; wins, and switches Load on
	LoadPeriod   lockapi.Duration

	Events      daemon.Switch
	EventsAfter lockapi.Duration
	Lock        daemon.Text // URL

	PauseFail lockapi.Duration // moot, like PausePass: nothing is polled
	PausePass lockapi.Duration

	Logging daemon.Logging

	// What Validate makes of the above.
	api   *rest.Config
	watch nodewatch.Config
}

func defaults() *Config {
	return &Config{
		Host:         "0.0.0.0",
		Port:         9999,
		DaemonSets:   true,
		Threshold:    defaultThreshold,
		CPUThreshold: flagged{Number: defaultThreshold},
		LoadPeriod:   lockapi.Duration(10 * time.Second),
		EventsAfter:  lockapi.Duration(30 * time.Second),
		Lock:         "http://127.0.0.1:8888",
	}
}

// Validate names everything that cannot work, and reads the credentials.
func (c *Config) Validate(args []string) error {
	var p daemon.Problems
	c.Settings.Validate(&p, args)
	if c.Host != "" && net.ParseIP(string(c.Host)) == nil && c.Host != "localhost" {
		p.Add("--host %q: want an IP address of this machine, 0.0.0.0 or :: for all", c.Host)
	}
	if c.Port < 1 || c.Port > 65535 {
		p.Add("--port %d: want 1 to 65535", c.Port)
	}
	if c.Node == "" {
		p.Add("--node-name: want the name of this node; in a pod NODE_NAME from fieldRef spec.nodeName says it")
	}
	c.Logging.Validate(&p)
	c.validateLoad(&p)
	c.validateEvents(&p)
	c.api = c.connection(&p)
	c.watch = c.selection(&p)
	return p.Err()
}

func (c *Config) validateLoad(p *daemon.Problems) {
	if c.CPUThreshold.given {
		c.Load, c.Threshold = true, c.CPUThreshold.Number
	}
	if c.Threshold < 1 || c.Threshold > 100 {
		p.Add("--cpu-threshold %d: want 1 to 100", c.Threshold)
	}
	if c.LoadPeriod < shortestLoadPeriod || c.LoadPeriod > longestLoadPeriod {
		p.Add("--load-period %s: want %s to %s", c.LoadPeriod, shortestLoadPeriod, longestLoadPeriod)
	}
}

func (c *Config) validateEvents(p *daemon.Problems) {
	if c.EventsAfter < shortestEventsAfter || c.EventsAfter > longestEventsAfter {
		p.Add("--events-after %s: want %s to %s", c.EventsAfter, shortestEventsAfter, longestEventsAfter)
	}
	u, err := url.Parse(string(c.Lock))
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		p.Add("--lock %.200q: want an address such as http://127.0.0.1:8888", c.Lock)
	}
}

// selection is what to watch.
func (c *Config) selection(p *daemon.Problems) nodewatch.Config {
	named := func(setting, value string, wrong func(string) []string) {
		if value == "" {
			return
		}
		if problems := wrong(value); len(problems) > 0 {
			p.Add("--%s %.80q: %s", setting, value, problems[0])
		}
	}
	named("node-name", string(c.Node), validation.IsDNS1123Subdomain)
	named("namespace", string(c.Namespace), validation.IsDNS1123Label)
	named("pod-namespace", string(c.PodNamespace), validation.IsDNS1123Label)
	named("pod-name", string(c.PodName), validation.IsDNS1123Subdomain)
	for _, key := range c.StartupTaints.items() {
		named("startup-taint", key, validation.IsQualifiedName)
	}
	initContainers := c.InitContainers.items()
	if len(initContainers) == 0 {
		initContainers = []string{defaultInitContainer}
	}
	for _, name := range initContainers {
		named("init-container", name, validation.IsDNS1123Label)
	}
	if len(c.Include.items()) > 0 && len(c.Exclude.items()) > 0 {
		p.Add("--in and --ex: give one of them; together they leave open what a DaemonSet with neither label is")
	}
	return nodewatch.Config{
		Node:         string(c.Node),
		PodNamespace: string(c.PodNamespace),
		PodName:      string(c.PodName),
		DaemonSets: nodewatch.Selection{
			Disabled:        !bool(c.DaemonSets),
			Namespace:       string(c.Namespace),
			HostNetworkOnly: bool(c.HostNet),
			Include:         labels(p, "in", c.Include.items()),
			Exclude:         labels(p, "ex", c.Exclude.items()),
		},
		StartupTaints:  c.StartupTaints.items(),
		InitContainers: initContainers,
	}
}

// labels reads key:value, or key=value as Kubernetes has it.
func labels(p *daemon.Problems, setting string, items []string) map[string]string {
	found := map[string]string{}
	for _, item := range items {
		i := strings.IndexAny(item, ":=")
		if i < 0 {
			p.Add("--%s %.80q: want key:value", setting, item)
			continue
		}
		key, value := strings.TrimSpace(item[:i]), strings.TrimSpace(item[i+1:])
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if len(problems) > 0 {
			p.Add("--%s %.80q: %s", setting, item, problems[0])
			continue
		}
		if other, twice := found[key]; twice && other != value {
			p.Add("--%s %.80q: %s is given as %q, too", setting, item, key, other)
			continue
		}
		found[key] = value
	}
	return found
}

func (c *Config) address() string {
	return net.JoinHostPort(string(c.Host), strconv.Itoa(int(c.Port)))
}
