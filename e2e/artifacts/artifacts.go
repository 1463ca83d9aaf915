// Package artifacts keeps what a failed test leaves behind, for whoever finds out why.
package artifacts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
)

// Dir is where the artifacts of a test belong: _artifacts/e2e/TEST in the module's folder, wherever in
// the module the test runs.
func Dir(test string) (string, error) {
	root, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find this module's folder: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return filepath.Join(root, "_artifacts", "e2e", fileName(test)), nil
		}
		parent := filepath.Dir(root)
		if parent == root {
			return "", errors.New("find this module's folder: run from inside the clone")
		}
		root = parent
	}
}

// Dump writes what the cluster knows of the namespaces (of all, when none is named): objects, events,
// logs of all containers, the worker's own logs, and a timeline. It writes what it can, whatever fails.
func Dump(ctx context.Context, c *cluster.Cluster, dir string, namespaces ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder for artifacts: %w", err)
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	d := dump{client: c.Client, dir: dir}
	var problems []error
	var story []moment
	nodes, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	problems = append(problems, err)
	if err == nil {
		problems = append(problems, d.object("nodes.yaml", nodes))
	}
	for _, namespace := range namespaces {
		moments, err := d.namespace(ctx, namespace)
		story = append(story, moments...)
		problems = append(problems, err)
	}
	problems = append(problems, d.file("timeline.txt", tell(story)))
	for _, unit := range []string{"kubelet", "containerd"} {
		journal, err := c.Exec(ctx, c.Worker(), "journalctl", "--unit="+unit, "--no-pager", "--output=short-iso-precise", "--lines=20000")
		problems = append(problems, err, d.file(filepath.Join("worker", unit+".log"), journal))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("dump artifacts to %s: %w", dir, err)
	}
	return nil
}

type dump struct {
	client kubernetes.Interface
	dir    string
}

// namespace writes the objects of one namespace and answers what happened in it.
func (d dump) namespace(ctx context.Context, namespace string) ([]moment, error) {
	folder := namespace
	if folder == metav1.NamespaceAll {
		folder = "all"
	}
	var problems []error
	keep := func(name string, list runtime.Object, err error) {
		if err == nil {
			err = d.object(filepath.Join(folder, name), list)
		}
		problems = append(problems, err)
	}
	all := metav1.ListOptions{}
	daemonsets, err := d.client.AppsV1().DaemonSets(namespace).List(ctx, all)
	keep("daemonsets.yaml", daemonsets, err)
	deployments, err := d.client.AppsV1().Deployments(namespace).List(ctx, all)
	keep("deployments.yaml", deployments, err)
	services, err := d.client.CoreV1().Services(namespace).List(ctx, all)
	keep("services.yaml", services, err)
	events, err := d.client.CoreV1().Events(namespace).List(ctx, all)
	keep("events.yaml", events, err)
	var story []moment
	if err == nil {
		story = eventMoments(events.Items)
	}
	pods, err := d.client.CoreV1().Pods(namespace).List(ctx, all)
	keep("pods.yaml", pods, err)
	if err == nil {
		story = append(story, podMoments(pods.Items)...)
		for i := range pods.Items {
			problems = append(problems, d.logs(ctx, &pods.Items[i]))
		}
	}
	return story, errors.Join(problems...)
}

// logs writes what every container of a pod said, in its present life and in the one before.
func (d dump) logs(ctx context.Context, pod *corev1.Pod) error {
	var problems []error
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.ContainerID != "" {
			problems = append(problems, d.log(ctx, pod, status.Name, false))
		}
		if status.RestartCount > 0 && status.LastTerminationState.Terminated != nil {
			problems = append(problems, d.log(ctx, pod, status.Name, true))
		}
	}
	return errors.Join(problems...)
}

func (d dump) log(ctx context.Context, pod *corev1.Pod, container string, previous bool) error {
	const most = int64(8 << 20)
	limit := most
	text, err := d.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, Timestamps: true, LimitBytes: &limit,
	}).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s/%s, container %s: %w", pod.Namespace, pod.Name, container, err)
	}
	name := container + ".log"
	if previous {
		name = container + ".previous.log"
	}
	return d.file(filepath.Join(pod.Namespace, "logs", pod.Name, name), string(text))
}

// object writes a list as YAML, with what kubectl needs to read it and without what no person reads.
func (d dump) object(name string, list runtime.Object) error {
	kinds, _, err := scheme.Scheme.ObjectKinds(list)
	if err != nil {
		return fmt.Errorf("name the kind of %s: %w", name, err)
	}
	list.GetObjectKind().SetGroupVersionKind(kinds[0])
	forgetManagers(list)
	content, err := yaml.Marshal(list)
	if err != nil {
		return fmt.Errorf("write %s as YAML: %w", name, err)
	}
	return d.file(name, string(content))
}

func (d dump) file(name, content string) error {
	file := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make a folder for %s: %w", name, err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// fileName makes a test's name one folder: subtests have slashes and, from their names, worse.
func fileName(test string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.", r):
			return r
		default:
			return '_'
		}
	}, test)
}
