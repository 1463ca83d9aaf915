// The chart, rendered: what it refuses, and what comes out of it. What concerns health is in health_test.go.

package install

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func TestChartLints(t *testing.T) {
	t.Parallel()
	for _, m := range lint.All(chartPath, nil, "startup", false).Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}

func TestChartIsAGoodNeighbour(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{
		"defaults": ``,
		"all set": `{image: {digest: "sha256:` + strings.Repeat("a", 64) + `"}, imagePullSecrets: [{name: s}], podAnnotations: {a: b, kubectl.kubernetes.io/default-container: x}, podLabels: {c: d},
			extraArgs: [--aging=1m], extraEnv: [{name: X, value: "y"}], affinity: {nodeAffinity: {}}, resources: null, global: {any: thing},
			health: {extraArgs: [--x=y], extraEnv: [{name: X, value: "y"}], resources: null, nodeLoad: {enabled: true}}}`,
		"no health": `health: {enabled: false}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := mustRender(t, "lock", "startup", values)
			pod := o.pod()
			restricted(t, &o.daemonSet.Spec.Template.ObjectMeta, pod)
			for i := range pod.Containers {
				if sc := pod.Containers[i].SecurityContext; !*sc.ReadOnlyRootFilesystem || *sc.RunAsUser != 65532 {
					t.Errorf("container %s: %+v", pod.Containers[i].Name, sc)
				}
			}
			if *pod.AutomountServiceAccountToken || *o.account.AutomountServiceAccountToken {
				t.Error("a token is mounted into every container")
			}
			if pod.HostNetwork || pod.HostPID || pod.HostIPC || *pod.EnableServiceLinks || pod.ShareProcessNamespace != nil {
				t.Error("the pod reaches for more than it needs")
			}
			if pod.PriorityClassName != "system-node-critical" || !slices.Contains(pod.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists}) {
				t.Error("the lock may come later than the pods that wait for it")
			}
			if o.service.Spec.InternalTrafficPolicy == nil || *o.service.Spec.InternalTrafficPolicy != corev1.ServiceInternalTrafficPolicyLocal {
				t.Error("pods may reach the lock of another node")
			}
			if !o.service.Spec.PublishNotReadyAddresses {
				t.Error("pods lose their lock while its node is too busy to answer a probe")
			}
			c := o.container()
			if c.LivenessProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || o.service.Spec.Ports[0].TargetPort.StrVal != c.Ports[0].Name {
				t.Error("probes or Service miss the container")
			}
			if c.VolumeMounts[0].MountPath != "/var/lib/startup-lock" || !slices.Contains(c.Args, "--state-dir=/var/lib/startup-lock") || pod.Volumes[0].EmptyDir == nil {
				t.Error("the state has no home")
			}
		})
	}
}

func TestChartNamesAndLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ release, values, want string }{
		{"lock", ``, "lock-pod-startup-lock"},
		{"pod-startup-lock", ``, "pod-startup-lock"},
		{"lock", `nameOverride: gate`, "lock-gate"},
		{"lock", `fullnameOverride: gate`, "gate"},
		{"lock", `fullnameOverride: ` + strings.Repeat("x", 62) + `-y`, strings.Repeat("x", 62)},
	} {
		o := mustRender(t, c.release, "startup", c.values)
		for _, meta := range []metav1.ObjectMeta{o.daemonSet.ObjectMeta, o.service.ObjectMeta, o.account.ObjectMeta} {
			if meta.Name != c.want || meta.Namespace != "startup" {
				t.Errorf("release %s, values %q: %s/%s, want %s", c.release, c.values, meta.Namespace, meta.Name, c.want)
			}
			for _, label := range []string{"name", "instance", "version", "part-of", "managed-by"} {
				if meta.Labels["app.kubernetes.io/"+label] == "" {
					t.Errorf("%s has no label %s", meta.Name, label)
				}
			}
		}
	}
}

// A DaemonSet's selector cannot change: whatever the values, an upgrade must find the same one.
func TestChartSelectorIsStable(t *testing.T) {
	t.Parallel()
	want := map[string]string{"app.kubernetes.io/name": "pod-startup-lock", "app.kubernetes.io/instance": "lock"}
	for _, values := range []string{``, `image: {tag: v9}`, `podLabels: {app.kubernetes.io/name: mine, app.kubernetes.io/instance: mine}`, `lock: {locks: 5}`} {
		o := mustRender(t, "lock", "startup", values)
		if !reflect.DeepEqual(o.daemonSet.Spec.Selector.MatchLabels, want) || !reflect.DeepEqual(o.service.Spec.Selector, want) {
			t.Errorf("%q: selectors %v and %v", values, o.daemonSet.Spec.Selector.MatchLabels, o.service.Spec.Selector)
		}
		for k, v := range want {
			if got := o.daemonSet.Spec.Template.Labels[k]; got != v {
				t.Errorf("%q: the pods' label %s is %q", values, k, got)
			}
		}
	}
}

func TestChartSettingsReachTheLock(t *testing.T) {
	t.Parallel()
	o := mustRender(t, "lock", "startup", `
lease: 4
release: {on: started}
lock: {locks: 2, grace: 15s, checks: ["https://example.org/a?b=c#d", "tcp://10.0.0.1:53"], checkPeriodFail: 1s, checkPeriodPass: 1m, checkTimeout: 250ms}
logLevel: debug
logFormat: text
extraArgs: [--aging=1m]
extraEnv: [{name: GODEBUG, value: "gctrace=1"}]
resources: {limits: {memory: 100Mi}}`)
	want := []string{"--host=", "--port=8888", "--locks=2", "--timeout=4", "--grace=15s", "--state-dir=/var/lib/startup-lock",
		"--check=https://example.org/a?b=c#d", "--check=tcp://10.0.0.1:53", "--failHc=1s", "--passHc=1m", "--check-timeout=250ms",
		"--health=http://127.0.0.1:9999", "--release-on=started",
		"--log-level=debug", "--log-format=text", "--aging=1m"}
	if got := o.container().Args; !slices.Equal(got, want) {
		t.Errorf("args\n%q, want\n%q", got, want)
	}
	wantEnv := []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "94371840"}, {Name: "GODEBUG", Value: "gctrace=1"}}
	if got := o.container().Env; !reflect.DeepEqual(got, wantEnv) {
		t.Errorf("env %v, want %v", got, wantEnv)
	}
}

// A bare "on" is the truth in YAML 1.1, and "on" in quotes, in JSON and with --set.
func TestChartLeaseAndRelease(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]struct{ lease, releaseOn, notes string }{
		``:                                    {"2m", "ready", "until it is Ready, for 2m at most"},
		`release: {on: ready}`:                {"2m", "ready", "until it is Ready, for 2m at most"},
		`release: {on: started}`:              {"2m", "started", "until its containers have started, for 2m at most"},
		`release: {"on": started}`:            {"2m", "started", "until its containers have started, for 2m at most"},
		`release: {on: ready, "on": started}`: {"2m", "started", "until its containers have started, for 2m at most"},
		`release: {on: timeout}`:              {"10s", "timeout", "for 10s."},
		`{lease: 4, release: {on: timeout}}`:  {"4", "timeout", "for 4."},
		`lease: 1m30s`:                        {"1m30s", "ready", "for 1m30s at most"},
		`health: {enabled: false}`:            {"10s", "", "for 10s.\nHealth is disabled"},
		`{health: {enabled: false}, release: {on: ready}}`: {"10s", "", "for 10s.\nHealth is disabled"},
		`{health: {enabled: false}, lease: 7s}`:            {"7s", "", "for 7s.\nHealth is disabled"},
	} {
		o := mustRender(t, "lock", "startup", values)
		got := map[string]string{}
		for _, arg := range o.container().Args {
			name, value, _ := strings.Cut(arg, "=")
			got[name] = value
		}
		if got["--timeout"] != want.lease || got["--release-on"] != want.releaseOn || !strings.Contains(o.notes, want.notes) {
			t.Errorf("%q: lease %s, released on %q, want %+v; notes:\n%s", values, got["--timeout"], got["--release-on"], want, o.notes)
		}
	}
}

func TestChartMemoryLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]string{
		"64Mi": "60397977", "0.5Gi": "483183820", "100M": "90000000", `"1000000"`: "900000", "64Ti": "", "1e9": "",
	} {
		got := ""
		for _, env := range mustRender(t, "lock", "startup", "resources: {limits: {memory: "+limit+"}}").container().Env {
			got = env.Value
		}
		if got != want {
			t.Errorf("limit %s: GOMEMLIMIT %q, want %q", limit, got, want)
		}
	}
}

func TestChartImages(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0f", 32)
	for values, want := range map[string]string{
		``:                                    "ghcr.io/pod-startup-lock/lock:0.1.0",
		`image: {tag: e2e}`:                   "ghcr.io/pod-startup-lock/lock:e2e",
		`image: {registry: ""}`:               "pod-startup-lock/lock:0.1.0",
		`image: {registry: "localhost:5000"}`: "localhost:5000/pod-startup-lock/lock:0.1.0",
		`image: {tag: e2e, digest: ` + digest + `}`: "ghcr.io/pod-startup-lock/lock@" + digest,
	} {
		if got := mustRender(t, "lock", "startup", values).container().Image; got != want {
			t.Errorf("%q: image %s, want %s", values, got, want)
		}
	}
}

func TestChartServiceAccount(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]struct {
		name string
		made bool
	}{
		``:                                {"lock-pod-startup-lock", true},
		`serviceAccount: {name: mine}`:    {"mine", true},
		`serviceAccount: {create: false}`: {"default", false},
		`serviceAccount: {create: false, name: mine}`: {"mine", false},
	} {
		o := mustRender(t, "lock", "startup", values)
		if o.pod().ServiceAccountName != want.name || (o.account != nil) != want.made || want.made && o.account.Name != want.name {
			t.Errorf("%q: pods run as %s, account %v", values, o.pod().ServiceAccountName, o.account)
		}
	}
}

func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		`lock: {locks: 0}`:                     "/lock/locks",
		`lock: {locks: many}`:                  "/lock/locks",
		`lock: {minLocks: 0}`:                  "/lock/minLocks",
		`lock: {maxLocks: -1}`:                 "/lock/maxLocks",
		`lock: {minLocks: 4, maxLocks: 2}`:     "lock.minLocks 4 is above lock.maxLocks 2",
		`lock: {locks: 1.5}`:                   "/lock/locks",
		`lock: {lease: 10s}`:                   "'lease' not allowed",
		`lease: soon`:                          "/lease",
		`lease: "0"`:                           "/lease",
		`lease: -5`:                            "/lease",
		`release: {on: never}`:                 "'ready', 'started', 'timeout'",
		`release: {"on": never}`:               "/release/on",
		`release: {of: ready}`:                 "'of' not allowed",
		`rbac: {made: true}`:                   "'made' not allowed",
		`lock: {checks: [foo]}`:                "/lock/checks/0",
		`lock: {checks: "http://a"}`:           "/lock/checks",
		`lock: {loks: 2}`:                      "loks",
		`replicas: 2`:                          "replicas",
		`image: {digest: "sha256:abc"}`:        "/image/digest",
		`image: {repository: ""}`:              "/image/repository",
		`image: {pullPolicy: Sometimes}`:       "/image/pullPolicy",
		`image: {tag: "a b"}`:                  "/image/tag",
		`logLevel: loud`:                       "/logLevel",
		`service: {port: 0}`:                   "/service/port",
		`podAnnotations: {a: 1}`:               "/podAnnotations/a",
		`tolerations: [{operater: Exists}]`:    "operater",
		`nodeSelector: [a]`:                    "/nodeSelector",
		`extraEnv: [{value: x}]`:               "name",
		`updateStrategy: {type: Recreate}`:     "/updateStrategy/type",
		`resources: {limit: {memory: "64Mi"}}`: "limit",
	} {
		refused(t, values, want)
	}
}

// What the notes say to paste is a valid init container of any restricted pod.
func TestNotesInitContainer(t *testing.T) {
	t.Parallel()
	o := mustRender(t, "lock", "startup", `{service: {port: 9000}, initImage: {tag: e2e}, lock: {locks: 2}}`)
	_, rest, found := strings.Cut(o.notes, "\ninitContainers:\n")
	if !found {
		t.Fatalf("no init container in the notes:\n%s", o.notes)
	}
	snippet, _, _ := strings.Cut(rest, "\n\n")
	var spec corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte("initContainers:\n"+snippet), &spec); err != nil {
		t.Fatalf("%v in\n%s", err, snippet)
	}
	if len(spec.InitContainers) != 1 {
		t.Fatalf("%d init containers in\n%s", len(spec.InitContainers), snippet)
	}
	c := spec.InitContainers[0]
	if want := []string{"--host=" + o.service.Name + ".startup.svc", "--port=9000"}; !slices.Equal(c.Args, want) {
		t.Errorf("args %q, want %q", c.Args, want)
	}
	if c.Image != "ghcr.io/pod-startup-lock/init:e2e" {
		t.Errorf("image %s", c.Image)
	}
	identity := map[string]string{}
	for _, env := range c.Env {
		identity[env.Name] = env.ValueFrom.FieldRef.FieldPath
	}
	want := map[string]string{
		"POD_NAMESPACE": "metadata.namespace", "POD_NAME": "metadata.name", "POD_UID": "metadata.uid",
		"PSL_WEIGHT": "metadata.annotations['startup-lock.io/weight']", "PSL_PRIORITY": "metadata.annotations['startup-lock.io/priority']",
		"PSL_LOCK_DURATION": "metadata.annotations['startup-lock.io/lease']", "PSL_RELEASE_ON": "metadata.annotations['startup-lock.io/release-on']",
		"PSL_MAX_WAIT": "metadata.annotations['startup-lock.io/max-wait']",
	}
	if !reflect.DeepEqual(identity, want) {
		t.Errorf("identity %v, want %v", identity, want)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("resources %+v", c.Resources)
	}
	app := c
	app.Name = "app"
	spec.Containers = []corev1.Container{app}
	restricted(t, &metav1.ObjectMeta{}, &spec)
	if !strings.Contains(o.notes, "2 startup slots") || bytes.Contains([]byte(o.notes), []byte("<no value>")) {
		t.Errorf("notes:\n%s", o.notes)
	}
}
