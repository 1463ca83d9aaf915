// The settings of both earlier generations, and bad ones.

package main

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// TestMain lets the test binary be a health: the process tests signal it.
func TestMain(m *testing.M) {
	if os.Getenv("PSL_TEST_IS_HEALTH") != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// start runs the app with a stand-in for serving.
func start(args ...string) (cfg *Config, code int, stderr string) {
	app := newApp(func(_ context.Context, c *Config, _ *slog.Logger) error { cfg = c; return nil })
	var b bytes.Buffer
	app.Writer, app.ErrWriter = &b, &b
	code = daemon.Main(app, append([]string{"health"}, args...))
	return cfg, code, b.String()
}

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443", certificate-authority: ca.crt}}], users: [{name: u, user: {token: t}}]}`

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsOfBothGenerations(t *testing.T) {
	file := write(t, "kubeconfig", kubeconfig)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "ca.crt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const required = "--node-name n1 --baseUrl http://127.0.0.1:8001 "
	for name, tt := range map[string]struct {
		args string
		env  map[string]string
		want func(c *Config) bool
	}{
		"none": {args: required, want: func(c *Config) bool {
			ds := c.watch.DaemonSets
			return c.address() == "0.0.0.0:9999" && c.watch.Node == "n1" && c.api.Host == "http://127.0.0.1:8001" && !ds.Disabled && ds.Namespace == "" &&
				!ds.HostNetworkOnly && len(ds.Include)+len(ds.Exclude) == 0 && slices.Equal(c.watch.InitContainers, []string{"startup-lock"}) &&
				len(c.watch.StartupTaints) == 0 && !bool(c.Load) && c.Threshold == 80 && c.LoadPeriod.Std() == 10*time.Second
		}},
		"1.x": {args: "--host 127.0.0.1 --port 9000 --baseUrl http://127.0.0.1:8001/k8s/ --namespace kube-system --hostNet --in app:cni --in tier:node --failHc 5 --passHc 50",
			env: map[string]string{"NODE_NAME": "n1"},
			want: func(c *Config) bool {
				ds := c.watch.DaemonSets
				return c.address() == "127.0.0.1:9000" && c.watch.Node == "n1" && c.api.Host == "http://127.0.0.1:8001/k8s" && ds.Namespace == "kube-system" &&
					ds.HostNetworkOnly && maps.Equal(ds.Include, map[string]string{"app": "cni", "tier": "node"}) && c.PausePass.Std() == 50*time.Second
			}},
		"1.x, one dash, other choices": {args: "-node-name=n1 -baseUrl http://a:1 -hostNet=false -ex example.com/skip:yes -ex empty:",
			want: func(c *Config) bool {
				ds := c.watch.DaemonSets
				return !ds.HostNetworkOnly && maps.Equal(ds.Exclude, map[string]string{"example.com/skip": "yes", "empty": ""})
			}},
		"2.x": {env: map[string]string{"PSL_BIND_HOST": "::1", "PSL_BIND_PORT": "8080", "PSL_NODE_NAME": "n2", "PSL_K8S_API_URL": "http://api:8001",
			"PSL_HC_DAEMONSET_ENABLED": "true", "PSL_HC_DAEMONSET_NAMESPACE": "infra", "PSL_HC_DAEMONSET_HOST_NETWORK": "true",
			"PSL_HC_DAEMONSET_EXCLUDE_LABELS": "a:b, c=d", "PSL_HC_DAEMONSET_PERIOD_FAIL": "10s", "PSL_HC_DAEMONSET_PERIOD_PASS": "60s",
			"PSL_HC_NODELOAD_ENABLED": "true", "PSL_HC_NODELOAD_CPU_THRESHOLD": "70", "PSL_HC_NODELOAD_PERIOD": "20s", "PSL_LOG": "debug",
			"PSL_STARTUP_TAINTS": "node.cilium.io/agent-not-ready,x", "PSL_INIT_CONTAINERS": "wait,lock", "POD_NAMESPACE": "lock", "POD_NAME": "lock-abc"},
			want: func(c *Config) bool {
				ds, w := c.watch.DaemonSets, c.watch
				return c.address() == "[::1]:8080" && w.Node == "n2" && c.api.Host == "http://api:8001" && ds.Namespace == "infra" && ds.HostNetworkOnly &&
					maps.Equal(ds.Exclude, map[string]string{"a": "b", "c": "d"}) && bool(c.Load) && c.Threshold == 70 && c.LoadPeriod.Std() == 20*time.Second &&
					slices.Equal(w.StartupTaints, []string{"node.cilium.io/agent-not-ready", "x"}) && slices.Equal(w.InitContainers, []string{"wait", "lock"}) &&
					w.PodNamespace == "lock" && w.PodName == "lock-abc"
			}},
		"2.x, DaemonSets switched off": {args: required, env: map[string]string{"PSL_HC_DAEMONSET_ENABLED": "false"},
			want: func(c *Config) bool { return c.watch.DaemonSets.Disabled }},
		"a threshold in the environment switches nothing on": {args: required, env: map[string]string{"PSL_HC_NODELOAD_CPU_THRESHOLD": "70"},
			want: func(c *Config) bool { return !bool(c.Load) && c.Threshold == 70 }},
		"a threshold on the command line does": {args: required + "--cpu-threshold 60", env: map[string]string{"PSL_HC_NODELOAD_CPU_THRESHOLD": "70"},
			want: func(c *Config) bool { return bool(c.Load) && c.Threshold == 60 }},
		"node load": {args: required + "--node-load --load-period 30", want: func(c *Config) bool {
			return bool(c.Load) && c.Threshold == 80 && c.LoadPeriod.Std() == 30*time.Second
		}},
		"flags win over the environment": {args: required + "--in a:1 --init-container mine --hostNet=0", env: map[string]string{
			"NODE_NAME": "other", "PSL_HC_DAEMONSET_INCLUDE_LABELS": "bad", "PSL_INIT_CONTAINERS": "x", "PSL_HC_DAEMONSET_HOST_NETWORK": "maybe"},
			want: func(c *Config) bool {
				return c.watch.Node == "n1" && maps.Equal(c.watch.DaemonSets.Include, map[string]string{"a": "1"}) &&
					slices.Equal(c.watch.InitContainers, []string{"mine"}) && !c.watch.DaemonSets.HostNetworkOnly
			}},
		"kubeconfig": {args: "--node-name n1 --kubeconfig " + file, env: map[string]string{"KUBECONFIG": "/nowhere"}, want: func(c *Config) bool {
			return c.api.Host == "https://10.0.0.1:6443" && c.api.BearerToken == "t" && c.api.CAFile == filepath.Join(filepath.Dir(file), "ca.crt") &&
				strings.HasPrefix(c.api.UserAgent, "pod-startup-lock-health/")
		}},
		"kubeconfig by variable": {args: "--node-name n1", env: map[string]string{"PSL_KUBECONFIG": file, "PSL_K8S_API_URL": ""},
			want: func(c *Config) bool { return c.api.Host == "https://10.0.0.1:6443" }},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cfg, code, stderr := start(strings.Fields(tt.args)...)
			if code != 0 || cfg == nil || !tt.want(cfg) {
				t.Errorf("code %d, %s, config %+v", code, stderr, cfg)
			}
		})
	}
}

func TestBadSettingsAreAllNamedAtOnce(t *testing.T) { // not parallel: cli writes to package variables
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // the tests may run in a cluster
	t.Setenv("KUBECONFIG", write(t, "kubeconfig", kubeconfig))
	const required = "--node-name n1 --baseUrl http://127.0.0.1:8001 "
	for args, want := range map[string][]string{
		"": {"--node-name: want the name", "not in a cluster: give --kubeconfig or --baseUrl"},
		"--node-name n1 --kubeconfig f --baseUrl http://a:1":                   {"--kubeconfig and --baseUrl: give one of them"},
		"--node-name n1 --kubeconfig /nowhere":                                 {"--kubeconfig /nowhere: ", "no such file"},
		"--node-name n1 --kubeconfig " + write(t, "empty", ""):                 {"--kubeconfig ", "no configuration"},
		"--node-name n1 --baseUrl 127.0.0.1:8001":                              {`--baseUrl "127.0.0.1:8001": want http`},
		"--node-name n1 --baseUrl ftp://a":                                     {"--baseUrl"},
		"--node-name n1 --baseUrl http://me:secret@a":                          {"without credentials"},
		"--node-name N_1 --baseUrl http://a":                                   {`--node-name "N_1"`},
		required + "--in a:b --ex c:d":                                         {"--in and --ex"},
		required + "--in a":                                                    {`--in "a": want key:value`},
		required + "--in -a:b":                                                 {`--in "-a:b": name part must consist of`},
		required + "--ex a:b:c":                                                {`--ex "a:b:c": a valid label must be`},
		required + "--in a:b --in a:c":                                         {`--in "a:c": a is given as "b", too`},
		required + "--hostNet=maybe":                                           {`--hostNet: "maybe" is not true or false`},
		required + "--hostNet true":                                            {`unexpected argument "true"`},
		required + "--cpu-threshold 0":                                         {"--cpu-threshold 0: want 1 to 100"},
		required + "--cpu-threshold lots":                                      {`--cpu-threshold: "lots" is not a whole number`},
		required + "--load-period 0.5s":                                        {"--load-period 500ms: want 1s to 1h"},
		required + "--startup-taint a:b":                                       {`--startup-taint "a:b"`},
		required + "--init-container a_b":                                      {`--init-container "a_b"`},
		required + "--namespace kube_system --pod-namespace A --pod-name .":    {`--namespace "kube_system"`, `--pod-namespace "A"`, `--pod-name "."`},
		required + "--nonsense":                                                {"nonsense"},
		required + "--daemonsets":                                              {"flag needs an argument"},
		required + "--daemonsets=some --passHc x":                              {"--daemonsets", "--passHc"},
		"--port 0 --host nowhere! --in x --log-level loud --log-format xml so": {"--port 0", "--host", `--in "x"`, "--log-level", "--log-format", "so", "--node-name", "not in a cluster"},
	} {
		cfg, code, stderr := start(strings.Fields(args)...)
		if code != daemon.ExitBadSettings || cfg != nil {
			t.Errorf("%s: code %d", args, code)
		}
		if strings.Contains(stderr, "secret") && !strings.Contains(args, "secret") {
			t.Errorf("%s: %s", args, stderr)
		}
		for _, w := range want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%s: no %q in %s", args, w, stderr)
			}
		}
	}
}

func TestAPodWithoutItsTokenIsTold(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if _, err := os.Stat("/var/run/secrets/kubernetes.io/serviceaccount/token"); err == nil {
		t.Skip("this is a pod, and it has a token")
	}
	if _, code, stderr := start("--node-name", "n1"); code != daemon.ExitBadSettings || !strings.Contains(stderr, "token mounted?") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := defaults()
	cfg.Host, cfg.Port = "127.0.0.1", daemon.Number(l.Addr().(*net.TCPAddr).Port)
	registry := prometheus.NewRegistry()
	err = serve(t.Context(), cfg, newView(&healthapi.Node{}), nil, registry, newMetrics(registry), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(int(cfg.Port))) || !strings.Contains(err.Error(), "another health") {
		t.Errorf("%v", err)
	}
}
