// The init container, the very same as the chart's pod-startup-lock.initContainer.

package inject

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// container takes four texts; what Go quotes, YAML reads. The wishes are annotations of the pod,
// which the downward API hands over: one that is not there is empty, and leaves
// the default alone.
const container = `name: startup-lock
image: %q
imagePullPolicy: %q
args:
- %q
- %q
env:
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: PSL_LOCK_DURATION
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['startup-lock.io/lease']
- name: PSL_MAX_WAIT
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['startup-lock.io/max-wait']
- name: PSL_PRIORITY
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['startup-lock.io/priority']
- name: PSL_RELEASE_ON
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['startup-lock.io/release-on']
- name: PSL_WEIGHT
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['startup-lock.io/weight']
resources:
  requests:
    cpu: 10m
    memory: 16Mi
  limits:
    cpu: 200m
    memory: 32Mi
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  capabilities:
    drop:
    - ALL
  seccompProfile:
    type: RuntimeDefault
`

// block is the container as an item of a list, in lines.
func (o Options) block() []string {
	lines := strings.Split(strings.TrimSuffix(o.text(), "\n"), "\n")
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	lines[0] = "- " + lines[0][2:]
	return lines
}

// flow is the container in JSON, on one line if indent is empty; prefix begins
// all lines but the first.
func (o Options) flow(prefix, indent string) (string, error) {
	var c map[string]any
	err := yaml.Unmarshal([]byte(o.text()), &c)
	var out []byte
	if err == nil && indent == "" {
		out, err = json.Marshal(c)
	} else if err == nil {
		out, err = json.MarshalIndent(c, prefix, indent)
	}
	if err != nil {
		return "", fmt.Errorf("write the init container as JSON: %w", err)
	}
	return string(out), nil
}

// text is the container in YAML.
func (o Options) text() string {
	return fmt.Sprintf(container, o.Image, o.PullPolicy, "--host="+o.Host, fmt.Sprintf("--port=%d", o.Port))
}
