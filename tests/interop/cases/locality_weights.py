"""Weights of localities by load: Envoy tells by LRS what two zones' endpoints say of their utilization in ORCA, is sent weights made of that, and gives the
zone that is less busy more of its requests."""
import http.server
import pathlib
import re
import threading

from lab import await_true, free_port, get, require

SOURCE = """apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: fairlead}}
spec: {{controllerName: fairlead.io/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: fairlead
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: app}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: app, port: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: app, annotations: {{fairlead.io/locality-weights: load}}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: app-1, labels: {{kubernetes.io/service-name: app}}}}
addressType: IPv4
ports: [{{name: http, port: {upstream}}}]
endpoints: [{{addresses: [127.0.0.1], zone: a}}, {{addresses: [127.0.0.2], zone: b}}]
"""
REPORTS = """cluster_manager:
  load_stats_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: fairlead-control}}]
"""


class Zone(http.server.BaseHTTPRequestHandler):
    """Answers with how busy it is, and which it is."""
    protocol_version = "HTTP/1.1"
    BUSY = {"127.0.0.1": ("a", 0.1), "127.0.0.2": ("b", 0.9)}

    def do_GET(self):
        zone, busy = self.BUSY[self.server.server_address[0]]
        self.send_response(200)
        self.send_header("content-length", "1")
        self.send_header("endpoint-load-metrics", f"TEXT cpu_utilization={busy}")
        self.end_headers()
        self.wfile.write(zone.encode())

    def log_message(self, *_):
        pass


def run(lab):
    port, upstream, node_admin = free_port(), free_port(), f"127.0.0.1:{free_port()}"
    servers = [http.server.ThreadingHTTPServer((host, upstream), Zone) for host in Zone.BUSY]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        source = lab.write("source/all.yaml", SOURCE.format(port=port, upstream=upstream)).parent
        control, xds, _ = lab.control(source, "--load-report-interval-s", "4")
        config = pathlib.Path(lab.bootstrap("envoy", "edge", xds, node_admin))
        config.write_text(config.read_text() + REPORTS)
        lab.proxy("envoy", config, node_admin)
        await_true("Envoy serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)

        def share(n):
            return sum(get(f"127.0.0.1:{port}", "/").body == b"a" for _ in range(n)) / n

        told = re.compile(r"default/app/80: weights of localities by load: a x(1\.\d+), b x(0\.\d+)")
        before = share(100)
        require(0.45 < before < 0.55, f"zone a gets {before} of plain weights")

        def moved():
            share(50)  # too few requests in a report say nothing
            return told.search(control.text())

        await_true("weights are made of what Envoy reports", moved, timeout=60)
        factors = [float(f) for f in told.search(control.text()).groups()]
        wanted = factors[0] / sum(factors)
        await_true("Envoy goes by them", lambda: abs(share(200) - wanted) < 0.02, timeout=20)
    finally:
        for server in servers:
            server.shutdown()
