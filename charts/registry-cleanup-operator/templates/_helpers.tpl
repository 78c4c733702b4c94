{{/*
The name of the chart.
*/}}
{{- define "registry-cleanup-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
The name that all objects begin with. A release that is called like the chart does not repeat the name. 57 characters,
because "-view" and "-edit" follow and a ServiceAccount's name also ends up in labels.
*/}}
{{- define "registry-cleanup-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "registry-cleanup-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "registry-cleanup-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "registry-cleanup-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/*
The ConfigMap whose existence pauses the operator.
*/}}
{{- define "registry-cleanup-operator.pauseConfigMap" -}}
{{- default (printf "%s-pause" (include "registry-cleanup-operator.fullname" .)) .Values.controller.pauseConfigMap }}
{{- end }}

{{/*
The Secret with the key that signs notifications.
*/}}
{{- define "registry-cleanup-operator.notificationsSecret" -}}
{{- default (printf "%s-notifications" (include "registry-cleanup-operator.fullname" .)) .Values.notifications.secretName }}
{{- end }}

{{/*
Where that Secret is mounted.
*/}}
{{- define "registry-cleanup-operator.notificationsPath" -}}
/etc/registry-cleanup-operator/notifications
{{- end }}

{{/*
The image. A digest says exactly what runs, so it wins over the tag.
*/}}
{{- define "registry-cleanup-operator.image" -}}
{{- $name := .Values.image.repository }}
{{- with default .Values.image.registry .Values.global.imageRegistry }}
{{- $name = printf "%s/%s" . $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/*
What a selector goes by: must never change, a Deployment's selector is immutable.
*/}}
{{- define "registry-cleanup-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "registry-cleanup-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
The labels of every object, as a dictionary in YAML. The selector's labels are merged last, so that commonLabels cannot
tear the Deployment from its Pods.
*/}}
{{- define "registry-cleanup-operator.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/version" .Chart.AppVersion
-}}
{{- toYaml (merge (include "registry-cleanup-operator.selectorLabels" . | fromYaml) $own .Values.commonLabels) }}
{{- end }}

{{/*
name, labels and annotations of an object. Call it with a dictionary: root, name, and if wanted namespace, labels and
annotations.
*/}}
{{- define "registry-cleanup-operator.metadata" -}}
{{- $labels := include "registry-cleanup-operator.labels" .root | fromYaml -}}
{{- $metadata := dict "name" .name "labels" (merge $labels (default dict .labels)) -}}
{{- with .namespace }}
{{- $_ := set $metadata "namespace" . }}
{{- end }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
{{- toYaml $metadata }}
{{- end }}

{{/*
What the operator may do in the namespaces it watches: read policies, write their status, get the Secrets and ConfigMaps that
policies name, record events, and see which images workloads use. It cannot change a policy, and it cannot list Secrets.
*/}}
{{- define "registry-cleanup-operator.rules" -}}
- apiGroups: [registrycleanup.dev]
  resources: [registrycleanuppolicies]
  verbs: [get, list, watch]
- apiGroups: [registrycleanup.dev]
  resources: [registrycleanuppolicies/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.inUse.enabled }}
- apiGroups: [""]
  resources: [configmaps]
  {{- with .Values.rbac.configMapNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
{{ include "registry-cleanup-operator.workloadRules" . }}
{{- end }}
{{- if gt (int .Values.history.limit) 0 }}
# Records of what runs removed. Their names are those of runs, so they cannot be named here.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, delete, get, list]
{{- end }}
{{- end }}

{{/*
What it takes to see which images workloads use.
*/}}
{{- define "registry-cleanup-operator.workloadRules" -}}
- apiGroups: [""]
  resources: [pods, replicationcontrollers]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [controllerrevisions, daemonsets, deployments, replicasets, statefulsets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [list, watch]
{{- range .Values.inUse.workloads }}
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource | quote }}]
  verbs: [list, watch]
{{- end }}
{{- if .Values.inUse.catalogue }}
{{ .Files.Get "files/in-use-catalogue.yaml" | trim }}
{{- end }}
{{- end }}
