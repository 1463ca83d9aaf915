# Makes a node forget its former life: its pods, their network and the rules that led to them. Images stay.
set -euo pipefail
export CONTAINERD_NAMESPACE=k8s.io

systemctl stop kubelet

# Containers first: while they live they hold mounts and network namespaces. The tasks end with their
# process; `ctr tasks rm --force` would wait for ever for one that runs.
ctr tasks ls --quiet | xargs --no-run-if-empty --max-args=1 --max-procs=4 ctr tasks kill --signal SIGKILL 2>/dev/null || true
ctr tasks ls --quiet | xargs --no-run-if-empty ctr tasks rm >/dev/null 2>&1 || true
ctr containers ls --quiet | xargs --no-run-if-empty ctr containers rm >/dev/null

# containerd remembers pods in memory too.
systemctl stop containerd
unmount_below() {
  awk -v dir="$1/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort --reverse | xargs --no-run-if-empty umount --lazy
}
for dir in /var/lib/kubelet/pods /run/containerd/io.containerd.grpc.v1.cri /run/netns; do
  unmount_below "$dir"
done
rm -rf /var/lib/kubelet/pods /var/lib/kubelet/*_state /var/lib/kubelet/pod-certificates-* \
  /var/lib/containerd/io.containerd.grpc.v1.cri/{containers,sandboxes} /run/containerd/io.containerd.grpc.v1.cri/{containers,sandboxes} \
  /run/netns/cni-* /run/cni-ipam-state /var/lib/cni /etc/cni/net.d/*kindnet* \
  /var/log/pods/* /var/log/containers/*

# What kube-proxy and the port mappings left; the engine's own rules stay.
for family in iptables ip6tables; do
  if rules=$($family-save 2>/dev/null); then
    grep --invert-match --extended-regexp 'KUBE-|CNI-' <<<"$rules" | $family-restore
  fi
done
conntrack --flush 2>/dev/null || true

systemctl start containerd

# With cgroup v1, systemd takes empty folders below a slice away while the kubelet fills others: of every
# flood a pod or two find their parent gone, and are tried again only 10 s later. Something that lives there keeps it.
for slice in /sys/fs/cgroup/devices/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-{besteffort,burstable}.slice; do
  [[ -d ${slice%/*} && ! -d $slice/inhabited ]] || continue
  mkdir -p "$slice/inhabited"
  setsid sleep infinity </dev/null >/dev/null 2>&1 &
  echo $! >"$slice/inhabited/cgroup.procs"
done
