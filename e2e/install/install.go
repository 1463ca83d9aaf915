// Package install puts the chart on a cluster and takes it off again, through
// Helm's library: no helm binary is needed.
package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// Options say what to install, and where.
type Options struct {
	Kubeconfig string // path
	Namespace  string // made when it is not there
	Release    string
	Chart      string // path of a folder or a .tgz, or oci://…
	Version    string // of an oci:// chart; empty is the newest
	PlainHTTP  bool   // for an oci:// registry without TLS
	Values     map[string]any
	Timeout    time.Duration // for everything to be ready, or gone; 0 is 5 minutes
	// Log is told what Helm does; nil is told nothing.
	Log func(format string, args ...any)
}

func (o *Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return 5 * time.Minute
	}
	return o.Timeout
}

// Install installs the chart, or upgrades it when the release is there, and
// waits until everything is ready. What an earlier call left half done, because
// it was cut off, is removed first.
func Install(ctx context.Context, o Options) (*release.Release, error) {
	cfg, err := open(&o)
	if err != nil {
		return nil, fmt.Errorf("install %s: %w", o.Release, err)
	}
	r, err := apply(ctx, cfg, &o)
	if err != nil {
		return nil, fmt.Errorf("install %s from %s into namespace %s: %w", o.Release, o.Chart, o.Namespace, err)
	}
	return r, nil
}

// Uninstall removes the release and waits until its objects are gone, pods
// included. A release that is not there is no error; the namespace stays.
func Uninstall(ctx context.Context, o Options) error {
	cfg, err := open(&o)
	if err == nil {
		err = remove(ctx, cfg, &o)
	}
	if err != nil {
		return fmt.Errorf("uninstall %s from namespace %s: %w", o.Release, o.Namespace, err)
	}
	return nil
}

// Rollback goes back to the revision before the last one, and waits until
// everything is ready.
func Rollback(ctx context.Context, o Options) error {
	cfg, err := open(&o)
	if err == nil {
		rollback := action.NewRollback(cfg)
		rollback.Wait, rollback.Timeout = true, o.timeout()
		if err = ctx.Err(); err == nil { // Helm's rollback knows no context
			err = rollback.Run(o.Release)
		}
	}
	if err != nil {
		return fmt.Errorf("roll %s in namespace %s back: %w", o.Release, o.Namespace, err)
	}
	return nil
}

// Test runs the chart's own tests.
func Test(ctx context.Context, o Options) error {
	cfg, err := open(&o)
	if err == nil {
		testing := action.NewReleaseTesting(cfg)
		testing.Namespace, testing.Timeout = o.Namespace, o.timeout()
		if err = ctx.Err(); err == nil { // Helm's tests know no context
			_, err = testing.Run(o.Release)
		}
	}
	if err != nil {
		return fmt.Errorf("test %s in namespace %s: %w", o.Release, o.Namespace, err)
	}
	return nil
}

// open connects Helm to the cluster, and to nothing else: neither KUBECONFIG
// nor HELM_* variables choose another one.
func open(o *Options) (*action.Configuration, error) {
	if _, err := os.Stat(o.Kubeconfig); err != nil {
		return nil, fmt.Errorf("find the kubeconfig of the cluster: %w", err)
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &o.Kubeconfig, &o.Namespace
	cfg := new(action.Configuration)
	if err := cfg.Init(flags, o.Namespace, "secret", o.Log); err != nil {
		return nil, fmt.Errorf("connect helm to the cluster of %s: %w", o.Kubeconfig, err)
	}
	return cfg, nil
}

func apply(ctx context.Context, cfg *action.Configuration, o *Options) (*release.Release, error) {
	content, err := load(cfg, o)
	if err != nil {
		return nil, err
	}
	history := action.NewHistory(cfg)
	history.Max = 1
	past, err := history.Run(o.Release)
	switch {
	case errors.Is(err, driver.ErrReleaseNotFound):
		return create(ctx, cfg, o, content)
	case err != nil:
		return nil, fmt.Errorf("look for an earlier release: %w", err)
	}
	if last := past[len(past)-1].Info.Status; last.IsPending() || last == release.StatusUninstalling || last == release.StatusUninstalled {
		if err := remove(ctx, cfg, o); err != nil {
			return nil, fmt.Errorf("remove an earlier release with status %q: %w", last, err)
		}
		return create(ctx, cfg, o, content)
	}
	upgrade := action.NewUpgrade(cfg)
	upgrade.Namespace, upgrade.Timeout, upgrade.Wait = o.Namespace, o.timeout(), true
	upgrade.MaxHistory = 5
	r, err := upgrade.RunWithContext(ctx, o.Release, content, o.Values)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	return r, nil
}

func create(ctx context.Context, cfg *action.Configuration, o *Options, content *chart.Chart) (*release.Release, error) {
	install := action.NewInstall(cfg)
	install.ReleaseName, install.Namespace, install.CreateNamespace = o.Release, o.Namespace, true
	install.Timeout, install.Wait = o.timeout(), true
	r, err := install.RunWithContext(ctx, content, o.Values)
	if err != nil {
		return nil, fmt.Errorf("first install: %w", err)
	}
	return r, nil
}

// remove cannot be interrupted: Helm's uninstall knows no context, only a time limit.
func remove(ctx context.Context, cfg *action.Configuration, o *Options) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	uninstall := action.NewUninstall(cfg)
	uninstall.Wait, uninstall.Timeout, uninstall.IgnoreNotFound = true, o.timeout(), true
	uninstall.DeletionPropagation = "foreground" // or the pods outlive their DaemonSet
	_, err := uninstall.Run(o.Release)
	return err
}

// load reads the chart, from a registry if need be.
func load(cfg *action.Configuration, o *Options) (*chart.Chart, error) {
	options := action.NewInstall(cfg)
	options.Version, options.PlainHTTP = o.Version, o.PlainHTTP
	if registry.IsOCI(o.Chart) {
		var more []registry.ClientOption
		if o.PlainHTTP {
			more = append(more, registry.ClientOptPlainHTTP())
		}
		client, err := registry.NewClient(more...)
		if err != nil {
			return nil, fmt.Errorf("make a registry client: %w", err)
		}
		options.SetRegistryClient(client)
	}
	path, err := options.LocateChart(o.Chart, cli.New())
	if err != nil {
		return nil, fmt.Errorf("find the chart: %w", err)
	}
	content, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("load the chart: %w", err)
	}
	return content, nil
}
