{{/* The release's name, without the chart's twice. Services have it in their names, which is what it must be good for. */}}
{{- define "multinic.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := printf "%s-%s" .Release.Name $name -}}
{{- if .Values.fullnameOverride -}}
{{- $whole = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $whole = .Release.Name -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $whole) -}}
{{- printf "%q begins with no letter, or has a dot, and a Service's name cannot: write fullnameOverride" $whole | fail -}}
{{- end -}}
{{- $whole | trunc 40 | trimAll "-" -}}
{{- end -}}

{{/* What stands for a release in names that the whole cluster shares. */}}
{{- define "multinic.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "multinic.fullname" .) -}}
{{- end -}}

{{- define "multinic.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "multinic.labels" -}}
{{ include "multinic.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-._" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{/* An image's whole name. Takes a list: the root, and the values of the dispatcher or the executor. */}}
{{- define "multinic.image" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
{{- $registry := $root.Values.image.registry | trimSuffix "/" -}}
{{- if $registry }}{{ $registry }}/{{ end -}}
{{- $own.image }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion -}}
{{- with $own.imageDigest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* An argument as it is: Kubernetes would put a variable's value in place of $(NAME), and a $ in place of two. */}}
{{- define "multinic.literal" -}}
{{- . | replace "$" "$$" | quote -}}
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
