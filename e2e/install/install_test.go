// Installing, upgrading and removing, against Helm's own in-memory cluster.

package install

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
)

const chartPath = "../../chart"

// kubeVersion is what the chart is told it runs on.
func kubeVersion() chartutil.KubeVersion {
	return chartutil.KubeVersion{Version: "v1.36.3", Major: "1", Minor: "36"}
}

func memoryCluster() *action.Configuration {
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = kubeVersion()
	return &action.Configuration{
		Releases:     storage.Init(driver.NewMemory()),
		KubeClient:   &kubefake.FailingKubeClient{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard}},
		Capabilities: capabilities,
		Log:          func(string, ...any) {},
	}
}

func options(values map[string]any) *Options {
	return &Options{Namespace: "startup", Release: "lock", Chart: chartPath, Values: values}
}

func TestInstallTwiceIsAnUpgrade(t *testing.T) {
	t.Parallel()
	cfg := memoryCluster()
	for version, locks := range []int{1, 3} {
		r, err := apply(t.Context(), cfg, options(map[string]any{"lock": map[string]any{"locks": locks}}))
		if err != nil {
			t.Fatal(err)
		}
		if r.Version != version+1 || r.Info.Status != release.StatusDeployed {
			t.Errorf("revision %d is %s, want a deployed revision %d", r.Version, r.Info.Status, version+1)
		}
	}
	r, err := cfg.Releases.Deployed("lock")
	if err != nil || !strings.Contains(r.Manifest, "--locks=3") {
		t.Errorf("the upgrade's values are not in force: %v", err)
	}
}

func TestInstallAfterACutOffOne(t *testing.T) {
	t.Parallel()
	for _, status := range []release.Status{release.StatusPendingInstall, release.StatusPendingUpgrade, release.StatusUninstalling} {
		cfg := memoryCluster()
		left, err := apply(t.Context(), cfg, options(nil))
		if err != nil {
			t.Fatal(err)
		}
		left.SetStatus(status, "cut off")
		if err := cfg.Releases.Update(left); err != nil {
			t.Fatal(err)
		}
		if r, err := apply(t.Context(), cfg, options(nil)); err != nil || r.Info.Status != release.StatusDeployed {
			t.Errorf("after %s: %v", status, err)
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	cfg := memoryCluster()
	if err := remove(t.Context(), cfg, options(nil)); err != nil {
		t.Errorf("a release that never was: %v", err)
	}
	if _, err := apply(t.Context(), cfg, options(nil)); err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := remove(stopped, cfg, options(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %v", err)
	}
	if err := remove(t.Context(), cfg, options(nil)); err != nil {
		t.Error(err)
	}
	if _, err := cfg.Releases.Last("lock"); !errors.Is(err, driver.ErrReleaseNotFound) {
		t.Errorf("the release is still there: %v", err)
	}
}

func TestInstallFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no chart":   {func(o *Options) { o.Chart = "no/such/chart" }, "find the chart"},
		"bad values": {func(o *Options) { o.Values = map[string]any{"lock": map[string]any{"locks": 0}} }, "/lock/locks"},
	} {
		o := options(nil)
		c.change(o)
		if _, err := apply(t.Context(), memoryCluster(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	o := Options{Kubeconfig: filepath.Join(t.TempDir(), "absent"), Release: "lock", Namespace: "startup"}
	if _, err := Install(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no kubeconfig: %v", err)
	}
	if err := Uninstall(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no kubeconfig: %v", err)
	}
}

func TestInstallFromRegistry(t *testing.T) {
	t.Parallel()
	host := startRegistry(t)
	archive, err := chartutil.Save(loadChart(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.NewClient(registry.ClientOptPlainHTTP(), registry.ClientOptWriter(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(content, host+"/charts/pod-startup-lock:0.1.0"); err != nil {
		t.Fatal(err)
	}
	o := options(nil)
	o.Chart, o.Version, o.PlainHTTP = "oci://"+host+"/charts/pod-startup-lock", "0.1.0", true
	if r, err := apply(t.Context(), memoryCluster(), o); err != nil || r.Chart.Metadata.Name != "pod-startup-lock" {
		t.Errorf("installed %v, %v", r, err)
	}
}
