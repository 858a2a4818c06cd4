"""Envoy and fairlead-proxy as proxies of mesh clients, in a network namespace of their own: connections that nftables redirects to them get the routes of the Service they are for, and those for anything else go on as they are."""
import json
import pathlib
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

MARK = 7  # of sockets that are redirected: the client's, not the proxy's own
RULES = f"table ip nat {{ chain output {{ type nat hook output priority -100; meta mark {MARK} ip protocol tcp redirect to :15001; }}; }}\n"
CART, PLAIN = "10.96.0.1", "10.96.0.2"  # cluster IPs; "plain" has no route, and what would be a Service's address is its backend's own
SERVICES = """
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop}}
spec: {{clusterIP: 10.96.0.1, ports: [{{name: http, port: 80}}, {{name: more, port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart-v2, namespace: shop}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: plain, namespace: shop}}
spec: {{clusterIP: 10.96.0.2, ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: cart-1, namespace: shop, labels: {{kubernetes.io/service-name: cart}}}}
addressType: IPv4
ports: [{{name: http, port: {cart}}}, {{name: more, port: {cart}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: cart-v2-1, namespace: shop, labels: {{kubernetes.io/service-name: cart-v2}}}}
addressType: IPv4
ports: [{{name: http, port: {v2}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: edge, namespace: shop}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: edge}}]
  to: [{{group: "", kind: Service}}]
"""
PRODUCER = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: producer, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: cart, port: 80}]
  hostnames: [never.example.com]
  rules:
  - matches: [{path: {value: /v2}}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-by, value: producer}]}}
    backendRefs: [{name: cart-v2, port: 80}]
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]
  - matches: [{path: {value: /own}}]
    backendRefs: [{name: cart, port: 80}]
"""
CONSUMER = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: consumer, namespace: edge}
spec:
  parentRefs: [{group: "", kind: Service, name: cart, namespace: shop}]
  rules:
  - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-by, value: consumer}]}}]
    backendRefs: [{name: cart, namespace: shop, port: 80}]
"""


def serve(name, host, port=0):
    """A backend that says who it is and what it was asked; its port."""
    listener = socket.create_server((host, port))

    def answer(s):
        with s:
            asked = s.recv(65536).decode()
            body = json.dumps({"name": name, "path": asked.split()[1]})
            s.sendall(f"HTTP/1.1 200 OK\r\nserver: {name}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())

    def accept():
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def ask(address, path, host):
    """One request over a connection that is redirected: status, headers, body."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        s.settimeout(5)
        s.connect(address)
        s.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        data = b""
        while piece := s.recv(65536):
            data += piece
    head, _, body = data.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


def observe(lab, kind, ns, xds):
    admin = f"127.0.0.1:{labs.free_port()}"
    config = lab.write(f"{kind}-{ns}.yaml", subprocess.run([labs.BIN / "fairlead", "bootstrap", "--for", "envoy" if kind == "envoy" else "proxy", "--mesh", ns, "--xds-address", xds, "--admin-address", admin],
                                                           check=True, capture_output=True, text=True).stdout)
    process = lab.proxy(kind, config, admin)
    labs.await_port(15001, process)
    seen = {}

    def note(name, address, path, host="anything.example.com"):
        status, headers, body = ask(address, path, host)
        who = json.loads(body) if body.startswith("{") else body
        seen[name] = (status, headers.get("x-by"), headers.get("location"), headers.get("server"), who)

    labs.await_true("the routes are in use", lambda: ask((CART, 80), "/v2/x", "cart.shop")[1].get("x-by"))
    note("a route", (CART, 80), "/v2/x?q=1", "cart.shop")
    note("a redirect", (CART, 80), "/old", "cart.shop")
    note("the Service itself", (CART, 80), "/own")
    note("no rule", (CART, 80), "/else")
    note("another port", (CART, 8080), "/else")
    note("a Service without routes", (PLAIN, 80), "/v2/x", "cart.shop")
    note("the listener's own port elsewhere", (PLAIN, 15001), "/v2/x")
    with socket.create_connection(("127.0.0.1", 15001), 5) as s:
        labs.require(s.recv(1) == b"", "a connection that was meant for the listener itself is passed on to it")
    process.stop()
    return seen


def inside():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (CART, PLAIN):
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    subprocess.run(["nft", "-f", "-"], input=RULES.encode(), check=True)
    with labs.Lab() as lab:
        path = lab.write("source/services.yaml", SERVICES.format(cart=serve("cart", "127.0.0.1"), v2=serve("cart-v2", "127.0.0.1")))
        for port in (80, 15001):
            serve("plain", PLAIN, port)
        alternative = socket.create_server((CART, 8080))  # what a port without routes is passed on to

        def answer():
            while True:
                with alternative.accept()[0] as s:
                    s.recv(65536)
                    s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\npassed on\r\n")

        threading.Thread(target=answer, daemon=True).start()
        lab.write("source/producer.yaml", PRODUCER)
        lab.write("source/consumer.yaml", CONSUMER)
        _, xds, _ = lab.control(path.parent)
        for ns in ("shop", "edge"):
            theirs, ours = observe(lab, "envoy", ns, xds), observe(lab, "fairlead", ns, xds)
            wrong = [f"{ns}: {name}: Envoy {theirs[name]}, Fairlead {ours[name]}" for name in theirs if theirs[name] != ours[name]]
            if wrong:
                sys.exit("\n".join(wrong))
            by_consumer = (200, "consumer", None, "cart", None)
            for name, wanted in {
                "a route": (200, "producer", None, "cart-v2", "/x?q=1"),
                "a redirect": (301, None, "https://cart.shop:443/old", None, None),
                "the Service itself": (200, None, None, "cart", "/own"),
                "no rule": (404, None, None, None, None),
                "another port": (200, None, None, None, None),
                "a Service without routes": (200, None, None, "plain", "/v2/x"),
                "the listener's own port elsewhere": (200, None, None, "plain", "/v2/x"),
            }.items():
                if ns == "edge" and name in ("a route", "a redirect", "the Service itself", "no rule", "another port"):
                    wanted = by_consumer
                status, by, location, server, who = ours[name]
                labs.require(status == wanted[0] and by == wanted[1] and location == wanted[2] and (wanted[3] is None or server == wanted[3]), f"{ns}: {name}: {ours[name]} instead of {wanted}")
                labs.require(wanted[4] is None or who["path"] == wanted[4], f"{ns}: {name}: {ours[name]} instead of {wanted}")
            print(f"  {len(ours)} requests alike in {ns}")


def run(lab):
    labs.envoy()  # installed while there is a network
    done = subprocess.run(["unshare", "--map-root-user", "--net", sys.executable, __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        raise labs.Failed(done.stdout + done.stderr)
    print(done.stdout, end="")


if __name__ == "__main__":
    inside()
