{{/*
The settings files of the processes (lienthong.settings). No secrets: only where their files are.
What a Secret holds is under /keys (see _pod.tpl), what a ConfigMap holds under /trust and /config.
*/}}

{{/* What every process of the node is told. */}}
{{- define "lienthong.settings.common" -}}
{{- $v := .root.Values -}}
node: {{ required "node: the code of this node" $v.node | quote }}
trust_domain: {{ required "trustDomain: of the certificates' identities" $v.trustDomain | quote }}
service: {{ .service }}
tls:
  certificate: /keys/tls/chain.pem
  key: /keys/tls/key.pem
  roots: /trust/transport/roots.pem
listen: "0.0.0.0:{{ $v.ports.grpc }}"
health_listen: "0.0.0.0:{{ $v.ports.health }}"
addresses:
{{- range splitList " " (include "lienthong.services" .) }}
  {{ . }}: "{{ $.root.Release.Name }}-{{ . }}.{{ $.root.Release.Namespace }}.svc.{{ $v.clusterDomain }}:{{ $v.ports.grpc }}"
{{- end }}
telemetry:
  log_level: {{ $v.telemetry.logLevel }}
  sample_ratio: {{ $v.telemetry.sampleRatio }}
  {{- with $v.telemetry.otlpEndpoint }}
  otlp_endpoint: {{ . | quote }}
  otlp_insecure: {{ $v.telemetry.otlpInsecure }}
  {{- end }}
grace: {{ $v.grace }}
{{- end }}

{{/* A service's own section, with the user's settings over it. */}}
{{- define "lienthong.settings.section" -}}
{{- $own := fromYaml (include (printf "lienthong.settings.%s" .service) .) -}}
{{- $_ := set $own "database" (fromYaml (include "lienthong.settings.database" .)) -}}
{{- toYaml (mergeOverwrite $own (deepCopy (index .root.Values.services .service).settings)) -}}
{{- end }}

{{- define "lienthong.settings.database" -}}
{{- $shared := .root.Values.database -}}
{{- with (index .root.Values.services .service).database -}}
{{- if .url -}}
url: {{ .url | quote }}
{{- else -}}
{{- $host := required "database.host: where PostgreSQL answers (or services.<name>.database.url)" $shared.host -}}
{{- $roots := ternary "&sslrootcert=/trust/database/ca.crt" "" (ne $shared.roots.configMap "") -}}
url: "postgresql://{{ .user }}@{{ $host }}:{{ $shared.port }}/{{ .name }}?sslmode={{ $shared.sslMode }}{{ $roots }}"
{{- end }}
password_file: /keys/database/{{ $.service }}
pool_size: {{ .poolSize }}
{{- end }}
{{- end }}

{{- define "lienthong.settings.trust" -}}
document_roots: /trust/documents/roots.pem
{{- if .root.Values.documents.intermediates.configMap }}
document_intermediates: /trust/documents/intermediates.pem
{{- end }}
{{- with .root.Values.documents.crls }}
{{- if .configMap }}
crls:
{{- range .keys }}
  - /trust/crls/{{ . }}
{{- else }}
{{- fail "documents.crls.keys: the entries of its ConfigMap" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lienthong.settings.registry" -}}
{{- if .root.Values.registry.organizations.configMap -}}
organizations_file: /config/organizations.yaml
{{- end }}
{{- end }}

{{- define "lienthong.settings.signing" -}}
{{- $v := .root.Values.signing -}}
{{ include "lienthong.settings.trust" . }}
keys: /keys/signing
spool: /spool
{{- with $v.bindings }}
bindings: {{ toJson . }}
{{- end }}
{{- with $v.timestamps.urls }}
tsa_urls: {{ toJson . }}
{{- end }}
{{- if $v.timestamps.secret }}
tsa:
  key: /keys/timestamps/key.pem
  chain: /keys/timestamps/chain.pem
{{- if $v.timestamps.http }}
tsa_listen: "0.0.0.0:{{ .root.Values.ports.timestamps }}"
{{- end }}
{{- end }}
{{- end }}

{{- define "lienthong.settings.routing" -}}
{{ include "lienthong.settings.trust" . }}
links:
{{- range .root.Values.links }}
  - node: {{ .node | quote }}
    address: {{ .routing | quote }}
{{- else }} []
{{- end }}
peers: {{ toJson .root.Values.peers }}
{{- end }}

{{- define "lienthong.settings.storage" -}}
peers:
{{- range .root.Values.links }}
  {{ .node | quote }}: {{ .storage | quote }}
{{- else }} {}
{{- end }}
{{- with .root.Values.storage }}
folder: /data
{{- if eq .backend "bucket" }}
bucket:
  endpoint: {{ required "storage.bucket.endpoint: the address of the store" .bucket.endpoint | quote }}
  bucket: {{ required "storage.bucket.name: the bucket" .bucket.name | quote }}
  region: {{ .bucket.region | quote }}
  prefix: {{ .bucket.prefix | quote }}
  access_key_file: /keys/bucket/access-key
  secret_key_file: /keys/bucket/secret-key
  allow_http: {{ .bucket.allowHttp }}
  {{- if .bucket.roots.configMap }}
  roots: /trust/bucket/ca.crt
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lienthong.settings.reporting" -}}
{}
{{- end }}

{{/* The file of one service's process. */}}
{{- define "lienthong.settings" -}}
{{ include "lienthong.settings.common" . }}
{{ .service }}:
  {{- include "lienthong.settings.section" . | nindent 2 }}
{{- end }}

{{/* The file of `services.migrate`, which knows a node as one process: the sections of all five. */}}
{{- define "lienthong.settings.node" -}}
{{ include "lienthong.settings.common" (dict "root" . "service" "node") }}
{{- range splitList " " (include "lienthong.services" .) }}
{{ . }}:
  {{- include "lienthong.settings.section" (dict "root" $ "service" .) | nindent 2 }}
{{- end }}
{{- end }}
