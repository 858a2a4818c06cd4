"""Cases for HTTP filters that are discovered (`config_discovery`, ECDS): where they come from, their types, their default, their place."""
from cases import ADS, CORS, DYNAMIC, H2, HCM, MISSING, ROUTER, TYPE, case, change, cluster, hcm, hcm_filter, host, listener, listeners, route, route_table, table

FILTERS = "extensions.filters.http."
ROUTER_TYPE, CORS_TYPE, BUFFER_TYPE = TYPE + FILTERS + "router.v3.Router", TYPE + FILTERS + "cors.v3.Cors", TYPE + FILTERS + "buffer.v3.Buffer"
FILE = {"path_config_source": {"path": "/dev/null"}, "resource_api_version": "V3"}
STREAM = change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]})
STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"
BUFFER = {"@type": BUFFER_TYPE, "max_request_bytes": 5}


def discovered(types=(CORS_TYPE,), name="x", optional=MISSING, disabled=MISSING, **changes):
    return {"name": name, "is_optional": optional, "disabled": disabled, "config_discovery": change({"config_source": FILE, "type_urls": list(types)}, changes)}


def before_router(*filters, **changes):
    return hcm(http_filters=[*filters, ROUTER], **changes)


def one(**changes):
    return before_router(discovered(**changes))


def last(**changes):
    return hcm(http_filters=[discovered(**change({"types": [ROUTER_TYPE]}, changes))])


def with_ads(source):
    xds = {"name": "xds", "typed_extension_protocol_options": H2}
    return change(DYNAMIC, {"dynamic_resources": {"ads_config": STREAM}, "static_resources": {"clusters": [cluster(), cluster(**xds)], "listeners": [
        listener(hcm_filter(http_filters=[discovered(config_source=source), ROUTER]))]}})


# --- where from ------------------------------------------------------------------------------------------------------------------

table("discovery/source", one, {
    "file": {}, "missing": {"config_source": MISSING}, "empty": {"config_source": {}}, "no-such-file": {"config_source": {"path_config_source": {"path": "/nonexistent/file"}}},
    "file-without-path": {"config_source": {"path_config_source": {}}}, "file-of-V2": {"config_source": change(FILE, {"resource_api_version": "V2"})},
    "file-without-version": {"config_source": {"path_config_source": {"path": "/dev/null"}}}, "old-path": {"config_source": {"path": "/dev/null"}}, "self": {"config_source": {"self": {}}},
    "ads-without-ads": {"config_source": {"ads": {}}}, "unknown-cluster": {"config_source": {"api_config_source": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "nowhere"}}]}}},
    "timeout": {"config_source": change(FILE, {"initial_fetch_timeout": "3s"})}, "timeout-zero": {"config_source": change(FILE, {"initial_fetch_timeout": "0s"})},
    "timeout-negative": {"config_source": change(FILE, {"initial_fetch_timeout": "-1s"})}, "nonsense": {"config_source": change(FILE, {"nonsense": 1})},
})
case("discovery/source-ads", with_ads({"ads": {}, "resource_api_version": "V3"}))
case("discovery/source-ads-of-no-version", with_ads({"ads": {}}))
case("discovery/source-own-stream", with_ads({"api_config_source": STREAM, "resource_api_version": "V3"}))
case("discovery/source-own-delta-stream", with_ads({"api_config_source": change(STREAM, {"api_type": "DELTA_GRPC"}), "resource_api_version": "V3"}))
case("discovery/source-own-stream-of-no-cluster", with_ads({"api_config_source": change(STREAM, {"grpc_services": []}), "resource_api_version": "V3"}))
case("discovery/source-aggregated", with_ads({"api_config_source": change(STREAM, {"api_type": "AGGREGATED_GRPC"}), "resource_api_version": "V3"}))

# --- the types that may come ------------------------------------------------------------------------------------------------------

table("discovery/types", one, {
    "one": {}, "two": {"types": [CORS_TYPE, BUFFER_TYPE]}, "none": {"types": []}, "missing": {"type_urls": MISSING}, "empty": {"types": [""]}, "twice": {"types": [CORS_TYPE, CORS_TYPE]},
    "unknown": {"types": ["type.googleapis.com/acme.Filter"]}, "known-and-unknown": {"types": [CORS_TYPE, "type.googleapis.com/acme.Filter"]}, "without-prefix": {"types": [CORS_TYPE.split("/")[1]]},
    "other-prefix": {"types": ["example.com/" + CORS_TYPE.split("/")[1]]}, "of-a-network-filter": {"types": [HCM]}, "of-a-message": {"types": [TYPE + "config.core.v3.Node"]},
    "terminal-before-the-end": {"types": [ROUTER_TYPE]}, "both-kinds-before-the-end": {"types": [ROUTER_TYPE, CORS_TYPE]}, "struct": {"types": [STRUCT]}, "text": {"type_urls": CORS_TYPE},
})
table("discovery/last", last, {
    "terminal": {}, "not-terminal": {"types": [CORS_TYPE]}, "both-kinds": {"types": [ROUTER_TYPE, CORS_TYPE]}, "disabled": {"disabled": True}, "optional": {"optional": True},
    "default": {"default_config": ROUTER["typed_config"]}, "default-not-terminal": {"types": [ROUTER_TYPE, CORS_TYPE], "default_config": CORS["typed_config"]},
    "default-without-warming": {"default_config": ROUTER["typed_config"], "apply_default_config_without_warming": True},
})

# --- the default ------------------------------------------------------------------------------------------------------------------

table("discovery/default", one, {
    "given": {"default_config": CORS["typed_config"]}, "empty": {"default_config": {}}, "of-another-type": {"default_config": BUFFER},
    "of-the-second-type": {"types": [CORS_TYPE, BUFFER_TYPE], "default_config": BUFFER}, "terminal": {"types": [ROUTER_TYPE], "default_config": ROUTER["typed_config"]},
    "of-unknown-type": {"default_config": {"@type": "type.googleapis.com/acme.Filter"}}, "unknown-field": {"default_config": change(CORS["typed_config"], {"nonsense": 1})},
    "broken": {"types": [BUFFER_TYPE], "default_config": {"@type": BUFFER_TYPE, "max_request_bytes": 0}}, "without-required": {"types": [BUFFER_TYPE], "default_config": {"@type": BUFFER_TYPE}},
    "struct": {"types": [BUFFER_TYPE], "default_config": {"@type": STRUCT, "type_url": BUFFER_TYPE, "value": {"max_request_bytes": 5}}},
    "struct-of-another-type": {"types": [CORS_TYPE], "default_config": {"@type": STRUCT, "type_url": BUFFER_TYPE, "value": {"max_request_bytes": 5}}},
    "struct-of-unknown-type": {"types": [CORS_TYPE], "default_config": {"@type": STRUCT, "type_url": "type.googleapis.com/acme.Filter", "value": {}}},
    "other-prefix": {"default_config": {"@type": "example.com/" + CORS_TYPE.split("/")[1]}}, "without-types": {"types": [], "default_config": CORS["typed_config"]},
    "of-a-route": {"types": [BUFFER_TYPE], "default_config": {"@type": TYPE + FILTERS + "buffer.v3.BufferPerRoute", "disabled": True}},
})
table("discovery/warming", one, {
    "without-and-default": {"default_config": CORS["typed_config"], "apply_default_config_without_warming": True}, "without-and-no-default": {"apply_default_config_without_warming": True},
    "with-and-default": {"default_config": CORS["typed_config"], "apply_default_config_without_warming": False}, "with-and-no-default": {"apply_default_config_without_warming": False},
    "without-and-broken-default": {"default_config": BUFFER, "apply_default_config_without_warming": True}, "text": {"apply_default_config_without_warming": "often"},
})

# --- beside what -------------------------------------------------------------------------------------------------------------------

table("discovery/filter", one, {
    "optional": {"optional": True}, "disabled": {"disabled": True}, "optional-of-unknown-type": {"optional": True, "types": ["type.googleapis.com/acme.Filter"]}, "nameless": {"name": ""},
    "name-missing": {"name": MISSING}, "named-like-the-router": {"name": ROUTER["name"]}, "nonsense": {"nonsense": 1},
})
case("discovery/with-typed-config", before_router(change(discovered(), {"typed_config": CORS["typed_config"]})))
case("discovery/with-null-typed-config", before_router(change(discovered(), {"typed_config": None})))
case("discovery/empty", before_router({"name": "x", "config_discovery": {}}))
case("discovery/alone", hcm(http_filters=[discovered()]))
case("discovery/name-twice", before_router(discovered(), discovered()))
case("discovery/name-twice-other-types", before_router(discovered(), discovered(types=[BUFFER_TYPE])))
case("discovery/name-twice-other-sources", before_router(discovered(), discovered(config_source=change(FILE, {"initial_fetch_timeout": "3s"}))))
case("discovery/name-of-a-given-filter", before_router(change(CORS, {"name": "x"}), discovered()))
case("discovery/two-names", before_router(discovered(), discovered(name="y", types=[BUFFER_TYPE])))
case("discovery/two-listeners-one-name", listeners(listener(hcm_filter(http_filters=[discovered(), ROUTER])), listener(hcm_filter(http_filters=[discovered(types=[BUFFER_TYPE]), ROUTER]), name="m")))
case("discovery/two-listeners-terminal-and-not", listeners(listener(hcm_filter(http_filters=[discovered(types=[ROUTER_TYPE])])),
                                                           listener(hcm_filter(http_filters=[discovered(types=[ROUTER_TYPE, CORS_TYPE]), ROUTER]), name="m")))
case("discovery/after-the-router", hcm(http_filters=[ROUTER, discovered()]))
case("discovery/network-filter", listeners(listener({"name": "x", "config_discovery": {"config_source": FILE, "type_urls": [HCM]}})))
case("discovery/network-filter-without-types", listeners(listener({"name": "x", "config_discovery": {"config_source": FILE, "type_urls": []}})))
case("discovery/network-filter-of-http-type", listeners(listener({"name": "x", "config_discovery": {"config_source": FILE, "type_urls": [CORS_TYPE]}})))
case("discovery/upstream-filter", hcm(http_filters=[change(ROUTER, {"typed_config": change(ROUTER["typed_config"], {"upstream_http_filters": [discovered()]})})]))

# --- a route's own configuration of it ------------------------------------------------------------------------------------------------


def per_route(config, on="route", **changes):
    own = {"typed_per_filter_config": {"x": config}}
    one_host = host(route(**(own if on == "route" else {})), **(own if on == "host" else {}))
    return before_router(discovered(**changes), route_config=route_table(one_host, **(own if on == "table" else {})))


OWN = {"@type": TYPE + FILTERS + "buffer.v3.BufferPerRoute", "buffer": {"max_request_bytes": 7}}
for place in ("route", "host", "table"):
    case(f"discovery/per-{place}", per_route(OWN, on=place, types=[BUFFER_TYPE]))
for shown, (config, changes) in {
        "of-another-filter": (OWN, {}), "of-the-second-type": (OWN, {"types": [CORS_TYPE, BUFFER_TYPE]}), "broken": (change(OWN, {"buffer": {"max_request_bytes": 0}}), {"types": [BUFFER_TYPE]}),
        "neither": ({"@type": OWN["@type"]}, {"types": [BUFFER_TYPE]}), "of-the-filter-itself": (BUFFER, {"types": [BUFFER_TYPE]}), "unknown": ({"@type": "type.googleapis.com/acme.Own"}, {}),
        "disabled": ({"@type": TYPE + "config.route.v3.FilterConfig", "disabled": True}, {}), "optional": ({"@type": TYPE + "config.route.v3.FilterConfig", "is_optional": True, "config": OWN}, {}),
        "optional-unknown": ({"@type": TYPE + "config.route.v3.FilterConfig", "is_optional": True, "config": {"@type": "type.googleapis.com/acme.Own"}}, {}),
        "enabled": ({"@type": TYPE + "config.route.v3.FilterConfig", "config": OWN}, {"types": [BUFFER_TYPE], "disabled": True}), "empty": ({"@type": TYPE + "config.route.v3.FilterConfig"}, {})}.items():
    case(f"discovery/per-route-{shown}", per_route(config, **changes))
