"""Weights of localities by load: Envoy and fairlead-proxy tell by LRS what two zones' endpoints say of their utilization in ORCA, are sent weights made of that, and
give the zone that is less busy more of their requests."""
import http.server
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
    upstream = free_port()
    servers = [http.server.ThreadingHTTPServer((host, upstream), Zone) for host in Zone.BUSY]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for kind in ("envoy", "proxy"):
            weigh(lab, kind, upstream)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def weigh(lab, kind, upstream):
    port, node_admin = free_port(), f"127.0.0.1:{free_port()}"
    source = lab.write(f"{kind}/all.yaml", SOURCE.format(port=port, upstream=upstream)).parent
    control, xds, _ = lab.control(source, "--load-report-interval-s", "4")
    client = lab.proxy(kind, lab.bootstrap(kind, "edge", xds, node_admin, "--report-load"), node_admin)
    await_true(f"{kind} serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)

    def share(n):
        return sum(get(f"127.0.0.1:{port}", "/").body == b"a" for _ in range(n)) / n

    told = re.compile(r"default/app/80: weights of localities by load: a x(1\.\d+), b x(0\.\d+)")
    before = share(100)
    require(0.45 < before < 0.55, f"zone a gets {before} of plain weights from {kind}")

    def moved():
        share(50)  # too few requests in a report say nothing
        return told.search(control.text())

    await_true(f"weights are made of what {kind} reports", moved, timeout=60)
    factors = [float(f) for f in told.search(control.text()).groups()]
    wanted = factors[0] / sum(factors)
    await_true(f"{kind} goes by them", lambda: abs(share(200) - wanted) < 0.02, timeout=20)
    lab.stop(client)
    lab.stop(control)
