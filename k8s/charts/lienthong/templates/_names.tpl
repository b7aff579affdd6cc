{{/* Names and labels. Templates of one service take (dict "root" $ "service" "routing"). */}}

{{- define "lienthong.services" -}}
registry signing routing storage reporting
{{- end }}

{{- define "lienthong.name" -}}
{{ .root.Release.Name }}-{{ .service }}
{{- end }}

{{- define "lienthong.selector" -}}
app.kubernetes.io/name: lienthong
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end }}

{{- define "lienthong.labels" -}}
{{ include "lienthong.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
lienthong/node: {{ .root.Values.node | quote }}
{{- with .root.Values.tier }}
lienthong/tier: {{ . }}
{{- end }}
{{- end }}

{{- define "lienthong.image" -}}
{{- with .Values.image -}}
{{ required "image.repository: where your registry has the image" .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "lienthong.account" -}}
{{- with .Values.serviceAccount -}}
{{ if .create }}{{ $.Release.Name }}{{ else }}{{ default "default" .name }}{{ end }}
{{- end }}
{{- end }}

{{- define "lienthong.claim" -}}
{{ default (printf "%s-storage" .Release.Name) .Values.storage.folder.existingClaim }}
{{- end }}

{{/* Whether this service answers RFC 3161 over HTTP: "yes" or nothing. */}}
{{- define "lienthong.stamps" -}}
{{- with .root.Values.signing.timestamps -}}
{{ if and (eq $.service "signing") .secret .http }}yes{{ end }}
{{- end }}
{{- end }}
