"""A cluster that only Envoy can refuse (a Maglev table that is no prime): the refusal is reported with file and line, Envoy keeps the last
good one, other changes go on, the same bytes are not sent again, and a mended file is served at once. In SotW and in Delta."""
import json
import subprocess

import lab as interop
from lab import EDGE_LISTENER, await_true, free_port, get, require

SMOKE = True

RESOURCES = """apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: edge}}
spec:
  nodes: {{clusters: [edge]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: app
    connect_timeout: {timeout}
    lb_policy: MAGLEV
    maglev_lb_config: {{table_size: {size}}}
    load_assignment: {{cluster_name: app, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
""" + EDGE_LISTENER + """  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: edge
    virtual_hosts:
    - {{name: all, domains: ["*"], routes: [{{match: {{prefix: {prefix}}}, route: {{cluster: app}}}}]}}
"""


def run(lab):
    upstream = free_port()
    lab.upstreams(app=upstream)
    for mode in ("--sotw", "--delta"):
        port, node_admin = free_port(), f"127.0.0.1:{free_port()}"

        def write(**what):
            return lab.write("source/edge.yaml", RESOURCES.format(**{"timeout": "1s", "size": 65537, "prefix": "/one", "upstream": upstream, "port": port, **what}))

        def ask(*command):
            return json.loads(subprocess.run([interop.BIN / "fairlead", "--server", admin, *command, "-o", "json"], check=True, capture_output=True, text=True).stdout)

        def status(path):
            return get(f"127.0.0.1:{port}", path).status

        source = write().parent
        control, xds, admin = lab.control(source)
        envoy = lab.proxy("envoy", lab.bootstrap("envoy", "edge", xds, node_admin, mode), node_admin)
        await_true(f"{mode}: served", lambda: status("/one") == 200)
        require(ask("nacks") == {"nacks": []}, f"{mode}: something was refused at the start: {ask('nacks')}")

        write(size=65536, timeout="2s")
        nack = await_true(f"{mode}: the refusal is reported", lambda: ask("nacks")["nacks"])[0]
        require(nack["type"] == "cds" and nack["name"] == "app" and "prime" in nack["message"], f"{mode}: {nack}")
        require(nack["origins"][0]["place"].endswith("edge.yaml:7"), f"{mode}: the refusal does not name its line: {nack['origins']}")
        require(nack["count"] == 1, f"{mode}: refused {nack['count']} times")
        require(status("/one") == 200, f"{mode}: the last good cluster is gone")
        conditions = [c for c in ask("conditions")["conditions"] if c["type"] == "Programmed" and c["status"] == "False"]
        require(any("prime" in c["message"] for c in conditions), f"{mode}: no condition says so: {ask('conditions')}")

        write(size=65536, timeout="2s", prefix="/two")
        await_true(f"{mode}: another change goes on", lambda: status("/two") == 200)
        require(ask("nacks")["nacks"][0]["count"] == 1, f"{mode}: the refused bytes were sent again: {ask('nacks')}")

        write(size=251, timeout="2s", prefix="/two")
        await_true(f"{mode}: the mended file releases it", lambda: ask("nacks") == {"nacks": []})
        await_true(f"{mode}: and is served", lambda: '"connect_timeout": "2s"' in get(node_admin, "/config_dump").body.decode() and status("/two") == 200)
        lab.stop(envoy)
        lab.stop(control)
