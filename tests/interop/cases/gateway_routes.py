"""The kinds and fields of Gateway API beyond plain HTTP: GRPCRoutes, TCPRoutes (TLS ended here, too), UDPRoutes by weight, ListenerSets, several addresses,
CORS, retries and sessions. One fairlead-control drives Envoy and fairlead-proxy, which answer the same."""
import collections
import http.server
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import types

import lab as interop
from lab import Failed, await_port, await_true, free_port, free_ports, get, require

GRPC = ["curl", "-sSD-", "-o", "/dev/null", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "--data-binary", "@-"]


def flaky(port):
    """503 twice for each new path and then 200; paths with "slow" in them are slow the first time, and those with "cut" are cut."""
    seen = collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            seen[self.path] += 1
            first = seen[self.path] == 1
            if first and "slow" in self.path:
                time.sleep(1.5)
            if first and "cut" in self.path:
                return self.connection.shutdown(socket.SHUT_RDWR)
            self.send_response(503 if "codes" in self.path and seen[self.path] <= 2 else 200)
            body = str(seen[self.path]).encode()
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def service(name, *ports, udp=False, more=""):
    protocol = ", protocol: UDP" if udp else ""
    endpoints = "".join(f"""---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-{n}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: p, port: {port}{protocol}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
""" for n, port in enumerate(ports))
    return f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: p, port: 80{protocol}{more}}}]}}\n{endpoints}"


def objects(p):
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: fairlead}}
spec: {{controllerName: fairlead.io/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: fairlead
  addresses: [{{value: 127.0.0.1}}, {{value: 127.0.0.2}}]
  allowedListeners: {{namespaces: {{from: Same}}}}
  listeners:
  - {{name: http, port: {p.http}, protocol: HTTP}}
  - {{name: l4, port: {p.l4}, protocol: TCP}}
  - {{name: l4-udp, port: {p.l4}, protocol: UDP}}
  - {{name: tls, port: {p.tls}, protocol: TLS, hostname: a.example.com, tls: {{mode: Terminate, certificateRefs: [{{name: cert}}]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: extra}}
spec:
  parentRef: {{name: edge}}
  listeners:
  - {{name: mine, port: {p.extra}, protocol: HTTP}}
  - {{name: lost, port: {p.l4}, protocol: HTTP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls}}
spec:
  parentRefs: [{{name: edge, sectionName: http}}]
  hostnames: [grpc.example.com]
  rules:
  - matches: [{{method: {{service: grpc.health.v1.Health, method: Check}}}}]
    backendRefs: [{{name: calls, port: 80}}]
  - matches: [{{method: {{type: RegularExpression, method: "W.*"}}}}]
    backendRefs: [{{name: nobody, port: 80}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web}}
spec:
  parentRefs: [{{name: edge, sectionName: http}}]
  hostnames: [www.example.com]
  rules:
  - matches: [{{path: {{value: /cors}}}}]
    filters: [{{type: CORS, cors: {{allowOrigins: ["https://*.shop.example"], allowMethods: [GET, PUT], exposeHeaders: [x-a], allowCredentials: true, maxAge: 60}}}}]
    backendRefs: [{{name: web, port: 80}}]
  - matches: [{{path: {{value: /asked}}}}]
    filters: [{{type: CORS, cors: {{allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], allowCredentials: true}}}}]
    backendRefs: [{{name: web, port: 80}}]
  - matches: [{{path: {{value: /retry}}}}]
    retry: {{codes: [503], attempts: 2, backoff: 10ms}}
    timeouts: {{backendRequest: 500ms}}
    backendRefs: [{{name: flaky, port: 80}}]
  - matches: [{{path: {{value: /plain}}}}]
    backendRefs: [{{name: flaky, port: 80}}]
  - matches: [{{path: {{value: /cookie}}}}]
    sessionPersistence: {{sessionName: stay}}
    backendRefs: [{{name: two, port: 80}}]
  - matches: [{{path: {{value: /header}}}}]
    sessionPersistence: {{sessionName: x-stay, type: Header}}
    backendRefs: [{{name: two, port: 80}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: by-set}}
spec:
  parentRefs: [{{kind: ListenerSet, name: extra}}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: bytes}}
spec:
  parentRefs: [{{name: edge, sectionName: l4}}, {{name: edge, sectionName: tls}}]
  rules: [{{backendRefs: [{{name: tcp-one, port: 80, weight: 3}}, {{name: tcp-two, port: 80}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {{name: datagrams}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: udp-one, port: 80, weight: 7}}, {{name: udp-two, port: 80, weight: 3}}, {{name: udp-none, port: 80, weight: 0}}]}}]
"""


def exchange(kind, address, tls=None):
    with socket.socket(socket.AF_INET, kind) as plain:
        plain.settimeout(5)
        plain.connect(address)
        s = tls.wrap_socket(plain, server_hostname="a.example.com") if tls else plain
        s.sendall(b"hello\n")
        return s.recv(100).decode().split(":")[0]


def shares(n, ask):
    return collections.Counter(ask() for _ in range(n))


def call(port, method):
    for _ in range(20):  # curl takes an answer that comes before the call has ended for an error, and may not show it
        r = subprocess.run([*GRPC, "--connect-to", f"::127.0.0.1:{port}", f"http://grpc.example.com/grpc.health.v1.Health/{method}"], input=b"\0\0\0\0\0", capture_output=True, timeout=20, check=False).stdout.decode()
        if status := re.search(r"grpc-status: (\d+)", r):
            return status[1], (re.search(r"x-served-by: (\S+)", r) or ["", ""])[1]
    raise Failed("no grpc-status in twenty calls")



def check(p, tls):
    www = {"host": "www.example.com"}
    require(call(p.http, "Check") == ("0", "calls"), f"a call that has a route: {call(p.http, 'Check')}")
    require(call(p.http, "Watch")[0] == "14", f"a call whose backend does not exist: {call(p.http, 'Watch')}")
    require(call(p.http, "List")[0] == "12", f"a call without a route: {call(p.http, 'List')}")

    for host in ("127.0.0.1", "127.0.0.2"):
        tcp = shares(200, lambda: exchange(socket.SOCK_STREAM, (host, p.l4)))
        require(set(tcp) == {"tcp-one", "tcp-two"} and 115 < tcp["tcp-one"] < 185, f"connections to {host} by weight: {tcp}")
        udp = shares(200, lambda: exchange(socket.SOCK_DGRAM, (host, p.l4)))
        require(set(udp) == {"udp-one", "udp-two"} and 105 < udp["udp-one"] < 175, f"sessions to {host} by weight: {udp}")
    ended = shares(60, lambda: exchange(socket.SOCK_STREAM, ("127.0.0.1", p.tls), tls))
    require(set(ended) == {"tcp-one", "tcp-two"}, f"TLS that ends here: {ended}")
    require(get(f"127.0.0.1:{p.extra}", "/").status == 200, "the listener of a ListenerSet")

    origin = {**www, "origin": "https://a.b.shop.example"}
    preflight = {"access-control-request-method": "PUT"}
    r = get(f"127.0.0.1:{p.http}", "/cors", "OPTIONS", {**origin, **preflight})
    require((r.status, r.header("access-control-allow-origin"), r.header("access-control-allow-methods"), r.header("access-control-max-age"), r.header("access-control-allow-credentials"), r.body)
            == (200, "https://a.b.shop.example", "GET, PUT", "60", "true", b""), f"preflight: {r}")
    for wrong in ("https://shop.example", "http://a.shop.example", "https://a.shop.example:8443", "https://a.shop.example.evil"):
        r = get(f"127.0.0.1:{p.http}", "/cors", "OPTIONS", {**origin, **preflight, "origin": wrong})
        require((r.status, r.header("access-control-allow-origin"), r.body) == (200, None, b""), f"preflight of {wrong}: {r}")
    r = get(f"127.0.0.1:{p.http}", "/cors", headers=origin)
    require((r.header("access-control-allow-origin"), r.header("access-control-expose-headers")) == ("https://a.b.shop.example", "x-a"), f"CORS: {r}")
    r = get(f"127.0.0.1:{p.http}", "/asked", "OPTIONS", {**origin, **preflight, "access-control-request-headers": "x-1, x-2"})
    require((r.status, r.header("access-control-allow-methods"), r.header("access-control-allow-headers"), r.header("access-control-allow-credentials")) == (200, "PUT", "x-1, x-2", "true"), f"asked: {r}")
    r = get(f"127.0.0.1:{p.http}", "/asked", "OPTIONS", {**origin, **preflight})
    require(r.status == 200 and r.header("access-control-allow-headers") in (None, ""), f"asked for no headers: {r}")

    kind = f"{p.http}"
    for path, status, tries in (("/retry/codes", 200, b"3"), ("/retry/slow", 200, b"2"), ("/retry/cut", 200, b"2"), ("/plain/codes", 503, b"1")):
        r = get(f"127.0.0.1:{p.http}", f"{path}/{kind}", headers=www)
        require((r.status, r.body) == (status, tries), f"{path}: {r}")

    first = get(f"127.0.0.1:{p.http}", "/cookie", headers=www)
    cookie = first.header("set-cookie")
    require(cookie is not None and "Path=/cookie" in cookie and "Max-Age" not in cookie, f"a session's cookie: {first}")
    stays = shares(20, lambda: get(f"127.0.0.1:{p.http}", "/cookie", headers={**www, "cookie": cookie.split(";")[0]}).body.split(b'"service": ')[1][:6])
    require(len(stays) == 1, f"a session stays: {stays}")
    token = get(f"127.0.0.1:{p.http}", "/header", headers=www).header("x-stay")
    require(token, "a session's header")
    stays = shares(20, lambda: get(f"127.0.0.1:{p.http}", "/header", headers={**www, "x-stay": token}).body.split(b'"service": ')[1][:6])
    require(len(stays) == 1, f"a session of a header stays: {stays}")
    others = shares(30, lambda: get(f"127.0.0.1:{p.http}", "/header", headers=www).body.split(b'"service": ')[1][:6])
    require(len(others) == 2, f"without a session both are asked: {others}")


def named(names):
    return types.SimpleNamespace(**free_ports(names.split()))


def run(lab):
    up = named("calls web two_a two_b tcp_one tcp_two udp_one udp_two udp_none flaky")
    pem, key = lab.dir / "a.pem", lab.dir / "a.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", pem, "-subj", "/CN=a.example.com", "-addext",
                    "subjectAltName=DNS:a.example.com", "-days", "30"], check=True, capture_output=True)
    indented = ["\n".join("    " + line for line in f.read_text().splitlines()) for f in (pem, key)]
    secret = f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{indented[0]}\n  tls.key: |\n{indented[1]}\n"
    tls = ssl.create_default_context(cafile=str(pem))
    names = [f"grpc+calls:{up.calls}", f"web:{up.web}", f"two-a:{up.two_a}", f"two-b:{up.two_b}", f"tcp+tcp-one:{up.tcp_one}", f"tcp+tcp-two:{up.tcp_two}", f"udp+udp-one:{up.udp_one}",
             f"udp+udp-two:{up.udp_two}", f"udp+udp-none:{up.udp_none}"]
    upstreams = lab.start("upstreams", [sys.executable, interop.ROOT / "examples/upstream.py", *names])
    for port in (up.calls, up.web, up.two_b, up.tcp_two):
        await_port(port, upstreams)
    server = flaky(up.flaky)
    backends = "".join((service("calls", up.calls), service("web", up.web), service("two", up.two_a, up.two_b), service("tcp-one", up.tcp_one), service("tcp-two", up.tcp_two),
                        service("udp-one", up.udp_one, udp=True), service("udp-two", up.udp_two, udp=True), service("udp-none", up.udp_none, udp=True), service("flaky", up.flaky)))
    for kind in ("proxy", "envoy"):
        p = named("http l4 tls extra")
        folder = lab.dir / f"objects-{kind}"
        lab.write(folder / "objects.yaml", objects(p) + backends + secret)
        control, xds, admin = lab.control(folder)
        status = get(admin, "/debug/objects").body.decode()
        require("ProtocolConflict" in status and "which comes first" in status, f"the listener that lost is told who has the port: {status}")
        proxy_admin = f"127.0.0.1:{free_port()}"
        proxy = lab.proxy(kind, lab.bootstrap(kind, "edge", xds, proxy_admin), proxy_admin)
        for port in (p.http, p.l4, p.tls, p.extra):
            await_port(port, proxy)
        await_true(f"{kind} answers", lambda: get(f"127.0.0.1:{p.extra}", "/").status == 200)
        check(p, tls)
        lab.stop(proxy)
        lab.stop(control)
    server.shutdown()
