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

{{- define "fairlead.apiServer" -}}
{{- with .Values.apiServer }}
{{- if .host }}
- { name: KUBERNETES_SERVICE_HOST, value: {{ .host | quote }} }
- { name: KUBERNETES_SERVICE_PORT, value: {{ .port | quote }} }
{{- end }}
{{- end }}
{{- end }}
