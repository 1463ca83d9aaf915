// The settings by name: the flags of the 1.x generation, the environment of the
// 2.x generation, and what is new.

package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// flags binds every setting to c.
func (c *Config) flags() []cli.Flag {
	flags := []cli.Flag{
		c.text("host", "PSL_LOCK_HOST", &c.Host, "the lock's host `NAME` or address"),
		c.value("port", "PSL_LOCK_PORT", &c.Port, "the lock's `PORT`"),
		c.value("duration", "PSL_LOCK_DURATION", &c.Lease,
			"longest `TIME` to hold the slot; 0 leaves it to the lock"),
		hidden(c.value("timeout", "", &c.Lease, "what the first 1.x clients called --duration")),
		c.value("pause", "PSL_LOCK_CHECK_PERIOD", &c.Pause,
			"`TIME` between two attempts: with a lock of an earlier generation, and at most while the lock is away"),
		c.value("check-timeout", "PSL_LOCK_CHECK_TIMEOUT", &c.CheckTimeout,
			"`TIME` for the lock to connect and answer at once; doubled, up to 8 times it, while it fails to"),
		c.value("max-wait", "PSL_MAX_WAIT", &c.MaxWait,
			"longest `TIME` without a sensible answer from the lock. It does not bound the wait in a queue that works:\n"+
				"a pod whose lock answers waits for its turn. 0 waits for ever"),
		c.text("on-max-wait", "PSL_ON_MAX_WAIT", &c.OnMaxWait,
			"`WHAT` to do after --max-wait, or when the lock refuses: start (the application without a slot) or fail (exit 1)"),
		c.value("stagger", "PSL_STAGGER", &c.Stagger,
			"longest random `TIME` to wait before a start without a slot"),
		c.value("priority", "PSL_PRIORITY", &c.Priority,
			fmt.Sprintf("`RANK` in the queue, higher first, -%d to %[1]d", lockapi.MaxPriority)),
		c.value("weight", "PSL_WEIGHT", &c.Weight,
			fmt.Sprintf("`NUMBER` of slots to take, 1 to %d", lockapi.MaxWeight)),
		c.text("release-on", "PSL_RELEASE_ON", &c.ReleaseOn,
			"`WHEN` the slot ends before its time is up: ready, started or timeout; none leaves it to the lock"),
		c.text("pod-namespace", "POD_NAMESPACE", &c.Pod.Namespace, "the pod's namespace, for people"),
		c.text("pod-name", "POD_NAME", &c.Pod.Name, "the pod's name, for people; none takes the host name"),
		c.text("pod-uid", "POD_UID", &c.Pod.UID,
			"the pod's identity: with it a restarted init container keeps its place; none makes one up"),
		c.text("termination-log", "PSL_TERMINATION_LOG", &c.TerminationLog,
			"`FILE` for one line on how it ended; written only when it exists"),
	}
	return append(flags, c.Logging.Flags()...)
}

func (c *Config) text(name, env string, to *string, usage string) cli.Flag {
	return c.value(name, env, (*text)(to), usage)
}

func (c *Config) value(name, env string, to cli.Generic, usage string) *cli.GenericFlag {
	f := &cli.GenericFlag{Name: name, Value: &lenient{Generic: to, name: name, unreadable: c.unreadable}, Usage: usage}
	if env != "" {
		f.EnvVars = []string{env}
	}
	return f
}

func hidden(f *cli.GenericFlag) cli.Flag {
	f.Hidden = true
	return f
}

// lenient notes a value that it cannot read instead of ending the parsing at
// the first one, so that all of them can be named in one go.
type lenient struct {
	cli.Generic
	name       string
	unreadable map[string]error
}

func (l *lenient) Set(s string) error {
	delete(l.unreadable, l.name) // a good flag makes up for a bad environment
	if err := l.Generic.Set(s); err != nil {
		l.unreadable[l.name] = err
	}
	return nil
}

// text is any text as a flag value. Unlike a cli.StringFlag, an environment
// variable that is empty leaves its default alone.
type text string

func (t *text) Set(s string) error { *t = text(s); return nil }

func (t *text) String() string { return string(*t) }

// number is a whole number as a flag value.
type number int

func (n *number) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%.40q is not a whole number", s)
	}
	*n = number(v)
	return nil
}

func (n *number) String() string { return strconv.Itoa(int(*n)) }
