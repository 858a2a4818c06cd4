"""A proxyless gRPC client (xds:///) driven by fairlead-control: raw resources, an edit of the endpoints, no proxy in between."""
import subprocess

from lab import BIN, PEERS, await_true, build_go_peers, require

RESOURCES = """
apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: greeter}}
spec:
  nodes: {{ids: [grpc-client]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: greeter
    api_listener:
      api_listener:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: greeter
        rds: {{route_config_name: greeter, config_source: {{ads: {{}}, resource_api_version: V3}}}}
        http_filters:
        - name: router
          typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: greeter
    virtual_hosts:
    - name: all
      domains: ["*"]
      routes:
      - match: {{prefix: ""}}
        route: {{cluster: greeter}}
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: greeter
    type: EDS
    eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}
  - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
    cluster_name: greeter
    endpoints:
    - locality: {{region: here}}
      load_balancing_weight: 1
      lb_endpoints:
{endpoints}
"""
ENDPOINT = "      - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"


def run(lab):
    build_go_peers()
    ports = {}
    for name in ("a", "b"):
        backend = lab.start(f"backend-{name}", [PEERS / "backend", "--name", name])
        ports[name] = backend.await_line(r"listening 127\.0\.0\.1:(\d+)")[1]

    def config(*names):
        return RESOURCES.format(endpoints="\n".join(ENDPOINT.format(port=ports[n]) for n in names))

    path = lab.write("source/greeter.yaml", config("a"))
    _, xds, _ = lab.control(path.parent)
    bootstrap = lab.write("grpc.json", subprocess.run([BIN / "fairlead", "bootstrap", "--for", "grpc", "--id", "grpc-client", "--xds-address", xds],
                                                      check=True, capture_output=True, text=True).stdout)

    def answers():
        done = subprocess.run([PEERS / "xdsclient", "--target", "xds:///greeter", "--count", "40"], env={"GRPC_XDS_BOOTSTRAP": str(bootstrap)},
                              capture_output=True, text=True)
        require(done.returncode == 0, f"the client failed: {done.stderr}")
        return dict(line.split() for line in done.stdout.splitlines())

    require(answers() == {"a": "40"}, f"wrong backends: {answers()}")
    lab.write("source/greeter.yaml", config("a", "b"))
    await_true("the client uses both backends", lambda: answers() == {"a": "20", "b": "20"})
