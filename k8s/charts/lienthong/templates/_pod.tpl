{{/* Parts of a pod that Deployments and the migrations share. */}}

{{- define "lienthong.pod.security" -}}
automountServiceAccountToken: false
# Kubernetes would set LIENTHONG_..._SERVICE_HOST in a release of that name, and a process refuses settings
# that it does not know.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.scheduling }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lienthong.container.security" -}}
image: {{ include "lienthong.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/*
Kubernetes gives files of Secrets to root and lets the pod's group read them. A key belongs to its process
alone: copied into memory, owned by it, 0400.
*/}}
{{- define "lienthong.pod.keys" -}}
- name: keys
  {{- include "lienthong.container.security" . | nindent 2 }}
  command: [/bin/sh, -ec, "umask 077; cp -RLf /secrets/* /keys/"]
  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
  volumeMounts:
    - {name: secrets, mountPath: /secrets, readOnly: true}
    - {name: keys, mountPath: /keys}
{{- end }}

{{- define "lienthong.pod.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
- name: keys
  emptyDir: {medium: Memory, sizeLimit: 4Mi}
{{- end }}

{{/* Where the password of a service's database is: one entry of a projected volume. */}}
{{- define "lienthong.secret.database" -}}
{{- $own := (index .root.Values.services .service).database -}}
{{- $secret := default .root.Values.database.passwordSecret $own.passwordSecret -}}
- secret:
    name: {{ required "database.passwordSecret: the Secret with the passwords" $secret }}
    items: [{key: {{ default .service $own.passwordKey | quote }}, path: database/{{ .service }}}]
{{- end }}

{{/* A pair of key and chain, under a folder: (dict "secret" "key" "chain" "folder"). */}}
{{- define "lienthong.secret.pair" -}}
- secret:
    name: {{ .secret }}
    items:
      - {key: {{ .key | quote }}, path: {{ .folder }}/key.pem}
      - {key: {{ .chain | quote }}, path: {{ .folder }}/chain.pem}
      {{- with .image }}
      - {key: {{ . | quote }}, path: {{ $.folder }}/signature.png}
      {{- end }}
{{- end }}

{{/* Everything secret that one service is given. */}}
{{- define "lienthong.secrets" -}}
{{- $v := .root.Values -}}
{{- $tls := (index $v.services .service).tlsSecret -}}
{{- $message := printf "services.%s.tlsSecret: its certificate and key" .service -}}
{{ include "lienthong.secret.pair" (dict "secret" (required $message $tls) "key" $v.tls.privateKeyKey "chain" $v.tls.certificateKey "folder" "tls") }}
{{ include "lienthong.secret.database" . }}
{{- if eq .service "signing" }}
{{- range $v.signing.keys }}
{{ include "lienthong.secret.pair" (dict "secret" .secret "key" (default "tls.key" .key) "chain" (default "tls.crt" .chain) "image" .image "folder" (printf "signing/%s" .name)) }}
{{- else }}
{{- fail "signing.keys: at least the node's envelope key" }}
{{- end }}
{{- with $v.signing.timestamps.secret }}
{{ include "lienthong.secret.pair" (dict "secret" . "key" "tls.key" "chain" "tls.crt" "folder" "timestamps") }}
{{- end }}
{{- end }}
{{- if and (eq .service "storage") (eq $v.storage.backend "bucket") }}
- secret:
    name: {{ required "storage.bucket.secret: the Secret with access-key and secret-key" $v.storage.bucket.secret }}
    items: [{key: access-key, path: bucket/access-key}, {key: secret-key, path: bucket/secret-key}]
{{- end }}
{{- end }}

{{/* Certificates that a service trusts: public, from ConfigMaps. One volume each, so that updates arrive. */}}
{{- define "lienthong.trust.volumes" -}}
{{- $v := .root.Values -}}
- name: transport-roots
  configMap:
    name: {{ required "tls.roots.configMap: what transport trusts" $v.tls.roots.configMap }}
    items: [{key: {{ $v.tls.roots.key | quote }}, path: roots.pem}]
{{- if $v.database.roots.configMap }}
- name: database-roots
  configMap:
    name: {{ $v.database.roots.configMap }}
    items: [{key: {{ $v.database.roots.key | quote }}, path: ca.crt}]
{{- end }}
{{- with $v.storage.bucket.roots }}
{{- if and (eq $.service "storage") (eq $v.storage.backend "bucket") .configMap }}
- name: bucket-roots
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- if has .service (list "signing" "routing") }}
- name: document-roots
  projected:
    sources:
      - configMap:
          name: {{ required "documents.roots.configMap: what signatures are judged by" $v.documents.roots.configMap }}
          items: [{key: {{ $v.documents.roots.key | quote }}, path: roots.pem}]
      {{- with $v.documents.intermediates }}
      {{- if .configMap }}
      - configMap:
          name: {{ .configMap }}
          items: [{key: {{ .key | quote }}, path: intermediates.pem}]
      {{- end }}
      {{- end }}
{{- if $v.documents.crls.configMap }}
- name: crls
  configMap: {name: {{ $v.documents.crls.configMap }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "lienthong.trust.mounts" -}}
{{- $v := .root.Values -}}
- {name: transport-roots, mountPath: /trust/transport, readOnly: true}
{{- if $v.database.roots.configMap }}
- {name: database-roots, mountPath: /trust/database, readOnly: true}
{{- end }}
{{- if and (eq .service "storage") (eq $v.storage.backend "bucket") $v.storage.bucket.roots.configMap }}
- {name: bucket-roots, mountPath: /trust/bucket, readOnly: true}
{{- end }}
{{- if has .service (list "signing" "routing") }}
- {name: document-roots, mountPath: /trust/documents, readOnly: true}
{{- if $v.documents.crls.configMap }}
- {name: crls, mountPath: /trust/crls, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* Disks of one service, beside what all have. */}}
{{- define "lienthong.disks.volumes" -}}
{{- $v := .root.Values -}}
{{- if eq .service "signing" }}
- name: spool
  emptyDir: {sizeLimit: {{ $v.signing.spoolSize }}}
{{- end }}
{{- if eq .service "storage" }}
- name: data
  {{- if eq $v.storage.backend "folder" }}
  persistentVolumeClaim: {claimName: {{ include "lienthong.claim" .root }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ $v.storage.bucket.stagingSize }}}
  {{- end }}
{{- end }}
{{- with $v.registry.organizations }}
{{- if and (eq $.service "registry") .configMap }}
- name: organizations
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key | quote }}, path: organizations.yaml}]
{{- end }}
{{- end }}
{{- end }}

{{- define "lienthong.disks.mounts" -}}
{{- $v := .root.Values -}}
{{- if eq .service "signing" }}
- {name: spool, mountPath: /spool}
{{- end }}
{{- if eq .service "storage" }}
- {name: data, mountPath: /data}
{{- end }}
{{- if and (eq .service "registry") $v.registry.organizations.configMap }}
- {name: organizations, mountPath: /config, readOnly: true}
{{- end }}
{{- end }}
