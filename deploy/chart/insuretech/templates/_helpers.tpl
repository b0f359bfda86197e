{{- define "insuretech.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "insuretech.domain" -}}
{{ .Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* The image of a part: list root "app". */}}
{{- define "insuretech.image" -}}
{{- $root := index . 0 }}{{ $name := index . 1 -}}
{{ $root.Values.image.registry }}/{{ $name }}:{{ required (printf "tags.%s: `python -m deploy.images` says it" $name) (index $root.Values.tags $name) }}
{{- end }}

{{/* What stays over upgrades and so may select: list root "component". */}}
{{- define "insuretech.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "insuretech.labels" -}}
{{- $root := index . 0 -}}
{{ include "insuretech.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* Of every pod: nobody's account, no rights, an end to what does not start. */}}
{{- define "insuretech.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
# A name server that died with its site is passed over after a second; names of ours have at most one dot.
dnsConfig:
  options: [{name: timeout, value: "1"}, {name: attempts, value: "4"}, {name: ndots, value: "2"}]
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "insuretech.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A dead node's pods are replaced soon. */}}
{{- define "insuretech.evict" -}}
- {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: {{ .Values.evictAfter }}}
- {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: {{ .Values.evictAfter }}}
{{- end }}

{{/* Over sites, and over machines within a site. A site that is gone (its nodes are tainted) hinders nobody; during a
upgrade old pods do not count. list root "component". */}}
{{- define "insuretech.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (eq $key "topology.kubernetes.io/zone") }}
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "insuretech.selector" $ | nindent 6 }}
{{- end }}
{{- end }}

{{- define "insuretech.kafka" -}}
{{- if .Values.kafka.enabled -}}
{{- $brokers := list }}{{ $full := include "insuretech.fullname" . }}
{{- range $place := .Values.kafka.places }}{{ range $n := until (int $place.brokers) }}
{{- $brokers = append $brokers (printf "%s-kafka-%s-%d.%s-kafka:9092" $full $place.zone $n $full) }}
{{- end }}{{ end }}{{ join "," $brokers }}
{{- else }}{{ required "kafka.bootstrap" .Values.kafka.bootstrap }}{{ end }}
{{- end }}

{{/* Six nodes, the first three to begin as masters: each pair (1,4), (2,5), (3,6) is in two sites. */}}
{{- define "insuretech.redis" -}}
{{- if .Values.redis.enabled -}}
{{- $nodes := list }}{{ $full := include "insuretech.fullname" . }}{{ $a := index .Values.redis.zones 0 }}{{ $b := index .Values.redis.zones 1 }}
{{- range $at := list (list $a 0) (list $b 0) (list $a 1) (list $b 1) (list $a 2) (list $b 2) }}
{{- $nodes = append $nodes (printf "%s-redis-%s-%d.%s-redis:6379" $full (index $at 0) (int (index $at 1)) $full) }}
{{- end }}{{ join "," $nodes }}
{{- else }}{{ required "redis.nodes" .Values.redis.nodes }}{{ end }}
{{- end }}

{{- define "insuretech.s3" -}}
{{- if .Values.s3.enabled }}http://{{ include "insuretech.fullname" . }}-s3:3900{{ else }}{{ required "s3.url" .Values.s3.url }}{{ end }}
{{- end }}

{{/* What everything of ours is told, as environment: list root. */}}
{{- define "insuretech.environment" -}}
- {name: HOST, value: 0.0.0.0}
- {name: PORT, value: "8000"}
- {name: INSURETECH_HOME, value: /var/lib/insuretech}
- {name: INSURETECH_SERVICES_URL, value: "http://{{ include "insuretech.fullname" . }}-inside"}
- {name: INSURETECH_KAFKA, value: {{ include "insuretech.kafka" . | quote }}}
- {name: INSURETECH_REDIS, value: {{ include "insuretech.redis" . | quote }}}
- {name: INSURETECH_DRAIN, value: {{ .Values.drain | quote }}}
- {name: INSURETECH_INTERNAL_SECRET_FILE, value: /run/secrets/insuretech/internal/secret}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* The object storage, as environment; its keys lie where the volume `insuretech.s3keys` is mounted: list root. */}}
{{- define "insuretech.storing" -}}
- {name: INSURETECH_S3_URL, value: {{ include "insuretech.s3" . | quote }}}
- {name: INSURETECH_S3_BUCKET, value: {{ .Values.s3.bucket }}}
- {name: INSURETECH_S3_REGION, value: {{ .Values.s3.region }}}
- {name: INSURETECH_S3_ACCESS_KEY_FILE, value: /run/secrets/insuretech/s3/access-key}
- {name: INSURETECH_S3_SECRET_KEY_FILE, value: /run/secrets/insuretech/s3/secret-key}
{{- end }}

{{- define "insuretech.s3keys" -}}
{name: s3, secret: {secretName: {{ .Values.secrets.s3 }}, defaultMode: 0440, items: [{key: access-key, path: access-key}, {key: secret-key, path: secret-key}]}}
{{- end }}

{{/* What runs as pods of its own, by name: its services and what they need between them, as YAML. A service that no
entry of `processes` names has a process of its own name. */}}
{{- define "insuretech.processes" -}}
{{- $root := . }}{{ $found := dict }}{{ $placed := dict }}
{{- range $process, $shared := .Values.processes }}
{{- range $name := $shared.services }}
{{- if not (hasKey $root.Values.services $name) }}{{ fail (printf "processes.%s: there is no service %s" $process $name) }}{{ end }}
{{- if hasKey $placed $name }}{{ fail (printf "processes.%s: %s is in %s already" $process $name (get $placed $name)) }}{{ end }}
{{- if (index $root.Values.services $name).people }}{{ fail (printf "processes.%s: %s has to be alone" $process $name) }}{{ end }}
{{- $_ := set $placed $name $process }}
{{- end }}
{{- $_ := set $found $process (merge (dict) $shared) }}
{{- end }}
{{- range $name, $service := .Values.services }}
{{- if not (hasKey $placed $name) }}
{{- $_ := set $found $name (merge (dict "services" (list $name)) (pick $service "replicas" "resources" "people")) }}
{{- end }}
{{- end }}
{{- range $process, $made := $found }}
{{- range $need := list "database" "keyring" "s3" "outside" }}
{{- range $name := $made.services }}{{ if index $root.Values.services $name $need }}{{ $_ := set $made $need true }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{/* The process a service runs in: list root "service". */}}
{{- define "insuretech.process" -}}
{{- $name := index . 1 }}
{{- range $process, $made := include "insuretech.processes" (index . 0) | fromYaml }}{{ if has $name $made.services }}{{ $process }}{{ end }}{{ end }}
{{- end }}

{{- define "insuretech.storage" -}}
accessModes: [ReadWriteOnce]
storageClassName: {{ index . 0 }}
resources:
  requests:
    storage: {{ index . 1 }}
{{- end }}
