"""The runtime by discovery (RTDS), from raw resources of fairlead-control and from go-control-plane, to Envoy and to fairlead-proxy: /runtime shows the layer,
and the share of a route follows it on a connection that is open."""
import http.client
import json
import signal

from lab import PEERS, as_json, await_true, build_go_peers, free_port, get, require, same

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
ADS = {"ads": {}, "resource_api_version": "V3"}
# The discovered layer, step by step, and of how many in a hundred requests the share is.
STEPS = [({"share": 0, "words": "as they are", "on": True, "half": 0.5}, 0, 0),
         ({"share": 100, "words": "other"}, 100, 100),
         ({"share": {"numerator": 3000, "denominator": "TEN_THOUSAND"}}, 15, 45),
         ({"base": 7}, 0, 0)]


def answers(body):
    return {"status": 200, "body": {"inline_string": body}}


def listener(port):
    routes = [{"match": {"prefix": "/", "runtime_fraction": {"default_value": {"numerator": 0}, "runtime_key": "share"}}, "direct_response": answers("chosen")}, {"match": {"prefix": "/"}, "direct_response": answers("other")}]
    manager = {"@type": HCM, "stat_prefix": "edge", "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]}, "http_filters": [{"name": "r", "typed_config": {"@type": ROUTER}}]}
    return {"name": "edge", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}


def bootstrap(admin, xds, api):
    h2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": xds}}}}
    return json.dumps({"node": {"id": "edge-1", "cluster": "edge"}, "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
                       "dynamic_resources": {"ads_config": {"api_type": api, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}, "cds_config": ADS, "lds_config": ADS},
                       "layered_runtime": {"layers": [{"name": "fixed", "static_layer": {"share": 0, "base": 1}}, {"name": "found", "rtds_layer": {"name": "shares", "rtds_config": ADS}}]},
                       "static_resources": {"clusters": [{"name": "xds", "type": "STATIC", "connect_timeout": "1s", "typed_extension_protocol_options": h2,
                                                          "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [endpoint]}]}}]}})


class Fairlead:
    """fairlead-control, from a file of raw resources."""
    name = "fairlead-control"

    def __init__(self, lab, folder, port):
        self.lab, self.folder, self.port = lab, folder, port
        self.tell(STEPS[0][0])
        self.process, xds, _ = lab.control(lab.dir / folder)
        self.xds = int(xds.rpartition(":")[2])

    def tell(self, layer):
        resources = [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **listener(self.port)}, {"@type": "type.googleapis.com/envoy.service.runtime.v3.Runtime", "name": "shares", "layer": layer}]
        self.lab.write(f"{self.folder}/edge.yaml", json.dumps({"apiVersion": "fairlead.io/v1alpha1", "kind": "EnvoyResources", "metadata": {"name": "edge"}, "spec": {"nodes": {"clusters": ["edge"]}, "resources": resources}}))


class GoControlPlane:
    name = "go-control-plane"

    def __init__(self, lab, folder, port):
        self.lab, self.folder, self.port, self.process = lab, folder, port, None
        self.tell(STEPS[0][0])
        self.process = lab.start(self.name, [PEERS / "controlplane", "-config", self.file, "-node", "edge-1"])
        self.xds = int(self.process.await_line(r"listening 127\.0\.0\.1:(\d+)")[1])

    def tell(self, layer):
        self.file = self.lab.write(f"{self.folder}.yaml", json.dumps({"listeners": [listener(self.port)], "runtimes": [{"name": "shares", "layer": layer}]}))
        if self.process:
            self.process.process.send_signal(signal.SIGHUP)


def comparable(shown):
    """Envoy prints a fraction as protobuf's text for debugging."""
    if isinstance(shown, str):
        return "a fraction" if "TEN_THOUSAND" in shown else shown
    if isinstance(shown, list):
        return [comparable(each) for each in shown]
    return {key: comparable(value) for key, value in shown.items()}


def observe(lab, plane_class, kind, api):
    port, admin_port = free_port(), free_port()
    admin, what = f"127.0.0.1:{admin_port}", f"{plane_class.name}, {api}, {kind}"
    plane = plane_class(lab, f"{plane_class.name}-{api}-{kind}", port)
    proxy = lab.proxy(kind, lab.write(f"{what.replace(', ', '-')}.json", bootstrap(admin_port, plane.xds, api)), admin)
    await_true(f"{what}: the listener serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
    connection, seen = http.client.HTTPConnection("127.0.0.1", port, timeout=10), []

    def ask():
        connection.request("GET", "/")
        return connection.getresponse().read() == b"chosen"

    for layer, least, most in STEPS:
        plane.tell(layer)
        shown = await_true(f"{what}: /runtime shows {layer}", lambda: (r := as_json(get(admin, "/runtime")))["entries"].keys() == {"share", "base", *layer} and
                           all(r["entries"][key]["layer_values"][1] != "" for key in layer) and (seen == [] or r != seen[-1]) and r)
        seen.append(shown)
        if least == most:
            await_true(f"{what}: {layer} has reached the worker", lambda: ask() == (least == 100))
        chosen = sum(ask() for _ in range(400)) / 4
        require(least <= chosen <= most, f"{what}: with {layer} {chosen} of a hundred requests have the share's route")
    connection.close()
    stats = get(admin, "/stats?filter=^runtime\\.(update_success|update_rejected|num_keys|num_layers)").body.decode()
    lab.stop(proxy)
    lab.stop(plane.process)
    return seen, stats


def run(lab):
    build_go_peers()
    for plane in (Fairlead, GoControlPlane):
        for api in ("GRPC", "DELTA_GRPC"):
            ours, theirs = (observe(lab, plane, kind, api) for kind in ("fairlead-proxy", "envoy"))
            same(f"{plane.name}, {api}: /runtime", comparable(ours[0]), comparable(theirs[0]))
            same(f"{plane.name}, {api}: statistics", ours[1], theirs[1])
    print(f"  {len(STEPS)} steps from each of 2 control planes, in SotW and in delta: alike")
