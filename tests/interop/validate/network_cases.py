"""Configurations of network filters: tcp_proxy and what stands before it. Adds to CASES."""
from cases import MISSING, TYPE, address, case, field_table, hcm_filter, listener, listeners, table

NETWORK = TYPE + "extensions.filters.network."
TCP = {"@type": NETWORK + "tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "a"}
TCP_FILTER = {"name": "tcp", "typed_config": TCP}
LIMIT = {"@type": NETWORK + "connection_limit.v3.ConnectionLimit", "stat_prefix": "c", "max_connections": 1}
RATE = {"@type": NETWORK + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "l", "token_bucket": {"max_tokens": 1, "fill_interval": "1s"}}
RBAC = {"@type": NETWORK + "rbac.v3.RBAC", "stat_prefix": "r"}
FLAG = {"default_value": True, "runtime_key": "k"}
ANY = {"any": True}
LOG = {"name": "f", "typed_config": {"@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}}


def typed(kind, **fields):
    return {"name": kind, "typed_config": {"@type": NETWORK + kind, **fields}}


def chain(*filters):
    return listeners(listener(*filters))


def only(base):
    return lambda **changes: chain({"name": "f", "typed_config": {**base, **changes}})


def before(base):
    return lambda **changes: chain({"name": "f", "typed_config": {**base, **changes}}, TCP_FILTER)


def weights(*entries, **more):
    return {"cluster": MISSING, "weighted_clusters": {"clusters": list(entries), **more}}


def entry(name="a", weight=1, **more):
    return {"name": name, "weight": weight, **more}


def policy(permission=None, principal=None, **more):
    return {"policies": {"p": {"permissions": [ANY if permission is None else permission], "principals": [ANY if principal is None else principal], **more}}}


field_table("network-tcp", only(TCP), {
    "stat_prefix": ["", MISSING, "a.b:c"],
    "cluster": ["", MISSING, "unknown"],
    "idle_timeout": ["0s", "1s", "-1s", "0.0001s"],
    "max_connect_attempts": [0, 1, 5],
    "backoff_options": [{}, {"base_interval": "1s"}, {"base_interval": "0s"}, {"base_interval": "0.0001s"}, {"base_interval": "2s", "max_interval": "1s"}, {"base_interval": "1s", "max_interval": "1s"}, {"base_interval": "1s", "max_interval": "0s"}],
    "max_downstream_connection_duration": ["0s", "0.001s", "0.0001s", "1s"],
    "max_downstream_connection_duration_jitter_percentage": [{"value": 0}, {"value": 100}, {"value": 100.5}, {"value": -1}],
    "access_log": [[], [LOG], [LOG, LOG], [{"name": "x", "typed_config": {"@type": TYPE + "config.core.v3.Node"}}], [{"name": "f", "typed_config": {**LOG["typed_config"], "path": ""}}],
                   [{**LOG, "filter": {"log_type_filter": {"types": ["TcpConnectionEnd"]}}}]],
    "access_log_flush_interval": ["1s", "0.0001s", "0s"],
    "access_log_options": [{}, {"flush_access_log_on_connected": True}, {"access_log_flush_interval": "0.0001s"}, {"access_log_flush_interval": "1s", "flush_access_log_on_start": True}],
    "flush_access_log_on_connected": [True],
    "hash_policy": [[{"source_ip": {}}], [{"source_ip": {}}, {"source_ip": {}}], [{}], [{"filter_state": {"key": "k"}}], [{"filter_state": {}}]],
    "upstream_connect_mode": ["IMMEDIATE", "ON_DOWNSTREAM_DATA", "SOME"],
    "max_early_data_bytes": [0, 1, 1048576, 1048577],
})
table("network-tcp", only(TCP), {
    "connect-on-data": {"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 100},
    "connect-on-data-none": {"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 0},
    "options-and-interval": {"access_log_options": {}, "access_log_flush_interval": "1s"},
    "options-and-connected": {"access_log_options": {}, "flush_access_log_on_connected": True},
    "weights": weights(entry(), entry("b", 99)),
    "weights-none": weights(),
    "weight-0": weights(entry(weight=0)),
    "weight-missing": weights({"name": "a"}),
    "weight-unnamed": weights(entry(name="")),
    "weights-same-name": weights(entry(), entry()),
    "weights-many": weights(entry(weight=4294967295), entry("b", 4294967295)),
    "weights-unknown-field": weights(entry(color="red")),
    "cluster-and-weights": {"weighted_clusters": {"clusters": [entry()]}},
    "weights-unknown-cluster": weights(entry("unknown")),
})
field_table("connection-limit", before(LIMIT), {
    "stat_prefix": ["", MISSING], "max_connections": [0, 1, MISSING, 18446744073709551615], "delay": ["0s", "1s", "-1s", "0.0001s"],
    "runtime_enabled": [FLAG, {}, {"default_value": False}, {"runtime_key": "k"}]})
field_table("network-local-ratelimit", before(RATE), {
    "stat_prefix": ["", MISSING], "share_key": ["k"], "runtime_enabled": [FLAG, {}],
    "token_bucket": [MISSING, {"max_tokens": 0, "fill_interval": "1s"}, {"max_tokens": 1}, {"max_tokens": 1, "fill_interval": "0.049s"}, {"max_tokens": 1, "fill_interval": "0.05s"}, {"max_tokens": 1, "fill_interval": "0s"},
                     {"max_tokens": 1, "tokens_per_fill": 0, "fill_interval": "1s"}, {"max_tokens": 1, "tokens_per_fill": 5, "fill_interval": "1s"}]})
field_table("network-rbac", before(RBAC), {
    "stat_prefix": ["", MISSING, "a."], "enforcement_type": ["ONE_TIME_ON_FIRST_BYTE", "CONTINUOUS", "NEVER"], "delay_deny": ["1s", "-1s"],
    "rules": [{}, {"action": "DENY"}, {"action": "LOG"}, {"action": 7}, policy(), {"policies": {"p": {"permissions": [], "principals": [ANY]}}}, {"policies": {"p": {"permissions": [ANY], "principals": []}}}, {"policies": {"": {"permissions": [ANY], "principals": [ANY]}}}],
    "shadow_rules": [{}, policy()], "shadow_rules_stat_prefix": ["s_"]})
for name, permission in {
        "any-false": {"any": False}, "none": {}, "and": {"and_rules": {"rules": [ANY]}}, "and-empty": {"and_rules": {"rules": []}}, "or-empty": {"or_rules": {}}, "not": {"not_rule": ANY}, "not-empty": {"not_rule": {}},
        "ip": {"destination_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}, "ip-bad": {"destination_ip": {"address_prefix": "ten", "prefix_len": 8}}, "ip-long": {"destination_ip": {"address_prefix": "10.0.0.0", "prefix_len": 33}},
        "ip-no-length": {"destination_ip": {"address_prefix": "10.0.0.0"}}, "ip-129": {"destination_ip": {"address_prefix": "::1", "prefix_len": 129}}, "port-65536": {"destination_port": 65536}, "port-0": {"destination_port": 0},
        "ports": {"destination_port_range": {"start": 1, "end": 65536}}, "ports-empty": {"destination_port_range": {"start": 5, "end": 5}}, "ports-reversed": {"destination_port_range": {"start": 5, "end": 4}},
        "ports-negative": {"destination_port_range": {"start": -1, "end": 4}}, "ports-beyond": {"destination_port_range": {"start": 1, "end": 65537}}, "ports-none": {"destination_port_range": {}},
        "server-name": {"requested_server_name": {"suffix": ".a"}}, "server-name-none": {"requested_server_name": {}}, "server-name-regex": {"requested_server_name": {"safe_regex": {"regex": "("}}},
        "header": {"header": {"name": "a", "present_match": True}}, "header-in-or": {"or_rules": {"rules": [ANY, {"header": {"name": "a", "present_match": True}}]}}, "path": {"url_path": {"path": {"exact": "/"}}},
        "metadata": {"metadata": {"filter": "f", "path": [{"key": "k"}], "value": {"string_match": {"exact": "v"}}}}, "metadata-no-filter": {"metadata": {"path": [{"key": "k"}], "value": {"present_match": True}}},
        "metadata-no-path": {"metadata": {"filter": "f", "value": {"present_match": True}}}, "metadata-no-value": {"metadata": {"filter": "f", "path": [{"key": "k"}]}}, "metadata-empty-value": {"metadata": {"filter": "f", "path": [{"key": "k"}], "value": {}}},
        "metadata-list": {"metadata": {"filter": "f", "path": [{"key": "k"}], "value": {"list_match": {"one_of": {"bool_match": True}}}}}, "metadata-or-one": {"metadata": {"filter": "f", "path": [{"key": "k"}], "value": {"or_match": {"value_matchers": [{"bool_match": True}]}}}},
        "sourced-metadata": {"sourced_metadata": {"metadata_matcher": {"filter": "f", "path": [{"key": "k"}], "value": {"present_match": True}}, "metadata_source": "DYNAMIC"}}}.items():
    case(f"network-rbac/permission-{name}", before(RBAC)(rules=policy(permission)))
for name, principal in {
        "any-false": {"any": False}, "none": {}, "and-empty": {"and_ids": {"ids": []}}, "or": {"or_ids": {"ids": [ANY, ANY]}}, "not": {"not_id": ANY}, "source": {"source_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}},
        "direct": {"direct_remote_ip": {"address_prefix": "::", "prefix_len": 0}}, "remote-bad": {"remote_ip": {"address_prefix": "", "prefix_len": 0}}, "authenticated": {"authenticated": {}},
        "authenticated-name": {"authenticated": {"principal_name": {"exact": "spiffe://a"}}}, "authenticated-empty-name": {"authenticated": {"principal_name": {}}}, "header": {"header": {"name": "a", "present_match": True}}, "path": {"url_path": {"path": {"exact": "/"}}},
        "filter-state": {"filter_state": {"key": "k", "string_match": {"exact": "v"}}}, "filter-state-no-key": {"filter_state": {"string_match": {"exact": "v"}}}, "filter-state-no-match": {"filter_state": {"key": "k"}}}.items():
    case(f"network-rbac/principal-{name}", before(RBAC)(rules=policy(None, principal)))
ECHO, RESPONSE, SNI = typed("echo.v3.Echo"), typed("direct_response.v3.Config"), typed("sni_cluster.v3.SniCluster")
for name, filters in {
        "echo": [ECHO], "echo-field": [typed("echo.v3.Echo", loud=True)], "direct-response": [RESPONSE], "direct-response-text": [typed("direct_response.v3.Config", response={"inline_string": "x"})],
        "direct-response-no-file": [typed("direct_response.v3.Config", response={"filename": "/nowhere/at/all"})], "direct-response-empty": [typed("direct_response.v3.Config", response={})], "sni": [SNI, TCP_FILTER], "sni-alone": [SNI],
        "limit-alone": [{"name": "l", "typed_config": LIMIT}], "rbac-alone": [{"name": "r", "typed_config": RBAC}], "tcp-then-echo": [TCP_FILTER, ECHO], "echo-then-tcp": [ECHO, TCP_FILTER], "two-tcp": [TCP_FILTER, TCP_FILTER],
        "tcp-then-sni": [TCP_FILTER, SNI], "rbac-then-hcm": [{"name": "r", "typed_config": RBAC}, hcm_filter()], "hcm-then-tcp": [hcm_filter(), TCP_FILTER], "limit-then-hcm": [{"name": "l", "typed_config": LIMIT}, hcm_filter()],
        "response-then-tcp": [RESPONSE, TCP_FILTER], "none": []}.items():
    case(f"network-chain/{name}", chain(*filters))
case("network-chain/unnamed", chain({"typed_config": TCP}))
case("network-chain/two-of-one-address", listeners(listener(TCP_FILTER), listener(TCP_FILTER, name="m", address=address(0))))
