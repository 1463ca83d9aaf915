//go:build e2e

// Package suite proves, on a real kind cluster with fresh nodes, that pods
// start one after another.
package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/artifacts"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/install"
	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/kind"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

const (
	tag       = "e2e"
	release   = "pod-startup-lock"
	namespace = "startup-lock"
)

// runner is the cluster with the project's images on it; every test is one of its features.
type runner struct {
	env.Environment
	cluster *cluster.Cluster
	root    string // of the project
	herd    kind.Herd
	bounds  map[string]*record.Bound // by the scenario's name, once they were measured
	cost    *cost
}

var suite = &runner{bounds: map[string]*record.Bound{}, Environment: env.NewWithConfig(envconf.New())}

func TestMain(m *testing.M) {
	suite.Setup(suite.up)
	suite.Finish(suite.down)
	os.Exit(suite.Run(m))
}

// up brings the cluster up and the images onto it.
func (r *runner) up(ctx context.Context, cfg *envconf.Config) (context.Context, error) {
	ctx = progress.New(os.Stderr).Into(ctx)
	var err error
	if r.root, err = filepath.Abs("../.."); err != nil {
		return ctx, fmt.Errorf("find the project: %w", err)
	}
	if r.cluster, err = cluster.Up(ctx, cluster.Options{Keep: keep()}); err != nil {
		return ctx, err
	}
	cfg.WithKubeconfigFile(r.cluster.Kubeconfig)
	if err := progress.Step(ctx, "build and load the images", func() error { return r.load(ctx) }); err != nil {
		return ctx, err
	}
	r.cost, err = count(ctx, r.cluster, r.root)
	return ctx, err
}

func (r *runner) load(ctx context.Context) error {
	var built []images.Image
	refs := map[string]string{}
	app := kind.AppImage(tag)
	for _, c := range append(images.Product(tag), app) {
		image, err := images.Build(ctx, c, images.Linux(runtime.GOARCH))
		if err != nil {
			return err
		}
		built, refs[c.Name] = append(built, image), image.Ref
	}
	r.herd = kind.Herd{InitImage: refs["init"], AppImage: refs[app.Name], Lock: kind.Lock{
		Namespace: namespace, Service: release, Port: 8888, Selector: "app.kubernetes.io/instance=" + release,
	}}
	return r.cluster.LoadImages(ctx, built...)
}

// down removes the cluster of a suite that passed, and of one that did not:
// its artifacts tell what happened. E2E_KEEP=1 keeps it.
func (r *runner) down(ctx context.Context, _ *envconf.Config) (context.Context, error) {
	if r.cost != nil {
		r.cost.end()
	}
	if r.cluster == nil || keep() {
		return ctx, nil
	}
	if err := r.cluster.Down(ctx); err != nil {
		return ctx, err
	}
	if err := r.cluster.Engine.Stop(ctx); err != nil {
		progress.Note(ctx, "the private engine goes on running: %v", err)
	}
	return ctx, nil
}

func keep() bool { return os.Getenv("E2E_KEEP") != "" }

// folder is where a test leaves what it saw.
func folder(t *testing.T) string {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	dir, err := artifacts.Dir(test)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// install puts the chart, with a policy's settings, into a namespace that enforces the strictest Pod Security level.
func (r *runner) install(ctx context.Context, t *testing.T, lock *spec.Lock) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace,
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := r.cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("make namespace %s: %v", namespace, err)
	}
	if _, err := install.Install(ctx, r.release(lock)); err != nil {
		r.dump(ctx, t)
		t.Fatal(err)
	}
}

func (r *runner) uninstall(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := install.Uninstall(ctx, r.release(nil)); err != nil {
		t.Error(err)
	}
}

// release is the chart's release with a policy's settings; nil is for its name alone.
func (r *runner) release(lock *spec.Lock) install.Options {
	o := install.Options{
		Kubeconfig: r.cluster.Kubeconfig, Namespace: namespace, Release: release, Chart: filepath.Join(r.root, "chart"), Timeout: 2 * time.Minute,
	}
	if lock != nil {
		o.Values = kind.ChartValues(tag, lock)
	}
	return o
}

// dump leaves everything needed to understand a failure.
func (r *runner) dump(ctx context.Context, t *testing.T, namespaces ...string) {
	t.Helper()
	dir := folder(t)
	if err := artifacts.Dump(ctx, r.cluster, dir, append(namespaces, namespace)...); err != nil {
		t.Logf("not everything could be kept: %v", err)
	}
	t.Logf("what happened is in %s", dir)
}
