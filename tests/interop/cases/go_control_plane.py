"""fairlead-proxy driven by a control plane made with go-control-plane, in SotW and in Delta: it serves, follows a change, refuses a bad
resource with a message and keeps the good one, and goes on serving when that control plane is gone."""
from lab import ADS_BOOTSTRAP, PEERS, as_json, await_true, build_go_peers, free_port, get, require

SMOKE = True

RESOURCES = """
clusters:
- {{name: app, type: EDS, connect_timeout: 1s, eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}}}
endpoints:
- cluster_name: app
  endpoints:
  - lb_endpoints:
    - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
listeners:
- name: edge
  address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: edge
        rds: {{route_config_name: edge, config_source: {{ads: {{}}, resource_api_version: V3}}}}
        http_filters:
        - name: router
          typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
routes:
- name: edge
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {{prefix: {prefix}}}
      route: {{cluster: app}}
{more}
"""


def run(lab):
    build_go_peers()
    upstream = free_port()
    lab.upstreams(app=upstream)
    for api in ("GRPC", "DELTA_GRPC"):
        port, admin = free_port(), free_port()
        config = lab.write("resources.yaml", RESOURCES.format(upstream=upstream, port=port, prefix="/one", more=""))
        plane = lab.start("go-control-plane", [PEERS / "controlplane", "--config", config, "--node", "edge-1"])
        xds = plane.await_line(r"listening 127\.0\.0\.1:(\d+)")[1]
        proxy = lab.proxy("fairlead-proxy", lab.write("bootstrap.yaml", ADS_BOOTSTRAP.format(admin=admin, api=api, xds=xds)), f"127.0.0.1:{admin}")

        def status(path):
            return get(f"127.0.0.1:{port}", path).status

        await_true(f"{api}: /one is served", lambda: status("/one") == 200)
        require(as_json(get(f"127.0.0.1:{port}", "/one"))["service"] == "app", f"{api}: wrong upstream")
        require(status("/two") == 404, f"{api}: /two is served before it is configured")

        lab.write("resources.yaml", RESOURCES.format(upstream=upstream, port=port, prefix="/two", more=""))
        plane.process.send_signal(1)
        await_true(f"{api}: /two is served", lambda: status("/two") == 200)

        more = "    - match: {safe_regex: {regex: \"(\"}}\n      route: {cluster: app}\n"
        lab.write("resources.yaml", RESOURCES.format(upstream=upstream, port=port, prefix="/three", more=more))
        plane.process.send_signal(1)
        message = plane.await_line(r"nack type\.googleapis\.com/envoy\.config\.route\.v3\.RouteConfiguration (.*)")[1]
        require("edge" in message and "regex" in message, f"{api}: the refusal does not say what is wrong: {message}")
        require(status("/two") == 200, f"{api}: the refused routes cost the good ones")

        lab.stop(plane)
        require(status("/two") == 200, f"{api}: serving ended with the control plane")
        lab.stop(proxy)
