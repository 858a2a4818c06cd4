// The statistics that exist once per cluster, connection manager, listener or server: Envoy 1.40's names, as tables of (enumerator, kind).
// Used as stats::Block<ClusterStat>: `cells.add(block, ClusterStat::upstream_rq_total)`. Only what Fairlead can count is listed.
// C: counter, G: gauge, H: histogram (always last); a second argument is the text where it is not the enumerator's own name.
#pragma once

#include "dataplane/stats/registry.h"

namespace fairlead::stats {

#define FAIRLEAD_CLUSTER_STATS(C, G, H) \
  C(assignment_timeout_received) C(bind_errors) G(circuit_breakers_default_cx_open, "circuit_breakers.default.cx_open") \
  G(circuit_breakers_default_cx_pool_open, "circuit_breakers.default.cx_pool_open") \
  G(circuit_breakers_default_rq_open, "circuit_breakers.default.rq_open") \
  G(circuit_breakers_default_rq_pending_open, "circuit_breakers.default.rq_pending_open") \
  G(circuit_breakers_default_rq_retry_open, "circuit_breakers.default.rq_retry_open") \
  G(circuit_breakers_high_cx_open, "circuit_breakers.high.cx_open") G(circuit_breakers_high_cx_pool_open, "circuit_breakers.high.cx_pool_open") \
  G(circuit_breakers_high_rq_open, "circuit_breakers.high.rq_open") G(circuit_breakers_high_rq_pending_open, "circuit_breakers.high.rq_pending_open") \
  G(circuit_breakers_high_rq_retry_open, "circuit_breakers.high.rq_retry_open") \
  C(http1_dropped_headers_with_underscores, "http1.dropped_headers_with_underscores") \
  C(http1_requests_rejected_with_underscores_in_headers, "http1.requests_rejected_with_underscores_in_headers") \
  C(http1_response_flood, "http1.response_flood") C(lb_healthy_panic) C(lb_local_cluster_not_ok) \
  C(lb_recalculate_zone_structures) C(lb_zone_cluster_too_small) C(lb_zone_no_capacity_left) C(lb_zone_routing_all_directly) \
  C(lb_zone_routing_cross_zone) C(lb_zone_routing_sampled) G(max_host_weight) C(membership_change) G(membership_degraded) \
  G(membership_excluded) G(membership_healthy) G(membership_total) C(retry_or_shadow_abandoned) C(update_attempt) C(update_empty) C(update_failure) \
  C(update_no_rebuild) C(update_success) G(upstream_cx_active) C(upstream_cx_close_notify) C(upstream_cx_connect_attempts_exceeded) \
  C(upstream_cx_connect_fail) C(upstream_cx_connect_timeout) C(upstream_cx_destroy) C(upstream_cx_destroy_local) \
  C(upstream_cx_destroy_local_with_active_rq) C(upstream_cx_destroy_remote) C(upstream_cx_destroy_remote_with_active_rq) \
  C(upstream_cx_destroy_with_active_rq) C(upstream_cx_http1_total) C(upstream_cx_idle_timeout) C(upstream_cx_max_duration_reached) \
  C(upstream_cx_max_requests) C(upstream_cx_none_healthy) C(upstream_cx_overflow) C(upstream_cx_pool_overflow) C(upstream_cx_preconnect_skipped) \
  C(upstream_cx_protocol_error) G(upstream_cx_rx_bytes_buffered) C(upstream_cx_rx_bytes_total) C(upstream_cx_total) G(upstream_cx_tx_bytes_buffered) \
  C(upstream_cx_tx_bytes_total) C(upstream_flow_control_backed_up_total) C(upstream_flow_control_drained_total) \
  C(upstream_flow_control_paused_reading_total) C(upstream_flow_control_resumed_reading_total) C(upstream_internal_redirect_failed_total) \
  C(upstream_internal_redirect_succeeded_total) G(upstream_rq_active) C(upstream_rq_active_overflow) \
  C(upstream_rq_cancelled) C(upstream_rq_maintenance_mode) C(upstream_rq_max_duration_reached) G(upstream_rq_pending_active) \
  C(upstream_rq_pending_failure_eject) C(upstream_rq_pending_overflow) C(upstream_rq_pending_total) C(upstream_rq_per_try_idle_timeout) \
  C(upstream_rq_per_try_timeout) C(upstream_rq_retry) C(upstream_rq_retry_backoff_exponential) C(upstream_rq_retry_backoff_ratelimited) \
  C(upstream_rq_retry_limit_exceeded) C(upstream_rq_retry_overflow) C(upstream_rq_retry_success) C(upstream_rq_rx_reset) \
  C(upstream_rq_rx_reset_no_error) C(upstream_rq_timeout) C(upstream_rq_total) C(upstream_rq_tx_reset) G(version) C(upstream_cx_http2_total) \
  H(upstream_cx_connect_ms) H(upstream_cx_length_ms) H(upstream_rq_per_cx)

#define FAIRLEAD_CLUSTER_RESPONSE_STATS(C, G, H) \
  C(upstream_rq_completed) C(upstream_rq_1xx) C(upstream_rq_2xx) C(upstream_rq_3xx) C(upstream_rq_4xx) C(upstream_rq_5xx) \
  C(external_upstream_rq_completed, "external.upstream_rq_completed") C(external_upstream_rq_1xx, "external.upstream_rq_1xx") \
  C(external_upstream_rq_2xx, "external.upstream_rq_2xx") C(external_upstream_rq_3xx, "external.upstream_rq_3xx") \
  C(external_upstream_rq_4xx, "external.upstream_rq_4xx") C(external_upstream_rq_5xx, "external.upstream_rq_5xx") \
  C(internal_upstream_rq_completed, "internal.upstream_rq_completed") C(internal_upstream_rq_1xx, "internal.upstream_rq_1xx") \
  C(internal_upstream_rq_2xx, "internal.upstream_rq_2xx") C(internal_upstream_rq_3xx, "internal.upstream_rq_3xx") \
  C(internal_upstream_rq_4xx, "internal.upstream_rq_4xx") C(internal_upstream_rq_5xx, "internal.upstream_rq_5xx") \
  C(retry_upstream_rq_completed, "retry.upstream_rq_completed") C(retry_upstream_rq_1xx, "retry.upstream_rq_1xx") \
  C(retry_upstream_rq_2xx, "retry.upstream_rq_2xx") C(retry_upstream_rq_3xx, "retry.upstream_rq_3xx") \
  C(retry_upstream_rq_4xx, "retry.upstream_rq_4xx") C(retry_upstream_rq_5xx, "retry.upstream_rq_5xx") H(upstream_rq_time) \
  H(external_upstream_rq_time, "external.upstream_rq_time") H(internal_upstream_rq_time, "internal.upstream_rq_time")

#define FAIRLEAD_HTTP_STATS(C, G, H) \
  G(downstream_cx_active) C(downstream_cx_delayed_close_timeout) C(downstream_cx_destroy) C(downstream_cx_destroy_active_rq) \
  C(downstream_cx_destroy_local) C(downstream_cx_destroy_local_active_rq) C(downstream_cx_destroy_remote) C(downstream_cx_destroy_remote_active_rq) \
  C(downstream_cx_drain_close) G(downstream_cx_http1_active) G(downstream_cx_http1_soft_drain) C(downstream_cx_http1_total) \
  G(downstream_cx_http2_active) C(downstream_cx_http2_total) C(downstream_cx_idle_timeout) C(downstream_cx_max_duration_reached) \
  C(downstream_cx_max_requests_reached) C(downstream_cx_protocol_error) G(downstream_cx_rx_bytes_buffered) C(downstream_cx_rx_bytes_total) \
  G(downstream_cx_ssl_active) C(downstream_cx_ssl_total) C(downstream_cx_total) G(downstream_cx_tx_bytes_buffered) C(downstream_cx_tx_bytes_total) \
  G(downstream_cx_upgrades_active) C(downstream_cx_upgrades_total) C(downstream_flow_control_paused_reading_total) \
  C(downstream_flow_control_resumed_reading_total) C(downstream_rq_1xx) C(downstream_rq_2xx) C(downstream_rq_3xx) C(downstream_rq_4xx) \
  C(downstream_rq_5xx) G(downstream_rq_active) C(downstream_rq_completed) C(downstream_rq_failed_path_normalization) C(downstream_rq_header_timeout) \
  C(downstream_rq_http1_total) C(downstream_rq_http2_total) C(downstream_rq_idle_timeout) C(downstream_rq_max_duration_reached) \
  C(downstream_rq_non_relative_path) C(downstream_rq_redirected_with_normalized_path) C(downstream_rq_rejected_via_ip_detection) C(downstream_rq_response_before_rq_complete) \
  C(downstream_rq_rx_reset) C(downstream_rq_timeout) C(downstream_rq_too_large) C(downstream_rq_total) C(downstream_rq_tx_reset) \
  C(downstream_rq_ws_on_non_ws_route) C(no_cluster) C(no_route) C(passthrough_internal_redirect_bad_location) C(passthrough_internal_redirect_no_route) \
  C(passthrough_internal_redirect_predicate) C(passthrough_internal_redirect_too_many_redirects) C(passthrough_internal_redirect_unsafe_scheme) C(rq_direct_response) C(rq_redirect) C(rq_reset_after_downstream_response_started) \
  C(rq_total) C(rs_too_large) H(downstream_cx_length_ms) H(downstream_rq_time)

// In the order of h2::Stat.
#define FAIRLEAD_HTTP2_STATS(C, G, H) \
  C(goaway_sent, "http2.goaway_sent") C(header_list_size_too_large, "http2.header_list_size_too_large") C(header_overflow, "http2.header_overflow") C(headers_cb_no_stream, "http2.headers_cb_no_stream") \
  C(inbound_empty_frames_flood, "http2.inbound_empty_frames_flood") C(inbound_priority_frames_flood, "http2.inbound_priority_frames_flood") \
  C(inbound_window_update_frames_flood, "http2.inbound_window_update_frames_flood") C(keepalive_timeout, "http2.keepalive_timeout") \
  C(outbound_control_flood, "http2.outbound_control_flood") C(outbound_flood, "http2.outbound_flood") \
  C(rx_messaging_error, "http2.rx_messaging_error") C(rx_reset, "http2.rx_reset") C(stream_refused_errors, "http2.stream_refused_errors") \
  C(too_many_premature_resets, "http2.too_many_premature_resets") C(trailers, "http2.trailers") C(tx_flush_timeout, "http2.tx_flush_timeout") \
  C(tx_reset, "http2.tx_reset") G(deferred_stream_close, "http2.deferred_stream_close") \
  G(outbound_control_frames_active, "http2.outbound_control_frames_active") G(outbound_frames_active, "http2.outbound_frames_active") \
  G(pending_send_bytes, "http2.pending_send_bytes") G(streams_active, "http2.streams_active")

#define FAIRLEAD_LISTENER_STATS(C, G, H) \
  G(downstream_cx_active) C(downstream_cx_destroy) C(downstream_cx_overflow) C(downstream_cx_total) C(downstream_cx_transport_socket_connect_timeout) \
  C(downstream_listener_filter_error) C(downstream_listener_filter_remote_close) G(downstream_pre_cx_active) C(downstream_pre_cx_timeout) \
  C(no_filter_chain_match) H(connections_accepted_per_socket_event) H(downstream_cx_length_ms)

#define FAIRLEAD_LISTENER_HTTP_STATS(C, G, H) \
  C(downstream_rq_1xx) C(downstream_rq_2xx) C(downstream_rq_3xx) C(downstream_rq_4xx) C(downstream_rq_5xx) C(downstream_rq_completed)

// In the order of tls::Count.
#define FAIRLEAD_TLS_STATS(C, G, H) \
  C(ssl_connection_error, "ssl.connection_error") C(ssl_handshake, "ssl.handshake") C(ssl_session_reused, "ssl.session_reused") \
  C(ssl_no_certificate, "ssl.no_certificate") C(ssl_fail_verify_no_cert, "ssl.fail_verify_no_cert") C(ssl_fail_verify_error, "ssl.fail_verify_error") \
  C(ssl_fail_verify_san, "ssl.fail_verify_san") C(ssl_fail_verify_cert_hash, "ssl.fail_verify_cert_hash") \
  C(ssl_ocsp_staple_requests, "ssl.ocsp_staple_requests") C(ssl_ocsp_staple_responses, "ssl.ocsp_staple_responses") \
  C(ssl_ocsp_staple_omitted, "ssl.ocsp_staple_omitted") C(ssl_ocsp_staple_failed, "ssl.ocsp_staple_failed")

#define FAIRLEAD_CLUSTER_MANAGER_STATS(C, G, H) \
  G(active_clusters) C(cluster_added) C(cluster_modified) C(cluster_removed) C(cluster_updated) G(warming_clusters)

#define FAIRLEAD_LISTENER_MANAGER_STATS(C, G, H) \
  C(listener_added) C(listener_create_failure) C(listener_create_success) C(listener_in_place_updated) C(listener_modified) C(listener_removed) \
  C(listener_stopped) G(total_filter_chains_draining) G(total_listeners_active) G(total_listeners_draining) G(total_listeners_warming) \
  G(workers_started)

#define FAIRLEAD_SERVER_STATS(C, G, H) \
  G(concurrency) G(days_until_first_cert_expiring) C(dynamic_unknown_fields) G(live) G(memory_allocated) G(memory_heap_size) G(memory_physical_size) \
  G(state) C(static_unknown_fields) G(total_connections) G(uptime) G(version) H(initialization_time_ms)

#define FAIRLEAD_STAT_ENUM(name, ...) name,
#define FAIRLEAD_STAT_SKIP(name, ...)
#define FAIRLEAD_STAT_SET(Enum, table, LIST)                                                                                 \
  enum class Enum : uint32_t {                                                                                               \
    LIST(FAIRLEAD_STAT_ENUM, FAIRLEAD_STAT_ENUM, FAIRLEAD_STAT_SKIP) first_histogram,                                        \
    before_histograms = first_histogram - 1, LIST(FAIRLEAD_STAT_SKIP, FAIRLEAD_STAT_SKIP, FAIRLEAD_STAT_ENUM)                \
  };                                                                                                                         \
  extern const StatSet table

FAIRLEAD_STAT_SET(ClusterStat, kClusterStats, FAIRLEAD_CLUSTER_STATS);  // cluster.<name>.
FAIRLEAD_STAT_SET(ClusterResponseStat, kClusterResponseStats, FAIRLEAD_CLUSTER_RESPONSE_STATS);  // cluster.<name>. as well; Envoy makes these with the first response
FAIRLEAD_STAT_SET(HttpStat, kHttpStats, FAIRLEAD_HTTP_STATS);  // http.<stat_prefix>.
FAIRLEAD_STAT_SET(Http2Stat, kHttp2Stats, FAIRLEAD_HTTP2_STATS);  // cluster.<name>., or none for listeners; made with the first HTTP/2 connection in Envoy
FAIRLEAD_STAT_SET(ListenerStat, kListenerStats, FAIRLEAD_LISTENER_STATS);  // listener.<address>.
FAIRLEAD_STAT_SET(ListenerHttpStat, kListenerHttpStats, FAIRLEAD_LISTENER_HTTP_STATS);  // listener.<address>.http.<stat_prefix>.
FAIRLEAD_STAT_SET(TlsStat, kTlsStats, FAIRLEAD_TLS_STATS);  // listener.<address>. and cluster.<name>., where there is TLS
FAIRLEAD_STAT_SET(ClusterManagerStat, kClusterManagerStats, FAIRLEAD_CLUSTER_MANAGER_STATS);  // cluster_manager.
FAIRLEAD_STAT_SET(ListenerManagerStat, kListenerManagerStats, FAIRLEAD_LISTENER_MANAGER_STATS);  // listener_manager.
FAIRLEAD_STAT_SET(ServerStat, kServerStats, FAIRLEAD_SERVER_STATS);  // server.

#undef FAIRLEAD_STAT_SET

}  // namespace fairlead::stats
