// Package kind runs a herd as pods on a real kind cluster: the worker is taken
// away, the pods are created, and when it comes back as a fresh node all of them
// flood in at once.
package kind

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/install"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/machine"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// On is the name of this place in records.
const On = spec.OnKind

const (
	appImage = "psl-app"
	// tag is of the images, which exist nowhere but on the cluster's nodes.
	tag = "scenarios"
	// release is the chart's release, its namespace and, by the chart's rules, its Service.
	release = "pod-startup-lock"
	// lockPort is the chart's default.
	lockPort = 8888
)

// AppImage is the application of the pods, to be built and loaded like the
// components' own images.
func AppImage(tag string) images.Component {
	return images.Component{Name: appImage, Package: "./scenarios/app", Tag: tag}
}

// Options are how herds are run from the command line.
type Options struct {
	// Cluster is the cluster's name; empty is the one of the e2e suite.
	Cluster string
	// GiveUp ends a run without a lock that is not Ready by then; 0 means never.
	// A patient one gets there, and is let.
	GiveUp time.Duration
	// Limit ends any run that is not Ready by then; 0 means never.
	Limit time.Duration
	// Progress is told what happens.
	Progress live.Progress
}

// Node is the worker of a kind cluster as the node that the herd lands on.
type Node struct {
	scenario *spec.Scenario
	opts     Options
	cluster  *cluster.Cluster
	chart    string
	herd     Herd
	meter    *machine.Meter
}

// New brings a cluster up, or finds it running, and loads the images.
func New(ctx context.Context, s *spec.Scenario, opts Options) (*Node, error) {
	n := &Node{scenario: s, opts: opts, meter: machine.NewMeter(nil)}
	ctx = n.quiet(ctx, opts.Progress)
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the chart (run this within the project's folder): %w", err)
	}
	n.chart = strings.TrimSpace(string(root)) + "/chart"
	if n.cluster, err = cluster.Up(ctx, cluster.Options{Name: opts.Cluster}); err != nil {
		return nil, err
	}
	opts.Progress.Note("building and loading the images")
	var built []images.Image
	refs := map[string]string{}
	for _, c := range append(images.Product(tag), AppImage(tag)) {
		image, err := images.Build(ctx, c, images.Linux(runtime.GOARCH))
		if err != nil {
			return nil, err
		}
		built, refs[c.Name] = append(built, image), image.Ref
	}
	if err := n.cluster.LoadImages(ctx, built...); err != nil {
		return nil, err
	}
	n.herd = Herd{InitImage: refs["init"], AppImage: refs[appImage], Progress: opts.Progress}
	return n, nil
}

// Close leaves the cluster for the next run, without the chart: a second lock on
// the node would be one more DaemonSet that others wait for.
func (n *Node) Close() error {
	if err := n.uninstall(n.quiet(context.Background(), nil)); err != nil {
		return err
	}
	n.opts.Progress.Note("the cluster %s goes on running: go run ./e2e down --name %[1]s removes it", n.cluster.Name)
	return nil
}

// Machine describes the node.
func (n *Node) Machine() record.Machine {
	m := machine.Describe(fmt.Sprintf("fresh worker of a kind cluster, on one machine with its control plane; %d cores for both", runtime.NumCPU()))
	if n.scenario.Node.Cores != m.Cores {
		m.Node += fmt.Sprintf(" (the scenario wants %d: a kind node cannot be limited)", n.scenario.Node.Cores)
	}
	return m
}

// Bound measures the terms of the node bound.
func (n *Node) Bound(ctx context.Context) (*record.Bound, error) {
	n.opts.Progress.Note("measuring the node bound: the idle cluster, and the herd with no work in it")
	if err := n.uninstall(ctx); err != nil {
		return nil, err
	}
	herd := n.herd
	herd.Progress = n.opts.Progress
	return herd.Bound(n.quiet(ctx, nil), n.cluster, n.scenario, n.opts.Limit)
}

// Run runs the herd under a policy; the chart is installed for one with a lock.
func (n *Node) Run(ctx context.Context, policy spec.Policy) (*record.Run, error) {
	limit := n.opts.Limit
	if policy.Lock == nil && !policy.Patient && n.opts.GiveUp > 0 && (limit == 0 || n.opts.GiveUp < limit) {
		limit = n.opts.GiveUp
	}
	herd := n.herd
	if policy.Lock == nil {
		if err := n.uninstall(ctx); err != nil {
			return nil, err
		}
	} else {
		n.opts.Progress.Note("installing the chart: %s", policy.Lock)
		if _, err := install.Install(ctx, n.release(policy.Lock)); err != nil {
			return nil, err
		}
		herd.Lock = Lock{Namespace: release, Service: release, Port: lockPort, Selector: "app.kubernetes.io/instance=" + release}
	}
	return herd.Run(n.quiet(ctx, nil), n.cluster, n.scenario, policy, limit)
}

func (n *Node) uninstall(ctx context.Context) error {
	return install.Uninstall(ctx, n.release(nil))
}

// release is the chart with a policy's settings.
func (n *Node) release(l *spec.Lock) install.Options {
	o := install.Options{Kubeconfig: n.cluster.Kubeconfig, Namespace: release, Release: release, Chart: n.chart}
	if l != nil {
		o.Values = ChartValues(tag, l)
	}
	return o
}

// ChartValues are a policy's settings as values of the chart, with images of a
// tag that are on the nodes already.
func ChartValues(tag string, l *spec.Lock) map[string]any {
	ours := map[string]any{"tag": tag, "pullPolicy": "Never"}
	lock := map[string]any{"locks": l.Locks}
	if l.Auto {
		lock["locks"] = "auto"
	}
	for bound, slots := range map[string]int{"minLocks": l.Min, "maxLocks": l.Max} {
		if slots != 0 {
			lock[bound] = slots
		}
	}
	return map[string]any{
		"image":   ours,
		"health":  map[string]any{"image": ours},
		"lock":    lock,
		"lease":   l.Lease.String(),
		"release": map[string]any{"on": string(cmp.Or(l.ReleaseOn, lockapi.ReleaseOnTimeout))},
	}
}

// quiet hands the steps of the cluster to the progress, or keeps them from being
// written into the middle of a live timeline.
func (n *Node) quiet(ctx context.Context, to live.Progress) context.Context {
	if to == nil {
		return progress.New(io.Discard).Into(ctx)
	}
	return progress.New(notes{to}).Into(ctx)
}

// notes is a writer of whole lines to a progress.
type notes struct{ live.Progress }

func (n notes) Write(line []byte) (int, error) {
	n.Note("%s", strings.TrimRight(string(line), "\n"))
	return len(line), nil
}
