"""The xDS port over TLS, with Envoy, fairlead-proxy and a Go gRPC client: who shows the right certificate and is the node it may be is served, who
does not trust the server, shows no certificate or a stranger's, or says to be another node is not; a new certificate is in use without a stream lost."""
import pathlib
import re
import ssl
import subprocess
import sys

from lab import BIN, PEERS, await_http, await_true, build_go_peers, envoy, free_port, get, require

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from grpc_client import ENDPOINT, RESOURCES  # noqa: E402
from tls import authority, certificate  # noqa: E402

EDGE = """
apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: edge}}
spec:
  nodes: {{clusters: [edge]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, direct_response: {{status: 200, body: {{inline_string: "{text}"}}}}}}]}}]}}
          http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
"""


class Server:
    """fairlead-control and what it counts."""

    def __init__(self, lab, source, *flags):
        self.process, self.xds, self.admin = lab.control(source, *flags)

    def count(self, name):
        text = get(self.admin, "/metrics").body.decode()
        return int(re.search(rf"^fairlead_control_{re.escape(name)} (\d+)$", text, re.M)[1])

    def serial(self, folder):
        """Of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "edge.pem", folder / "edge.key")
        context.set_alpn_protocols(["h2"])
        import socket
        with socket.create_connection(("127.0.0.1", int(self.xds.split(":")[1])), timeout=5) as plain, context.wrap_socket(plain, server_hostname="control.test") as s:
            require(s.selected_alpn_protocol() == "h2", f"ALPN chose {s.selected_alpn_protocol()}")
            return s.getpeercert()["serialNumber"]


def bootstrap(lab, server, kind, admin, name, cluster="edge", own="edge", ca="ca", host="control.test"):
    folder = lab.dir
    words = ["--for", kind, "--cluster", cluster, "--xds-address", server.xds, "--admin-address", admin, "--xds-tls-ca", folder / f"{ca}.pem", "--xds-tls-server-name", host]
    if own:
        words += ["--xds-tls-cert", folder / f"{own}.pem", "--xds-tls-key", folder / f"{own}.key"]
    return lab.write(f"{kind}-{name}.yaml", subprocess.run([BIN / "fairlead", "bootstrap", *map(str, words)], check=True, capture_output=True, text=True).stdout)


def start(lab, kind, config):
    if kind == "envoy":
        return lab.start(kind, [envoy(), "-c", config, "--base-id", str(free_port()), "--concurrency", "1", "--log-level", "warning"])
    return lab.start(kind, [BIN / "fairlead-proxy", "-c", config, "--concurrency", "1"])


REFUSED = {  # what is wrong: the bootstrap, and what counts it
    "an authority that did not sign the server's": ({"ca": "stranger"}, "tls_handshakes_failed_total"),
    "a name that the server's certificate is not for": ({"host": "other.test"}, "tls_handshakes_failed_total"),
    "no certificate": ({"own": None}, "tls_handshakes_failed_total"),
    "a stranger's certificate": ({"own": "foreign"}, "tls_handshakes_failed_total"),
    "a node that is another's": ({"cluster": "other"}, 'denied_total{reason="not_authorized"}'),
}


def refusals(lab, server, kind):
    for number, (what, (how, counter)) in enumerate(REFUSED.items()):
        before, served = server.count(counter), server.count("requests_total")
        process = start(lab, kind, bootstrap(lab, server, kind, f"127.0.0.1:{free_port()}", number, **how))
        if kind == "proxy" and "host" in how:  # gRPC looks at the name once the handshake is done
            process.await_line("Hostname Verification Check failed")
        else:
            await_true(f"{kind} with {what} is refused", lambda: server.count(counter) > before)
        if "cluster" in how:
            told = process.await_line(r"client spiffe://test/edge may not be node id [^\n]*")[0]
            require('cluster \\"other\\"' in told or 'cluster "other"' in told, f"{kind} was told: {told}")
            server.process.await_line(r'client spiffe://test/edge may not be node id "other-[^\n]*cluster "other"')
        else:
            require(server.count("requests_total") == served, f"{kind} with {what} has asked for something")
        lab.stop(process)


def rotation(lab, server, kind, port, source):
    """A good client, served; new certificate and key; the stream stays, and what comes over it."""
    admin = f"127.0.0.1:{free_port()}"
    process = start(lab, kind, bootstrap(lab, server, kind, admin, "good"))
    await_http(admin, "/ready", process)
    await_true(f"{kind} answers", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
    opened, loaded, old = server.count("streams_opened_total"), server.count("credentials_loaded_total"), server.serial(lab.dir)
    certificate(lab.dir, "server", "/CN=server", "DNS:control.test,DNS:localhost", ca="ca")
    await_true("the new certificate is in use", lambda: server.count("credentials_loaded_total") > loaded)
    require(server.serial(lab.dir) != old, "a new connection is shown the old certificate")
    lab.write(source / "edge.yaml", EDGE.format(port=port, text=f"{kind}-changed"))
    await_true(f"{kind} gets a change", lambda: get(f"127.0.0.1:{port}", "/").body == f"{kind}-changed".encode())
    require(server.count("streams_opened_total") == opened, f"{kind} has opened another stream")
    require(server.count("streams") >= 1, "no stream is open")
    lab.stop(process)


def go_client(lab, server, port):
    build_go_peers()
    backend = lab.start("backend", [PEERS / "backend", "--name", "a"])
    to = backend.await_line(r"listening 127\.0\.0\.1:(\d+)")[1]
    lab.write("source/greeter.yaml", RESOURCES.format(endpoints=ENDPOINT.format(port=to)))
    address = f"localhost:{server.xds.split(':')[1]}"

    def ask(node, own="grpc"):
        text = subprocess.run([BIN / "fairlead", "bootstrap", "--for", "grpc", "--id", node, "--cluster", "grpc", "--xds-address", address, "--xds-tls-ca", lab.dir / "ca.pem",
                               "--xds-tls-cert", lab.dir / f"{own}.pem", "--xds-tls-key", lab.dir / f"{own}.key"], check=True, capture_output=True, text=True).stdout
        path = lab.write(f"grpc-{node}-{own}.json", text)
        try:
            return subprocess.run([PEERS / "xdsclient", "--target", "xds:///greeter", "--count", "10"], env={"GRPC_XDS_BOOTSTRAP": str(path)}, capture_output=True, text=True, timeout=15)
        except subprocess.TimeoutExpired:
            return None

    def served():
        done = ask("grpc-client")
        return done is not None and done.returncode == 0 and done.stdout.split() == ["a", "10"]
    await_true("the Go client is served", served, 30)
    before = server.count('denied_total{reason="not_authorized"}')
    require((done := ask("grpc-client", "edge")) is None or done.returncode != 0, "another's certificate let the Go client in")
    require(server.count('denied_total{reason="not_authorized"}') > before, "the Go client was not refused for its node")


def run(lab):
    folder = lab.dir
    for name in ("ca", "clients", "stranger"):
        authority(folder, name)
    certificate(folder, "server", "/CN=server", "DNS:control.test,DNS:localhost", ca="ca")
    certificate(folder, "edge", "/CN=edge", "URI:spiffe://test/edge", ca="clients")
    certificate(folder, "grpc", "/CN=grpc", "URI:spiffe://test/grpc", ca="clients")
    certificate(folder, "foreign", "/CN=edge", "URI:spiffe://test/edge", ca="stranger")
    port = free_port()
    source = lab.dir / "source"
    lab.write(source / "edge.yaml", EDGE.format(port=port, text="first"))
    server = Server(lab, source, "--xds-tls-cert", folder / "server.pem", "--xds-tls-key", folder / "server.key", "--xds-tls-client-ca", folder / "clients.pem",
                    "--xds-authorize", "spiffe://test/edge=id:*,cluster:edge", "--xds-authorize", "spiffe://test/grpc=id:grpc-client,cluster:grpc")
    for kind in ("envoy", "proxy"):
        refusals(lab, server, kind)
        rotation(lab, server, kind, port, source)
    loaded = server.count("credentials_loaded_total")
    lab.write("server.key", (folder / "edge.key").read_text())
    server.process.await_line(r"the old certificates, authorities, tokens' keys and rules serve on: [^\n]*server\.key")
    require(server.count("credentials_loaded_total") == loaded and server.count("credentials_rejected_total") == 1, "a key of another certificate was taken")
    server.serial(folder)
    go_client(lab, server, port)
