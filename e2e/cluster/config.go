// This file is the configuration of the cluster, and what its log is made of.

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/progress"
)

// kubelet is the configuration of both kubelets. A restricted host, under cgroup v1 perhaps, is
// tolerated; a herd must not be slowed by the kubelet's own limits, nor any pod evicted.
const kubelet = `
kind: KubeletConfiguration
apiVersion: kubelet.config.k8s.io/v1beta1
failCgroupV1: false
maxPods: 120
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
evictionHard:
  memory.available: "0%"
  nodefs.available: "0%"
  nodefs.inodesFree: "0%"
  imagefs.available: "0%"
  imagefs.inodesFree: "0%"
`

// etcd need not survive a power failure here, and the disk is the herd's.
const etcd = `
kind: ClusterConfiguration
etcd:
  local:
    extraArgs:
      - name: unsafe-no-fsync
        value: "true"
`

// containerd may not lower the out-of-memory score of anything without a capability that a
// restricted host lacks.
const containerd = `
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
`

func kindConfig() *v1alpha4.Cluster {
	return &v1alpha4.Cluster{
		TypeMeta:                v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Nodes:                   []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole}, {Role: v1alpha4.WorkerRole}},
		FeatureGates:            map[string]bool{"KubeletInUserNamespace": true}, // as for containerd, for the kubelet
		KubeadmConfigPatches:    []string{kubelet, etcd},
		ContainerdConfigPatches: []string{containerd},
	}
}

// configKey changes with everything that a cluster is made from.
func configKey(image string) (string, error) {
	config, err := json.Marshal(kindConfig())
	if err != nil {
		return "", fmt.Errorf("compute the key of the cluster: %w", err)
	}
	hash := sha256.Sum256(append(config, image...))
	return hex.EncodeToString(hash[:8]), nil
}

// logger passes on what kind warns of; the steps that it takes are one step of ours.
type logger struct{ ctx context.Context }

func (l logger) Warn(message string)               { progress.Note(l.ctx, "kind: %s", message) }
func (l logger) Warnf(format string, args ...any)  { l.Warn(fmt.Sprintf(format, args...)) }
func (l logger) Error(message string)              { l.Warn(message) }
func (l logger) Errorf(format string, args ...any) { l.Warn(fmt.Sprintf(format, args...)) }
func (l logger) V(log.Level) log.InfoLogger        { return log.NoopInfoLogger{} }
