"""HTTPS from Gateway API objects: a Gateway with several names on one port, its certificates over SDS from Secrets, drives Envoy and fairlead-proxy,
each in SotW and Delta. Certificates rotate under open connections, what is broken leaves the old one served, TLS is passed on by server name,
backends are trusted as a BackendTLSPolicy says, and no private key is told to anyone but the proxy that needs it."""
import base64
import http.server
import re
import socket
import ssl
import subprocess
import threading

import lab as interop
from lab import await_true, free_ports, get, require, same, Failed

SMOKE = True


# --- material ----------------------------------------------------------------------------------------------------------------

def openssl(*args):
    return subprocess.run(["openssl", *[str(a) for a in args]], check=True, capture_output=True, text=True).stdout


class Authority:
    def __init__(self, folder, name):
        folder.mkdir(exist_ok=True)
        self.folder, self.name, self.pem = folder, name, folder / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / f"{name}.key", "-out", self.pem, "-subj", f"/CN={name}", "-days", "30")

    def issue(self, name, *hosts):
        """(certificate file, key file)"""
        f = self.folder / name
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{f}.key", "-out", f"{f}.csr", "-subj", f"/CN={name}")
        (self.folder / "ext").write_text("subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts))
        openssl("x509", "-req", "-in", f"{f}.csr", "-CA", self.pem, "-CAkey", self.folder / f"{self.name}.key", "-CAcreateserial", "-days", "30", "-out", f"{f}.pem", "-extfile", self.folder / "ext")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def secret_yaml(name, pair):
    crt, key = (base64.b64encode(p.read_bytes()).decode() for p in pair)
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: {crt}\n  tls.key: {key}\n"


# --- what is behind the Gateway -------------------------------------------------------------------------------------------------

def tls_upstream(port, pair, name):
    """Answers NAME and the server name it was asked for, over TLS."""
    seen = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = f"{name} {seen.get('name')}".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.sni_callback = lambda s, host, c: seen.__setitem__("name", host)
    server = Server(("127.0.0.1", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def objects(ports):
    def service(name, port, app=""):
        return (f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: main, port: 443{app}}}]}}\n"
                f"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n"
                f"ports: [{{name: main, port: {port}}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n")

    def route(name, section, backend, path="/"):
        return (f"---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  parentRefs: [{{name: edge, sectionName: {section}}}]\n"
                f"  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: {backend}, port: 443}}]}}]\n")

    gateway = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: %s}\nspec:\n  gatewayClassName: fairlead\n  tls: %s\n  listeners:\n%s"
    asked = "{validation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: authority}], mode: %s}}"
    clients = (f"{{frontend: {{default: {{}}, perPort: [{{port: {ports['asked']}, tls: {asked % 'AllowValidOnly'}}}, {{port: {ports['either']}, tls: {asked % 'AllowInsecureFallback'}}}]}}}}")
    port = ports["https"]
    return ("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: fairlead}\nspec: {controllerName: fairlead.io/gateway-controller}\n"
            + gateway % ("edge", clients, f"  - {{name: a, protocol: HTTPS, port: {port}, hostname: a.example.com, tls: {{certificateRefs: [{{name: a}}]}}}}\n"
                         f"  - {{name: wild, protocol: HTTPS, port: {port}, hostname: \"*.example.com\", tls: {{certificateRefs: [{{name: wild}}]}}}}\n"
                         f"  - {{name: pass, protocol: TLS, port: {port}, hostname: pass.example.com, tls: {{mode: Passthrough}}}}\n"
                         f"  - {{name: end, protocol: TLS, port: {ports['end']}, hostname: a.example.com, tls: {{mode: Terminate, certificateRefs: [{{name: a}}]}}}}\n"
                         f"  - {{name: new, protocol: HTTPS, port: {ports['tls13']}, tls: {{certificateRefs: [{{name: a}}], options: {{fairlead.io/tls-min-version: \"1.3\"}}}}}}\n"
                         f"  - {{name: asked, protocol: HTTPS, port: {ports['asked']}, tls: {{certificateRefs: [{{name: a}}]}}}}\n"
                         f"  - {{name: either, protocol: HTTPS, port: {ports['either']}, tls: {{certificateRefs: [{{name: a}}]}}}}\n")
            + gateway % ("other", "{}", f"  - {{name: own, protocol: HTTPS, port: {ports['other']}, tls: {{certificateRefs: [{{name: foreign}}]}}}}\n")
            + route("app", "a", "app") + route("secure", "a", "secure", "/secure") + route("names", "a", "names", "/names") + route("stranger", "a", "stranger", "/stranger")
            + route("wild", "wild", "other") + route("new", "new", "app") + route("asked", "asked", "app") + route("either", "either", "app")
            + "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {name: pass}\nspec:\n  parentRefs: [{name: edge}]\n  hostnames: [pass.example.com]\n"
              "  rules: [{backendRefs: [{name: passed, port: 443}]}]\n"
              "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {name: end}\nspec:\n  parentRefs: [{name: edge, sectionName: end}]\n  hostnames: [a.example.com]\n"
              "  rules: [{backendRefs: [{name: app, port: 443}]}]\n"
            + service("app", ports["app"]) + service("other", ports["second"]) + service("passed", ports["passed"]) + service("secure", ports["secure"], ", appProtocol: https")
            + service("names", ports["secure"]) + service("stranger", ports["secure"])
            + policy("secure", "authority", "hostname: backend.example.com") + policy("names", "authority", "hostname: nobody.example.com")
            + policy("stranger", "strangers", "hostname: backend.example.com"))


def policy(service, bundle, rest):
    return ("---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: %s}\nspec:\n  targetRefs: [{group: \"\", kind: Service, name: %s}]\n"
            "  validation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: %s}], %s}\n" % (service, service, bundle, rest))


def bundle_yaml(name, authority):
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  ca.crt: |\n" + "".join(f"    {line}\n" for line in authority.pem.read_text().splitlines())


# --- clients -----------------------------------------------------------------------------------------------------------------

class Client:
    """One connection; `serial` is that of the certificate it was shown."""

    def __init__(self, port, name, authority, alpn=("http/1.1",), highest=None, own=None):
        context = ssl.create_default_context(cafile=authority.pem)
        if own:
            context.load_cert_chain(*own)
        context.set_alpn_protocols(list(alpn))
        if highest:
            context.maximum_version = highest
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname=name)
        self.alpn, self.serial = self.socket.selected_alpn_protocol(), self.socket.getpeercert()["serialNumber"]

    def get(self, host, path="/"):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        data = b""
        while not interop.complete(data):
            part = self.socket.recv(65536)
            if not part:
                break
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body.decode()

    def close(self):
        self.socket.close()


def ask(port, name, authority, path="/", host=None, own=None):
    client = Client(port, name, authority, own=own)
    try:
        return client.get(host or name, path)
    finally:
        client.close()


def refused(what, call):
    try:
        got = call()
    except (OSError, IndexError, ValueError):
        return
    raise Failed(f"{what}: there was an answer: {got}")


def cli(admin, *words):
    return subprocess.run([interop.BIN / "fairlead", "--server", admin, *words], check=True, capture_output=True, text=True).stdout


# --- the case -----------------------------------------------------------------------------------------------------------------

def drive(l, what, proxy_kind, mode, ports, source, xds, admin, authority, strangers):
    pairs = [authority.issue("a1", "a.example.com"), authority.issue("a2", "a.example.com")]
    l.write(source / "secret-a.yaml", secret_yaml("a", pairs[0]))
    wild = l.write(source / "secret-wild.yaml", secret_yaml("wild", authority.issue("wild", "*.example.com")))
    node_admin = f"127.0.0.1:{interop.free_port()}"
    proxy = l.proxy(proxy_kind, l.bootstrap("proxy" if proxy_kind == "fairlead-proxy" else proxy_kind, "edge", xds, node_admin, mode), node_admin)
    port = ports["https"]
    serial = lambda pair: openssl("x509", "-in", pair[0], "-noout", "-serial").strip().partition("=")[2]
    await_true(f"{what}: the certificate of a", lambda: Client(port, "a.example.com", authority).serial == serial(pairs[0]))

    # who answers, by server name and by host
    same(f"{what}: a", ask(port, "a.example.com", authority)[0], 200)
    require('"app"' in ask(port, "a.example.com", authority)[1], f"{what}: a is not answered by app")
    require('"second"' in ask(port, "b.example.com", authority)[1], f"{what}: b is not answered by other")
    same(f"{what}: a host of another listener", ask(port, "b.example.com", authority, host="a.example.com")[0], 421)
    same(f"{what}: a host of the wider listener", ask(port, "a.example.com", authority, host="c.example.com")[0], 421)
    same(f"{what}: a host of no listener", ask(port, "a.example.com", authority, host="nobody.test")[0], 404)
    refused(f"{what}: a name of no listener", lambda: Client(port, "a.example.org", authority))
    same(f"{what}: ALPN", Client(port, "a.example.com", authority, ("h2", "http/1.1")).alpn, "h2")
    refused(f"{what}: TLS 1.2 where 1.3 is the least", lambda: Client(ports["tls13"], "a.example.com", authority, highest=ssl.TLSVersion.TLSv1_2))
    same(f"{what}: TLS 1.3", ask(ports["tls13"], "a.example.com", authority)[0], 200)

    # clients that must show a certificate, or may
    friend, stranger = authority.issue("client", "client.test"), strangers.issue("client", "client.test")
    same(f"{what}: a client that is known", ask(ports["asked"], "a.example.com", authority, own=friend)[0], 200)
    refused(f"{what}: a client without a certificate", lambda: ask(ports["asked"], "a.example.com", authority))
    refused(f"{what}: a client that nobody knows", lambda: ask(ports["asked"], "a.example.com", authority, own=stranger))
    for own in (None, friend, stranger):
        same(f"{what}: anybody", ask(ports["either"], "a.example.com", authority, own=own)[0], 200)

    # passed on, and ended here
    same(f"{what}: passed on", ask(port, "pass.example.com", authority), (200, "passed pass.example.com"))
    same(f"{what}: ended", ask(ports["end"], "a.example.com", authority)[0], 200)

    # backends over TLS
    same(f"{what}: trusted backend", ask(port, "a.example.com", authority, "/secure"), (200, "secure backend.example.com"))
    same(f"{what}: a backend of another name", ask(port, "a.example.com", authority, "/names")[0], 503)
    same(f"{what}: a backend of another authority", ask(port, "a.example.com", authority, "/stranger")[0], 503)

    # rotation: the next handshake has the new one, an open connection goes on
    old = Client(port, "a.example.com", authority)
    l.write(source / "secret-a.yaml", secret_yaml("a", pairs[1]))
    await_true(f"{what}: the new certificate", lambda: Client(port, "a.example.com", authority).serial == serial(pairs[1]))
    same(f"{what}: the connection from before", old.get("a.example.com")[0], 200)

    # broken: the old one stays, and it is told where
    l.write(source / "secret-a.yaml", secret_yaml("a", (pairs[0][0], pairs[1][1])))
    said = await_true(f"{what}: it is told", lambda: [line for line in cli(admin, "conditions").splitlines() if "Secret default/a" in line and "it does not belong to the certificate" in line])
    require(any(re.search(r"secret-a\.yaml:\d+", line) for line in said), f"{what}: without its place: {said}")
    require("InvalidCertificateRef" in get(admin, "/debug/objects").body.decode(), f"{what}: the listener does not say so")
    same(f"{what}: the old certificate", Client(port, "a.example.com", authority).serial, serial(pairs[1]))
    l.write(source / "secret-a.yaml", secret_yaml("a", pairs[1]))
    await_true(f"{what}: it is well again", lambda: "InvalidCertificateRef" not in get(admin, "/debug/objects").body.decode())

    # a listener whose certificate goes away, goes; the others stay
    wild.unlink()
    def gone():
        try:
            Client(port, "b.example.com", authority)
        except OSError:
            return True
        return False
    await_true(f"{what}: no certificate, no listener", gone)
    same(f"{what}: the others", ask(port, "a.example.com", authority)[0], 200)

    # nobody is told a key, and a proxy has the secrets of its own Gateway alone
    keys = [p[1].read_text().splitlines()[1] for p in pairs]
    keys += [base64.b64encode(p[1].read_bytes()).decode()[60:100] for p in pairs]
    shown = [cli(admin, "config", "secrets"), cli(admin, "config", "all", "-o", "json"), *[get(admin, p).body.decode() for p in ("/debug/config", "/debug/snapshots", "/debug/objects", "/debug/sources", "/debug/findings")],
             subprocess.run([interop.BIN / "fairlead", "translate", "-f", source, "-o", "yaml"], capture_output=True, text=True).stdout,
             next(p for p in l.processes if p.name == "fairlead-control").text()]
    for text in shown:
        require(text and not any(key in text for key in keys), f"{what}: a private key is shown:\n{text[:300]}")
    require("CN=a2" in shown[0] and "a.example.com" in shown[0], f"{what}: config secrets does not tell the certificate:\n{shown[0]}")
    dump = get(node_admin, "/config_dump").body.decode()
    require("default/foreign" not in dump and "foreign.example.com" not in dump, f"{what}: it has a secret of another Gateway")
    status = cli(admin, "status")
    require("SYNCED" in status and "ERROR" not in status, f"{what}: {status}")
    code = l.stop(proxy)
    require(code == 0, f"{what}: exit code {code} after SIGTERM:\n{proxy.text()[-2000:]}")


def run(l):
    ports = free_ports(["https", "end", "tls13", "other", "asked", "either", "app", "second", "passed", "secure"])
    authority, strangers = Authority(l.dir / "material", "authority"), Authority(l.dir / "strangers", "strangers")
    source = l.dir / "source"
    l.write(source / "objects.yaml", objects(ports))
    l.write(source / "bundles.yaml", bundle_yaml("authority", authority) + "---\n" + bundle_yaml("strangers", strangers))
    l.write(source / "secret-a.yaml", secret_yaml("a", authority.issue("a0", "a.example.com")))
    l.write(source / "secret-foreign.yaml", secret_yaml("foreign", authority.issue("foreign", "foreign.example.com")))
    l.upstreams(app=ports["app"], second=ports["second"])
    tls_upstream(ports["passed"], authority.issue("passed", "pass.example.com"), "passed")
    tls_upstream(ports["secure"], authority.issue("secure", "backend.example.com"), "secure")
    _, xds, admin = l.control(source)
    for kind, mode in (("envoy", "--sotw"), ("envoy", "--delta"), ("fairlead-proxy", "--sotw"), ("fairlead-proxy", "--delta")):
        drive(l, f"{kind} {mode}", kind, mode, ports, source, xds, admin, authority, strangers)
