// Package cluster runs a kind cluster of one control plane and one worker, whose worker can be made
// fresh again, rebooted, and taken away and brought back.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	kind "sigs.k8s.io/kind/pkg/cluster"
	kindexec "sigs.k8s.io/kind/pkg/exec"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cache"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/engine"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/nodeimage"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// DefaultName is the cluster that the e2e suite and `go run ./e2e` share.
const DefaultName = "psl-e2e"

// Options say which cluster is wanted. The zero value is fine.
type Options struct {
	Name   string         // DefaultName when empty
	Engine *engine.Engine // found, or started, when nil
	Image  string         // the node image; found, or built, when empty
	Keep   bool           // Down leaves the cluster running, for the next Up
}

// Cluster is a running cluster.
type Cluster struct {
	Name       string
	Engine     *engine.Engine
	Kubeconfig string // path of a file
	Config     *rest.Config
	Client     *kubernetes.Clientset

	keep bool
}

// Up answers a running cluster: one of that name that is there and healthy, or a new one.
func Up(ctx context.Context, opts Options) (*Cluster, error) {
	c, err := prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	image := opts.Image
	if image == "" {
		if image, err = nodeimage.Ensure(ctx, c.Engine); err != nil {
			return nil, err
		}
	}
	key, err := configKey(image)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx, key); err == nil && c.repair(ctx) == nil {
		progress.Note(ctx, "use the cluster %s, which is running", c.Name)
		return c, nil
	}
	err = progress.Step(ctx, "create the cluster "+c.Name, func() error { return c.create(ctx, image, key) })
	if err != nil {
		return nil, fmt.Errorf("create the cluster %s: %w", c.Name, err)
	}
	return c, nil
}

// Open answers a running cluster, whose worker may be away, without making one: what a second program
// needs that works on it.
func Open(ctx context.Context, opts Options) (*Cluster, error) {
	c, err := prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx, ""); err != nil {
		return nil, fmt.Errorf("open the cluster %s (go run ./e2e up makes one): %w", c.Name, err)
	}
	return c, nil
}

// Down removes the cluster, unless it is to be kept.
func (c *Cluster) Down(ctx context.Context) error {
	if c.keep {
		progress.Note(ctx, "keep the cluster %s: KUBECONFIG=%s", c.Name, c.Kubeconfig)
		return nil
	}
	return c.remove(ctx)
}

// Delete removes the cluster, kept or not, whether it is well or broken. The engine, and what it
// caches, stays.
func Delete(ctx context.Context, opts Options) error {
	c, err := prepare(ctx, opts)
	if err != nil {
		return err
	}
	return c.remove(ctx)
}

func (c *Cluster) remove(ctx context.Context) error {
	return progress.Step(ctx, "delete the cluster "+c.Name, func() error {
		if err := c.provider(ctx).Delete(c.Name, c.Kubeconfig); err != nil {
			return fmt.Errorf("delete the cluster %s: %w", c.Name, explain(err))
		}
		if err := os.RemoveAll(filepath.Dir(c.Kubeconfig)); err != nil {
			return fmt.Errorf("remove the kubeconfig of the cluster: %w", err)
		}
		return nil
	})
}

// ControlPlane is the name of the node that runs the control plane, and of its container.
func (c *Cluster) ControlPlane() string { return c.Name + "-control-plane" }

// Worker is the name of the node that pods are placed on, and of its container.
func (c *Cluster) Worker() string { return c.Name + "-worker" }

// Exec runs a command on a node and answers what it printed.
func (c *Cluster) Exec(ctx context.Context, node string, command ...string) (string, error) {
	return c.Engine.Docker(ctx, append([]string{"exec", node}, command...)...)
}

// ExecIn runs a command on a node that reads in.
func (c *Cluster) ExecIn(ctx context.Context, node string, in io.Reader, command ...string) (string, error) {
	return c.Engine.DockerIn(ctx, in, append([]string{"exec", "--interactive", node}, command...)...)
}

// LoadImages brings images to both nodes, where they stay: Fresh and Reboot leave them.
func (c *Cluster) LoadImages(ctx context.Context, list ...images.Image) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range []string{c.Worker(), c.ControlPlane()} {
		group.Go(func() error {
			reader, writer := io.Pipe()
			go func() { writer.CloseWithError(images.Archive(writer, list...)) }()
			defer reader.Close()
			_, err := c.ExecIn(ctx, node, reader, "ctr", "--namespace=k8s.io", "images", "import",
				"--all-platforms", "--digests", "--label=io.cri-containerd.pinned=pinned", "-")
			if err != nil {
				return fmt.Errorf("load images into %s: %w", node, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Busy is how many CPU-seconds the machine has worked since it booted. Nodes of kind share the
// kernel, so this is all of them together; only differences of it mean something.
func (c *Cluster) Busy(ctx context.Context) (float64, error) {
	stat, err := c.Exec(ctx, c.Worker(), "cat", "/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the machine's CPU time: %w", err)
	}
	return busySeconds(stat)
}

// prepare finds the engine and the folder of the cluster's kubeconfig.
func prepare(ctx context.Context, opts Options) (*Cluster, error) {
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Name: opts.Name, Engine: opts.Engine, keep: opts.Keep}
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Engine == nil {
		if c.Engine, err = engine.Find(ctx, dir); err != nil {
			return nil, err
		}
	}
	c.Kubeconfig = filepath.Join(dir, "clusters", c.Name, "kubeconfig")
	return c, c.Engine.Use()
}

// connect makes the client of a cluster that runs, and checks that its control plane is well. A key
// that is not empty must be the one that the cluster was made with.
func (c *Cluster) connect(ctx context.Context, key string) error {
	was, err := os.ReadFile(c.keyFile())
	if err != nil {
		return fmt.Errorf("see whether the cluster is there: %w", err)
	}
	if key != "" && string(was) != key {
		return errors.New("the cluster was made from another image or configuration")
	}
	if err := c.makeClient(); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, c.Worker(), "true"); err != nil {
		return fmt.Errorf("reach the worker: %w", err)
	}
	return c.await(ctx, "the control plane to be Ready", 10*time.Second, c.controlPlaneServes)
}

// repair brings back a worker that an interrupted run has left away.
func (c *Cluster) repair(ctx context.Context) error {
	if c.await(ctx, "the worker to be Ready", 5*time.Second, c.workerServes(time.Time{})) == nil {
		return nil
	}
	return c.Fresh(ctx)
}

func (c *Cluster) create(ctx context.Context, image, key string) error {
	dir := filepath.Dir(c.Kubeconfig)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder for the kubeconfig: %w", err)
	}
	provider := c.provider(ctx)
	if err := provider.Delete(c.Name, c.Kubeconfig); err != nil {
		return fmt.Errorf("delete what an earlier run left: %w", explain(err))
	}
	err := provider.Create(c.Name,
		kind.CreateWithV1Alpha4Config(kindConfig()),
		kind.CreateWithNodeImage(image),
		kind.CreateWithKubeconfigPath(c.Kubeconfig),
		kind.CreateWithDisplayUsage(false),
		kind.CreateWithDisplaySalutation(false),
	)
	if err != nil {
		return explain(err)
	}
	if err := c.makeClient(); err != nil {
		return err
	}
	if err := c.await(ctx, "the control plane to be Ready", 2*time.Minute, c.controlPlaneServes); err != nil {
		return err
	}
	if err := c.await(ctx, "the worker to be Ready", 2*time.Minute, c.workerServes(time.Time{})); err != nil {
		return err
	}
	if err := c.restartDNS(ctx); err != nil {
		return err
	}
	if err := c.await(ctx, "names to be answered", 2*time.Minute, c.dnsServes); err != nil {
		return err
	}
	// Written last: a cluster without it was not finished and is not used again.
	if err := os.WriteFile(c.keyFile(), []byte(key), 0o600); err != nil {
		return fmt.Errorf("note what the cluster was made from: %w", err)
	}
	return nil
}

func (c *Cluster) keyFile() string { return filepath.Join(filepath.Dir(c.Kubeconfig), "key") }

func (c *Cluster) makeClient() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	config.QPS = -1 // no limit: a herd is created at once
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	c.Config, c.Client = config, client
	return nil
}

func (c *Cluster) provider(ctx context.Context) *kind.Provider {
	return kind.NewProvider(kind.ProviderWithDocker(), kind.ProviderWithLogger(logger{ctx}))
}

// explain adds what a command of kind printed, which its error does not show.
func explain(err error) error {
	if failed := kindexec.RunErrorForError(err); failed != nil {
		lines := strings.Split(strings.TrimSpace(string(failed.Output)), "\n")
		return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return err
}
