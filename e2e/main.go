// Command e2e is the hand tool for the real cluster that the e2e suite runs on: it finds or starts the
// engine, finds or builds the node image, and brings the cluster up and down.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"
	"sigs.k8s.io/yaml"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/artifacts"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cache"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/engine"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/nodeimage"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newApp().RunContext(progress.New(os.Stderr).Into(ctx), os.Args)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		os.Exit(1)
	}
}

func newApp() *cli.App {
	name := &cli.StringFlag{Name: "name", Usage: "the cluster's `NAME`", Value: cluster.DefaultName, EnvVars: []string{"E2E_CLUSTER"}}
	on := func(work func(context.Context, *cluster.Cluster) error) cli.ActionFunc {
		return func(c *cli.Context) error {
			running, err := cluster.Open(c.Context, cluster.Options{Name: c.String("name")})
			if err != nil {
				return err
			}
			return work(c.Context, running)
		}
	}
	return &cli.App{
		Name:            "e2e",
		Usage:           "a real kind cluster, without a container registry if need be",
		HideHelpCommand: true,
		Commands: []*cli.Command{
			{Name: "engine", Usage: "find, or start, a container engine and print how to reach it", Action: findEngine,
				Flags: []cli.Flag{&cli.BoolFlag{Name: "stop", Usage: "stop the private engine instead"}}},
			{Name: "node-image", Usage: "find, or build, the node image and print its name", Action: ensureNodeImage},
			{Name: "up", Usage: "bring the cluster up and print how to reach it", Action: up, Flags: []cli.Flag{name}},
			{Name: "fresh", Usage: "make the worker a new, empty node", Flags: []cli.Flag{name},
				Action: on(func(ctx context.Context, c *cluster.Cluster) error { return c.Fresh(ctx) })},
			{Name: "reboot", Usage: "reboot the worker", Flags: []cli.Flag{name},
				Action: on(func(ctx context.Context, c *cluster.Cluster) error { return c.Reboot(ctx) })},
			{Name: "dump", Usage: "write what the cluster knows, and its logs, to DIR", ArgsUsage: "DIR", Action: dump, Flags: []cli.Flag{name}},
			{Name: "down", Usage: "delete the cluster", Action: down, Flags: []cli.Flag{name}},
			{Name: "images", Usage: "build the components' images, and check their sizes or save them", Action: buildImages,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "save", Usage: "write them to `FILE`, as docker save does"},
					&cli.StringFlag{Name: "arch", Usage: "`ARCHITECTURE` of the saved images", Value: runtime.GOARCH},
				}},
		},
	}
}

func findEngine(c *cli.Context) error {
	e, err := theEngine(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("stop") {
		return e.Stop(c.Context)
	}
	fmt.Fprintln(os.Stderr, e)
	printHost(e)
	return nil
}

func ensureNodeImage(c *cli.Context) error {
	e, err := theEngine(c.Context)
	if err != nil {
		return err
	}
	image, err := nodeimage.Ensure(c.Context, e)
	if err != nil {
		return err
	}
	fmt.Println(image)
	return nil
}

func up(c *cli.Context) error {
	running, err := cluster.Up(c.Context, cluster.Options{Name: c.String("name")})
	if err != nil {
		return err
	}
	printHost(running.Engine)
	fmt.Printf("export KUBECONFIG=%s\n", running.Kubeconfig)
	return nil
}

func dump(c *cli.Context) error {
	if c.NArg() != 1 {
		return errors.New("dump needs one argument: the folder to write to")
	}
	running, err := cluster.Open(c.Context, cluster.Options{Name: c.String("name")})
	if err != nil {
		return err
	}
	return artifacts.Dump(c.Context, running, c.Args().First())
}

func down(c *cli.Context) error {
	return cluster.Delete(c.Context, cluster.Options{Name: c.String("name")})
}

// components are what the chart puts into a cluster, under the tag that it asks for.
func components(root string) ([]images.Component, error) {
	b, err := os.ReadFile(filepath.Join(root, "chart", "Chart.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the chart's version (run this in the project's folder): %w", err)
	}
	var chart struct{ AppVersion string }
	if err := yaml.Unmarshal(b, &chart); err != nil {
		return nil, fmt.Errorf("read the chart's version: %w", err)
	}
	return images.Product(chart.AppVersion), nil
}

// buildImages saves the images of this machine's architecture, or holds those
// of all against their promised sizes.
func buildImages(c *cli.Context) error {
	list, err := components(".")
	if err != nil {
		return err
	}
	file := c.String("save")
	if file == "" {
		return images.Report(c.Context, os.Stdout, list, []v1.Platform{images.Linux("amd64"), images.Linux("arm64")})
	}
	var built []images.Image
	for _, component := range list {
		image, err := images.Build(c.Context, component, images.Linux(c.String("arch")))
		if err != nil {
			return err
		}
		built = append(built, image)
		fmt.Println(image.Ref)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("save the images: %w", err)
	}
	return errors.Join(images.Archive(out, built...), out.Close())
}

func theEngine(ctx context.Context) (*engine.Engine, error) {
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	return engine.Find(ctx, dir)
}

// printHost prints what a shell must know to reach the engine.
func printHost(e *engine.Engine) {
	if e.Host != "" {
		fmt.Printf("export DOCKER_HOST=%s\n", e.Host)
	}
}
