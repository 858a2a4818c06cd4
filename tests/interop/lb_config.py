"""Configurations for the cases about load balancing: a listener with one route per cluster, whose answers name the host that was picked."""

TYPE = "type.googleapis.com/envoy.extensions"


def endpoint(n, weight=None, hostname=None, health=None, key=None):
    e = {"endpoint": {"address": {"socket_address": {"address": f"127.7.0.{n}", "port_value": 1}}}}
    if hostname:
        e["endpoint"]["hostname"] = hostname
    if weight:
        e["load_balancing_weight"] = weight
    if health:
        e["health_status"] = health
    if key:
        e["metadata"] = {"filter_metadata": {"envoy.lb": {"hash_key": key}}}
    return e


def flat(*endpoints):
    return [{"lb_endpoints": list(endpoints)}]


def zone(name, weight, priority, *endpoints):
    z = {"locality": {"region": "r", "zone": name}, "lb_endpoints": list(endpoints), "priority": priority}
    if weight is not None:
        z["load_balancing_weight"] = weight
    return z


def typed(kind, message, **fields):
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {
        "name": kind, "typed_config": {"@type": f"{TYPE}.load_balancing_policies.{kind}.v3.{message}", **fields}}}]}}


def proxy(port, admin, clusters, route=None, more=None):
    """A bootstrap: /NAME goes to each of `clusters` with the fields of `route`; `more` fields beside."""
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    routes = [{"match": {"path": f"/{c['name']}"}, "route": {"cluster": c["name"], **(route or {})}} for c in clusters]
    manager = {"@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
               "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
               "route_config": {"response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_HOST%"}}],
                                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}}
    return {"admin": {"address": address(admin)}, **(more or {}), "static_resources": {
        "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}],
        "clusters": clusters}}


def picked(reply):
    """The number of the host in an answer, 0 for none: the last part of its address."""
    host = reply.getheader("x-host") or "-"
    return int(host.split(":")[0].rsplit(".", 1)[1]) if host != "-" else 0
