// plan.go answers which setting of the lock to use on a node, and what to expect
// of it and of the others, before there is such a node.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/sim"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func planCommand() *cli.Command {
	var q question
	text := func(name, value string, into *string, usage string) *cli.StringFlag {
		return &cli.StringFlag{Name: name, DefaultText: value, Destination: into, Usage: usage}
	}
	return &cli.Command{
		Name:         "plan",
		Usage:        "what to expect of each setting of the lock on a node, and which one to use",
		OnUsageError: badUsage,
		Description: "The node is a model of one, and its time is virtual. The herd is given by flags, or taken from a recorded result.\n" +
			"Without other wishes the probes are those of Kubernetes, with a delay of 10s before the first look at liveness.",
		Flags: []cli.Flag{
			text("cores", "", &q.cores, "`NUMBER` of the node's CPUs"),
			text("pods", "", &q.pods, "`NUMBER` of pods that land on it at once"),
			text("cpu", "none", &q.cpu, "CPU `TIME` of each start, such as 8s"),
			text("idle", "none", &q.idle, "`TIME` that each start waits for something else"),
			text("read", "none", &q.read, "`BYTES` that each start reads from the disk, such as 64Mi"),
			text("liveness-delay", "10s", &q.delay, "initialDelaySeconds of the liveness probe, a `TIME`"),
			text("liveness-period", "10s", &q.period, "its periodSeconds"),
			text("liveness-timeout", "1s", &q.timeout, "its timeoutSeconds"),
			text("liveness-failures", "3", &q.failures, "its failureThreshold, a `NUMBER`"),
			&cli.BoolFlag{Name: "no-liveness", Destination: &q.noLiveness, Usage: "there is no liveness probe"},
			text("readiness-period", "10s", &q.readiness, "periodSeconds of the readiness probe, a `TIME`"),
			text("lease", "2m", &q.lease, "longest `TIME` that a pod holds a slot"),
			&cli.StringFlag{Name: "from", Destination: &q.from, Usage: "take node, pods and probes from a `RESULT`, a " + record.File + " or its folder; --cores and --lease may be given beside it"},
			&cli.StringFlag{Name: "out", Destination: &q.out, Value: filepath.Join("_artifacts", "scenarios", "plan"), Usage: "`FOLDER` for the page with the plot"},
		},
		Action: func(c *cli.Context) error {
			s, lease, err := q.herd()
			if c.Args().Present() {
				err = errors.Join(fmt.Errorf("plan: it takes no arguments, and %q is one", c.Args().First()), err)
			}
			if err != nil {
				return cli.Exit(err, exitBadInput)
			}
			return foretell(c.Context, s, lease, q.out, os.Stderr, c.App.Writer)
		},
	}
}

// foretell runs the herd under every policy and writes what comes of it.
func foretell(ctx context.Context, s *spec.Scenario, lease lockapi.Duration, dir string, progress, out io.Writer) error {
	last := time.Now()
	outlook, err := look(ctx, s, lease, func(done, all int) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			fmt.Fprintf(progress, "%d of %d settings tried\n", done, all)
		}
	})
	if err != nil {
		return err
	}
	page, err := outlook.Write(dir)
	if err != nil {
		return err
	}
	if err := outlook.Text(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nplot: %s\n", page)
	return nil
}

// look tries no lock, slots that follow the node, and fixed numbers of slots.
// It uses all cores; tell is called by one goroutine at a time.
func look(ctx context.Context, s *spec.Scenario, lease lockapi.Duration, tell func(done, all int)) (*report.Outlook, error) {
	lock := func(l spec.Lock) *spec.Lock {
		l.Lease, l.ReleaseOn = lease, lockapi.ReleaseOnReady
		return &l
	}
	policies := []spec.Policy{{Name: "none"}, {Name: "auto", Lock: lock(spec.Lock{Auto: true})}}
	for _, n := range numbers(s.Count(), s.Node.Cores) {
		policies = append(policies, spec.Policy{Name: "fixed", Lock: lock(spec.Lock{Locks: n})})
	}
	outcomes := make([]record.Outcome, len(policies))
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range policies {
		group.Go(func() error {
			outcome, err := typical(ctx, s, p)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[i] = outcome
			done++
			tell(done, len(policies))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	bound, err := sim.New(s, sim.Options{}).Bound(ctx)
	if err != nil {
		return nil, err
	}
	return &report.Outlook{Scenario: s, Bound: bound, None: outcomes[0], Auto: outcomes[1], Fixed: outcomes[2:]}, nil
}

// typical runs the herd a few times and answers with the run in the middle:
// neither good nor bad luck should decide.
func typical(ctx context.Context, s *spec.Scenario, p spec.Policy) (record.Outcome, error) {
	const tries = 5
	var of record.Result
	for seed := range uint64(tries) {
		node := sim.New(s, sim.Options{Seed: seed, Limit: patience(s)})
		bound, err := node.Bound(ctx)
		if err != nil {
			return record.Outcome{}, err
		}
		run, err := node.Run(ctx, p)
		if err != nil {
			return record.Outcome{}, err
		}
		of.Bound = bound
		of.Add(run)
	}
	slices.SortStableFunc(of.Outcomes, func(a, b record.Outcome) int { return report.Better(&a, &b) })
	return of.Outcomes[tries/2], nil
}

// patience is how long a run may take: twice as long as one start after the
// other should, and an hour besides.
func patience(s *spec.Scenario) time.Duration {
	limit := time.Hour
	for _, g := range s.Pods {
		limit += 2 * time.Duration(g.Count) * start(g)
	}
	return limit
}

// start is how long one takes about, alone on the node.
func start(g spec.Group) time.Duration {
	const slowDisk = 16 << 20 // bytes in a second
	alone := g.Startup.CPU.Std() + g.Startup.Idle.Std() + time.Duration(g.Startup.Read)*time.Second/slowDisk + 5*time.Second
	if r := g.Probes.Readiness; r != nil {
		alone += r.Period.Std()
	}
	return alone
}

// numbers are the fixed numbers of slots to try: all small ones, and of the
// large ones, where one more or less makes no difference, every tenth part.
func numbers(pods, cores int) []int {
	all := []int{min(cores, pods), pods}
	for n := 1; n < pods; n += max(1, (n-max(24, 2*cores))/10) {
		all = append(all, n)
	}
	slices.SortFunc(all, cmp.Compare[int])
	return slices.Compact(all)
}
