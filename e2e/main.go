// Command e2e is the hand tool for the real cluster that the e2e suite runs on: it finds or starts the
// engine, finds or builds the node image, and brings the cluster up and down.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

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
	defer stop()
	if err := newApp().RunContext(progress.New(os.Stderr).Into(ctx), os.Args); err != nil {
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
			{Name: "images", Usage: "build the components' images and check their sizes", Action: reportImages},
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

// reportImages holds the images of what runs beside every pod against the promised size.
func reportImages(c *cli.Context) error {
	const limit = 12 // megabytes, uncompressed
	return images.Report(c.Context, os.Stdout, limit, []images.Component{
		{Name: "lock", Package: "./components/lock"},
		{Name: "init", Package: "./components/init"},
	}, []v1.Platform{images.Linux("amd64"), images.Linux("arm64")})
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
