// Health in the chart: its container, its rights, its token.

package install

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// looks is what health may do: nothing but look.
func looks() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "nodes"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, Verbs: []string{"list", "watch"}},
	}
}

// identity is the environment that health always has.
func identity() []corev1.EnvVar {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	return []corev1.EnvVar{field("NODE_NAME", "spec.nodeName"), field("POD_NAMESPACE", "metadata.namespace"), field("POD_NAME", "metadata.name")}
}

func TestHealthAloneHasTheToken(t *testing.T) {
	t.Parallel()
	o := mustRender(t, "lock", "startup", ``)
	pod := o.pod()
	if len(pod.Containers) != 2 || pod.Containers[0].Name != "lock" || pod.Containers[1].Name != "health" || len(pod.InitContainers) != 0 {
		t.Fatalf("containers %+v", pod.Containers)
	}
	volume := ""
	for _, v := range pod.Volumes {
		switch {
		case v.EmptyDir != nil:
		case v.Projected != nil && volume == "":
			volume = v.Name
			expiry := int64(3600)
			want := []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &expiry}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
					Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{
					Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
			}
			if !reflect.DeepEqual(v.Projected.Sources, want) {
				t.Errorf("the token's volume is %+v", v.Projected.Sources)
			}
		default:
			t.Errorf("unexpected volume %+v", v)
		}
	}
	if want := []corev1.VolumeMount{{Name: volume, MountPath: tokenPath, ReadOnly: true}}; !reflect.DeepEqual(o.health().VolumeMounts, want) {
		t.Errorf("health mounts %+v, want %+v", o.health().VolumeMounts, want)
	}
	for _, m := range o.container().VolumeMounts {
		if m.Name == volume || strings.HasPrefix(m.MountPath, "/var/run") {
			t.Errorf("the lock mounts %+v", m)
		}
	}
	if *pod.AutomountServiceAccountToken || *o.account.AutomountServiceAccountToken {
		t.Error("every container gets the token")
	}
}

func TestHealthMayOnlyLookAndWriteEvents(t *testing.T) {
	t.Parallel()
	events := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create"}}
	for values, more := range map[string][]rbacv1.PolicyRule{
		``:                                   {events},
		`health: {events: {enabled: false}}`: nil,
		`health: {events: {enabled: false}, nodeLoad: {enabled: true}}`: {
			{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"nodes"}, Verbs: []string{"get"}},
			{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}},
		},
	} {
		o := mustRender(t, "lock", "startup", values)
		if want := append(looks(), more...); o.role == nil || !reflect.DeepEqual(o.role.Rules, want) || o.role.AggregationRule != nil {
			t.Errorf("%q: role %+v, want rules %+v", values, o.role, want)
		}
	}
}

func TestHealthRightsGoToItsAccount(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, c := range []struct{ release, namespace, values, account string }{
		{"lock", "startup", ``, "lock-pod-startup-lock"},
		{"lock", "other", ``, "lock-pod-startup-lock"},
		{"second", "startup", ``, "second-pod-startup-lock"},
		{"b", "startup-a", `{fullnameOverride: b, serviceAccount: {name: mine}}`, "mine"},
		{"b", "startup", `{fullnameOverride: a-b, serviceAccount: {create: false, name: theirs}}`, "theirs"},
	} {
		o := mustRender(t, c.release, c.namespace, c.values)
		if o.role.Name != o.binding.Name || names[o.role.Name] || o.role.Labels["app.kubernetes.io/instance"] != c.release {
			t.Errorf("%+v: role %s, binding %s, labels %v", c, o.role.Name, o.binding.Name, o.role.Labels)
		}
		names[o.role.Name] = true
		if want := (rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: o.role.Name}); o.binding.RoleRef != want {
			t.Errorf("%+v: bound to %+v", c, o.binding.RoleRef)
		}
		if want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: c.account, Namespace: c.namespace}}; !slices.Equal(o.binding.Subjects, want) {
			t.Errorf("%+v: given to %+v", c, o.binding.Subjects)
		}
	}
	if o := mustRender(t, "lock", "startup", `rbac: {create: false}`); o.role != nil || o.binding != nil || o.health() == nil {
		t.Error("rbac.create=false makes rights, or leaves out health")
	}
}

func TestHealthDisabled(t *testing.T) {
	t.Parallel()
	o := mustRender(t, "lock", "startup", `{health: {enabled: false, nodeLoad: {enabled: true}}, release: {on: ready}}`)
	if o.role != nil || o.binding != nil || len(o.pod().Containers) != 1 {
		t.Error("something of health is left")
	}
	for _, v := range o.pod().Volumes {
		if v.EmptyDir == nil {
			t.Errorf("volume %+v is left", v)
		}
	}
	for _, arg := range o.container().Args {
		if strings.HasPrefix(arg, "--health") || strings.HasPrefix(arg, "--release-on") {
			t.Errorf("the lock is given %s", arg)
		}
	}
}

func TestChartSettingsReachHealth(t *testing.T) {
	t.Parallel()
	o := mustRender(t, "lock", "startup", ``)
	c := o.health()
	want := []string{"--host=127.0.0.1", "--port=9999", "--init-container=startup-lock",
		"--events", "--events-after=30s", "--lock=http://127.0.0.1:8888", "--log-level=info", "--log-format=json"}
	if !slices.Equal(c.Args, want) {
		t.Errorf("defaults: args\n%q, want\n%q", c.Args, want)
	}
	if want := append(identity(), corev1.EnvVar{Name: "GOMEMLIMIT", Value: "90596966"}); !reflect.DeepEqual(c.Env, want) {
		t.Errorf("defaults: env %v, want %v", c.Env, want)
	}
	if c.Image != "ghcr.io/pod-startup-lock/health:0.1.0" || c.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("defaults: image %s, pulled %s", c.Image, c.ImagePullPolicy)
	}
	if got := c.Resources; got.Requests.Cpu().String() != "10m" || got.Requests.Memory().String() != "32Mi" || got.Limits.Memory().String() != "96Mi" {
		t.Errorf("defaults: resources %+v", got)
	}
	if len(c.Ports) != 0 || c.LivenessProbe != nil || c.ReadinessProbe != nil || c.StartupProbe != nil {
		t.Error("the kubelet is told to reach health, and cannot")
	}

	o = mustRender(t, "lock", "startup", `
logLevel: debug
logFormat: text
health:
  image: {registry: "localhost:5000", tag: e2e, pullPolicy: Never}
  resources: {limits: {memory: 100Mi}}
  daemonSets: {namespace: kube-system, hostNetworkOnly: true, include: {tier: node, example.org/a_b: "1"}}
  startupTaints: [node.cilium.io/agent-not-ready, mine]
  nodeLoad: {enabled: true, cpuThreshold: 70, period: 5s}
  initContainers: [startup-lock, wait]
  events: {enabled: false}
  extraArgs: [--x=y]
  extraEnv: [{name: GODEBUG, value: "gctrace=1"}]`)
	c = o.health()
	want = []string{"--host=127.0.0.1", "--port=9999", "--namespace=kube-system", "--hostNet=true", "--in=example.org/a_b:1", "--in=tier:node",
		"--startup-taint=node.cilium.io/agent-not-ready", "--startup-taint=mine", "--cpu-threshold=70", "--load-period=5s",
		"--init-container=startup-lock", "--init-container=wait", "--log-level=debug", "--log-format=text", "--x=y"}
	if !slices.Equal(c.Args, want) {
		t.Errorf("args\n%q, want\n%q", c.Args, want)
	}
	wantEnv := append(identity(), corev1.EnvVar{Name: "GOMEMLIMIT", Value: "94371840"}, corev1.EnvVar{Name: "GODEBUG", Value: "gctrace=1"})
	if !reflect.DeepEqual(c.Env, wantEnv) {
		t.Errorf("env %v, want %v", c.Env, wantEnv)
	}
	if c.Image != "localhost:5000/pod-startup-lock/health:e2e" || c.ImagePullPolicy != corev1.PullNever {
		t.Errorf("image %s, pulled %s", c.Image, c.ImagePullPolicy)
	}
	for _, want := range []string{"its DaemonSets of namespace kube-system are ready", "no taint node.cilium.io/agent-not-ready or mine", "below 70 % busy"} {
		if !strings.Contains(o.notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, o.notes)
		}
	}
}

func TestChartDaemonSetsToWaitFor(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]struct {
		args []string
		off  bool
	}{
		`{}`:                       {nil, false},
		`{exclude: {b: c, a: ""}}`: {[]string{"--ex=a:", "--ex=b:c"}, false},
		`{enabled: false}`:         {nil, true},
		`{enabled: false, namespace: a, hostNetworkOnly: true, include: {b: c}}`: {nil, true},
	} {
		o := mustRender(t, "lock", "startup", `health: {events: {enabled: false}, daemonSets: `+values+`}`)
		var got []string
		for _, arg := range o.health().Args[2:] {
			if !strings.HasPrefix(arg, "--init-container") && !strings.HasPrefix(arg, "--log") {
				got = append(got, arg)
			}
		}
		off := slices.Contains(o.health().Env, corev1.EnvVar{Name: "PSL_HC_DAEMONSET_ENABLED", Value: "false"})
		if !slices.Equal(got, want.args) || off != want.off || strings.Contains(o.notes, "DaemonSets") == want.off {
			t.Errorf("%q: args %q, off %t, want %+v; notes:\n%s", values, got, off, want, o.notes)
		}
	}
}

func TestChartRefusesOfHealth(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		`health: {enabled: maybe}`:                                 "/health/enabled",
		`health: {daemonsets: {}}`:                                 "'daemonsets' not allowed",
		`health: {image: {tag: "a b"}}`:                            "/health/image/tag",
		`health: {resources: {cpu: 1}}`:                            "'cpu' not allowed",
		`health: {daemonSets: {on: true}}`:                         "not allowed",
		`health: {daemonSets: {include: [a]}}`:                     "/health/daemonSets/include",
		`health: {daemonSets: {include: {a: true}}}`:               "/health/daemonSets/include/a",
		`health: {daemonSets: {exclude: {"a:b": c}}}`:              "/health/daemonSets/exclude",
		`health: {daemonSets: {exclude: {a: "b,c:d"}}}`:            "/health/daemonSets/exclude/a",
		`health: {daemonSets: {namespace: "a,b"}}`:                 "/health/daemonSets/namespace",
		`health: {daemonSets: {include: {a: b}, exclude: {c: d}}}`: "health.daemonSets.include and health.daemonSets.exclude cannot be used together",
		`health: {startupTaints: ["a=b:NoSchedule"]}`:              "/health/startupTaints/0",
		`health: {nodeLoad: {cpuThreshold: 0}}`:                    "/health/nodeLoad/cpuThreshold",
		`health: {nodeLoad: {cpuThreshold: 101}}`:                  "/health/nodeLoad/cpuThreshold",
		`health: {nodeLoad: {period: often}}`:                      "/health/nodeLoad/period",
		`health: {initContainers: []}`:                             "/health/initContainers",
		`health: {initContainers: [Startup]}`:                      "/health/initContainers/0",
		`health: {extraArgs: --x}`:                                 "/health/extraArgs",
		`health: {extraEnv: [{value: x}]}`:                         "name",
	} {
		refused(t, values, want)
	}
}
