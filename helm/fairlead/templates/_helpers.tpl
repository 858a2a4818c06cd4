{{- define "fairlead.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains (default .Chart.Name .Values.nameOverride) .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (default .Chart.Name .Values.nameOverride) | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "fairlead.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fairlead.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "fairlead.selector" . }}
{{- end }}

{{- define "fairlead.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "fairlead.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ required "serviceAccount.name: the account that is there, since serviceAccount.create is off" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* An image by tag or digest: (dict "image" … "chart" .Chart) */}}
{{- define "fairlead.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ default .chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{- define "fairlead.serverSecret" -}}
{{- if eq .Values.tls.mode "secret" }}{{ required "tls.secretName: the Secret with tls.crt, tls.key and ca.crt, since tls.mode is secret" .Values.tls.secretName }}
{{- else }}{{ include "fairlead.fullname" . }}-xds{{ end }}
{{- end }}

{{- define "fairlead.clientSecret" -}}
{{- if eq .Values.tls.mode "secret" }}{{ required "tls.clientSecretName: the Secret with tls.crt, tls.key and ca.crt of the proxies, since tls.mode is secret" .Values.tls.clientSecretName }}
{{- else }}{{ include "fairlead.fullname" . }}-xds-client{{ end }}
{{- end }}

{{/* With the authority that signs for the proxies that are run for Gateways; empty: their Secrets are there. */}}
{{- define "fairlead.authoritySecret" -}}
{{- if ne .Values.tls.mode "secret" }}{{ include "fairlead.fullname" . }}-xds-authority
{{- else }}{{ .Values.tls.authoritySecretName }}{{ end }}
{{- end }}

{{/* Whether nodes are read: said so, or since the Services of all Gateways are of type NodePort. */}}
{{- define "fairlead.nodeAddresses" -}}
{{- if and .Values.gateways.managed (or .Values.gateways.nodeAddresses (eq (dig "service" "type" "" .Values.gateways.parameters) "NodePort")) }}yes{{ end }}
{{- end }}

{{/* The name that certificates of clients of this chart have. */}}
{{- define "fairlead.clientName" -}}
proxy.{{ include "fairlead.fullname" . }}.{{ .Release.Namespace }}
{{- end }}

{{/* What they ask for. */}}
{{- define "fairlead.clientGateway" -}}
{{ if .Values.proxy.enabled }}{{ .Values.proxy.gateway }}{{ else }}helm/test{{ end }}
{{- end }}

{{/* Whether anything of this chart is a client. */}}
{{- define "fairlead.hasClient" -}}
{{- if or .Values.proxy.enabled (and .Values.test.enabled (or (ne .Values.tls.mode "secret") .Values.tls.clientSecretName)) }}yes{{ end }}
{{- end }}

{{- define "fairlead.xdsHost" -}}
{{ include "fairlead.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "fairlead.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "fairlead.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities: {drop: [ALL]}
{{- end }}

{{/* A proxy's bootstrap, as `fairlead bootstrap` prints it, with an address for the kubelet's probe: nothing listens there before the first
configuration is in use, however long it takes. (dict "root" $ "gateway" …) */}}
{{- define "fairlead.bootstrap" -}}
{{- $root := .root -}}
node:
  cluster: {{ regexReplaceAll ".*/" .gateway "" | quote }}
  metadata: {fairlead.io/gateway: {{ .gateway | quote }}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: fairlead-control}}]
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: fairlead-control
    type: STRICT_DNS
    connect_timeout: 2s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 10s}}}
    load_assignment:
      cluster_name: fairlead-control
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: {{ include "fairlead.xdsHost" $root }}, port_value: {{ $root.Values.xds.port }}}}}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: {{ include "fairlead.xdsHost" $root }}
        auto_sni_san_validation: true
        common_tls_context:
          alpn_protocols: [h2]
          tls_certificates:
          - certificate_chain: {filename: /etc/fairlead/tls/tls.crt}
            private_key: {filename: /etc/fairlead/tls/tls.key}
          validation_context: {trusted_ca: {filename: /etc/fairlead/tls/ca.crt}}
  - name: admin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: admin
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}}]}]
  listeners:
  - name: readiness
    address: {socket_address: {address: 0.0.0.0, port_value: {{ $root.Values.proxy.readinessPort }}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: readiness
          http_filters:
          - name: health_check
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck
              pass_through_mode: false
              headers: [{name: ":path", string_match: {exact: /ready}}]
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            name: readiness
            virtual_hosts:
            - name: readiness
              domains: ["*"]
              routes:
              {{- if $root.Values.metrics.enabled }}
              - {match: {path: /stats/prometheus}, route: {cluster: admin}}
              {{- end }}
              - {match: {prefix: /}, direct_response: {status: 404}}
{{- end }}

{{/* The proxy's container but for its name and probes. (dict "root" $) */}}
{{- define "fairlead.proxyMounts" -}}
- {name: bootstrap, mountPath: /etc/fairlead/bootstrap, readOnly: true}
- {name: tls, mountPath: /etc/fairlead/tls, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}
