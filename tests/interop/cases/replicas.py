"""Two replicas of fairlead-control behind one address, under load, with Envoy and fairlead-proxy in both protocols: one is killed, and comes back, and the
other is killed. No request fails, what did not change is not changed anywhere, and what does arrives over the replica that is left. FAIRLEAD_OTHER_BIN,
a folder of programs of another version: one of the replicas and half of the proxies are of that one."""
import http.client
import re
import signal
import socket
import threading

from lab import BIN, EDGE_LISTENER, OTHER_BIN, await_true, free_port, free_ports, get, require, same

EDGE = """apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: {name}}}
spec:
  nodes: {{clusters: [{name}]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: app
    type: EDS
    connect_timeout: 5s
    eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}
  - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
    cluster_name: app
    endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]
""" + EDGE_LISTENER + """  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: edge
    response_headers_to_add: [{{header: {{key: x-edit, value: "{edit}"}}}}]
    virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: app}}}}]}}]
"""
# the same by Gateway API, of which each version makes resources by itself
GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{gatewayClassName: fairlead, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {name}}}]
  rules:
  - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{add: [{{name: x-edit, value: "{edit}"}}]}}}}]
    backendRefs: [{{name: {name}, port: 80}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: "", port: {upstream}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""
CLASS = """apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead}
spec: {controllerName: fairlead.io/gateway-controller}
"""
CHANGES = ("listener_manager.listener_modified", "listener_manager.listener_removed", "cluster_manager.cluster_modified", "cluster_manager.cluster_removed")


class Balancer:
    """A Service's address: each connection goes to the next server that takes it."""

    def __init__(self, backends):
        self.backends, self.turn, self.open = backends, 0, True
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            for _ in self.backends:
                self.turn += 1
                host, port = self.backends[self.turn % len(self.backends)].split(":")
                try:
                    server = socket.create_connection((host, int(port)), timeout=5)
                except OSError:
                    continue
                server.settimeout(None)
                for a, b in ((client, server), (server, client)):
                    threading.Thread(target=self.pass_on, args=(a, b), daemon=True).start()
                break
            else:
                client.close()

    @staticmethod
    def pass_on(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Load:
    """A client of each port that never pauses; counts what is not 200."""

    def __init__(self, ports):
        self.stopped, self.good, self.bad = threading.Event(), dict.fromkeys(ports, 0), []
        self.threads = [threading.Thread(target=self.run, args=item) for item in ports.items()]

    def run(self, name, port):
        while not self.stopped.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                for _ in range(200):
                    connection.request("GET", "/")
                    reply = connection.getresponse()
                    reply.read()
                    if reply.status != 200:
                        self.bad.append(f"{name}: {reply.status}")
                    self.good[name] += 1
            except (OSError, http.client.HTTPException) as error:
                self.bad.append(f"{name}: {error!r}")
            connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def run(lab):
    upstream = free_port()
    lab.nginx({upstream: "app"})
    kinds = {"envoy-sotw": ("envoy", "--sotw", BIN), "envoy-delta": ("envoy", "--delta", BIN), "proxy-sotw": ("proxy", "--sotw", OTHER_BIN), "proxy-delta": ("proxy", "--delta", BIN),
             "gateway-delta": ("proxy", "--delta", OTHER_BIN), "gateway-sotw": ("proxy", "--sotw", BIN), "gateway-envoy": ("envoy", "--delta", BIN)}
    ports, admins = free_ports(kinds), {name: f"127.0.0.1:{port}" for name, port in free_ports(kinds).items()}

    def write(edit):
        for name, port in ports.items():
            lab.write(f"source/{name}.yaml", (GATEWAY if name.startswith("gateway") else EDGE).format(name=name, port=port, upstream=upstream, edit=edit))

    write("first")
    lab.write("source/class.yaml", CLASS)
    source = lab.dir / "source"
    replicas = [lab.control(source, programs=programs) for programs in (BIN, OTHER_BIN)]  # (process, xDS, admin)
    balancer = Balancer([xds for _, xds, _ in replicas])
    for name, (kind, protocol, programs) in kinds.items():
        whose = ("--gateway", f"default/{name}") if name.startswith("gateway") else ()
        lab.proxy(kind, lab.bootstrap(kind, name, balancer.address, admins[name], protocol, "--id", name, *whose), admins[name], programs=programs)

    def edited(edit):
        for name, port in ports.items():
            await_true(f"{name} has {edit!r}", lambda: get(f"127.0.0.1:{port}", "/").header("x-edit") == edit, timeout=30)

    def streams(replica):
        return int(re.search(r"^fairlead_control_streams (\d+)$", get(replica[2], "/metrics").body.decode(), re.M)[1])

    def changes():
        out = {}
        for name, admin in admins.items():
            text = get(admin, "/stats?filter=_manager").body.decode()
            out[name] = {what: int(found[1]) for what in CHANGES if (found := re.search(rf"^{re.escape(what)}: (\d+)$", text, re.M))}
        return out

    edited("first")
    require(all(streams(r) > 0 for r in replicas), f"all went to one replica: {[streams(r) for r in replicas]}")
    before = changes()
    require(all(set(found) == set(CHANGES) for found in before.values()), f"statistics: {before}")
    with Load(ports) as load:
        for victim, survivor in ((0, 1), (1, 0)):
            process, xds, admin = replicas[victim]
            process.process.send_signal(signal.SIGKILL)
            process.process.wait()
            await_true("all are served by the one that is left", lambda: streams(replicas[survivor]) == len(kinds), timeout=30)
            same(f"what has changed without replica {victim}", changes(), before)
            write(f"without {victim}")
            edited(f"without {victim}")
            # back, where it was
            lab.processes.remove(process)
            fresh = lab.start(f"fairlead-control-{victim}", [*process.process.args[:3], "--xds-address", xds, "--admin-address", admin])
            replicas[victim] = (fresh, xds, admin)
            await_true("the replica is back", lambda: get(admin, "/readyz").status == 200)
        good = dict(load.good)
        await_true("load goes on", lambda: all(load.good[name] > good[name] for name in kinds))
    same("clusters and listeners that changed", changes(), before)
    require(not load.bad, f"of {sum(load.good.values())} requests failed: {load.bad[:20]}")
