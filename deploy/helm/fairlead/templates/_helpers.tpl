{{- define "fairlead.labels" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "fairlead.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "fairlead.args" -}}
{{- range .Values.loadBalancerClasses -}}
- --lb-class={{ . }}
{{ end -}}
{{- if not .Values.classless -}}
- --no-classless
{{ end -}}
- --log-level={{ .Values.logLevel }}
{{- end }}

{{- /* The files that --queue names, by their names there: [{path, secret, key}] as JSON. */ -}}
{{- define "fairlead.queueFiles" -}}
{{- $files := list }}
{{- with .Values.queue }}
{{- if ne .address "memory" }}
{{- range $path, $secret := dict "password" .passwordSecret "sentinel-password" .sentinelPasswordSecret "ca" .caSecret }}
{{- if $secret.name }}{{ $files = append $files (dict "path" $path "secret" $secret.name "key" $secret.key) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{- define "fairlead.queueFlag" -}}
{{- $parameters := list }}
{{- range include "fairlead.queueFiles" . | fromJsonArray }}
{{- $name := .path }}
{{- if ne .path "ca" }}{{ $name = printf "%s-file" .path }}{{ end }}
{{- $parameters = append $parameters (printf "%s=/etc/fairlead/queue/%s" $name .path) }}
{{- end }}
{{- with $parameters }}{{ $.Values.queue.address }}?{{ join "&" . }}{{ else }}{{ .Values.queue.address }}{{ end }}
{{- end }}

{{- define "fairlead.apiServer" -}}
{{- with .Values.apiServer }}
{{- if .host }}
- { name: KUBERNETES_SERVICE_HOST, value: {{ .host | quote }} }
- { name: KUBERNETES_SERVICE_PORT, value: {{ .port | quote }} }
{{- end }}
{{- end }}
{{- end }}
