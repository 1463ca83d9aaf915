// This file makes the images that a cluster's own pods run, named as kubeadm expects them.

package nodeimage

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/images"
)

// workloadRefs asks kubeadm for the images that it will use.
func workloadRefs(ctx context.Context, kubeadm string) ([]string, error) {
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, kubeadm, "config", "images", "list", "--kubernetes-version", kubernetesVersion)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask kubeadm for its images: %w: %s", err, complaint.String())
	}
	return strings.Fields(string(out)), nil
}

// programOf is the last name of an image: registry.k8s.io/coredns/coredns:v1 is coredns.
func programOf(ref string) string {
	name, _, _ := strings.Cut(path.Base(ref), ":")
	return name
}

// workloads makes an image for every name.
func workloads(refs []string, programs map[string]string, root string) ([]images.Image, error) {
	var list []images.Image
	for _, ref := range refs {
		name := programOf(ref)
		program, ok := programs[name]
		if !ok {
			return nil, fmt.Errorf("kubeadm wants the image %s, and no program %s is built", ref, name)
		}
		config := v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin"}, Entrypoint: []string{"/usr/local/bin/" + name}}
		content := []images.File{{Path: "/usr/local/bin/" + name, Mode: 0o755, Source: program}}
		switch name {
		case "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler":
			config.Entrypoint = nil // their pods name the command
		case "kube-proxy":
			config.Entrypoint = nil
			tools, err := packetFilters(root)
			if err != nil {
				return nil, fmt.Errorf("collect the tools of kube-proxy: %w", err)
			}
			content = append(content, tools...)
		}
		// Not compressed: they are copied within this machine only, and unpacked at every start of a cluster.
		img, err := images.Scratch(images.Linux(runtime.GOARCH), config, gzip.NoCompression, content...)
		if err != nil {
			return nil, fmt.Errorf("make the image %s: %w", ref, err)
		}
		list = append(list, images.Image{Image: img, Ref: ref})
	}
	return list, nil
}

// packetFilters are nft and iptables out of the root file system, with every library that they, and
// the iptables plugins, load: without one of them every Service silently does not work.
func packetFilters(root string) ([]images.File, error) {
	libraries, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	if err != nil || len(libraries) != 1 {
		return nil, fmt.Errorf("find the library folder of %s: %v, %w", root, libraries, err)
	}
	dir := libraries[0]
	plugins, err := filepath.Glob(filepath.Join(dir, "xtables", "*.so"))
	if err != nil || len(plugins) == 0 {
		return nil, fmt.Errorf("find the iptables plugins: %w", errors.Join(err, os.ErrNotExist))
	}
	wanted := slices.Concat(plugins, []string{filepath.Join(root, "usr/sbin/xtables-nft-multi"), filepath.Join(root, "usr/sbin/nft")})
	closure, err := libraryClosure(dir, wanted)
	if err != nil {
		return nil, err
	}
	var list []images.File
	for _, file := range append(wanted, closure...) {
		list = append(list, images.File{Path: strings.TrimPrefix(file, root), Mode: 0o755, Source: file})
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, form := range []string{"", "-save", "-restore"} {
			list = append(list, images.File{Path: "/usr/sbin/" + tool + form, Link: "xtables-nft-multi"})
		}
	}
	loader, err := interpreter(filepath.Join(root, "usr/sbin/nft"))
	if err != nil {
		return nil, err
	}
	return append(list, images.File{Path: loader, Mode: 0o755, Source: filepath.Join(dir, filepath.Base(loader))}), nil
}

// libraryClosure follows what ELF files need, and what that needs, within one library folder.
func libraryClosure(dir string, files []string) ([]string, error) {
	var closure []string
	seen := map[string]bool{}
	for queue := files; len(queue) > 0; queue = queue[1:] {
		binary, err := elf.Open(queue[0])
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", queue[0], err)
		}
		needed, err := binary.ImportedLibraries()
		binary.Close()
		if err != nil {
			return nil, fmt.Errorf("read what %s needs: %w", queue[0], err)
		}
		for _, name := range needed {
			if seen[name] {
				continue
			}
			seen[name] = true
			library := filepath.Join(dir, name)
			if _, err := os.Stat(library); err != nil {
				return nil, fmt.Errorf("%s needs %s: %w", queue[0], name, err)
			}
			closure = append(closure, library)
			queue = append(queue, library)
		}
	}
	return closure, nil
}

// interpreter is the loader that a dynamic program names.
func interpreter(program string) (string, error) {
	binary, err := elf.Open(program)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", program, err)
	}
	defer binary.Close()
	section := binary.Section(".interp")
	if section == nil {
		return "", fmt.Errorf("%s names no loader", program)
	}
	name, err := section.Data()
	if err != nil {
		return "", fmt.Errorf("read the loader of %s: %w", program, err)
	}
	return strings.TrimRight(string(name), "\x00"), nil
}
