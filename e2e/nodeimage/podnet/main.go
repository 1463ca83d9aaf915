// Command podnet is the pod network of a node image built from source: it writes the node's CNI
// configuration and routes the pods of the other nodes, and follows the nodes as they come and go.
//
// It runs on every node, as a systemd unit, because the network add-on of the public node image
// is an image of its own that only a registry has.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	kubeconfig = "/etc/kubernetes/kubelet.conf"
	conflist   = "/etc/cni/net.d/10-podnet.conflist"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	name, err := os.Hostname()
	if err != nil {
		slog.Error("read the node's name", "error", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
	n := &network{self: name, routes: map[string]string{}}
	for ctx.Err() == nil {
		// Before the node has joined there is no kubeconfig, and before the cluster's permissions are
		// there the node may not list the others: both end by themselves.
		if err := n.follow(ctx); err != nil && ctx.Err() == nil {
			slog.Info("try again in a second", "because", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// network is what this node knows of the pod network, and what it has set up.
type network struct {
	self   string
	routes map[string]string // what we have routed: pod network to node address
}

// follow applies every change of the nodes until the watch ends.
func (n *network) follow(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the node's kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	nodes := map[string]corev1.Node{}
	for _, node := range list.Items {
		nodes[node.Name] = node
	}
	changes, err := client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	defer changes.Stop()
	for {
		if err := n.apply(ctx, planFor(n.self, nodes)); err != nil {
			return err
		}
		event, open := <-changes.ResultChan()
		if !open {
			return errors.New("the watch of the nodes ended")
		}
		node, ok := event.Object.(*corev1.Node)
		switch {
		case !ok:
			return fmt.Errorf("watch the nodes: %v", event.Object)
		case event.Type == watch.Deleted:
			delete(nodes, node.Name)
		default:
			nodes[node.Name] = *node
		}
	}
}

// apply makes the node be as planned; most changes of nodes change nothing here.
func (n *network) apply(ctx context.Context, p plan) error {
	if err := writeConflist(p.conflist); err != nil {
		return err
	}
	for network, via := range p.routes {
		if n.routes[network] == via {
			continue
		}
		if err := ip(ctx, "route", "replace", network, "via", via); err != nil {
			return err
		}
		n.routes[network] = via
	}
	for network := range n.routes {
		if _, wanted := p.routes[network]; wanted {
			continue
		}
		if err := ip(ctx, "route", "delete", network); err != nil {
			slog.Info("leave a route that is gone already", "because", err)
		}
		delete(n.routes, network)
	}
	return nil
}

// writeConflist replaces the file in one step: containerd watches it. Nothing to write means that the
// node has no network of its own any more.
func writeConflist(content []byte) error {
	if content == nil {
		if err := os.Remove(conflist); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("remove the CNI configuration: %w", err)
		}
		return nil
	}
	if now, err := os.ReadFile(conflist); err == nil && string(now) == string(content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(conflist), 0o755); err != nil {
		return fmt.Errorf("make the CNI folder: %w", err)
	}
	partial := filepath.Join(filepath.Dir(conflist), ".podnet.partial")
	if err := os.WriteFile(partial, content, 0o644); err != nil {
		return fmt.Errorf("write the CNI configuration: %w", err)
	}
	if err := os.Rename(partial, conflist); err != nil {
		return fmt.Errorf("put the CNI configuration in its place: %w", err)
	}
	slog.Info("wrote the CNI configuration", "file", conflist)
	return nil
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
