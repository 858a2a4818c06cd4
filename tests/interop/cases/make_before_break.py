"""Routes that move to services never seen before, under load: Envoy, too, answers every request, in SotW and in Delta, and in Delta over a restart."""
import http.client
import json
import threading
import time

import lab as interop
from lab import await_http, await_true, free_port, get, require

FLIPS = 8

OBJECTS = """apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: fairlead}}
spec: {{controllerName: fairlead.io/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec: {{gatewayClassName: fairlead, addresses: [{{value: 127.0.0.1}}], listeners: [{{name: http, protocol: HTTP, port: {port}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: app}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {service}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
ports: [{{name: http, port: {upstream}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""


class Load:
    """Two clients that never pause; counts what is not 200."""

    def __init__(self, port):
        self.port, self.stopped, self.good, self.bad = port, False, 0, []
        self.threads = [threading.Thread(target=self.run) for _ in range(2)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stopped:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                for _ in range(100):
                    connection.request("GET", "/")
                    reply = connection.getresponse()
                    reply.read()
                    if reply.status == 200:
                        self.good += 1
                    else:
                        self.bad.append(reply.status)
            except OSError as error:
                self.bad.append(repr(error))
            finally:
                connection.close()

    def stop(self):
        self.stopped = True
        for t in self.threads:
            t.join()
        return self.good, self.bad


def run(lab):
    ups = {"red": free_port(), "blue": free_port()}
    lab.upstreams(**ups)
    for kind, mode, restart in (("envoy", "--sotw", False), ("envoy", "--delta", False), ("envoy", "--delta", True), ("proxy", "--delta", True)):
        what = f"{kind} {mode}{' with restarts' if restart else ''}"
        port, node_admin = free_port(), f"127.0.0.1:{free_port()}"
        xds, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"

        def write(flip):
            return lab.write("source/edge.yaml", OBJECTS.format(port=port, service=f"s{flip}", upstream=ups["blue" if flip % 2 else "red"]))

        def start_control():
            p = lab.start("fairlead-control", [interop.BIN / "fairlead-control", "--source", f"file:{source}", "--xds-address", xds, "--admin-address", admin])
            await_http(admin, "/readyz", p)
            return p

        source = write(0).parent
        control = start_control()
        proxy = lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", lab.bootstrap(kind, "edge", xds, node_admin, mode), node_admin)
        await_true(f"{what}: served", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
        load = Load(port)
        for flip in range(1, FLIPS + 1):
            if restart:
                lab.stop(control)
            write(flip)
            if restart:
                control = start_control()
            wanted = "blue" if flip % 2 else "red"

            def moved():
                reply = get(f"127.0.0.1:{port}", "/")
                return reply.status == 200 and json.loads(reply.body)["service"] == wanted

            await_true(f"{what}: change {flip}", moved)
            time.sleep(0.05)  # some load between two changes
        good, bad = load.stop()
        require(good > 100 and not bad, f"{what}: of {good + len(bad)} requests {len(bad)} failed: {bad[:5]}")
        lab.stop(proxy)
        lab.stop(control)
