// What init can be told, and what is wrong with it.

package main

import (
	"crypto/rand"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// What init does when the lock stays away for --max-wait.
const (
	onMaxWaitStart = "start"
	onMaxWaitFail  = "fail"
)

// longest bounds the pauses and delays that make sense.
const longest = lockapi.Duration(24 * time.Hour)

// Config is how init asks and waits.
type Config struct {
	daemon.Settings
	Host           daemon.Text
	Port           daemon.Number
	Lease          lockapi.Duration // 0 leaves it to the lock
	Pause          lockapi.Duration // between asks of a legacy lock, and the longest while the lock is away
	CheckTimeout   lockapi.Duration // for an answer the lock should give at once
	MaxWait        lockapi.Duration // how long the lock may be away; 0 is for ever
	OnMaxWait      daemon.Text
	Stagger        lockapi.Duration // bounds the random delay of a start without a slot
	Priority       daemon.Number
	Weight         daemon.Number
	ReleaseOn      daemon.Text
	Pod            lockapi.Pod
	TerminationLog daemon.Text
	Logging        daemon.Logging
}

func defaults() *Config {
	return &Config{
		Host:           "localhost",
		Port:           8888,
		Pause:          lockapi.Duration(3 * time.Second),
		CheckTimeout:   lockapi.Duration(time.Second),
		MaxWait:        lockapi.Duration(10 * time.Minute),
		OnMaxWait:      onMaxWaitStart,
		Stagger:        lockapi.Duration(30 * time.Second),
		Weight:         1,
		TerminationLog: "/dev/termination-log",
	}
}

// Validate names every bad setting at once, and makes up the identity that was
// not given. args are what is left of the command line after the flags.
func (c *Config) Validate(args []string) error {
	var p daemon.Problems
	c.Settings.Validate(&p, args)
	check := func(ok bool, format string, args ...any) {
		if !ok {
			p.Add(format, args...)
		}
	}
	check(c.Host != "" && !strings.ContainsAny(string(c.Host), "/ @?#"), "--host %q: want a host name or an address", c.Host)
	check(c.Port >= 1 && c.Port <= 65535, "--port %d: want 1 to 65535", c.Port)
	check(c.Lease.Std() <= lockapi.MaxLease, "--duration %s: want at most %s", c.Lease, lockapi.Duration(lockapi.MaxLease))
	check(c.Pause > 0 && c.Pause <= longest, "--pause %s: want more than 0, at most %s", c.Pause, longest)
	check(c.CheckTimeout > 0 && c.CheckTimeout <= longest,
		"--check-timeout %s: want more than 0, at most %s", c.CheckTimeout, longest)
	check(c.Stagger <= longest, "--stagger %s: want at most %s", c.Stagger, longest)
	check(c.OnMaxWait == onMaxWaitStart || c.OnMaxWait == onMaxWaitFail,
		"--on-max-wait %q: want %s or %s", c.OnMaxWait, onMaxWaitStart, onMaxWaitFail)
	check(c.Priority >= -lockapi.MaxPriority && c.Priority <= lockapi.MaxPriority,
		"--priority %d: want -%d to %[2]d", c.Priority, lockapi.MaxPriority)
	check(c.Weight >= 0 && c.Weight <= lockapi.MaxWeight, "--weight %d: want 1 to %d; 0, as of a container without a CPU request, is 1", c.Weight, lockapi.MaxWeight)
	switch lockapi.ReleaseOn(c.ReleaseOn) {
	case "", lockapi.ReleaseOnReady, lockapi.ReleaseOnStarted, lockapi.ReleaseOnTimeout:
	default:
		p.Add("--release-on %q: want %s, %s or %s", c.ReleaseOn,
			lockapi.ReleaseOnReady, lockapi.ReleaseOnStarted, lockapi.ReleaseOnTimeout)
	}
	c.identify()
	for name, value := range map[string]string{"namespace": c.Pod.Namespace, "name": c.Pod.Name, "uid": c.Pod.UID} {
		check(len(value) <= lockapi.MaxName, "--pod-%s: %d bytes, want at most %d", name, len(value), lockapi.MaxName)
	}
	c.Logging.Validate(&p)
	return p.Err()
}

// address is the lock's base URL.
func (c *Config) address() string {
	return "http://" + net.JoinHostPort(strings.Trim(string(c.Host), "[]"), c.Port.String())
}

// identify fills in what the pod's specification did not tell. A made-up UID
// lives as long as this process.
func (c *Config) identify() {
	if c.Pod.UID == "" {
		c.Pod.UID = "unknown-" + rand.Text()
	}
	if c.Pod.Name == "" {
		c.Pod.Name, _ = os.Hostname() // a pod's host name is its name, most of the time
	}
}
