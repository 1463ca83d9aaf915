// The settings by name: the flags of the 1.x generation, the environment of the
// 2.x generation, and what is new.

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// flags binds every setting to c.
func (c *Config) flags() []cli.Flag {
	flags := []cli.Flag{
		c.Flag("host", &c.Host, "the lock's host `NAME` or address", "PSL_LOCK_HOST"),
		c.Flag("port", &c.Port, "the lock's `PORT`", "PSL_LOCK_PORT"),
		c.Flag("duration", &c.Lease,
			"longest `TIME` to hold the slot; 0 leaves it to the lock", "PSL_LOCK_DURATION"),
		c.Hidden("timeout", &c.Lease, "what the first 1.x clients called --duration"),
		c.Flag("pause", &c.Pause,
			"`TIME` between two attempts: with a lock of an earlier generation, and at most while the lock is away", "PSL_LOCK_CHECK_PERIOD"),
		c.Flag("check-timeout", &c.CheckTimeout,
			"`TIME` for the lock to connect and answer at once; doubled, up to 8 times it, while it fails to", "PSL_LOCK_CHECK_TIMEOUT"),
		c.Flag("max-wait", &c.MaxWait,
			"longest `TIME` without a sensible answer from the lock. It does not bound the wait in a queue that works:\n"+
				"a pod whose lock answers waits for its turn. 0 waits for ever", "PSL_MAX_WAIT"),
		c.Flag("on-max-wait", &c.OnMaxWait,
			"`WHAT` to do after --max-wait, or when the lock refuses: start (the application without a slot) or fail (exit 1)", "PSL_ON_MAX_WAIT"),
		c.Flag("stagger", &c.Stagger,
			"longest random `TIME` to wait before a start without a slot", "PSL_STAGGER"),
		c.Flag("priority", &c.Priority,
			fmt.Sprintf("`RANK` in the queue, higher first, -%d to %[1]d", lockapi.MaxPriority), "PSL_PRIORITY"),
		c.Flag("weight", &c.Weight,
			fmt.Sprintf("`NUMBER` of slots to take, 1 to %d: about as many as the start uses cores", lockapi.MaxWeight), "PSL_WEIGHT"),
		c.Flag("release-on", &c.ReleaseOn,
			"`WHEN` the slot ends before its time is up: ready, started or timeout; none leaves it to the lock", "PSL_RELEASE_ON"),
		c.Flag("pod-namespace", (*daemon.Text)(&c.Pod.Namespace), "the pod's namespace, for people", "POD_NAMESPACE"),
		c.Flag("pod-name", (*daemon.Text)(&c.Pod.Name), "the pod's name, for people; none takes the host name", "POD_NAME"),
		c.Flag("pod-uid", (*daemon.Text)(&c.Pod.UID),
			"the pod's identity: with it a restarted init container keeps its place; none makes one up", "POD_UID"),
		c.Flag("termination-log", &c.TerminationLog,
			"`FILE` for one line on how it ended; written only when it exists", "PSL_TERMINATION_LOG"),
	}
	return append(flags, c.Logging.Flags()...)
}
