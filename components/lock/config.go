// What the lock can be told, and what is wrong with it.

package main

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/gate"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lock/statefile"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// maxLocks is more slots than a node has pods to start.
const maxLocks = 1000

// Config is how the lock serves and how many may start.
type Config struct {
	daemon.Settings
	Host     daemon.Text
	Port     daemon.Number
	Locks    slotCount
	MinLocks daemon.Number
	MaxLocks daemon.Number // 0: by the node's cores
	Lease    lockapi.Duration
	Grace    lockapi.Duration
	Aging    lockapi.Duration
	StateDir daemon.Text

	Health         daemon.Text
	HealthPatience lockapi.Duration
	ReleaseOn      daemon.Text

	Checks       daemon.List
	EnvChecks    daemon.List // of the 2.x generation; --check wins
	CheckEnabled daemon.Switch
	CheckFail    lockapi.Duration
	CheckPass    lockapi.Duration
	CheckTimeout lockapi.Duration

	Logging daemon.Logging

	// What Validate makes of the above.
	endpoints []gate.Endpoint
	folder    *statefile.Folder
}

// slotCount is a number of slots as a setting, or the word auto.
type slotCount daemon.Number

// auto lets the number of slots follow the node.
const auto slotCount = -1

// Set implements flag.Value.
func (n *slotCount) Set(s string) error {
	if s == "auto" {
		*n = auto
		return nil
	}
	var v daemon.Number
	if v.Set(s) != nil || v < 0 {
		return fmt.Errorf("%.40q is not a number of slots from 1 on, and not auto", s)
	}
	*n = slotCount(v)
	return nil
}

func (n *slotCount) String() string {
	if *n == auto {
		return "auto"
	}
	return strconv.Itoa(int(*n))
}

func defaults() *Config {
	return &Config{
		Host:           "0.0.0.0",
		Port:           8888,
		Locks:          1,
		MinLocks:       1,
		Lease:          lockapi.Duration(10 * time.Second),
		Grace:          lockapi.Duration(10 * time.Second),
		Aging:          lockapi.Duration(30 * time.Second),
		HealthPatience: lockapi.Duration(time.Minute),
		CheckEnabled:   true,
		CheckFail:      lockapi.Duration(10 * time.Second),
		CheckPass:      lockapi.Duration(60 * time.Second),
		CheckTimeout:   lockapi.Duration(5 * time.Second),
	}
}

func (c *Config) flags() []cli.Flag {
	return append([]cli.Flag{
		c.Flag("host", &c.Host, "`ADDRESS` to serve on", "PSL_BIND_HOST"),
		c.Flag("port", &c.Port, "`PORT` to serve on", "PSL_BIND_PORT"),
		c.Flag("locks", &c.Locks, "`NUMBER` of slots, how many pods may start at once; auto follows the node", "PSL_PARALLEL_LOCKS"),
		c.Flag("min-locks", &c.MinLocks, "least `NUMBER` of slots with --locks auto", "PSL_MIN_LOCKS"),
		c.Flag("max-locks", &c.MaxLocks, fmt.Sprintf("most `NUMBER` of slots with --locks auto; 0 is %d for each core", pressure.MaxPerCore), "PSL_MAX_LOCKS"),
		c.Flag("timeout", &c.Lease, "lease: longest `TIME` a slot is held, unless its client wishes otherwise", "PSL_LOCK_DURATION"),
		c.Flag("grace", &c.Grace, "`TIME` a place in the queue is kept for a client that is away", "PSL_GRACE"),
		c.Flag("aging", &c.Aging, "`TIME` of waiting that one level of priority is worth", "PSL_AGING"),
		c.Flag("state-dir", &c.StateDir, "`FOLDER` that keeps grants and queue across restarts; none forgets them", "PSL_STATE_DIR"),
		c.Flag("health", &c.Health, "`URL` of health on this node: it holds everyone back until the node is ready, and tells when a pod is", "PSL_HEALTH"),
		c.Flag("health-patience", &c.HealthPatience, "longest `TIME` to hold everyone back because health is away or knows nothing yet", "PSL_HEALTH_PATIENCE"),
		c.Flag("release-on", &c.ReleaseOn,
			"`WHEN` a slot ends before its lease, unless its client wishes otherwise: ready, started or timeout (the lease alone);\n"+
				"none is ready with --health, timeout without", "PSL_RELEASE_ON"),
		c.Flag("check", &c.Checks, "`URL` that must answer before anyone may start: http://, https:// (2xx) or tcp://host:port; repeatable"),
		c.Hidden("check-endpoints", &c.EnvChecks, "comma list of what --check takes", "PSL_HC_ENDPOINTS"),
		c.Flag("check-enabled", &c.CheckEnabled, "false ignores all endpoints to check", "PSL_HC_ENABLED"),
		c.Flag("failHc", &c.CheckFail, "`TIME` between checks after one that failed", "PSL_HC_PERIOD_FAIL"),
		c.Flag("passHc", &c.CheckPass, "`TIME` between checks after all passed", "PSL_HC_PERIOD_PASS"),
		c.Flag("check-timeout", &c.CheckTimeout, "`TIME` that an endpoint has to answer", "PSL_HC_TIMEOUT"),
	}, c.Logging.Flags()...)
}

// Validate names everything that cannot work, and opens the state folder.
func (c *Config) Validate(args []string) error {
	var p daemon.Problems
	c.Settings.Validate(&p, args)
	number := func(name string, n daemon.Number, least, most daemon.Number) {
		if n < least || n > most {
			p.Add("--%s %d: want %d to %d", name, n, least, most)
		}
	}
	duration := func(name string, d lockapi.Duration) {
		if longest := lockapi.Duration(lockapi.MaxLease); d <= 0 || d > longest {
			p.Add("--%s %s: want more than 0, at most %s", name, d, longest)
		}
	}
	if c.Host != "" && net.ParseIP(string(c.Host)) == nil && c.Host != "localhost" {
		p.Add("--host %q: want an IP address of this machine, 0.0.0.0 or :: for all", c.Host)
	}
	number("port", c.Port, 1, 65535)
	if c.Locks != auto {
		number("locks", daemon.Number(c.Locks), 1, maxLocks)
	}
	number("min-locks", c.MinLocks, 1, maxLocks)
	number("max-locks", c.MaxLocks, 0, maxLocks)
	if c.MaxLocks != 0 && c.MinLocks > c.MaxLocks {
		p.Add("--min-locks %d is above --max-locks %d", c.MinLocks, c.MaxLocks)
	}
	duration("timeout", c.Lease)
	duration("grace", c.Grace)
	duration("aging", c.Aging)
	duration("health-patience", c.HealthPatience)
	if c.Health != "" {
		if u, err := url.Parse(string(c.Health)); err != nil || u.Scheme != "http" || u.Host == "" {
			p.Add("--health %q: want an address such as http://127.0.0.1:9999", c.Health)
		}
	}
	switch lockapi.ReleaseOn(c.ReleaseOn) {
	case "", lockapi.ReleaseOnTimeout:
	case lockapi.ReleaseOnStarted, lockapi.ReleaseOnReady:
		if c.Health == "" {
			p.Add("--release-on %s: needs --health, which tells when a pod is", c.ReleaseOn)
		}
	default:
		p.Add("--release-on %q: want %s, %s or %s", c.ReleaseOn,
			lockapi.ReleaseOnReady, lockapi.ReleaseOnStarted, lockapi.ReleaseOnTimeout)
	}
	duration("failHc", c.CheckFail)
	duration("passHc", c.CheckPass)
	duration("check-timeout", c.CheckTimeout)
	c.Logging.Validate(&p)

	checks := c.Checks
	if len(checks) == 0 {
		checks = c.EnvChecks
	}
	for _, s := range checks {
		e, err := gate.ParseEndpoint(s)
		if err != nil {
			p.Add("--check %v", err)
			continue
		}
		c.endpoints = append(c.endpoints, e)
	}
	if !c.CheckEnabled {
		c.endpoints = nil
	}
	if c.StateDir != "" {
		var err error
		if c.folder, err = statefile.Open(string(c.StateDir)); err != nil {
			p.Add("--state-dir: %v", err)
		}
	}
	return p.Err()
}

// releaseOn is the release policy of claims that wish none.
func (c *Config) releaseOn() lockapi.ReleaseOn {
	switch {
	case c.ReleaseOn != "":
		return lockapi.ReleaseOn(c.ReleaseOn)
	case c.Health != "":
		return lockapi.ReleaseOnReady
	default:
		return lockapi.ReleaseOnTimeout
	}
}

func (c *Config) address() string {
	return net.JoinHostPort(string(c.Host), strconv.Itoa(int(c.Port)))
}
