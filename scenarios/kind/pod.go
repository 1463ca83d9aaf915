// pod.go writes the pods of a herd as Kubernetes objects.

package kind

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

const (
	appName = "app"
	appPort = 8080
	// noImage cannot be pulled: no registry listens there.
	noImage = "localhost:1/pod-startup-lock/no-such-image:none"
)

// pod is one pod of a group, on a given node. With a lock it waits in an init container.
func (h Herd) pod(node, name string, g spec.Group, lock *spec.Lock) *corev1.Pod {
	off, on := false, true
	secure := &corev1.SecurityContext{
		AllowPrivilegeEscalation: &off, ReadOnlyRootFilesystem: &on,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": g.Name}},
		Spec: corev1.PodSpec{
			NodeSelector:                 map[string]string{corev1.LabelHostname: node},
			Tolerations:                  tolerations(),
			AutomountServiceAccountToken: &off,
			EnableServiceLinks:           &off,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &on, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: appName, Image: h.AppImage, ImagePullPolicy: corev1.PullNever,
				Args: []string{
					"--cpu", g.Startup.CPU.String(), "--idle", g.Startup.Idle.String(), "--read", g.Startup.Read.String(),
					"--listen", ":" + strconv.Itoa(appPort), "--dir", "/data",
				},
				LivenessProbe:   probe(g.Probes.Liveness, "/livez"),
				ReadinessProbe:  probe(g.Probes.Readiness, "/readyz"),
				SecurityContext: secure,
				VolumeMounts:    []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}
	app := &pod.Spec.Containers[0]
	switch g.Fault {
	case spec.NeverReady:
		app.Args = append(app.Args, "--never-ready")
	case spec.NoImage:
		app.Image, app.ImagePullPolicy = noImage, corev1.PullIfNotPresent
	case spec.CrashLoop:
		app.Args = append(app.Args, "--crash")
	}
	if h.idle {
		nothing := pod.Spec.Containers[0]
		nothing.Name, nothing.Args, nothing.LivenessProbe, nothing.ReadinessProbe = "nothing", []string{"--exit"}, nil, nil
		pod.Spec.InitContainers = []corev1.Container{nothing}
	}
	if lock != nil {
		args := []string{"--host", h.Lock.host(), "--port", strconv.Itoa(h.Lock.Port), "--duration", lock.Lease.String()}
		if g.Weight != 1 {
			args = append(args, "--weight", strconv.Itoa(g.Weight))
		}
		if g.Priority != 0 {
			args = append(args, "--priority", strconv.Itoa(g.Priority))
		}
		pod.Spec.InitContainers = []corev1.Container{{
			Name: "startup-lock", Image: h.InitImage, ImagePullPolicy: corev1.PullNever, Args: args, SecurityContext: secure,
			Env: []corev1.EnvVar{
				fromField("POD_NAMESPACE", "metadata.namespace"), fromField("POD_NAME", "metadata.name"), fromField("POD_UID", "metadata.uid"),
			},
		}}
	}
	return pod
}

func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

// probe is a check as the API writes it.
func probe(p *spec.Probe, path string) *corev1.Probe {
	if p == nil {
		return nil
	}
	seconds := func(d spec.Duration) int32 { return int32(d.Std().Seconds()) } // whole ones, by the spec
	return &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(appPort)}},
		InitialDelaySeconds: seconds(p.InitialDelay), PeriodSeconds: seconds(p.Period),
		TimeoutSeconds: seconds(p.Timeout), FailureThreshold: int32(p.Failures),
	}
}
