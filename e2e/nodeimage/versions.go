// Package nodeimage finds the image that kind's nodes run, or builds it from source where no registry is in reach.
package nodeimage

import "strings"

// Versions of everything that a node image built from source is made of.
const (
	kubernetesVersion = "v1.36.3"
	kindVersion       = "v0.33.0"
	etcdVersion       = "v3.6.8"
	containerdVersion = "v2.3.7"
	cniPluginsVersion = "v1.9.1"
	corednsVersion    = "v1.14.5"
	kindModule        = "sigs.k8s.io/kind"
	kubernetesModule  = "k8s.io/kubernetes"

	// The last Debian whose systemd starts under cgroup v1 as well.
	debianRelease = "bookworm"
)

// publicImage is used where a registry is in reach. It stands for the same minor version.
const publicImage = "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"

// source is one Go module and the programs that are compiled from it. Every module is compiled in a
// small module of its own, because the requirements of some of them collide.
type source struct {
	name     string
	module   string
	version  string
	tags     string
	ldflags  string
	main     string            // an embedded main.go, for a module that is a library
	programs map[string]string // program name to package path
	// staging names modules which the module's go.mod replaces by folders of its own repository;
	// their published versions take that place.
	staging string
}

// sources lists what is compiled.
func sources() []source {
	return []source{
		{
			name: "kubernetes", module: kubernetesModule, version: kubernetesVersion,
			staging: "v0" + strings.TrimPrefix(kubernetesVersion, "v1"),
			ldflags: kubernetesStamp("k8s.io/component-base/version") + kubernetesStamp("k8s.io/client-go/pkg/version"),
			programs: map[string]string{
				"kubeadm":                 kubernetesModule + "/cmd/kubeadm",
				"kubelet":                 kubernetesModule + "/cmd/kubelet",
				"kube-apiserver":          kubernetesModule + "/cmd/kube-apiserver",
				"kube-controller-manager": kubernetesModule + "/cmd/kube-controller-manager",
				"kube-scheduler":          kubernetesModule + "/cmd/kube-scheduler",
				"kube-proxy":              kubernetesModule + "/cmd/kube-proxy",
				"kubectl":                 kubernetesModule + "/cmd/kubectl",
			},
		},
		{
			name: "etcd", module: "go.etcd.io/etcd/server/v3", version: etcdVersion,
			programs: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"},
		},
		{
			name: "containerd", module: "github.com/containerd/containerd/v2", version: containerdVersion,
			tags: "no_btrfs,no_devmapper,no_zfs",
			programs: map[string]string{
				"containerd":              "github.com/containerd/containerd/v2/cmd/containerd",
				"containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
				"ctr":                     "github.com/containerd/containerd/v2/cmd/ctr",
			},
		},
		{
			name: "cni", module: "github.com/containernetworking/plugins", version: cniPluginsVersion,
			programs: map[string]string{
				"host-local": "github.com/containernetworking/plugins/plugins/ipam/host-local",
				"loopback":   "github.com/containernetworking/plugins/plugins/main/loopback",
				"portmap":    "github.com/containernetworking/plugins/plugins/meta/portmap",
				"ptp":        "github.com/containernetworking/plugins/plugins/main/ptp",
			},
		},
		{
			name: "coredns", module: "github.com/coredns/coredns", version: corednsVersion,
			main: "coredns.go.txt", programs: map[string]string{"coredns": "."},
		},
		{
			name: "pause", main: "pause.go.txt", programs: map[string]string{"pause": "."},
		},
	}
}

// kubernetesStamp writes the version into a version package: kubeadm refuses to work unstamped.
func kubernetesStamp(pkg string) string {
	part := strings.Split(kubernetesVersion, ".")
	var flags strings.Builder
	for _, stamp := range []string{
		"gitVersion=" + kubernetesVersion,
		"gitMajor=" + strings.TrimPrefix(part[0], "v"),
		"gitMinor=" + part[1],
		"gitTreeState=archive",
	} {
		flags.WriteString(" -X " + pkg + "." + stamp)
	}
	return flags.String()
}
