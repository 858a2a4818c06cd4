"""Virtual hosts on demand (VHDS) by an alias, from fairlead-control to Envoy; and a resource with a time to live, which Envoy keeps as long as it is
renewed, and drops when the control plane is gone."""
import pathlib
import re
import signal
import time

from lab import EDGE_LISTENER, await_true, free_port, get, require

CLUSTERS = """apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: edge}}
spec:
  nodes: {{clusters: [edge]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: app
    load_assignment: {{cluster_name: app, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
  - "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
    ttl: 2s
    resource:
      "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
      name: fleeting
      load_assignment: {{cluster_name: fleeting}}
"""
ON_DEMAND = '{{name: on_demand, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand}}}}'
ROUTES = EDGE_LISTENER.replace("http_filters: [", f"http_filters: [{ON_DEMAND}, ") + """  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: edge
    vhds: {{config_source: {{ads: {{}}, resource_api_version: V3}}}}
  - "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
    name: edge/app
    aliases: [edge/a.test, edge/b.test]
    resource:
      "@type": type.googleapis.com/envoy.config.route.v3.VirtualHost
      name: app
      domains: [a.test, b.test]
      routes: [{{match: {{prefix: /}}, route: {{cluster: app}}}}]
"""


def run(lab):
    upstream = free_port()
    lab.upstreams(app=upstream)
    for mode in ("--delta", "--sotw"):
        port, admin = free_port(), f"127.0.0.1:{free_port()}"
        resources = CLUSTERS + (ROUTES if mode == "--delta" else "")  # virtual hosts are asked for in delta alone
        source = lab.write(f"source{mode}/edge.yaml", resources.format(upstream=upstream, port=port)).parent
        control, xds, _ = lab.control(source)
        config = pathlib.Path(lab.bootstrap("envoy", "edge", xds, admin, mode))
        # Envoy 1.40 knows times to live, but does not say so by itself
        config.write_text(re.sub(r"^node:\n", "node:\n  client_features: [xds.config.supports-resource-ttl, xds.config.resource-in-sotw]\n", config.read_text(), flags=re.M))
        envoy = lab.proxy("envoy", config, admin)

        def status(host):
            return get(f"127.0.0.1:{port}", "/", headers={"Host": host}).status

        def has(cluster):
            return f"{cluster}::" in get(admin, "/clusters").body.decode()

        if mode == "--delta":
            await_true("a host that the client names for the first time is fetched by its alias", lambda: status("a.test") == 200)
            require(status("b.test") == 200, "the other alias")
            began = time.monotonic()
            require(status("nobody.test") == 404, "a host that nobody has")
            require(time.monotonic() - began < 1, "that was not answered at once")
        await_true(f"{mode}: both clusters come", lambda: has("app") and has("fleeting"))
        until = time.monotonic() + 5  # more than twice the time to live
        while time.monotonic() < until:
            require(has("fleeting") and has("app"), f"{mode}: a cluster that is renewed, or needs no renewal, is gone")
            time.sleep(0.1)
        control.process.send_signal(signal.SIGSTOP)  # nothing is renewed any more
        try:
            await_true(f"{mode}: a cluster that is not renewed goes", lambda: not has("fleeting"))
            require(has("app"), f"{mode}: what has no time to live is gone")
        finally:
            control.process.send_signal(signal.SIGCONT)
        lab.stop(envoy)
        lab.stop(control)
