{{/* The release's name, without the chart's twice. */}}
{{- define "multinic.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What stands for a release in names that the whole cluster shares. */}}
{{- define "multinic.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "multinic.fullname" .) -}}
{{- end -}}

{{- define "multinic.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "multinic.labels" -}}
{{ include "multinic.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* An image's whole name. Takes a list: the root, and the image's own name. */}}
{{- define "multinic.image" -}}
{{- $root := index . 0 -}}
{{- $registry := $root.Values.image.registry | trimSuffix "/" -}}
{{- printf "%s%s:%s" (ternary "" (printf "%s/" $registry) (empty $registry)) (index . 1) ($root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}

{{- define "multinic.passwordSecret" -}}
{{- .Values.database.existingSecret | default (printf "%s-database" (include "multinic.fullname" .)) -}}
{{- end -}}

{{- define "multinic.passwordKey" -}}
{{- if .Values.database.existingSecret -}}{{ .Values.database.existingSecretKey }}{{- else -}}password{{- end -}}
{{- end -}}

{{- define "multinic.tlsSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" -}}
{{- required "tls.existingSecret is empty: write the name of the Secret that has tls.crt and tls.key" .Values.tls.existingSecret -}}
{{- else -}}
{{- printf "%s-dispatcher-tls" (include "multinic.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "multinic.caConfigMap" -}}
{{- .Values.tls.existingCAConfigMap | default (printf "%s-ca" (include "multinic.fullname" .)) -}}
{{- end -}}

{{/* The dispatcher's name, by which executors reach it and its certificate knows it. */}}
{{- define "multinic.host" -}}
{{- printf "%s-dispatcher.%s.svc" (include "multinic.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* dispatcher.pollInterval, or what the predecessor's agent.pollInterval says, in which a number alone is of seconds. */}}
{{- define "multinic.pollInterval" -}}
{{- $old := .Values.agent.pollInterval | toString -}}
{{- if regexMatch "^[0-9]+$" $old -}}{{- $old = printf "%ss" $old -}}{{- end -}}
{{- .Values.dispatcher.pollInterval | default $old | default "1s" -}}
{{- end -}}
