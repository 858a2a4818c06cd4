"""Envoy and a proxyless gRPC client report their load (LRS), and what each was sent and has accepted is told to tools: by CSDS, whose types are
learned by reflection alone, and as istioctl asks."""
import importlib.util
import json
import pathlib
import subprocess

import lab as interop
from lab import BIN, EDGE_LISTENER, PEERS, await_true, build_go_peers, free_port, get, require

_spec = importlib.util.spec_from_file_location("grpc_client_case", pathlib.Path(__file__).with_name("grpc_client.py"))
grpc_client = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(grpc_client)

EDGE = """apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: edge}}
spec:
  nodes: {{clusters: [edge]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: app
    load_assignment:
      cluster_name: app
      endpoints:
      - locality: {{region: here, zone: one}}
        lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]
""" + EDGE_LISTENER + """  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: edge
    virtual_hosts:
    - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: app}}}}]}}
"""


def run(lab):
    build_go_peers()
    upstream, port, node_admin = free_port(), free_port(), f"127.0.0.1:{free_port()}"
    lab.upstreams(app=upstream)
    backend = lab.start("backend", [PEERS / "backend", "--name", "a"])
    at = backend.await_line(r"listening 127\.0\.0\.1:(\d+)")[1]
    lab.write("source/edge.yaml", EDGE.format(upstream=upstream, port=port))
    greeter = grpc_client.RESOURCES.format(endpoints=grpc_client.ENDPOINT.format(port=at))
    source = lab.write("source/greeter.yaml", greeter.replace("    type: EDS\n", "    type: EDS\n    lrs_server: {self: {}}\n")).parent
    _, xds, admin = lab.control(source, "--load-report-interval-s", "1")

    lab.proxy("envoy", lab.bootstrap("envoy", "edge", xds, node_admin, "--report-load"), node_admin)
    bootstrap = lab.write("grpc.json", subprocess.run([BIN / "fairlead", "bootstrap", "--for", "grpc", "--id", "grpc-client", "--xds-address", xds],
                                                      check=True, capture_output=True, text=True).stdout)
    lab.start("xdsclient", [PEERS / "xdsclient", "--target", "xds:///greeter", "--count", "40", "--linger", "20s"], env={"GRPC_XDS_BOOTSTRAP": str(bootstrap)})
    await_true("Envoy serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
    for _ in range(20):
        get(f"127.0.0.1:{port}", "/")

    def load():
        report = json.loads(subprocess.run([BIN / "fairlead", "--server", admin, "load", "-o", "json"], check=True, capture_output=True, text=True).stdout)
        return {(c["cluster"], place["locality"]): place for c in report["clusters"] for place in c["localities"]}

    await_true("Envoy's load is reported by locality", lambda: load().get(("app", "here/one"), {}).get("succeeded", 0) >= 21)
    await_true("gRPC's load is reported by locality", lambda: load().get(("greeter", "here"), {}).get("succeeded", 0) == 40)
    require(load()["app", "here/one"]["failed"] == 0, f"failures: {load()}")
    table = subprocess.run([BIN / "fairlead", "--server", admin, "load"], check=True, capture_output=True, text=True).stdout
    require("here/one" in table and "greeter" in table, table)

    def ask(*words):
        return subprocess.run([PEERS / "csds", "--server", xds, *words], check=True, capture_output=True, text=True).stdout

    def status(request):
        return {c["node"]["id"]: c.get("genericXdsConfigs", []) for c in json.loads(ask("fetch", json.dumps(request))).get("config", [])}

    def states(node):
        found = status({"node_matchers": [{"node_id": {"exact": node}}], "exclude_resource_contents": True})
        return {(r["typeUrl"].rsplit(".", 1)[-1], r["name"]): r["configStatus"] for r in found.get(node, [])}

    everyone = status({"exclude_resource_contents": True})
    envoy = next((n for n in everyone if n != "grpc-client"), None)
    require(envoy and "grpc-client" in everyone, f"who is there: {list(everyone)}")
    want = {("Cluster", "app"): "SYNCED", ("Listener", "edge"): "SYNCED", ("RouteConfiguration", "edge"): "SYNCED"}
    await_true(f"Envoy has accepted all it was sent: {states(envoy)}", lambda: states(envoy) == want)
    await_true(f"gRPC has: {states('grpc-client')}", lambda: set(states("grpc-client").values()) == {"SYNCED"} and len(states("grpc-client")) == 4)
    require(status({"node_matchers": [{"node_id": {"exact": "nobody"}}]}) == {}, "somebody is nobody")
    lines = ask("syncz").splitlines()
    require(f"{envoy} SYNCED SYNCED UNKNOWN SYNCED" in lines and "grpc-client SYNCED SYNCED SYNCED SYNCED" in lines, f"syncz: {lines}")
    require(lines[-1].startswith("BY fairlead-control "), f"syncz: {lines}")
    require(len(lines) == 3, f"who asks is counted: {lines}")
