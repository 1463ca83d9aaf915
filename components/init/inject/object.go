// Which objects hold a pod template, where, and which of them are left alone.

package inject

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const containerName = "startup-lock"

// object is one of a manifest, as far as people need it to find it.
type object struct {
	place            string // items[3] of a list; empty for a document of its own
	apiVersion, kind string
	namespace, name  string
}

func (o object) String() string {
	name := o.kind
	if o.name != "" {
		name += " " + strings.TrimPrefix(o.namespace+"/"+o.name, "/")
	}
	if name = strings.TrimSpace(o.place + " " + name); name != "" {
		return name
	}
	return "a document"
}

// object plans for n, a map. o is what its list says of it.
func (p *plan) object(n *yaml.Node, o object) error {
	var r reader
	if kind := r.text(n, "kind"); kind != "" {
		o.apiVersion, o.kind = r.text(n, "apiVersion"), kind
	}
	if r.err != nil {
		return fmt.Errorf("%s: %w", o, r.err)
	}
	if listOf, ok := strings.CutSuffix(o.kind, "List"); ok {
		return p.list(n, o, listOf)
	}
	path, ok := templatePath(o.apiVersion, o.kind)
	if !ok {
		return nil
	}
	meta := r.value(n, "metadata")
	o.namespace, o.name = r.text(meta, "namespace"), r.text(meta, "name")
	if o.name == "" {
		o.name = r.text(meta, "generateName")
	}
	way := r.walk(n, path)
	if r.err == nil && len(way) > len(path) {
		p.template(&r, o, way)
	}
	if r.err != nil {
		return fmt.Errorf("%s: %w", o, r.err)
	}
	return nil
}

func (p *plan) list(n *yaml.Node, o object, listOf string) error {
	_, known := templatePath(o.apiVersion, listOf)
	if !known && (listOf != "" || o.apiVersion != "v1") {
		return nil
	}
	var r reader
	items := r.sequence(n, "items")
	if r.err != nil {
		return fmt.Errorf("%s: %w", o, r.err)
	}
	if items == nil {
		return nil
	}
	for i, item := range items.Content {
		of := object{place: strings.TrimPrefix(fmt.Sprintf("%s.items[%d]", o.place, i), "."), apiVersion: o.apiVersion, kind: listOf}
		if item.Kind != yaml.MappingNode {
			return fmt.Errorf("%s: line %d: want a map, got %s", of, item.Line, kindOf(item))
		}
		if err := p.object(item, of); err != nil {
			return err
		}
	}
	return nil
}

// templatePath leads from an object to its pod template. A kind of another
// group is another kind, whatever its name.
func templatePath(apiVersion, kind string) (path []string, ok bool) {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped && apiVersion == "v1" {
		group = "core"
	}
	switch group + "/" + kind {
	case "core/Pod":
		return nil, true
	case "core/PodTemplate":
		return []string{"template"}, true
	case "core/ReplicationController", "apps/Deployment", "apps/StatefulSet", "apps/ReplicaSet", "apps/DaemonSet",
		"extensions/Deployment", "extensions/ReplicaSet", "extensions/DaemonSet", "batch/Job":
		return []string{"spec", "template"}, true
	case "batch/CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, true
	}
	return nil, false
}

// template plans for the pod template at the end of way.
func (p *plan) template(r *reader, o object, way []*yaml.Node) {
	template := way[len(way)-1]
	spec := r.mapping(template, "spec")
	if spec == nil || p.skips(r, o, template, spec) {
		return
	}
	inits := r.sequence(spec, "initContainers")
	if inits != nil && slices.ContainsFunc(inits.Content, func(c *yaml.Node) bool { return isOurs(r, c) }) || r.err != nil {
		return
	}
	way = append(way, spec)
	if inits != nil {
		way = append(way, inits)
	}
	for _, n := range way {
		if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
			r.fail("line %d: cannot insert where YAML has an anchor or a tag: other places may share it", n.Line)
			return
		}
	}
	e, err := p.text.insert(p.options, spec, inits)
	if err != nil {
		r.err = err
		return
	}
	p.edits = append(p.edits, e)
	p.warn(r, o, spec)
}

// skips reports whether the pod is to start without waiting: the same pods as
// the chart's policy leaves alone.
func (p *plan) skips(r *reader, o object, template, spec *yaml.Node) bool {
	meta := r.value(template, "metadata")
	labels, annotations := r.value(meta, "labels"), r.value(meta, "annotations")
	os := r.text(r.value(spec, "os"), "name")
	ofDaemonSet := o.kind == "DaemonSet"
	if owners := r.sequence(meta, "ownerReferences"); owners != nil {
		for _, owner := range owners.Content {
			ofDaemonSet = ofDaemonSet || r.text(owner, "kind") == "DaemonSet" && r.text(owner, "controller") == "true"
		}
	}
	return o.namespace == "kube-system" && !p.options.KubeSystem ||
		ofDaemonSet && !p.options.DaemonSets ||
		r.text(labels, "startup-lock") == "disabled" ||
		r.text(annotations, "startup-lock.io/skip") == "true" ||
		r.text(labels, "app.kubernetes.io/part-of") == "pod-startup-lock" ||
		os != "" && os != "linux" ||
		r.value(annotations, "kubernetes.io/config.mirror") != nil || // the kubelet starts it and asks nobody
		r.err != nil
}

// isOurs knows the init containers of earlier generations by their image.
func isOurs(r *reader, container *yaml.Node) bool {
	image := r.text(container, "image")
	return r.text(container, "name") == containerName ||
		slices.ContainsFunc([]string{"startup-lock-init", "startup-lock/init", "startup-lock:init"},
			func(s string) bool { return strings.Contains(image, s) })
}

// warn tells of a pod that does not ask the cluster's name service.
func (p *plan) warn(r *reader, o object, spec *yaml.Node) {
	hostNetwork, dns := r.text(spec, "hostNetwork") == "true", r.text(spec, "dnsPolicy")
	if isAddress(p.options.Host) {
		return
	}
	var why string
	switch {
	case dns == "Default" || dns == "None":
		why = "dnsPolicy " + dns
	case hostNetwork && dns != "ClusterFirstWithHostNet":
		why = "hostNetwork without dnsPolicy ClusterFirstWithHostNet"
	default:
		return
	}
	p.warnings = append(p.warnings, fmt.Sprintf(
		"%s: %s: it cannot look up %s; name an address with --host, or it starts without a slot after its max-wait", o, why, p.options.Host))
}
