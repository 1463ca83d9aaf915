{{/* Names, labels, images: what more than one template needs. */}}

{{- define "pod-startup-lock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pod-startup-lock.fullname" -}}
{{- $name := include "pod-startup-lock.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What finds our pods. It must never change: a DaemonSet's selector is immutable. */}}
{{- define "pod-startup-lock.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pod-startup-lock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The chart's own labels win over those that all objects are to have. */}}
{{- define "pod-startup-lock.labels" -}}
{{- merge (include "pod-startup-lock.ownLabels" . | fromYaml) (.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- define "pod-startup-lock.ownLabels" -}}
{{ include "pod-startup-lock.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pod-startup-lock
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pod-startup-lock.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "pod-startup-lock.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* An image reference, from (dict "image" .Values.image "root" .). */}}
{{- define "pod-startup-lock.image" -}}
{{- $image := .image }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Nine tenths of a memory quantity in bytes; empty when it is in a form not worth reading. */}}
{{- define "pod-startup-lock.goMemoryLimit" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 }}
{{- $quantity := toString . }}
{{- if regexMatch "^[0-9]+([.][0-9]+)?([kMG]|[KMG]i)?$" $quantity }}
{{- $number := regexFind "^[0-9.]+" $quantity }}
{{- mulf (float64 $number) (float64 (get $units (trimPrefix $number $quantity))) 0.9 | int64 }}
{{- end }}
{{- end }}

{{/* GOMEMLIMIT and what the user adds, from (dict "resources" … "extraEnv" …). */}}
{{- define "pod-startup-lock.env" -}}
{{- with include "pod-startup-lock.goMemoryLimit" (dig "limits" "memory" "" (.resources | default dict)) }}
- name: GOMEMLIMIT # nine tenths of the memory limit
  value: {{ . | quote }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
What ends a slot: ready, started or timeout. YAML 1.1 reads a bare "on" as the truth, so that a values file says
release.true; --set and quotes say release.on, and win.
*/}}
{{- define "pod-startup-lock.releaseOn" -}}
{{- if .Values.health.enabled }}
{{- .Values.release.on | default (index .Values.release "true") }}
{{- else -}}
timeout
{{- end }}
{{- end }}

{{/* The longest time that a slot is held. */}}
{{- define "pod-startup-lock.lease" -}}
{{- .Values.lease | default (ternary "10s" "2m" (eq (include "pod-startup-lock.releaseOn" .) "timeout")) }}
{{- end }}

{{/* What Pod Security "restricted" wants of a container, and a bit more. */}}
{{- define "pod-startup-lock.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/*
The init container that makes a pod wait for its slot. Its wishes are annotations of the pod, which the downward API
hands over: one that is not there is empty, and leaves the default alone.
*/}}
{{- define "pod-startup-lock.initContainer" -}}
name: startup-lock
image: {{ include "pod-startup-lock.image" (dict "image" .Values.initImage "root" .) }}
imagePullPolicy: {{ .Values.initImage.pullPolicy }}
args:
  - --host={{ include "pod-startup-lock.host" . }}
  - --port={{ .Values.service.port }}
env:
  {{- range $name, $path := dict "POD_NAMESPACE" "metadata.namespace" "POD_NAME" "metadata.name" "POD_UID" "metadata.uid" }}
  - name: {{ $name }}
    valueFrom:
      fieldRef:
        fieldPath: {{ $path }}
  {{- end }}
  {{- range $name, $wish := dict "PSL_WEIGHT" "weight" "PSL_PRIORITY" "priority" "PSL_LOCK_DURATION" "lease" "PSL_RELEASE_ON" "release-on" "PSL_MAX_WAIT" "max-wait" }}
  - name: {{ $name }}
    valueFrom:
      fieldRef:
        fieldPath: metadata.annotations['startup-lock.io/{{ $wish }}']
  {{- end }}
{{- with .Values.initResources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "pod-startup-lock.securityContext" . | nindent 2 }}
{{- end }}

{{/* The lock's name for pods. */}}
{{- define "pod-startup-lock.host" -}}
{{ include "pod-startup-lock.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Plain data as a CEL literal. CEL wants all values of a map or list to be of one type: dyn is any. */}}
{{- define "pod-startup-lock.cel" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true }}{{ range $key, $value := . }}{{ if not $first }}, {{ end }}{{ $first = false }}{{ toJson $key }}: dyn({{ include "pod-startup-lock.cel" $value }}){{ end -}} }
{{- else if kindIs "slice" . -}}
[ {{- range $i, $value := . }}{{ if $i }}, {{ end }}dyn({{ include "pod-startup-lock.cel" $value }}){{ end -}} ]
{{- else -}}
{{ toJson . }}
{{- end }}
{{- end }}

{{/*
The API version of the policy that injects; empty where nothing injects: when that is switched off, or when the cluster
has no such policies and that is left to the chart. A template that is rendered without a cluster knows none.
*/}}
{{- define "pod-startup-lock.injects" -}}
{{- $v1 := "admissionregistration.k8s.io/v1" }}
{{- $v1beta1 := "admissionregistration.k8s.io/v1beta1" }}
{{- $enabled := toString .Values.injection.enabled }}
{{- if eq $enabled "false" }}
{{- else if .Capabilities.APIVersions.Has (printf "%s/MutatingAdmissionPolicy" $v1) }}{{ $v1 }}
{{- else if .Capabilities.APIVersions.Has (printf "%s/MutatingAdmissionPolicy" $v1beta1) }}{{ $v1beta1 }}
{{- else if eq $enabled "true" }}{{ $v1 }}
{{- end }}
{{- end }}
