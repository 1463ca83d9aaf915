// herd.go runs one herd from its appearance to its end, and records it.

package local

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/local/kubelet"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// namespace is the one that the pods say they are in.
const namespace = "scenarios"

// run runs the pods of s until all are Ready, or the limit, if there is one, is over.
func (n *Node) run(ctx context.Context, s *spec.Scenario, policy spec.Policy, limit time.Duration) (*record.Run, error) {
	logs := filepath.Join(n.opts.Logs, policy.Name)
	if err := os.RemoveAll(logs); err != nil {
		return nil, fmt.Errorf("clear the logs of an earlier run: %w", err)
	}
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for logs: %w", err)
	}
	addresses, err := freeAddresses(ctx, s.Count()+1)
	if err != nil {
		return nil, err
	}
	pods := record.Pods(s, func(string) string { return newUID() })
	health := newHealth(s, pods)
	var lock *lock
	if policy.Lock != nil {
		url, silence, err := health.serve(ctx)
		if err != nil {
			return nil, err
		}
		defer silence()
		state, err := os.MkdirTemp(n.dir, "state-")
		if err != nil {
			return nil, fmt.Errorf("make the lock's state folder: %w", err)
		}
		if lock, err = n.startLock(ctx, policy.Lock, addresses[s.Count()], url, state, filepath.Join(logs, "lock.log")); err != nil {
			return nil, err
		}
		defer lock.process.Stop(time.Second)
	}

	var noise *process
	if s.Node.Noise != nil {
		if noise, err = n.makeNoise(*s.Node.Noise, logs); err != nil {
			return nil, err
		}
		defer noise.Stop(0)
	}

	appeared := time.Now()
	log := record.NewLog(On, s, policy, pods, appeared)
	shown := n.opts.Progress.Follow(live.Title(s, policy), horizon(s, policy, limit), func() *record.Run { return log.Snapshot(time.Now()) })
	defer shown()

	herd, stop := context.WithCancel(ctx)
	defer stop()
	group, herd := errgroup.WithContext(herd)
	ready := make(chan struct{}, 1)
	for i := range pods {
		pod := n.pod(s, policy, lock, health, i, pods[i], addresses[i], filepath.Join(logs, pods[i].Name+".log"))
		tell := pod.Tell
		pod.Tell = func(what record.What, note string) {
			tell(what, note)
			log.Add(i, time.Now(), what, note)
			health.happens(pods[i].UID, what)
			if what == record.Ready && log.AllReady((*record.Pod).Sound) {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
		}
		group.Go(func() error { return pod.Run(herd) })
	}
	group.Go(func() error { n.meter.Watch(herd, log.Sample); return nil })
	if lock != nil {
		group.Go(func() error { return lock.follow(herd, log) })
	}
	if noise != nil {
		group.Go(func() error { return endless(herd, noise, logs) })
	}

	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(time.Until(appeared.Add(limit)))
		defer timer.Stop()
		over = timer.C
	}
	gaveUp := false
	select {
	case <-ready:
	case <-over:
		gaveUp = true
	case <-herd.Done(): // something failed, or somebody has had enough
	}
	if lock != nil && herd.Err() == nil {
		lock.ask(ctx, log)
	}
	log.Finish(time.Now(), gaveUp)
	stop()
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return log.Snapshot(time.Now()), nil
}

// horizon is about how long the run may take, for the scale of the live view.
func horizon(s *spec.Scenario, policy spec.Policy, limit time.Duration) time.Duration {
	if policy.Lock == nil || policy.Lock.Early() {
		return min(limit, time.Minute+s.CPU())
	}
	slots := max(1, policy.Lock.Locks) // of an unknown number there is at least one
	return time.Duration(s.Count()/slots+1) * policy.Lock.Lease.Std()
}

// pod is the pod with that index, as the kubelet sees it.
func (n *Node) pod(s *spec.Scenario, policy spec.Policy, lock *lock, health *health, i int, p record.Pod, address, logFile string) *kubelet.Pod {
	group := groupOf(s, i)
	var app *process
	pod := &kubelet.Pod{
		Probes: group.Probes,
		Shift:  shift(i, s.Count()),
		Probe:  prober(address),
		App: func() (kubelet.Container, error) {
			var err error
			app, err = n.launcher.start(logFile, nil, n.programs.app,
				"--listen", address, "--dir", n.dir,
				"--cpu", group.Startup.CPU.String(), "--idle", group.Startup.Idle.String(), "--read", group.Startup.Read.String())
			return app, err
		},
		Tell: func(what record.What, _ string) {
			// Where CPUs cannot be pinned, starting applications take turns on them.
			if what == record.Started && group.Probes.Readiness != nil {
				n.launcher.contend(app)
			} else {
				n.launcher.rest(app)
			}
		},
	}
	if lock != nil {
		host, port, _ := net.SplitHostPort(lock.address)
		pod.Passed = func() { health.passes(p.UID) }
		pod.Init = func() (kubelet.Container, error) {
			health.begins(p.UID)
			env := []string{"POD_NAMESPACE=" + namespace, "POD_NAME=" + p.Name, "POD_UID=" + p.UID}
			args := []string{"--host", host, "--port", port, "--duration", policy.Lock.Lease.String()}
			if group.Weight != 1 {
				args = append(args, "--weight", strconv.Itoa(group.Weight))
			}
			if group.Priority != 0 {
				args = append(args, "--priority", strconv.Itoa(group.Priority))
			}
			return n.launcher.start(logFile, env, n.programs.init, args...)
		}
	}
	return pod
}

// groupOf is the group of the pod with that index.
func groupOf(s *spec.Scenario, i int) spec.Group {
	for _, g := range s.Pods {
		if i < g.Count {
			return g
		}
		i -= g.Count
	}
	return spec.Group{}
}

// shift spreads the pods' probes over a part of their period. The kubelet's fall
// anywhere in it. With whole CPU-seconds to start and whole seconds between
// probes, a probe near the edges of its period comes just before or just after
// the start is done, and runs would differ by chance and a full period.
func shift(i, count int) float64 {
	const from, to = 0.6, 0.8
	return from + (to-from)*float64(i)/float64(count)
}

// prober makes HTTP checks as the kubelet does: a new connection each, any
// status from 200 to 399 is a success.
func prober(address string) func(ctx context.Context, path string) error {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, path string) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		defer response.Body.Close()
		if response.StatusCode < 200 || response.StatusCode > 399 {
			return fmt.Errorf("probe: status %d", response.StatusCode)
		}
		return nil
	}
}

// freeAddresses finds that many free loopback ports, below those that systems
// use for outgoing connections: a probe could be given a port among those that
// an application is about to open.
func freeAddresses(ctx context.Context, count int) ([]string, error) {
	const from, to = 20000, 32000
	var random [2]byte
	rand.Read(random[:]) // never fails
	start := int(random[0])<<8 | int(random[1])
	var config net.ListenConfig
	var addresses []string
	for i := range to - from {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(from+(start+i)%(to-from)))
		listener, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return nil, fmt.Errorf("give a port back: %w", err)
		}
		if addresses = append(addresses, address); len(addresses) == count {
			return addresses, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports on 127.0.0.1 between %d and %d: only %d are free: end what listens there", count, from, to, len(addresses))
}

// newUID is a random identity that looks like a pod's.
func newUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
