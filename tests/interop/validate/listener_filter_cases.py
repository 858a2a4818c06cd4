"""Configurations of listener filters. Adds to CASES."""
from cases import MISSING, TYPE, case, field_table, hcm_filter, listener, listeners

KIND = TYPE + "extensions.filters.listener."
TLS = {"@type": KIND + "tls_inspector.v3.TlsInspector"}
HTTP = {"@type": KIND + "http_inspector.v3.HttpInspector"}
PROXY = {"@type": KIND + "proxy_protocol.v3.ProxyProtocol"}
DESTINATION = {"@type": KIND + "original_dst.v3.OriginalDst"}
SOURCE = {"@type": KIND + "original_src.v3.OriginalSrc"}
RATE = {"@type": KIND + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "l", "token_bucket": {"max_tokens": 1, "fill_interval": "1s"}}
FLAG = {"default_value": True, "runtime_key": "k"}


def filters(*configs, **more):
    return listeners(listener(hcm_filter(), listener_filters=[{"name": f"f{i}", "typed_config": c} for i, c in enumerate(configs)], **more))


def only(base):
    return lambda **changes: filters({**base, **changes})


def rule(kind=2, **target):
    return {"rules": [{"tlv_type": kind, "on_tlv_present": {"key": "k", **target}}]}


field_table("listener-tls-inspector", only(TLS), {
    "enable_ja3_fingerprinting": [True, False], "enable_ja4_fingerprinting": [True, "yes"], "initial_read_buffer_size": [0, 255, 256, 512, 16384, 65536, 65537], "max_client_hello_size": [0, 1, 255, 256, 16384, 16385, 65536],
    "close_connection_on_client_hello_parsing_errors": [True], "loud": [True]})
field_table("listener-proxy-protocol", only(PROXY), {
    "rules": [[], rule()["rules"], rule(255)["rules"], rule(256)["rules"], rule(key="")["rules"], rule(key=MISSING)["rules"], rule(metadata_namespace="n")["rules"], rule(value_string_encoding="BASE64")["rules"], rule(value_string_encoding="HEX")["rules"],
              [{"tlv_type": 2}], [{}], rule()["rules"] * 2],
    "allow_requests_without_proxy_protocol": [True], "disallowed_versions": [[], ["V1"], ["V2"], ["V1", "V2"], ["V1", "V1"], ["V3"]], "stat_prefix": ["", "edge", "a.b", "a:b"], "tlv_location": ["DYNAMIC_METADATA", "FILTER_STATE", "NOWHERE"],
    "pass_through_tlvs": [{}, {"match_type": "INCLUDE_ALL"}, {"match_type": "INCLUDE", "tlv_type": [2]}, {"match_type": "INCLUDE", "tlv_type": [256]}]})
field_table("listener-local-ratelimit", only(RATE), {
    "stat_prefix": ["", MISSING], "runtime_enabled": [FLAG, {}, {"default_value": False}, {"runtime_key": "k"}],
    "token_bucket": [MISSING, {"max_tokens": 0, "fill_interval": "1s"}, {"max_tokens": 1}, {"max_tokens": 1, "fill_interval": "0.049s"}, {"max_tokens": 1, "fill_interval": "0.05s"}, {"max_tokens": 1, "fill_interval": "0s"},
                     {"max_tokens": 1, "tokens_per_fill": 0, "fill_interval": "1s"}, {"max_tokens": 1, "tokens_per_fill": 5, "fill_interval": "1s"}]})
field_table("listener-original-src", only(SOURCE), {"bind_port": [True], "mark": [123]})
for name, configs in {"tls": [TLS], "tls-twice": [TLS, TLS], "http": [HTTP], "http-before-tls": [HTTP, TLS], "proxy": [PROXY], "tls-before-proxy": [TLS, PROXY], "destination": [DESTINATION], "all": [RATE, DESTINATION, PROXY, TLS, HTTP], "http-field": [{**HTTP, "loud": 1}],
                      "destination-field": [{**DESTINATION, "loud": 1}], "a-network-filter": [{"@type": TYPE + "extensions.filters.network.echo.v3.Echo"}], "none": [{}]}.items():
    case(f"listener-filters/{name}", filters(*configs))
case("listener-filters/unnamed", listeners(listener(hcm_filter(), listener_filters=[{"typed_config": TLS}])))
case("listener-filters/without-config", listeners(listener(hcm_filter(), listener_filters=[{"name": "envoy.filters.listener.tls_inspector"}])))
for name, more in {"timeout-0": {"listener_filters_timeout": "0s"}, "timeout-negative": {"listener_filters_timeout": "-1s"}, "continue": {"continue_on_listener_filters_timeout": True}, "original-dst": {"use_original_dst": True}}.items():
    case(f"listener-filters/{name}", filters(DESTINATION, **more))
