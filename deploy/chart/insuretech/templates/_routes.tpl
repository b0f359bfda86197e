{{/* Traefik's dynamic configuration, from files/addresses.yaml: the first address that fits counts, so earlier ones have
the higher priority. A call that did not reach a pod is made again; what may have begun is for the caller to repeat. */}}
{{- define "insuretech.routes" -}}
{{- $root := . }}{{ $full := include "insuretech.fullname" . }}
{{- $table := .Files.Get "files/addresses.yaml" | fromYaml }}
{{- $count := len $table.routes }}
http:
  routers:
    {{- range $index, $route := $table.routes }}
    {{- if hasKey $root.Values.services $route.service }}
    {{ printf "%02d-%s" $index $route.service }}:
      rule: {{ $route.rule | quote }}
      priority: {{ add 10 (sub $count $index) }}
      entryPoints: {{ ternary (list "inside") (list "public" "inside") $route.inside | toJson }}
      service: {{ $route.service }}
      middlewares: [again]
    {{- end }}
    {{- end }}
    refused:
      rule: {{ $table.refused | quote }}
      priority: 1000
      entryPoints: [public]
      service: storefront
      middlewares: [nobody]
  services:
    {{- range $name, $service := .Values.services }}
    {{ $name }}:
      loadBalancer:
        servers:
          - url: http://{{ $full }}-{{ $name }}.{{ include "insuretech.domain" $root }}
        serversTransport: near
        passHostHeader: true
    {{- end }}
  middlewares:
    again:
      retry: {attempts: 4, initialInterval: 50ms}
    nobody:
      ipAllowList: {sourceRange: [255.255.255.255/32], rejectStatusCode: 404}
  serversTransports:
    near:
      maxIdleConnsPerHost: 64
      forwardingTimeouts: {dialTimeout: 1s, responseHeaderTimeout: 75s, idleConnTimeout: 30s}
{{- end }}
