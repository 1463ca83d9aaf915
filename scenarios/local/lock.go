// lock.go runs the node's lock and reads its own record of what it did.

package local

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/pressure"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// lock is a running lock.
type lock struct {
	process *process
	address string
	client  *lockapi.Client
	logFile string
	every   time.Duration // between two looks at its state
}

// lockArgs are the settings as a lock takes them. With a release policy it
// listens to the health at that address.
func lockArgs(set *spec.Lock, health string) []string {
	args := []string{"--locks", strconv.Itoa(set.Locks), "--timeout", set.Lease.String()}
	if set.Auto {
		args[1] = "auto"
	}
	if set.Min != 0 {
		args = append(args, "--min-locks", strconv.Itoa(set.Min))
	}
	if set.Max != 0 {
		args = append(args, "--max-locks", strconv.Itoa(set.Max))
	}
	if set.Early() {
		args = append(args, "--health", health, "--release-on", string(set.ReleaseOn))
	}
	return args
}

// startLock starts a lock and waits until it serves.
func (n *Node) startLock(ctx context.Context, set *spec.Lock, address, health, state, logFile string) (*lock, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("start the lock: %w", err)
	}
	args := append(lockArgs(set, health), "--host", host, "--port", port, "--state-dir", state, "--log-format", "json")
	p, err := n.launcher.start(logFile, nil, n.programs.lock, args...)
	if err != nil {
		return nil, fmt.Errorf("start the lock: %w", err)
	}
	l := &lock{
		process: p, address: address, logFile: logFile, every: time.Second,
		client: lockapi.NewClient("http://"+address, &http.Client{Timeout: 2 * time.Second}),
	}
	if set.Auto {
		l.every = pressure.Interval // the limit may move as often
	}
	const patience = 10 * time.Second
	serving, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	probe := prober(address)
	for {
		if probe(serving, lockapi.PathReadyz) == nil {
			return l, nil
		}
		select {
		case <-p.Done():
			return nil, fmt.Errorf("start the lock: it ended at once: %w%s", p.how(), l.lastWords())
		case <-serving.Done():
			p.Stop(0)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("start the lock: it does not serve %s on %s after %s%s", lockapi.PathReadyz, address, patience, l.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// follow reads the lock's state again and again, because the lock remembers
// ended grants for a while only, and no limit but the present one. A lock that ends is an error.
func (l *lock) follow(ctx context.Context, log *record.Log) error {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.process.Done():
			return fmt.Errorf("the lock ended in the middle of the run: %w%s", l.process.how(), l.lastWords())
		case <-tick.C:
			l.ask(ctx, log)
		}
	}
}

// ask adds the lock's state to the log. One that cannot be read now is read the next time.
func (l *lock) ask(ctx context.Context, log *record.Log) {
	if state, err := l.client.State(ctx); err == nil {
		log.Merge(state)
	}
}

// lastWords is the end of the lock's output, for an error message.
func (l *lock) lastWords() string {
	out, err := os.ReadFile(l.logFile)
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return "\n" + string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}
