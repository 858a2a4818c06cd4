"""HTTP filters by extension config discovery: Envoy and fairlead-proxy, driven by the same control plane through a first configuration, changes, a type that
is not allowed and a removal, answer alike, log alike, refuse in the same words and count the same. Then fairlead-control serves the filters to both."""
import json
import re
import signal

from lab import PEERS, await_true, build_go_peers, free_port, free_ports, get, require, same

TYPES = "type.googleapis.com/envoy.extensions.filters."
ROUTER = {"name": "router", "typed_config": {"@type": TYPES + "http.router.v3.Router"}}
ALLOWED = ("http.header_mutation.v3.HeaderMutation", "http.fault.v3.HTTPFault")
STATS = ("config_conflict", "config_fail", "config_reload", "init_fetch_timeout", "update_attempt", "update_failure", "update_rejected", "update_success", "version", "version_text")


def header(value):
    return {"@type": TYPES + "http.header_mutation.v3.HeaderMutation", "mutations": {"response_mutations": [{"append": {"header": {"key": "x-filter", "value": value}}}]}}


def fault(status):
    return {"@type": TYPES + "http.fault.v3.HTTPFault", "abort": {"http_status": status, "percentage": {"numerator": 100}}}


BUFFER = {"@type": TYPES + "http.buffer.v3.Buffer", "max_request_bytes": 1}


ADS = {"ads": {}, "resource_api_version": "V3"}


def discovered(name, timeout="15s", types=ALLOWED, source=ADS, **more):
    source = {**source, "initial_fetch_timeout": timeout}
    return {"name": name, "config_discovery": {"config_source": source, "type_urls": [TYPES + t for t in types], **more}}


def listener(name, port, filters):
    log = {"name": "log", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                                           "log_format": {"text_format_source": {"inline_string": "LOG %RESPONSE_CODE% %RESPONSE_FLAGS% <%RESPONSE_CODE_DETAILS%>\n"}}}}
    routes = {"name": "direct", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "direct"}}}]}]}
    return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
        "@type": TYPES + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name, "access_log": [log], "route_config": routes, "http_filters": filters}}]}]}


def bootstrap(admin, xds, api, node="edge-1"):
    ads = {"ads": {}, "resource_api_version": "V3"}
    return json.dumps({
        "node": {"id": node, "cluster": "edge"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "dynamic_resources": {"ads_config": {"api_type": api, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}, "cds_config": ads, "lds_config": ads},
        "static_resources": {"clusters": [{
            "name": "xds", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": xds}}}}]}]}}]}})


class Side:
    """One proxy with a control plane of its own; both sides are told the same."""

    def __init__(self, lab, kind, api):
        self.lab, self.kind, self.version = lab, kind, 1
        names = free_ports(["admin", "a", "b", "c", "zero"])
        self.admin, self.ports = f"127.0.0.1:{names['admin']}", names
        self.listeners = [listener("a", names["a"], [discovered("first"), ROUTER]), listener("b", names["b"], [discovered("second", default_config=fault(419)), ROUTER]),
                          listener("c", names["c"], [{**discovered("off", timeout="0.2s"), "disabled": True}, discovered("third", default_config=fault(420), apply_default_config_without_warming=True), ROUTER])]
        self.put([listener("zero", names["zero"], [ROUTER])], {}, reload=False)
        xds = free_port()
        self.control = lab.start(f"control-{kind}-{api}", [PEERS / "controlplane", "-config", self.file, "-node", "edge-1", "-address", f"127.0.0.1:{xds}"])
        self.control.await_line("listening")
        self.proxy = lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", lab.write(f"{kind}-{api}.json", bootstrap(names["admin"], xds, api)), self.admin)

    def put(self, listeners, filters, reload=True):
        resources = {"listeners": listeners, "extensions": [{"name": n, "typed_config": c} for n, c in filters.items()]}
        self.file = self.lab.write(f"{self.kind}/resources.yaml", json.dumps(resources))
        if reload:
            self.version += 1
            self.control.process.send_signal(signal.SIGHUP)
            self.control.await_line(rf"version {self.version}\b")

    def ask(self):
        out = {}
        for name in "abc":
            try:
                reply = get(f"127.0.0.1:{self.ports[name]}", "/")
                out[name] = (reply.status, reply.header("x-filter"), reply.header("content-length"), reply.header("content-type"), reply.body.decode())
            except OSError:
                out[name] = "refused"
        return out

    def stats(self):
        text = get(self.admin, "/stats?filter=extension_config_discovery").body.decode()
        found = dict(re.findall(r"http_filter\.(\S+): (.*)", text))
        return {name: found.get(name) for name in (f"{f}.{s}" for f in ("first", "second", "third", "off") for s in STATS)}

    def nacks(self):
        # whichever word of ours stands before Envoy's sentence
        return re.findall(r"nack \S*TypedExtensionConfig .*?(Error: .*)", self.control.text())

    def dump(self):
        configs = json.loads(get(self.admin, "/config_dump").body)["configs"]
        rows = [row for c in configs if c["@type"].endswith("EcdsConfigDump") for row in c.get("ecds_filters", [])]
        return sorted(({k: v for k, v in row.items() if k in ("version_info", "ecds_filter")} for row in rows if "ecds_filter" in row), key=lambda r: r["ecds_filter"]["name"])


def both(sides, what, wanted):
    """Until both answer as wanted; then everything else has to be alike as well."""
    for side in sides:
        await_true(f"{what}: {side.kind}", lambda s=side: all(s.ask()[n][:2] == w if w else s.ask()[n] == "refused" for n, w in wanted.items()))
    ours, theirs = sides
    same(f"{what}: answers", ours.ask(), theirs.ask())
    await_true(f"{what}: statistics, fairlead-proxy {ours.stats()}, Envoy {theirs.stats()}", lambda: ours.stats() == theirs.stats())
    same(f"{what}: configuration dump", ours.dump(), theirs.dump())


def incremental(lab):
    sides = [Side(lab, kind, "DELTA_GRPC") for kind in ("fairlead", "envoy")]

    def put(filters):
        for side in sides:
            side.put(side.listeners, filters)

    put({})
    both(sides, "waiting", {"a": None, "b": None, "c": (420, None)})
    put({"first": header("1")})
    both(sides, "one has come", {"a": (200, "1"), "b": None, "c": (420, None)})
    put({"first": header("1"), "second": fault(418), "third": header("3")})
    both(sides, "all have come", {"a": (200, "1"), "b": (418, None), "c": (200, "3")})
    put({"first": fault(418), "second": header("2"), "third": header("3")})
    both(sides, "kinds change", {"a": (418, None), "b": (200, "2"), "c": (200, "3")})
    put({"first": BUFFER, "second": header("2"), "third": header("3")})
    for side in sides:
        await_true(f"refused: {side.kind}", lambda s=side: len(s.nacks()) == 1)
    same("refusals", [sorted(re.findall(r"[\w.]*\.v3\.\w+", n)) for n in sides[0].nacks()], [sorted(re.findall(r"[\w.]*\.v3\.\w+", n)) for n in sides[1].nacks()])
    both(sides, "the last good one", {"a": (418, None), "b": (200, "2"), "c": (200, "3")})
    put({"second": header("2")})
    both(sides, "removed", {"a": (500, None), "b": (200, "2"), "c": (420, None)})
    put({"first": header("again")})
    both(sides, "back, and a default again", {"a": (200, "again"), "b": (419, None), "c": (420, None)})
    for side in sides:
        modified = get(side.admin, "/stats?filter=listener_manager.listener_modified").body.decode()
        require(modified.endswith(": 0\n"), f"{side.kind}: a filter's update changed a listener: {modified}")
        lab.stop(side.proxy)
        lab.stop(side.control)
    log = [re.findall(r"LOG 500 .*", side.proxy.text()) for side in sides]
    require(log[0] and log[1] and set(log[0]) == set(log[1]), f"access logs of a missing filter: fairlead-proxy {set(log[0])}, Envoy {set(log[1])}")


def state_of_the_world(lab):
    """What is left out of a response stays, and a silent server is waited for no longer than the initial fetch timeout."""
    sides = [Side(lab, kind, "GRPC") for kind in ("fairlead", "envoy")]
    for side in sides:
        side.listeners = [listener("a", side.ports["a"], [discovered("first", timeout="0.3s"), ROUTER]), listener("b", side.ports["b"], [discovered("second", timeout="0.3s", default_config=fault(419)), ROUTER])]
        side.put(side.listeners, {})
    wanted = {"a": (500, None), "b": (419, None)}
    both(sides, "timed out", wanted)
    for side in sides:
        side.put(side.listeners, {"first": header("1"), "second": header("2")})
    both(sides, "both have come", {"a": (200, "1"), "b": (200, "2")})
    for side in sides:
        lab.stop(side.proxy)
        lab.stop(side.control)


def from_fairlead_control(lab):
    """The same filter for both clients out of a folder, in each protocol, over ADS or a stream of its own; what breaks a rule of the filter is refused
    before anybody gets it."""
    for api, own_stream in (("DELTA_GRPC", False), ("GRPC", False), ("DELTA_GRPC", True), ("GRPC", True)):
        source = {"resource_api_version": "V3", "api_config_source": {"api_type": api, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}}
        names = {kind: free_ports(["admin", "a"]) for kind in ("fairlead", "envoy")}

        def write(config):
            objects = [{"apiVersion": "fairlead.io/v1alpha1", "kind": "EnvoyResources", "metadata": {"name": kind}, "spec": {"nodes": {"ids": [f"{kind}-1"]}, "resources": [
                {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "first", "typed_config": config},
                {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **listener("a", ports["a"], [discovered("first", source=source if own_stream else ADS), ROUTER])}]}} for kind, ports in names.items()]
            return lab.write(f"source-{api}-{own_stream}/edge.yaml", "---\n".join(json.dumps(o) + "\n" for o in objects))

        def served(kind, value):
            return get(f"127.0.0.1:{names[kind]['a']}", "/").header("x-filter") == value

        control, xds, admin = lab.control(write(header("1")).parent)
        proxies = []
        for kind, ports in names.items():
            config = lab.write(f"{kind}-{api}-{own_stream}-control.json", bootstrap(ports["admin"], int(xds.rpartition(":")[2]), api, f"{kind}-1"))
            proxies.append(lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", config, f"127.0.0.1:{ports['admin']}"))
            await_true(f"{api}, own stream {own_stream}: {kind} serves with its filter", lambda k=kind: served(k, "1"))
        write(header("2"))
        for kind in names:
            await_true(f"{api}, own stream {own_stream}: {kind} follows", lambda k=kind: served(k, "2"))
        write({**BUFFER, "max_request_bytes": 0})
        control.await_line(r"max_request_bytes")
        for kind in names:
            require(served(kind, "2"), f"{api}, own stream {own_stream}: {kind} lost its filter to one that breaks a rule")
        for process in (*proxies, control):
            lab.stop(process)


def run(lab):
    build_go_peers()
    incremental(lab)
    state_of_the_world(lab)
    from_fairlead_control(lab)
