// This file lists what a node has beside Debian: Kubernetes, containerd, and the files that kind expects.

package nodeimage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
)

// nodeFiles are the files of the layer on top of the root file system.
func (b builder) nodeFiles(ctx context.Context, programs map[string]string, pauseImage string) ([]images.File, error) {
	list, err := b.kindFiles(ctx, pauseImage)
	if err != nil {
		return nil, err
	}
	for dir, names := range map[string][]string{
		"/usr/bin/":       {"kubeadm", "kubelet", "kubectl"},
		"/usr/local/bin/": {"containerd", "containerd-shim-runc-v2", "ctr", "podnet"},
		"/opt/cni/bin/":   {"host-local", "loopback", "portmap", "ptp"},
	} {
		for _, name := range names {
			list = append(list, images.File{Path: dir + name, Mode: 0o755, Source: programs[name]})
		}
	}
	for path, name := range map[string]string{
		"/etc/systemd/system/podnet.service":     "podnet.service",
		"/etc/systemd/journald.conf.d/kind.conf": "journald.conf",
		"/kind/manifests/default-cni.yaml":       "default-cni.yaml",
		"/kind/manifests/default-storage.yaml":   "default-storage.yaml",
	} {
		content, err := files.ReadFile("files/" + name)
		if err != nil {
			return nil, fmt.Errorf("read the embedded %s: %w", name, err)
		}
		list = append(list, images.File{Path: path, Mode: 0o644, Data: content})
	}
	for _, unit := range []string{"kubelet", "containerd", "podnet", "undo-mount-hacks"} {
		list = append(list, images.File{
			Path: "/etc/systemd/system/multi-user.target.wants/" + unit + ".service",
			Link: "/etc/systemd/system/" + unit + ".service",
		})
	}
	spec, err := containerSpec(ctx, programs["ctr"])
	if err != nil {
		return nil, err
	}
	return append(list,
		images.File{Path: "/etc/containerd/cri-base.json", Mode: 0o644, Data: spec},
		images.File{Path: "/etc/kubernetes/manifests/"},
		// It would register formats with the kernel, which is the host's.
		images.File{Path: "/etc/systemd/system/systemd-binfmt.service", Link: "/dev/null"},
		images.File{Path: "/kind/version", Mode: 0o644, Data: []byte(kubernetesVersion)},
		images.File{Path: "/usr/local/sbin/runc", Link: "/usr/sbin/runc"},
	), nil
}

// kindFiles are the files of kind's own base image, which its module carries.
func (b builder) kindFiles(ctx context.Context, pauseImage string) ([]images.File, error) {
	dir, err := moduleDir(ctx, b.work, kindModule+"@"+kindVersion)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, "images", "base", "files")
	var list []images.File
	err = filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := strings.TrimPrefix(path, base)
		file := images.File{Path: target, Mode: 0o644, Data: content}
		if strings.Contains(target, "/bin/") {
			file.Mode = 0o755 // the module's files have lost their modes
		}
		if target == "/etc/containerd/config.toml" {
			file.Data = sandboxImage.ReplaceAll(content, []byte(`sandbox_image = "`+pauseImage+`"`))
		}
		list = append(list, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of kind's base image: %w", err)
	}
	return list, nil
}

var sandboxImage = regexp.MustCompile(`sandbox_image = "[^"]*"`)

// moduleDir downloads a module and answers its folder.
func moduleDir(ctx context.Context, work, module string) (string, error) {
	out, err := compiler{}.goTool(ctx, work, "mod", "download", "-json", module)
	if err != nil {
		return "", fmt.Errorf("download %s: %w", module, err)
	}
	var download struct{ Dir string }
	if err := json.Unmarshal(out, &download); err != nil {
		return "", fmt.Errorf("read what go mod download answered: %w", err)
	}
	return download.Dir, nil
}

// containerSpec is what containers of the node start from: containerd's default, with the hook of
// kind's base image and without limits.
func containerSpec(ctx context.Context, ctr string) ([]byte, error) {
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, ctr, "oci", "spec")
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask ctr for the default container: %w: %s", err, complaint.String())
	}
	var spec map[string]any
	if err := json.Unmarshal(out, &spec); err != nil {
		return nil, fmt.Errorf("read the default container: %w", err)
	}
	if process, ok := spec["process"].(map[string]any); ok {
		delete(process, "rlimits")
	}
	spec["hooks"] = map[string]any{
		"createContainer": []any{map[string]any{"path": "/kind/bin/mount-product-files.sh"}},
	}
	return json.Marshal(spec)
}
