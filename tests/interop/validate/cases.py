"""The configurations that run.py gives to Envoy and to fairlead-proxy, as a table.

Each case is a name and a bootstrap: a value, written as JSON, or a text, written as YAML. A case changes one thing in a
small configuration that both accept; its name says what. Whether it is to be accepted is not written here: Envoy says so.
"""
import hashlib
import json

CASES = {}
TYPE = "type.googleapis.com/envoy."
HCM = TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "envoy.filters.http.router",
          "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}}
MISSING = object()  # as a value: leaves the field out


def without_missing(value):
    if isinstance(value, dict):
        return {key: without_missing(inner) for key, inner in value.items() if inner is not MISSING}
    return [without_missing(inner) for inner in value] if isinstance(value, list) else value


def case(name, bootstrap):
    assert name not in CASES, name
    CASES[name] = without_missing(bootstrap)


def change(base, changes):
    return {**base, **changes}


def address(port=8080, host="127.0.0.1", **changes):
    return {"socket_address": change({"address": host, "port_value": port}, changes)}


def endpoint(port=8080, host="127.0.0.1", **changes):
    return change({"endpoint": {"address": address(port, host)}}, changes)


def assignment(*endpoints, name="a", **changes):
    return change({"cluster_name": name, "endpoints": [{"lb_endpoints": list(endpoints) or [endpoint()]}]}, changes)


def cluster(name="a", **changes):
    return change({"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment(name=name)}, changes)


NODE = {"id": "n", "cluster": "c"}


def bootstrap(**changes):
    return change({"node": NODE, "static_resources": {"clusters": [cluster()]}}, changes)


def clusters(*items):
    return bootstrap(static_resources={"clusters": list(items)})


def listener(*filters, **changes):
    base = {"name": "l", "address": address(0), "filter_chains": [{"filters": list(filters)}]}
    return change(base, changes)


def listeners(*items):
    return bootstrap(static_resources={"listeners": list(items), "clusters": [cluster()]})


def hcm_filter(**changes):
    config = {"@type": HCM, "stat_prefix": "h", "route_config": route_table(), "http_filters": [ROUTER]}
    return {"name": "hcm", "typed_config": change(config, changes)}


def hcm(**changes):
    return listeners(listener(hcm_filter(**changes)))


def host(*routes, **changes):
    return change({"name": "v", "domains": ["*"], "routes": list(routes) or [route()]}, changes)


def route_table(*hosts, **changes):
    return change({"name": "r", "virtual_hosts": list(hosts) or [host()]}, changes)


def route(match=None, action=None, **changes):
    return change({"match": match or {"prefix": "/"}, "route": action or {"cluster": "a"}}, changes)


def routes(*items, **table):
    return hcm(route_config=route_table(host(*items), **table))


def action(**changes):
    return routes(route(action=change({"cluster": "a"}, changes)))


def match(**changes):
    return routes(route(match=change({"prefix": "/"}, changes)))


def virtual_host(**changes):
    return hcm(route_config=route_table(host(**changes)))


def tcp(**changes):
    return listeners(listener({"name": "tcp", "typed_config": change(
        {"@type": TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "a"}, changes)}))


def table(group, make, rows):
    """Cases `group/name`, each make(**changes)."""
    for name, changes in rows.items():
        case(f"{group}/{name}", make(**changes))


def field_table(group, make, rows):
    """Cases `group/field=value` for each listed value of one field; a value may be any JSON."""
    for field, values in rows.items():
        for value in values:
            shown = "missing" if value is MISSING else json.dumps(without_missing(value), separators=(",", ":"))
            if len(shown) > 70:
                shown = f"{shown[:60]}…{hashlib.sha256(shown.encode()).hexdigest()[:6]}"
            case(f"{group}/{field}={shown}", make(**{field: value}))


# --- bootstrap --------------------------------------------------------------------------------------------------

case("bootstrap/empty", {})
case("bootstrap/clusters", bootstrap())
table("bootstrap", bootstrap, {
    "unknown-field": {"static_resourcez": {}},
    "wrong-type": {"static_resources": []},
    "node": {"node": {"id": "n", "cluster": "c", "locality": {"region": "r", "zone": "z"}, "metadata": {"a": {"b": [1, None]}}}},
    "node-id-number": {"node": {"id": 5}},
    "admin": {"admin": {"address": address(0)}},
    "admin-empty": {"admin": {}},
    "admin-address-path": {"admin": {"address": address(0), "access_log": [
        {"name": "f", "typed_config": {"@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}}]}},
    "admin-port-negative": {"admin": {"address": address(-1)}},
    "admin-port-65536": {"admin": {"address": address(65536)}},
    "admin-address-name": {"admin": {"address": address(0, "localhost")}},
    "admin-address-empty": {"admin": {"address": address(0, "")}},
    "flush-0.5ms": {"stats_flush_interval": "0.0005s"},
    "flush-1ms": {"stats_flush_interval": "0.001s"},
    "flush-5m": {"stats_flush_interval": "300s"},
    "flush-6m": {"stats_flush_interval": "360s"},
    "flush-text": {"stats_flush_interval": "soon"},
    "flush-number": {"stats_flush_interval": 5},
    "flush-on-admin": {"stats_flush_on_admin": True},
    "flush-on-admin-false": {"stats_flush_on_admin": False},
    "stats-tags": {"stats_config": {"stats_tags": [{"tag_name": "t", "regex": "^a((.*))"}]}},
    "stats-tags-fixed": {"stats_config": {"stats_tags": [{"tag_name": "t", "fixed_value": "v"}]}},
    "stats-tags-bad-regex": {"stats_config": {"stats_tags": [{"tag_name": "t", "regex": "("}]}},
    "stats-matcher-reject-all": {"stats_config": {"stats_matcher": {"reject_all": True}}},
    "stats-matcher-empty": {"stats_config": {"stats_matcher": {}}},
    "stats-matcher-list": {"stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "cluster"}]}}}},
    "stats-matcher-empty-list": {"stats_config": {"stats_matcher": {"inclusion_list": {"patterns": []}}}},
    "histogram-buckets": {"stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "a"}, "buckets": [1, 2]}]}},
    "histogram-buckets-zero": {"stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "a"}, "buckets": [0]}]}},
    "histogram-buckets-repeated": {"stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "a"}, "buckets": [1, 1]}]}},
    "unknown-sink": {"stats_sinks": [{"name": "nobody", "typed_config": {"@type": "type.googleapis.com/acme.Sink"}}]},
    "runtime-static": {"layered_runtime": {"layers": [{"name": "s", "static_layer": {"a": 1}}]}},
    "runtime-admin": {"layered_runtime": {"layers": [{"name": "a", "admin_layer": {}}]}},
    "runtime-two-admin": {"layered_runtime": {"layers": [{"name": "a", "admin_layer": {}}, {"name": "b", "admin_layer": {}}]}},
    "runtime-same-name": {"layered_runtime": {"layers": [{"name": "a", "admin_layer": {}}, {"name": "a", "static_layer": {}}]}},
    "runtime-no-name": {"layered_runtime": {"layers": [{"static_layer": {}}]}},
    "runtime-no-kind": {"layered_runtime": {"layers": [{"name": "a"}]}},
    "watchdog": {"watchdogs": {"main_thread_watchdog": {"miss_timeout": "1s"}}},
    "watchdog-percent-101": {"watchdogs": {"worker_watchdog": {"multikill_threshold": {"value": 101}}}},
    "cluster-manager-local": {"cluster_manager": {"local_cluster_name": "a"}},
    "cluster-manager-local-unknown": {"cluster_manager": {"local_cluster_name": "b"}},
    "header-prefix": {"header_prefix": "x-fair"},
    "default-regex-engine-unknown": {"default_regex_engine": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.Regex"}}},
    "inline-header": {"inline_headers": [{"inline_header_name": "x-a", "inline_header_type": "REQUEST_HEADER"}]},
    "inline-header-empty": {"inline_headers": [{"inline_header_name": ""}]},
    "overload": {"overload_manager": {"refresh_interval": "1s"}},
    "overload-unknown-action": {"overload_manager": {"actions": [{"name": "acme.actions.fly", "triggers": [
        {"name": "r", "threshold": {"value": 0.5}}]}]}},
    "overload-no-triggers": {"overload_manager": {"actions": [{"name": "envoy.overload_actions.shrink_heap", "triggers": []}]}},
    "flags-path": {"flags_path": "/nonexistent"},
})
ADS = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "a"}}]}
H2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
DYNAMIC = {"node": NODE, "static_resources": {"clusters": [cluster(typed_extension_protocol_options=H2)]}}


def dynamic(**changes):
    return change(DYNAMIC, {"dynamic_resources": changes})


table("dynamic", dynamic, {
    "ads": {"ads_config": ADS, "cds_config": {"ads": {}, "resource_api_version": "V3"}, "lds_config": {"ads": {}, "resource_api_version": "V3"}},
    "ads-without-config": {"cds_config": {"ads": {}, "resource_api_version": "V3"}},
    "api-type-delta": {"ads_config": change(ADS, {"api_type": "DELTA_GRPC"})},
    "api-type-missing": {"ads_config": change(ADS, {"api_type": MISSING})},
    "api-type-rest-ads": {"ads_config": change(ADS, {"api_type": "REST"})},
    "transport-v2": {"ads_config": change(ADS, {"transport_api_version": "V2"})},
    "transport-auto": {"ads_config": change(ADS, {"transport_api_version": MISSING})},
    "unknown-cluster": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "b"}}]})},
    "no-grpc-services": {"ads_config": change(ADS, {"grpc_services": MISSING})},
    "empty-grpc-service": {"ads_config": change(ADS, {"grpc_services": [{}]})},
    "empty-cluster-name": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": ""}}]})},
    "cds-grpc": {"cds_config": {"api_config_source": ADS, "resource_api_version": "V3"}},
    "cds-resource-version-auto": {"cds_config": {"api_config_source": ADS}},
    "cds-empty": {"cds_config": {}},
    "cds-path-missing-file": {"cds_config": {"path_config_source": {"path": "/nonexistent/cds.yaml"}, "resource_api_version": "V3"}},
    "cds-path-empty": {"cds_config": {"path_config_source": {"path": ""}, "resource_api_version": "V3"}},
    "lds-fetch-timeout-negative": {"lds_config": {"api_config_source": ADS, "initial_fetch_timeout": "-1s", "resource_api_version": "V3"}},
    "refresh-delay-zero": {"ads_config": change(ADS, {"refresh_delay": "0s"})},
    "request-timeout-zero": {"ads_config": change(ADS, {"request_timeout": "0s"})},
    "rate-limit": {"ads_config": change(ADS, {"rate_limit_settings": {"max_tokens": 5, "fill_rate": 1.5}})},
    "rate-limit-zero-fill": {"ads_config": change(ADS, {"rate_limit_settings": {"fill_rate": 0}})},
})
case("dynamic/no-node", change(dynamic(ads_config=ADS), {"node": MISSING}))
case("dynamic/node-without-cluster", change(dynamic(ads_config=ADS), {"node": {"id": "n"}}))

SECRET = {"name": "s", "generic_secret": {"secret": {"inline_string": "x"}}}


def secrets(*items):
    return bootstrap(static_resources={"clusters": [cluster()], "secrets": list(items)})


case("secret/generic", secrets(SECRET))
case("secret/same-name-twice", secrets(SECRET, SECRET))
case("secret/no-type", secrets({"name": "s"}))
case("secret/no-name", secrets(change(SECRET, {"name": MISSING})))
case("secret/tls-missing-file", secrets({"name": "s", "tls_certificate": {
    "certificate_chain": {"filename": "/nonexistent.pem"}, "private_key": {"filename": "/nonexistent.key"}}}))
case("secret/ticket-keys", secrets({"name": "s", "session_ticket_keys": {"keys": [{"inline_bytes": "QUJD"}]}}))
case("secret/ticket-keys-none", secrets({"name": "s", "session_ticket_keys": {"keys": []}}))
case("secret/validation-context", secrets({"name": "s", "validation_context": {}}))

# --- clusters ---------------------------------------------------------------------------------------------------


def one_cluster(**changes):
    return clusters(cluster(**changes))


field_table("cluster", one_cluster, {
    "name": ["", "x" * 300, "ä", MISSING, 5],
    "alt_stat_name": ["b"],
    "connect_timeout": [MISSING, "0s", "-1s", "0.000000001s", "1000000000s", "1", 1, "1ms"],
    "type": ["STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST", "NOPE", 0, 1, 99, MISSING],
    "lb_policy": ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV", "CLUSTER_PROVIDED", "NOPE", 1, 4, 99,
                  "LOAD_BALANCING_POLICY_CONFIG"],
    "dns_lookup_family": ["V4_ONLY", "V6_ONLY", "ALL", "V5", 9],
    "load_assignment": [MISSING, {}, {"cluster_name": ""}, {"cluster_name": "a"}, assignment(name="other")],
    "per_connection_buffer_limit_bytes": [0, 1, 32768, -1, 4294967296, "7"],
    "dns_refresh_rate": ["0s", "0.001s", "0.002s", "5s"],
    "dns_failure_refresh_rate": [{"base_interval": "1s"}, {}, {"base_interval": "1s", "max_interval": "0.5s"}, {"base_interval": "0s"}],
    "cleanup_interval": ["0s", "1s"],
    "circuit_breakers": [{}, {"thresholds": [{"max_connections": 0}]}, {"thresholds": [{"priority": "HIGH", "max_retries": 3}]},
                         {"thresholds": [{"priority": 7}]}, {"thresholds": [{"retry_budget": {"budget_percent": {"value": 101}}}]},
                         {"thresholds": [{"max_connections": -1}]}, {"thresholds": [{"track_remaining": True}]}],
    "outlier_detection": [{}, {"consecutive_5xx": 0}, {"interval": "0s"}, {"interval": "0.001s"}, {"base_ejection_time": "-1s"},
                          {"max_ejection_percent": 100}, {"max_ejection_percent": 101}, {"enforcing_success_rate": 101},
                          {"failure_percentage_threshold": 101}, {"success_rate_stdev_factor": 1900}],
    "common_lb_config": [{}, {"healthy_panic_threshold": {"value": 100}}, {"healthy_panic_threshold": {"value": 100.5}},
                         {"zone_aware_lb_config": {}}, {"locality_weighted_lb_config": {}}, {"update_merge_window": "-1s"},
                         {"consistent_hashing_lb_config": {"hash_balance_factor": 99}},
                         {"consistent_hashing_lb_config": {"hash_balance_factor": 100}},
                         {"override_host_status": {"statuses": ["HEALTHY"]}}],
    "ring_hash_lb_config": [{"minimum_ring_size": 0}, {"minimum_ring_size": 8388609}, {"hash_function": "MURMUR_HASH_2"}, {"hash_function": 5}],
    "maglev_lb_config": [{"table_size": 65537}, {"table_size": 4}, {"table_size": 5000012}],
    "least_request_lb_config": [{"choice_count": 2}, {"choice_count": 1}, {"active_request_bias": {"default_value": 1.0, "runtime_key": "k"}},
                                {"active_request_bias": {"default_value": 1.0}}],
    "round_robin_lb_config": [{"slow_start_config": {"slow_start_window": "10s"}}, {"slow_start_config": {"min_weight_percent": {"value": 101}}}],
    "lb_subset_config": [{}, {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": [{"keys": ["k"]}]}, {"fallback_policy": 9},
                         {"subset_selectors": [{"fallback_policy": "KEYS_SUBSET", "keys": ["a"], "fallback_keys_subset": ["a"]}]}],
    "upstream_connection_options": [{}, {"tcp_keepalive": {"keepalive_time": 5}}],
    "upstream_bind_config": [{"source_address": {"address": "127.0.0.1", "port_value": 0}}, {"source_address": {"address": "nowhere", "port_value": 0}}, {}],
    "preconnect_policy": [{"per_upstream_preconnect_ratio": 1.5}, {"per_upstream_preconnect_ratio": 0.5}, {"predictive_preconnect_ratio": 4}],
    "transport_socket": [{"name": "raw", "typed_config": {"@type": TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer"}},
                         {"name": "nobody"}, {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.Socket"}}, {"name": ""},
                         {"name": "tls", "typed_config": {"@type": TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext"}}],
    "metadata": [{"filter_metadata": {"envoy.lb": {"a": 1}}}],
    "track_cluster_stats": [{"timeout_budgets": True}],
    "wait_for_warm_on_init": [True, "maybe"],
    "close_connections_on_host_health_failure": [True],
    "load_balancing_policy": [{}, {"policies": [{}]}, {"policies": [{"typed_extension_config": {
        "name": "x", "typed_config": {"@type": TYPE + "extensions.load_balancing_policies.round_robin.v3.RoundRobin"}}}]},
        {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.Policy"}}}]},
        {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {
            "@type": TYPE + "extensions.load_balancing_policies.least_request.v3.LeastRequest", "choice_count": 1}}}]}],
    "cluster_type": [{"name": "nobody"}, {"name": ""}],
    "respect_dns_ttl": [True],
    "nonsense": [1],
})
case("cluster/same-name-twice", clusters(cluster(), cluster()))
case("cluster/two", clusters(cluster(), cluster("b")))
case("cluster/strict-dns", one_cluster(type="STRICT_DNS", load_assignment=assignment(endpoint(80, "localhost"))))
case("cluster/static-with-name", one_cluster(load_assignment=assignment(endpoint(80, "localhost"))))
case("cluster/logical-dns-one", one_cluster(type="LOGICAL_DNS", load_assignment=assignment(endpoint(80, "localhost"))))
case("cluster/logical-dns-two-endpoints", one_cluster(type="LOGICAL_DNS", load_assignment=assignment(endpoint(80, "localhost"), endpoint(81, "localhost"))))
EDS = {"type": "EDS", "load_assignment": MISSING}
case("cluster/eds-without-config", one_cluster(**EDS, eds_cluster_config={}))
case("cluster/eds-from-file", one_cluster(**EDS, eds_cluster_config={"eds_config": {
    "path_config_source": {"path": "/dev/null"}, "resource_api_version": "V3"}}))
case("cluster/eds-ads-without-ads", one_cluster(**EDS, eds_cluster_config={"eds_config": {"ads": {}, "resource_api_version": "V3"}}))
case("cluster/eds-with-load-assignment", one_cluster(type="EDS", eds_cluster_config={"eds_config": {
    "path_config_source": {"path": "/dev/null"}, "resource_api_version": "V3"}}))
case("cluster/original-dst", one_cluster(type="ORIGINAL_DST", lb_policy="CLUSTER_PROVIDED", load_assignment=MISSING))
case("cluster/original-dst-wrong-lb", one_cluster(type="ORIGINAL_DST", load_assignment=MISSING))
case("cluster/ring-hash-min-over-max", one_cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 100, "maximum_ring_size": 10}))
LB = "type.googleapis.com/envoy.extensions.load_balancing_policies."
UNKNOWN_POLICY = {"typed_extension_config": {"name": "unknown", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {}}}}


def policies(*messages):
    return {"policies": [{"typed_extension_config": {"name": m["@type"].split(".")[0], "typed_config": {**m, "@type": LB + m["@type"]}}} if m else UNKNOWN_POLICY for m in messages]}


for name, fields in {
        "maglev-prime": {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 211}},
        "maglev-not-prime": {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 4}},
        "hostname-of-static": {"lb_policy": "MAGLEV", "common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}},
        "hostname-of-static-unused": {"common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}},
        "policy-config-missing": {"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"},
        "policy-list": {"load_balancing_policy": policies({"@type": "maglev.v3.Maglev", "table_size": 13, "consistent_hashing_lb_config": {"use_hostname_for_hashing": True}})},
        "policy-list-not-prime": {"load_balancing_policy": policies({"@type": "maglev.v3.Maglev", "table_size": 12})},
        "policy-list-ring": {"load_balancing_policy": policies({"@type": "ring_hash.v3.RingHash", "minimum_ring_size": 9, "maximum_ring_size": 8})},
        "policy-list-second": {"load_balancing_policy": policies(None, {"@type": "random.v3.Random"})},
        "policy-list-none": {"load_balancing_policy": policies(None)},
        "policy-list-empty": {"load_balancing_policy": {}},
        "policy-list-and-zones": {"load_balancing_policy": policies({"@type": "random.v3.Random"}), "common_lb_config": {"zone_aware_lb_config": {}}},
        "policy-list-and-panic": {"load_balancing_policy": policies({"@type": "random.v3.Random"}), "common_lb_config": {"healthy_panic_threshold": {"value": 10}}},
        "slow-start": {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"slow_start_config": {"slow_start_window": "10s", "aggression": {"default_value": 2, "runtime_key": "k"}}}},
        "slow-start-no-window": {"round_robin_lb_config": {"slow_start_config": {}}}}.items():
    case(f"cluster/lb-{name}", one_cluster(**fields))
case("cluster/subset-with-maglev", one_cluster(lb_policy="MAGLEV", lb_subset_config={"fallback_policy": "ANY_ENDPOINT", "subset_selectors": [{"keys": ["k"]}]}))


def protocol_options(**changes):
    return one_cluster(typed_extension_protocol_options={"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": change(
        {"@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions"}, changes)})


table("cluster-protocol", protocol_options, {
    "none": {},
    "http1": {"explicit_http_config": {"http_protocol_options": {}}},
    "http2": {"explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}}},
    "http2-streams-0": {"explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 0}}},
    "http2-window-small": {"explicit_http_config": {"http2_protocol_options": {"initial_stream_window_size": 65534}}},
    "http2-window-large": {"explicit_http_config": {"http2_protocol_options": {"initial_connection_window_size": 2147483648}}},
    "http2-keepalive": {"explicit_http_config": {"http2_protocol_options": {"connection_keepalive": {"interval": "1s", "timeout": "1s"}}}},
    "http2-keepalive-no-timeout": {"explicit_http_config": {"http2_protocol_options": {"connection_keepalive": {"interval": "1s"}}}},
    "empty-explicit": {"explicit_http_config": {}},
    "use-downstream": {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
    "auto-without-tls": {"auto_config": {}},
    "max-requests-0": {"common_http_protocol_options": {"max_requests_per_connection": 0}, "explicit_http_config": {"http_protocol_options": {}}},
    "idle-timeout": {"common_http_protocol_options": {"idle_timeout": "30s"}, "explicit_http_config": {"http_protocol_options": {}}},
    "headers-action": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}, "explicit_http_config": {"http_protocol_options": {}}},
    "max-headers-0": {"common_http_protocol_options": {"max_headers_count": 0}, "explicit_http_config": {"http_protocol_options": {}}},
})
case("cluster-protocol/unknown-key", one_cluster(typed_extension_protocol_options={"acme": {"@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions"}}))

HTTP_CHECK = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 2, "healthy_threshold": 2, "http_health_check": {"path": "/"}}


def health_check(**changes):
    return one_cluster(health_checks=[change(HTTP_CHECK, changes)])


field_table("health-check", health_check, {
    "timeout": [MISSING, "0s", "2s"],
    "interval": [MISSING, "0s"],
    "unhealthy_threshold": [MISSING, 0],
    "healthy_threshold": [MISSING],
    "http_health_check": [MISSING, {}, {"path": ""}, {"path": "/x", "host": "h"}, {"path": "/", "expected_statuses": [{"start": 200, "end": 300}]},
                          {"path": "/", "expected_statuses": [{"start": 300, "end": 200}]}, {"path": "/", "expected_statuses": [{"start": 0, "end": 200}]},
                          {"path": "/", "method": "CONNECT"}, {"path": "/", "method": "HEAD"}, {"path": "/", "codec_client_type": "HTTP2"},
                          {"path": "/", "request_headers_to_add": [{"header": {"key": "a", "value": "b\n"}}]}, {"path": "/\n"}],
    "interval_jitter_percent": [200],
    "no_traffic_interval": ["0s", "5s"],
    "event_log_path": ["/dev/null"],
    "initial_jitter": ["1s"],
})
table("health-check", health_check, {
    "tcp": {"http_health_check": MISSING, "tcp_health_check": {"send": {"text": "00ff"}, "receive": [{"text": "00"}]}},
    "tcp-bad-hex": {"http_health_check": MISSING, "tcp_health_check": {"send": {"text": "zz"}}},
    "tcp-empty-text": {"http_health_check": MISSING, "tcp_health_check": {"send": {"text": ""}}},
    "grpc-without-http2": {"http_health_check": MISSING, "grpc_health_check": {}},
    "custom-unknown": {"http_health_check": MISSING, "custom_health_check": {"name": "nobody"}},
})

# --- endpoints --------------------------------------------------------------------------------------------------


def localities(*items):
    return one_cluster(load_assignment={"cluster_name": "a", "endpoints": list(items)})


def one_endpoint(**changes):
    return one_cluster(load_assignment=assignment(endpoint(**changes)))


field_table("endpoint", one_endpoint, {
    "port": [0, 65535, 65536, -1, "80", 1.5],
    "host": ["::1", "", "10.0.0.256", "10.0.0.1/8", "name.example", "0.0.0.0"],
    "load_balancing_weight": [0, 1, 4294967295],
    "health_status": ["HEALTHY", "DRAINING", "FINE", 42],
    "endpoint": [{}, MISSING, {"address": {}}, {"address": {"pipe": {"path": "/tmp/x.sock"}}}, {"address": {"pipe": {"path": ""}}},
                 {"address": {"pipe": {"path": "x" * 200}}}, {"address": address(), "hostname": "h"},
                 {"address": {"pipe": {"path": "/tmp/x.sock"}, "socket_address": {"address": "1.2.3.4", "port_value": 1}}},
                 {"address": address(port_value=MISSING)}, {"address": address(protocol="UDP")}, {"address": address(protocol=3)},
                 {"address": address(named_port="http", port_value=MISSING)}, {"address": {"envoy_internal_address": {"server_listener_name": "x"}}},
                 {"address": address(), "health_check_config": {"port_value": 65536}}, {"address": address(), "additional_addresses": [{"address": address(81)}]}],
    "metadata": [{"filter_metadata": {"envoy.lb": {"canary": True}}}],
})
LOCALITY = {"lb_endpoints": [endpoint()]}
case("locality/priorities", localities(LOCALITY, dict(LOCALITY, priority=1)))
case("locality/priority-gap", localities(LOCALITY, dict(LOCALITY, priority=2)))
case("locality/priority-128", localities(*[dict(LOCALITY, priority=p) for p in range(129)]))
case("locality/priority-129", localities(dict(LOCALITY, priority=129)))
case("locality/weight", localities(dict(LOCALITY, load_balancing_weight=5, locality={"zone": "z"})))
case("locality/weight-0", localities(dict(LOCALITY, load_balancing_weight=0)))
case("locality/empty", localities({}))
case("locality/same-twice", localities(dict(LOCALITY, locality={"zone": "z"}), dict(LOCALITY, locality={"zone": "z"})))
case("locality/weights-overflow", localities(*[{"lb_endpoints": [dict(endpoint(), load_balancing_weight=4294967295)] * 2}]))
for name, policy in {"overprovisioning-0": {"overprovisioning_factor": 0}, "overprovisioning-140": {"overprovisioning_factor": 140},
                     "stale-negative": {"endpoint_stale_after": "-1s"}, "drop": {"drop_overloads": [{"category": "c", "drop_percentage": {"numerator": 5}}]},
                     "drop-no-category": {"drop_overloads": [{"drop_percentage": {"numerator": 5}}]},
                     "drop-twice": {"drop_overloads": [{"category": "c"}, {"category": "d"}]},
                     "drop-denominator": {"drop_overloads": [{"category": "c", "drop_percentage": {"numerator": 5, "denominator": 9}}]}}.items():
    case(f"assignment/{name}", one_cluster(load_assignment=assignment(policy=policy)))
case("assignment/named-endpoints", one_cluster(load_assignment=assignment({"endpoint_name": "e"}, named_endpoints={"e": {"address": address()}})))

# --- listeners --------------------------------------------------------------------------------------------------


def one_listener(**changes):
    return listeners(listener(hcm_filter(), **changes))


DIRECT = {"name": "d", "typed_config": {"@type": TYPE + "extensions.filters.network.direct_response.v3.Config", "response": {"inline_string": "x"}}}
ECHO = {"name": "e", "typed_config": {"@type": TYPE + "extensions.filters.network.echo.v3.Echo"}}
TLS_INSPECTOR = {"name": "t", "typed_config": {"@type": TYPE + "extensions.filters.listener.tls_inspector.v3.TlsInspector"}}
field_table("listener", one_listener, {
    "name": ["", MISSING],
    "address": [MISSING, {}, address(0, "::1"), address(0, "localhost"), address(65536), {"pipe": {"path": "@x"}}, address(0, "127.0.0.1", ipv4_compat=True)],
    "filter_chains": [MISSING, []],
    "per_connection_buffer_limit_bytes": [0, 1024],
    "listener_filters_timeout": ["0s", "-1s"],
    "tcp_backlog_size": [128],
    "enable_reuse_port": [False, True],
    "bind_to_port": [False],
    "traffic_direction": ["INBOUND", "SIDEWAYS", 9],
    "drain_type": ["MODIFY_ONLY", 5],
    "connection_balance_config": [{}, {"exact_balance": {}}],
    "stat_prefix": ["x"],
    "listener_filters": [[TLS_INSPECTOR], [{"name": "nobody", "typed_config": {"@type": "type.googleapis.com/acme.Filter"}}], [{"name": "t"}], [{}],
                         [dict(TLS_INSPECTOR, name="")]],
    "socket_options": [[{"level": 6, "name": 1, "int_value": 1, "state": "STATE_PREBIND"}], [{"level": 6, "name": 1}], [{"level": 6, "name": 1, "int_value": 1, "state": 7}]],
    "access_log": [[{"name": "x"}]],
    "max_connections_to_accept_per_socket_event": [0, 1],
    "additional_addresses": [[{"address": address(0)}], [{}]],
    "transparent": [True],
    "freebind": [True],
    "default_filter_chain": [{"filters": [DIRECT]}, {}],
    "metadata": [{"filter_metadata": {"x": {}}}],
})
case("listener/no-filters", listeners(listener()))
case("listener/two-same-name", listeners(listener(ECHO), listener(ECHO)))
case("listener/two-same-address", listeners(listener(ECHO, name="a", address=address(18)), listener(ECHO, name="b", address=address(18))))
case("listener/echo", listeners(listener(ECHO)))
case("listener/direct-response", listeners(listener(DIRECT)))
case("listener/filter-after-terminal", listeners(listener(ECHO, hcm_filter())))
case("listener/not-terminal", listeners(listener({"name": "c", "typed_config": {
    "@type": TYPE + "extensions.filters.network.connection_limit.v3.ConnectionLimit", "stat_prefix": "c", "max_connections": 5}})))
case("listener/connection-limit-0", listeners(listener({"name": "c", "typed_config": {
    "@type": TYPE + "extensions.filters.network.connection_limit.v3.ConnectionLimit", "stat_prefix": "c", "max_connections": 0}}, ECHO)))
case("listener/filter-without-config", listeners(listener({"name": "envoy.filters.network.echo"})))
case("listener/filter-unknown-name", listeners(listener({"name": "nobody"})))
case("listener/filter-unknown-type", listeners(listener({"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.Filter"}})))
case("listener/filter-type-of-http-filter", listeners(listener(ROUTER)))
case("listener/filter-unknown-field", listeners(listener({"name": "e", "typed_config": {"@type": TYPE + "extensions.filters.network.echo.v3.Echo", "loud": 1}})))
case("listener/filter-type-url-without-host", listeners(listener({"name": "e", "typed_config": {"@type": "envoy.extensions.filters.network.echo.v3.Echo"}})))


def chain_matches(*matches):
    return listeners(listener(filter_chains=[{"filters": [ECHO], "filter_chain_match": m} if m is not None else {"filters": [ECHO]} for m in matches]))


for name, matches in {
        "empty": [{}], "two-empty": [None, None], "port": [{"destination_port": 80}], "port-0": [{"destination_port": 0}], "port-65536": [{"destination_port": 65536}],
        "prefix": [{"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}], "prefix-33": [{"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 33}]}],
        "prefix-129": [{"prefix_ranges": [{"address_prefix": "::", "prefix_len": 129}]}], "prefix-name": [{"prefix_ranges": [{"address_prefix": "host", "prefix_len": 8}]}],
        "server-names": [{"server_names": ["a.example", "*.b.example"]}], "server-names-partial": [{"server_names": ["a*.example"]}],
        "source-type": [{"source_type": "EXTERNAL"}], "source-type-9": [{"source_type": 9}], "source-ports": [{"source_ports": [1, 2]}],
        "source-ports-0": [{"source_ports": [0]}], "same-twice": [{"destination_port": 80}, {"destination_port": 80}], "transport": [{"transport_protocol": "tls"}],
        "alpn": [{"application_protocols": ["h2"]}], "address-suffix": [{"address_suffix": "10.0.0.0"}]}.items():
    case(f"filter-chain-match/{name}", chain_matches(*matches))
DOWNSTREAM = TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext"
for name, context in {"no-certificates": {}, "missing-file": {"common_tls_context": {"tls_certificates": [
        {"certificate_chain": {"filename": "/nonexistent.pem"}, "private_key": {"filename": "/nonexistent.key"}}]}},
        "bad-pem": {"common_tls_context": {"tls_certificates": [{"certificate_chain": {"inline_string": "x"}, "private_key": {"inline_string": "y"}}]}},
        "sds-unknown-source": {"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "s"}]}},
        "versions": {"common_tls_context": {"tls_params": {"tls_minimum_protocol_version": 9}}}}.items():
    case(f"downstream-tls/{name}", listeners(listener(filter_chains=[{"filters": [ECHO], "transport_socket": {
        "name": "tls", "typed_config": dict({"@type": DOWNSTREAM}, **context)}}])))
field_table("tcp-proxy", tcp, {
    "stat_prefix": ["", MISSING],
    "cluster": [MISSING, "", "unknown"],
    "idle_timeout": ["0s", "-1s", "5s"],
    "max_connect_attempts": [0, 1],
    "max_downstream_connection_duration": ["0s", "0.001s"],
    "hash_policy": [[{"source_ip": {}}], [{}], [{"source_ip": {}}, {"source_ip": {}}]],
    "nonsense": [0],
})
for name, weighted in {"one": [{"name": "a", "weight": 1}], "none": [], "weight-0": [{"name": "a", "weight": 0}], "no-name": [{"weight": 1}]}.items():
    case(f"tcp-proxy/weighted-{name}", tcp(cluster=MISSING, weighted_clusters={"clusters": weighted}))

# --- HTTP connection manager --------------------------------------------------------------------------------------

CORS = {"name": "cors", "typed_config": {"@type": TYPE + "extensions.filters.http.cors.v3.Cors"}}
field_table("hcm", hcm, {
    "stat_prefix": ["", MISSING, "a b"],
    "codec_type": ["AUTO", "HTTP1", "HTTP2", "HTTP9", 7],
    "route_config": [MISSING, {}, {"virtual_hosts": []}],
    "http_filters": [MISSING, [], [CORS], [CORS, ROUTER], [ROUTER, CORS], [ROUTER, ROUTER], [{"name": "nobody"}, ROUTER], [{"name": ""}, ROUTER],
                     [{"name": "envoy.filters.http.router"}], [dict(ROUTER, disabled=True)], [dict(CORS, disabled=True), ROUTER],
                     [dict(CORS, is_optional=True), ROUTER],
                     [{"name": "x", "is_optional": True, "typed_config": {"@type": "type.googleapis.com/acme.F"}}, ROUTER],
                     [{"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.F"}}, ROUTER], [CORS, CORS, ROUTER]],
    "server_name": ["x", "a\n"],
    "server_header_transformation": ["PASS_THROUGH", 9],
    "stream_idle_timeout": ["0s", "-1s", "5s"],
    "request_timeout": ["0s", "5s", "forever"],
    "request_headers_timeout": ["0s", "-1s"],
    "drain_timeout": ["0s"],
    "delayed_close_timeout": ["0s"],
    "max_request_headers_kb": [0, 1, 8192, 8193],
    "common_http_protocol_options": [{}, {"idle_timeout": "0s"}, {"max_headers_count": 0}, {"max_headers_count": 1}, {"max_connection_duration": "1s"},
                                     {"max_stream_duration": "-1s"}, {"headers_with_underscores_action": "DROP_HEADER"},
                                     {"headers_with_underscores_action": 9}, {"max_requests_per_connection": 5}],
    "http_protocol_options": [{}, {"accept_http_10": True}, {"header_key_format": {"proper_case_words": {}}}, {"header_key_format": {}}, {"default_host_for_http_10": "h"}],
    "http2_protocol_options": [{}, {"hpack_table_size": 0}, {"max_concurrent_streams": 0}, {"max_concurrent_streams": 2147483648}, {"initial_stream_window_size": 65535},
                               {"initial_stream_window_size": 1}, {"max_outbound_frames": 0}, {"custom_settings_parameters": [{"identifier": 4, "value": 1}]},
                               {"max_inbound_window_update_frames_per_data_frame_sent": 0}],
    "use_remote_address": [True],
    "xff_num_trusted_hops": [3],
    "path_with_escaped_slashes_action": ["REJECT_REQUEST", 9],
    "normalize_path": [True],
    "merge_slashes": [True],
    "upgrade_configs": [[{"upgrade_type": "websocket"}], [{"upgrade_type": "websocket"}, {"upgrade_type": "WebSocket"}], [{}],
                        [{"upgrade_type": "websocket", "filters": [ROUTER]}], [{"upgrade_type": "websocket", "filters": [CORS]}]],
    "tracing": [{}, {"client_sampling": {"value": 101}}, {"random_sampling": {"value": 50}}, {"max_path_tag_length": 5}],
    "forward_client_cert_details": ["SANITIZE", 9],
    "internal_address_config": [{}, {"unix_sockets": True}, {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]},
                                {"cidr_ranges": [{"address_prefix": "x"}]}],
    "strip_matching_host_port": [True],
    "strip_trailing_host_dot": [True],
    "scheme_header_transformation": [{"scheme_to_overwrite": "https"}, {"scheme_to_overwrite": "ftp"}],
    "preserve_external_request_id": [True],
    "generate_request_id": [False],
    "via": ["x", "a\r"],
    "skip_xff_append": [True],
    "original_ip_detection_extensions": [[{"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.IP"}}]],
    "rds": [{"config_source": {"path_config_source": {"path": "/dev/null"}, "resource_api_version": "V3"}, "route_config_name": "r"}],
    "nonsense": [True],
})


def detection(kind, **fields):
    message = {"xff": "XffConfig", "custom_header": "CustomHeaderConfig"}[kind]
    return {"name": "e", "typed_config": {"@type": f"{TYPE}extensions.http.original_ip_detection.{kind}.v3.{message}", **fields}}


for name, (extension, more) in {
        "header": (detection("custom_header", header_name="X-Real", reject_with_status={"code": "Unauthorized"}), {}), "no-header": (detection("custom_header"), {}),
        "bad-header": (detection("custom_header", header_name="a b"), {}), "no-status": (detection("custom_header", header_name="a", reject_with_status={}), {}),
        "odd-status": (detection("custom_header", header_name="a", reject_with_status={"code": 999}), {}), "low-status": (detection("custom_header", header_name="a", reject_with_status={"code": "OK"}), {}),
        "xff": (detection("xff", xff_num_trusted_hops=1, skip_xff_append=False), {}), "ranges": (detection("xff", xff_trusted_cidrs={"cidrs": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}), {}),
        "hops-and-ranges": (detection("xff", xff_num_trusted_hops=1, xff_trusted_cidrs={}), {}), "with-remote-address": (detection("xff"), {"use_remote_address": True}),
        "with-hops": (detection("xff"), {"xff_num_trusted_hops": 1}), "unknown-field": (detection("xff", hops=1), {})}.items():
    case(f"ip-detection/{name}", hcm(original_ip_detection_extensions=[extension], **more))


def session(kind, message, **fields):
    return {"session_state": {"name": f"envoy.http.stateful_session.{kind}", "typed_config": {"@type": f"{TYPE}extensions.http.stateful_session.{kind}.v3.{message}", **fields}}}


COOKIE_SESSION, HEADER_SESSION = ("cookie", "CookieBasedSessionState"), ("header", "HeaderBasedSessionState")
for name, config in {
        "none": {}, "cookie": session(*COOKIE_SESSION, cookie={"name": "a", "ttl": "5s", "path": "/", "attributes": [{"name": "Secure"}]}), "no-cookie": session(*COOKIE_SESSION),
        "no-cookie-name": session(*COOKIE_SESSION, cookie={"path": "/"}), "bad-ttl": session(*COOKIE_SESSION, cookie={"name": "a", "ttl": "-1s"}), "header": session(*HEADER_SESSION, name="A"),
        "no-header-name": session(*HEADER_SESSION), "another-name": {"session_state": {**session(*HEADER_SESSION)["session_state"], "name": "mine"}}, "no-config": {"session_state": {"name": "envoy.http.stateful_session.cookie"}},
        "another-message": {"session_state": {**session(*COOKIE_SESSION, cookie={"name": "a"})["session_state"], "name": "envoy.http.stateful_session.header"}},
        "strict": {"strict": True, "status_on_strict_destination_not_found": 410, "stat_prefix": "s"}, "odd-status": {"strict": True, "status_on_strict_destination_not_found": 99}}.items():
    case(f"stateful-session/{name}", hcm(http_filters=[{"name": "s", "typed_config": {"@type": TYPE + "extensions.filters.http.stateful_session.v3.StatefulSession", **config}}, ROUTER]))
SIMPLE_CACHE = {"typed_config": {"@type": TYPE + "extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"}}
for name, config in {
        "nothing": {}, "disabled": {"disabled": True}, "enabled-without-store": {"disabled": False}, "simple": SIMPLE_CACHE, "another-store": {"typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}},
        "vary": {**SIMPLE_CACHE, "allowed_vary_headers": [{"exact": "accept"}, {"prefix": "x-"}], "max_body_bytes": 5, "ignore_request_cache_control_header": True}, "empty-vary": {**SIMPLE_CACHE, "allowed_vary_headers": [{}]},
        "key": {**SIMPLE_CACHE, "key_creator_params": {"exclude_host": True}}}.items():
    case(f"cache/{name}", hcm(http_filters=[{"name": "c", "typed_config": {"@type": TYPE + "extensions.filters.http.cache.v3.CacheConfig", **config}}, ROUTER]))
case("hcm/rds", hcm(route_config=MISSING, rds={"route_config_name": "r", "config_source": {"path_config_source": {"path": "/dev/null"}, "resource_api_version": "V3"}}))
case("hcm/rds-no-source", hcm(route_config=MISSING, rds={"route_config_name": "r"}))
case("hcm/rds-ads-without-ads", hcm(route_config=MISSING, rds={"route_config_name": "r", "config_source": {"ads": {}, "resource_api_version": "V3"}}))
case("hcm/rds-empty-name", hcm(route_config=MISSING, rds={"config_source": {"path_config_source": {"path": "/dev/null"}, "resource_api_version": "V3"}}))
case("hcm/strip-both-ports", hcm(strip_matching_host_port=True, strip_any_host_port=True))
case("hcm/timer-duration", hcm(stream_idle_timeout="0.0001s"))
FILE_LOG = TYPE + "extensions.access_loggers.file.v3.FileAccessLog"


def access_log(filter=MISSING, **changes):
    return hcm(access_log=[change({"name": "f", "typed_config": change({"@type": FILE_LOG, "path": "/dev/null"}, changes)}, {"filter": filter})])


table("access-log", access_log, {
    "plain": {}, "no-path": {"path": MISSING}, "empty-path": {"path": ""}, "unwritable-path": {"path": "/nonexistent/x.log"},
    "text": {"log_format": {"text_format_source": {"inline_string": "%REQ(:METHOD)% %RESPONSE_CODE%\n"}}},
    "text-unknown-operator": {"log_format": {"text_format_source": {"inline_string": "%NOPE%"}}},
    "text-unclosed": {"log_format": {"text_format_source": {"inline_string": "%REQ(:METHOD"}}},
    "text-length": {"log_format": {"text_format_source": {"inline_string": "%REQ(A?B):10%"}}},
    "text-length-bad": {"log_format": {"text_format_source": {"inline_string": "%REQ(A):x%"}}},
    "text-req-two-alternatives": {"log_format": {"text_format_source": {"inline_string": "%REQ(A?B?C)%"}}},
    "text-percent": {"log_format": {"text_format_source": {"inline_string": "100%%"}}},
    "text-lone-percent": {"log_format": {"text_format_source": {"inline_string": "100% sure"}}},
    "text-start-time": {"log_format": {"text_format_source": {"inline_string": "%START_TIME(%Y/%m/%d)%"}}},
    "text-bytes": {"log_format": {"text_format_source": {"inline_string": "%BYTES_RECEIVED% %DURATION% %UPSTREAM_HOST% %RESPONSE_FLAGS%"}}},
    "text-no-arguments-allowed": {"log_format": {"text_format_source": {"inline_string": "%BYTES_RECEIVED(x)%"}}},
    "text-arguments-missing": {"log_format": {"text_format_source": {"inline_string": "%REQ%"}}},
    "text-metadata": {"log_format": {"text_format_source": {"inline_string": "%DYNAMIC_METADATA(a:b)%"}}},
    "text-empty": {"log_format": {"text_format_source": {"inline_string": ""}}},
    "deprecated-format": {"format": "%PROTOCOL%\n"},
    "deprecated-json-format": {"json_format": {"a": "%PROTOCOL%"}},
    "json": {"log_format": {"json_format": {"a": "%PROTOCOL%", "b": {"c": 5, "d": [1, "%DURATION%"]}}}},
    "json-unknown-operator": {"log_format": {"json_format": {"a": "%NOPE%"}}},
    "json-bool": {"log_format": {"json_format": {"a": True, "n": None}}},
    "log-format-empty": {"log_format": {}},
    "filter-status": {"filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "k"}}}}},
    "filter-status-no-key": {"filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 500}}}}},
    "filter-status-no-comparison": {"filter": {"status_code_filter": {}}},
    "filter-and-one": {"filter": {"and_filter": {"filters": [{"not_health_check_filter": {}}]}}},
    "filter-and-two": {"filter": {"and_filter": {"filters": [{"not_health_check_filter": {}}, {"traceable_filter": {}}]}}},
    "filter-empty": {"filter": {}},
    "filter-flags": {"filter": {"response_flag_filter": {"flags": ["UF", "UH"]}}},
    "filter-flags-unknown": {"filter": {"response_flag_filter": {"flags": ["ZZ"]}}},
    "filter-runtime": {"filter": {"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": 5}}}},
    "filter-runtime-no-key": {"filter": {"runtime_filter": {}}},
    "filter-header": {"filter": {"header_filter": {"header": {"name": "a", "present_match": True}}}},
    "filter-header-empty": {"filter": {"header_filter": {}}},
    "filter-grpc": {"filter": {"grpc_status_filter": {"statuses": ["UNAVAILABLE"]}}},
    "filter-grpc-unknown": {"filter": {"grpc_status_filter": {"statuses": ["NOPE"]}}},
})
case("access-log/stdout", hcm(access_log=[{"name": "s", "typed_config": {"@type": TYPE + "extensions.access_loggers.stream.v3.StdoutAccessLog"}}]))
case("access-log/no-config", hcm(access_log=[{"name": "s"}]))
case("access-log/unknown", hcm(access_log=[{"name": "s", "typed_config": {"@type": "type.googleapis.com/acme.Log"}}]))


def local_reply(**changes):
    return hcm(local_reply_config=changes)


STATUS_500 = {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 500, "runtime_key": "k"}}}}
table("local-reply", local_reply, {
    "empty": {}, "body": {"body_format": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}},
    "mapper": {"mappers": [{"filter": STATUS_500, "status_code": 502, "headers_to_add": [{"header": {"key": "a", "value": "b"}}]}]},
    "mapper-no-filter": {"mappers": [{"status_code": 502}]},
    "mapper-status-199": {"mappers": [{"filter": STATUS_500, "status_code": 199}]},
    "mapper-status-600": {"mappers": [{"filter": STATUS_500, "status_code": 600}]},
    "mapper-bad-format": {"mappers": [{"filter": STATUS_500, "body_format_override": {"text_format_source": {"inline_string": "%NOPE%"}}}]},
})

# --- virtual hosts and routes -------------------------------------------------------------------------------------

field_table("virtual-host", virtual_host, {
    "name": ["", MISSING],
    "domains": [[], MISSING, [""], ["*"], ["*.example"], ["example.*"], ["*.exa*"], ["a*b"], ["a", "a"], ["a.example", "A.example"], ["*", "*"],
                ["a:80"], ["[::1]:80"], ["a\n"]],
    "routes": [MISSING, []],
    "require_tls": ["ALL", "NEVER", 9],
    "virtual_clusters": [[{"name": "v", "headers": [{"name": ":path", "string_match": {"exact": "/"}}]}], [{"name": "", "headers": []}], [{"name": "v"}]],
    "request_headers_to_remove": [["a"], [""], [":path"], ["host"], ["a b"]],
    "include_request_attempt_count": [True],
    "retry_policy": [{"retry_on": "5xx"}],
    "typed_per_filter_config": [{"cors": {"@type": TYPE + "extensions.filters.http.cors.v3.CorsPolicy"}}, {"cors": {"@type": "type.googleapis.com/acme.P"}},
                                {"other": {"@type": TYPE + "config.route.v3.FilterConfig", "is_optional": True, "config": {}}}],
    "rate_limits": [[{"actions": [{"remote_address": {}}]}], [{"actions": []}], [{}], [{"stage": 11, "actions": [{"remote_address": {}}]}],
                    [{"actions": [{}]}]],
    "per_request_buffer_limit_bytes": [1],
    "hedge_policy": [{"initial_requests": 0}, {"initial_requests": 1}, {"additional_request_chance": {"numerator": 1}}],
})
case("virtual-host/two-same-name", hcm(route_config=route_table(host(), host(domains=["b"]))))
case("virtual-host/two-same-domain", hcm(route_config=route_table(host(), host(name="w"))))
case("virtual-host/two-same-domain-by-case", hcm(route_config=route_table(host(domains=["a.b"]), host(name="w", domains=["A.B"]))))
case("virtual-host/matcher-and-routes", virtual_host(matcher={"on_no_match": {"action": {"name": "r", "typed_config": {
    "@type": TYPE + "config.route.v3.Route", "match": {"prefix": "/"}, "route": {"cluster": "a"}}}}}))
field_table("route-table", lambda **changes: hcm(route_config=route_table(**changes)), {
    "name": ["", MISSING],
    "validate_clusters": [True, False],
    "internal_only_headers": [["a"], ["a\n"]],
    "response_headers_to_add": [[{"header": {"key": "a", "value": "b"}}], [{"header": {"key": "", "value": "b"}}], [{}]],
    "max_direct_response_body_size_bytes": [10],
    "most_specific_header_mutations_wins": [True],
    "ignore_port_in_host_matching": [True],
    "cluster_specifier_plugins": [[{"extension": {"name": "p", "typed_config": {"@type": "type.googleapis.com/acme.P"}}}]],
    "request_mirror_policies": [[{"cluster": "a"}], [{"cluster": "unknown"}], [{}]],
    "vhds": [{}],
})
case("route-table/unknown-cluster-not-validated", hcm(route_config=route_table(host(route(action={"cluster": "b"})), validate_clusters=False)))
REGEX = {"regex": "/a.*"}
for name, m in {
        "prefix": {"prefix": "/"}, "prefix-empty": {"prefix": ""}, "path": {"path": "/a"}, "path-empty": {"path": ""}, "regex": {"safe_regex": REGEX},
        "regex-bad": {"safe_regex": {"regex": "("}}, "regex-empty": {"safe_regex": {"regex": ""}}, "regex-lookahead": {"safe_regex": {"regex": "(?=a)"}},
        "regex-engine": {"safe_regex": {"google_re2": {}, "regex": "a"}}, "connect": {"connect_matcher": {}}, "separated": {"path_separated_prefix": "/a"},
        "separated-slash": {"path_separated_prefix": "/a/"}, "separated-relative": {"path_separated_prefix": "a"}, "separated-query": {"path_separated_prefix": "/a?b"},
        "separated-root": {"path_separated_prefix": "/"}, "template": {"path_match_policy": {"name": "t", "typed_config": {
            "@type": TYPE + "extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": "/a/{b}"}}},
        "two": {"prefix": "/", "path": "/a"}, "none": {"case_sensitive": False}, "empty": None}.items():
    case(f"match/{name}", routes({"match": m if m is not None else {}, "route": {"cluster": "a"}}))
case("match/missing", routes({"route": {"cluster": "a"}}))
field_table("match", match, {
    "case_sensitive": [False, "yes"],
    "runtime_fraction": [{"default_value": {"numerator": 50}}, {"default_value": {"numerator": 50, "denominator": 9}}, {}, {"default_value": {"numerator": 200}}],
    "grpc": [{}],
    "tls_context": [{"presented": True}, {}, {"validated": False}],
    "headers": [[{"name": "a"}], [{"name": ""}], [{}], [{"name": "a b", "present_match": True}], [{"name": "a", "exact_match": "x"}], [{"name": "a", "string_match": {"exact": "x"}}],
                [{"name": "a", "string_match": {}}], [{"name": "a", "string_match": {"prefix": ""}}], [{"name": "a", "string_match": {"suffix": ""}}],
                [{"name": "a", "string_match": {"contains": ""}}], [{"name": "a", "string_match": {"safe_regex": {"regex": "["}}}], [{"name": "a", "prefix_match": ""}],
                [{"name": "a", "range_match": {"start": 1, "end": 5}}], [{"name": "a", "range_match": {"start": 5, "end": 1}}], [{"name": "a", "safe_regex_match": REGEX}],
                [{"name": "a", "present_match": True, "invert_match": True}], [{"name": ":path", "string_match": {"exact": "/"}}]],
    "query_parameters": [[{"name": "a"}], [{"name": ""}], [{}], [{"name": "a", "string_match": {"exact": "b"}}], [{"name": "x" * 1025}], [{"name": "a", "present_match": True}]],
    "cookies": [[{"name": "a", "string_match": {"exact": "b"}}], [{"name": ""}], [{"name": "a"}], [{"name": "a", "string_match": {"safe_regex": {"regex": "("}}}], [{"name": "a", "string_match": {"exact": ""}, "invert_match": True}]],
    "dynamic_metadata": [[{"filter": "f", "path": [{"key": "k"}], "value": {"present_match": True}}], [{"filter": "f"}]],
    "nonsense": [1],
})
field_table("route", action, {
    "cluster": ["unknown", "", MISSING],
    "cluster_not_found_response_code": ["NOT_FOUND", 9],
    "timeout": ["0s", "5s", "-1s", "x"],
    "idle_timeout": ["0s"],
    "prefix_rewrite": ["/b", "", "b\n"],
    "regex_rewrite": [{"pattern": REGEX, "substitution": "/b"}, {"pattern": REGEX, "substitution": "\\2"}, {}, {"pattern": {"regex": "("}, "substitution": "x"},
                      {"pattern": REGEX, "substitution": "a\n"}],
    "host_rewrite_literal": ["h", "h\n", ""],
    "host_rewrite_header": ["x-h", "x\n"],
    "host_rewrite_path_regex": [{"pattern": REGEX, "substitution": "h"}],
    "auto_host_rewrite": [True],
    "retry_policy": [{}, {"retry_on": "5xx,reset", "num_retries": 3}, {"retry_on": "nonsense"}, {"num_retries": -1}, {"per_try_timeout": "0s"}, {"per_try_timeout": "-1s"},
                     {"retry_back_off": {}}, {"retry_back_off": {"base_interval": "0s"}}, {"retry_back_off": {"base_interval": "1s", "max_interval": "0.5s"}},
                     {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}, {"retriable_status_codes": [503]},
                     {"host_selection_retry_max_attempts": 3}, {"retry_priority": {"name": "nobody"}}, {"retry_host_predicate": [{"name": "nobody"}]},
                     {"retry_host_predicate": [{"name": "p", "typed_config": {"@type": TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]},
                     {"retry_host_predicate": [{"name": "p", "typed_config": {"@type": TYPE + "extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"}}]},
                     {"retry_host_predicate": [{"name": "p", "typed_config": {"@type": TYPE + "extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig", "metadata_match": {"filter_metadata": {"envoy.lb": {"a": "b"}}}}}]},
                     {"retry_priority": {"name": "p", "typed_config": {"@type": TYPE + "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", "update_frequency": 2}}},
                     {"retry_priority": {"name": "p", "typed_config": {"@type": TYPE + "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"}}},
                     {"rate_limited_retry_back_off": {"reset_headers": [{"name": "retry-after", "format": "SECONDS"}]}}, {"rate_limited_retry_back_off": {}},
                     {"retriable_headers": [{"name": "a"}]}, {"num_retries": 4294967296}],
    "hash_policy": [[{"header": {"header_name": "a"}}], [{"header": {"header_name": ""}}], [{}], [{"cookie": {"name": "c", "ttl": "0s"}}], [{"cookie": {"name": ""}}],
                    [{"connection_properties": {"source_ip": True}}], [{"query_parameter": {"name": ""}}], [{"cookie": {"name": "c", "ttl": "-1s"}}],
                    [{"header": {"header_name": "a", "regex_rewrite": {"pattern": REGEX, "substitution": "x"}}}], [{"header": {"header_name": "a", "regex_rewrite": {"pattern": {"regex": "("}, "substitution": "x"}}}],
                    [{"header": {"header_name": "a", "regex_rewrite": {"pattern": REGEX, "substitution": "\\9"}}}], [{"cookie": {"name": "c", "path": "/", "attributes": [{"name": "Secure"}]}}],
                    [{"cookie": {"name": "c", "attributes": [{"name": ""}]}}], [{"cookie": {"name": "c", "attributes": [{"name": "a b\n"}]}}], [{"terminal": True}], [{"connection_properties": {}}]],
    "request_mirror_policies": [[{"cluster": "a"}], [{"cluster": "unknown"}], [{"cluster": "a", "runtime_fraction": {"default_value": {"numerator": 1}}}], [{}],
                                [{"cluster_header": "x"}], [{"cluster": "a", "cluster_header": "x"}]],
    "priority": ["HIGH", 5],
    "max_stream_duration": [{"max_stream_duration": "1s"}, {"grpc_timeout_header_max": "0s"}],
    "upgrade_configs": [[{"upgrade_type": "websocket"}], [{"upgrade_type": ""}], [{"upgrade_type": "CONNECT", "connect_config": {}}], [{"upgrade_type": "websocket", "connect_config": {}}],
                        [{"upgrade_type": "a\n"}], [{"upgrade_type": "websocket"}, {"upgrade_type": "WEBSOCKET"}]],
    "internal_redirect_policy": [{}, {"max_internal_redirects": 3}, {"redirect_response_codes": [301, 302, 303, 304, 307, 308]}, {"redirect_response_codes": [200]}],
    "metadata_match": [{"filter_metadata": {"envoy.lb": {"a": "b"}}}],
    "cors": [{"allow_origin_string_match": [{"exact": "*"}]}],
    "append_x_forwarded_host": [True],
    "nonsense": [1],
})
case("route/two-rewrites", action(prefix_rewrite="/b", regex_rewrite={"pattern": REGEX, "substitution": "/b"}))
case("route/two-host-rewrites", action(host_rewrite_literal="a", auto_host_rewrite=True))
case("route/cluster-header", action(cluster=MISSING, cluster_header="x-c"))
case("route/cluster-header-empty", action(cluster=MISSING, cluster_header=""))
case("route/cluster-header-bad", action(cluster=MISSING, cluster_header="x\n"))
case("route/cluster-header-host", action(cluster=MISSING, cluster_header=":authority"))
for name, weighted in {
        "one": {"clusters": [{"name": "a", "weight": 1}]}, "none": {"clusters": []}, "sum-0": {"clusters": [{"name": "a", "weight": 0}]}, "no-weight": {"clusters": [{"name": "a"}]},
        "unknown": {"clusters": [{"name": "b", "weight": 1}]}, "empty-name": {"clusters": [{"name": "", "weight": 1}]}, "twice": {"clusters": [{"name": "a", "weight": 1}] * 2},
        "total": {"clusters": [{"name": "a", "weight": 1}], "total_weight": 5}, "total-equal": {"clusters": [{"name": "a", "weight": 5}], "total_weight": 5},
        "overflow": {"clusters": [{"name": "a", "weight": 4294967295}] * 2}, "header": {"clusters": [{"cluster_header": "x", "weight": 1}]},
        "name-and-header": {"clusters": [{"name": "a", "cluster_header": "x", "weight": 1}]}, "headers": {"clusters": [
            {"name": "a", "weight": 1, "request_headers_to_add": [{"header": {"key": "k", "value": "v"}}], "response_headers_to_remove": ["k"]}]},
        "bad-header": {"clusters": [{"name": "a", "weight": 1, "request_headers_to_add": [{"header": {"key": "k\n", "value": "v"}}]}]},
        "host-rewrite": {"clusters": [{"name": "a", "weight": 1, "host_rewrite_literal": "h"}]},
        "by-hash": {"clusters": [{"name": "a", "weight": 1}], "use_hash_policy": True}}.items():
    case(f"weighted/{name}", action(cluster=MISSING, weighted_clusters=weighted))
for name, changes in {
        "none": {}, "redirect": {"redirect": {"host_redirect": "h"}}, "redirect-empty": {"redirect": {}}, "redirect-https": {"redirect": {"https_redirect": True}},
        "redirect-scheme": {"redirect": {"scheme_redirect": "https"}}, "redirect-two-schemes": {"redirect": {"https_redirect": True, "scheme_redirect": "https"}},
        "redirect-code": {"redirect": {"path_redirect": "/b", "response_code": "SEE_OTHER"}}, "redirect-code-9": {"redirect": {"path_redirect": "/b", "response_code": 9}},
        "redirect-path-and-prefix": {"redirect": {"path_redirect": "/b", "prefix_rewrite": "/c"}}, "redirect-port": {"redirect": {"port_redirect": 8443}},
        "redirect-port-65536": {"redirect": {"port_redirect": 65536}}, "redirect-path-newline": {"redirect": {"path_redirect": "/b\n"}},
        "redirect-strip-query": {"redirect": {"path_redirect": "/b", "strip_query": True}}, "redirect-regex": {"redirect": {"regex_rewrite": {"pattern": REGEX, "substitution": "/x"}}},
        "redirect-host-newline": {"redirect": {"host_redirect": "h\n"}},
        "direct": {"direct_response": {"status": 200, "body": {"inline_string": "x"}}}, "direct-99": {"direct_response": {"status": 99}}, "direct-199": {"direct_response": {"status": 199}},
        "direct-599": {"direct_response": {"status": 599}}, "direct-600": {"direct_response": {"status": 600}}, "direct-none": {"direct_response": {}},
        "direct-5000-bytes": {"direct_response": {"status": 200, "body": {"inline_string": "x" * 5000}}}, "direct-4096-bytes": {"direct_response": {"status": 200, "body": {"inline_string": "x" * 4096}}},
        "direct-missing-file": {"direct_response": {"status": 200, "body": {"filename": "/nonexistent"}}}, "direct-empty-body": {"direct_response": {"status": 200, "body": {}}},
        "direct-base64": {"direct_response": {"status": 200, "body": {"inline_bytes": "AAEC"}}}, "direct-bad-base64": {"direct_response": {"status": 200, "body": {"inline_bytes": "@@"}}},
        "non-forwarding": {"non_forwarding_action": {}}, "two-actions": {"redirect": {}, "direct_response": {"status": 200}}}.items():
    case(f"action/{name}", routes(dict({"match": {"prefix": "/"}}, **changes)))


def add_header(**changes):
    return routes(route(request_headers_to_add=[change({"header": {"key": "a", "value": "b"}}, changes)]))


field_table("add-header", add_header, {
    "header": [MISSING, {}, {"key": "", "value": "b"}, {"key": "a"}, {"key": "a", "value": ""}, {"key": "a b", "value": "c"}, {"key": "ä", "value": "c"}, {"key": ":path", "value": "/"},
               {"key": ":authority", "value": "h"}, {"key": "host", "value": "h"}, {"key": "a", "value": "b\r\nc: d"}, {"key": "a", "value": "%NOPE%"}, {"key": "a", "value": "%PROTOCOL%"},
               {"key": "a", "value": "%REQ(b)%"}, {"key": "a", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}, {"key": "a", "value": "100%"}, {"key": "a", "value": "100%%"},
               {"key": "a", "value": "%REQ(b"}, {"key": "a", "value": "x" * 16384}, {"key": "a", "value": "x" * 16385}, {"key": "x" * 16385, "value": "b"}, {"key": "A", "value": "b"},
               {"key": "a", "raw_value": "Yg=="}, {"key": "a", "value": "%START_TIME%"}, {"key": "a", "value": "%PER_REQUEST_STATE(x)%"}, {"key": "a", "value": "%UPSTREAM_METADATA([\"a\", \"b\"])%"}],
    "append_action": ["APPEND_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS", 9],
    "append": [False],
    "keep_empty_value": [True],
})
case("add-header/1000", routes(route(request_headers_to_add=[{"header": {"key": f"h{n}", "value": "v"}} for n in range(1000)])))
case("add-header/1001", routes(route(request_headers_to_add=[{"header": {"key": f"h{n}", "value": "v"}} for n in range(1001)])))
for name, changes in {"remove-host": {"request_headers_to_remove": ["host"]}, "remove-path": {"request_headers_to_remove": [":path"]}, "remove-plain": {"request_headers_to_remove": ["x-a"]},
                      "remove-empty": {"request_headers_to_remove": [""]}, "remove-response-status": {"response_headers_to_remove": [":status"]}, "name": {"name": "n"},
                      "decorator": {"decorator": {"operation": "o"}}, "decorator-empty": {"decorator": {}}, "stat-prefix": {"stat_prefix": "s"}, "metadata": {"metadata": {"filter_metadata": {"a": {}}}},
                      "tracing": {"tracing": {"client_sampling": {"numerator": 5}}}, "tracing-denominator": {"tracing": {"client_sampling": {"numerator": 5, "denominator": 8}}},
                      "per-filter-unknown": {"typed_per_filter_config": {"x": {"@type": "type.googleapis.com/acme.P"}}},
                      "buffer-limit": {"per_request_buffer_limit_bytes": 5}, "unknown-field": {"matches": []}}.items():
    case(f"route-entry/{name}", routes(route(**changes)))

# --- how values are written ---------------------------------------------------------------------------------------

field_table("value", one_cluster, {
    "connect_timeout": ["1.5s", "1.123456789s", "1.1234567891s", "1e1s", "1 s", "s", "", "+1s", "1S", ".5s", "1.s", None, {"seconds": 1}, "315576000001s"],
    "type": ["static", "Static", 0.0, "0", None, True],
    "per_connection_buffer_limit_bytes": [7.0, 7.5, "7.0", "1e3", 1e3, " 7", "", "0x10", True, None, [7], {"value": 7}, 4294967295],
    "respect_dns_ttl": ["true", "false", 1, 0, "1", "yes", "TRUE", None, {}],
    "alt_stat_name": [5, True, None, [], "\u0000", "\ud83d\ude00"],
    "lb_policy": ["least_request", None, 1.0],
    "load_assignment": [None, [], "x"],
    "health_checks": [None, {}, [None]],
    "metadata": [{"filter_metadata": {"a": None}}, {"filter_metadata": {"a": [1]}}, {"filter_metadata": None}, {"filterMetadata": {"a": {}}}],
})
case("value/camel-case", clusters({"name": "a", "connectTimeout": "1s", "lbPolicy": "RANDOM"}))
case("value/camel-and-snake", clusters(dict(cluster(), connectTimeout="2s")))
case("value/oneof-twice", one_cluster(cluster_type={"name": "x"}))
case("value/any-without-type", listeners(listener({"name": "e", "typed_config": {"a": 1}})))
case("value/any-empty", listeners(listener({"name": "e", "typed_config": {}})))
case("value/any-null", listeners(listener({"name": "e", "typed_config": None})))
case("value/any-type-not-text", listeners(listener({"name": "e", "typed_config": {"@type": 5}})))
case("value/percent-nan", one_cluster(common_lb_config={"healthy_panic_threshold": {"value": "NaN"}}))
case("value/percent-text", one_cluster(common_lb_config={"healthy_panic_threshold": {"value": "50.5"}}))
case("value/percent-infinity", one_cluster(common_lb_config={"healthy_panic_threshold": {"value": "Infinity"}}))
case("value/typed-struct", listeners(listener({"name": "envoy.filters.network.echo", "typed_config": {
    "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": TYPE + "extensions.filters.network.echo.v3.Echo", "value": {}}})))
case("value/typed-struct-unknown-field", listeners(listener({"name": "envoy.filters.network.echo", "typed_config": {
    "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": TYPE + "extensions.filters.network.echo.v3.Echo", "value": {"x": 1}}})))

YAML = """
static_resources:
  clusters:
  - name: NAME
    type: STATIC
    connect_timeout: 1s
    respect_dns_ttl: BOOL
    per_connection_buffer_limit_bytes: NUMBER
"""


def yaml(name="a", boolean="true", number="7", head="", tail=""):
    return head + YAML.replace("NAME", name).replace("BOOL", boolean).replace("NUMBER", number) + tail


case("yaml/plain", yaml())
case("yaml/empty", "")
case("yaml/comment-only", "# nothing\n")
case("yaml/null", "~\n")
case("yaml/list", "- a\n")
case("yaml/text", "hello\n")
case("yaml/broken", "a: [1\n")
case("yaml/tab", "static_resources:\n\tclusters: []\n")
case("yaml/duplicate-key", "static_resources: {}\nstatic_resources: {}\n")
case("yaml/two-documents", yaml(tail="---\na: 1\n"))
case("yaml/document-markers", yaml(head="---", tail="...\n"))
case("yaml/anchor", "static_resources:\n  clusters:\n  - &c {name: a, connect_timeout: 1s}\n  - {<<: *c, name: b}\n")
case("yaml/alias", "x: &t 1s\nstatic_resources: {clusters: [{name: a, connect_timeout: *t}]}\n")
case("yaml/alias-in-place", "static_resources: {clusters: [{name: a, connect_timeout: &t 1s}, {name: b, connect_timeout: *t}]}\n")
case("yaml/alias-unknown", yaml(name="*nowhere"))
case("yaml/ignore-tag", "x: !ignore [1]\n" + yaml())
case("yaml/tag-str", yaml(name="!!str 5"))
case("yaml/crlf", yaml().replace("\n", "\r\n"))
case("yaml/byte-order-mark", yaml(head="\ufeff"))
for shown, written in {"number": "5", "quoted-number": "'5'", "float": "1.5", "bool": "true", "null": "null", "tilde": "~", "date": "2020-01-01", "block": "|\n      a",
                       "quoted-escape": '"a\\tb"', "octal": "0o7", "yes": "yes", "infinity": ".inf"}.items():
    case(f"yaml/name-{shown}", yaml(name=written))
for written in ["yes", "on", "True", "TRUE", "'true'", "y", "1", "no", "~"]:
    case(f"yaml/bool-{written}", yaml(boolean=written))
for written in ["0x10", "010", "0o10", "1_000", "+7", "7.0", "1e3", "'7'", "-0", "4294967296", "~", "0b11"]:
    case(f"yaml/number-{written}", yaml(number=written))
