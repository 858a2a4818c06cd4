"""Secrets by discovery: Envoy and fairlead-proxy, driven by the same control plane and by the same files, wait for the same secrets, make the same handshakes,
rotate, refuse what does not fit, and count and dump the same."""
import json
import re
import signal
import socket
import ssl

from cases.tls import HCM, TLS, authority, certificate, openssl
from lab import PEERS, await_true, build_go_peers, free_port, free_ports, get, require, same

SMOKE = True
ROUTER = {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
ADS = {"ads": {}, "resource_api_version": "V3"}
COUNTERS = ("update_attempt", "init_fetch_timeout", "key_rotation_failed", "update_failure", "update_rejected", "update_success", "version_text")


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def named(name, source, timeout=None):
    return {"name": name, "sds_config": {**source, **({"initial_fetch_timeout": timeout} if timeout else {})}}


def listener(name, port, cluster=None, common=None, context=None):
    action = {"route": {"cluster": cluster, "prefix_rewrite": "/"}} if cluster else {"direct_response": {"status": 200, "body": {"inline_string": "direct"}}}
    manager = {"@type": HCM, "stat_prefix": name, "route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]}, "http_filters": [ROUTER]}
    socket = {"transport_socket": {"name": "tls", "typed_config": {"@type": f"{TLS}.DownstreamTlsContext", "common_tls_context": common, **(context or {})}}} if common else {}
    return {"name": name, "stat_prefix": name, "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}], **socket}]}


def cluster(name, port, common):
    return {"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]},
            "transport_socket": {"name": "tls", "typed_config": {"@type": f"{TLS}.UpstreamTlsContext", "sni": "example.test", "common_tls_context": common}}}


def inline(folder, name):
    return {"certificate_chain": {"inline_string": (folder / f"{name}.pem").read_text()}, "private_key": {"inline_string": (folder / f"{name}.key").read_text()}}


def trusted(folder, name):
    return {"trusted_ca": {"inline_string": (folder / f"{name}.pem").read_text()}}


def greet(port, folder=None, own=None):
    """The common name that the server shows and the status of a request, or how the attempt ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "ca.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a client's certificate is judged within the handshake
    if own:
        context.load_cert_chain(folder / f"{own}.pem", folder / f"{own}.key")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain, server_hostname="example.test") as s:
            name = dict(pair[0] for pair in s.getpeercert()["subject"])["commonName"]
            return name, exchange(s)
    except ConnectionRefusedError:
        return "refused"
    except (ssl.SSLEOFError, ConnectionResetError):
        return "closed"
    except ssl.SSLError as error:
        return error.reason


def exchange(s):
    s.sendall(b"GET / HTTP/1.1\r\nhost: example.test\r\n\r\n")
    return s.recv(65536).split(b" ")[1].decode()


def without_reason(body):
    """The words of the TLS library are its own."""
    return re.sub(", transport failure reason: .*", "", body.decode())


def counters(admin):
    found = re.findall(r"^(sds\.\S+|\S+_ssl_socket_factory\.ssl_context_update_by_sds): (.*)$", get(admin, "/stats").body.decode(), re.M)
    return {name: value for name, value in found if not name.startswith("sds.") or name.split(".")[-1] in COUNTERS}


class Kept:
    """A connection that is to live through rotations."""

    def __init__(self, port, folder):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5), server_hostname="example.test")

    def ask(self):
        return exchange(self.socket)


def bootstrap(admin, xds, api):
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {"node": {"id": "edge-1", "cluster": "edge"}, "admin": {"address": address(admin)},
            "dynamic_resources": {"ads_config": {"api_type": api, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}, "cds_config": ads, "lds_config": ads},
            "static_resources": {"clusters": [{"name": "xds", "type": "STATIC", "connect_timeout": "1s", "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
                "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(xds)}}]}]}}]}}


class Side:
    """One proxy with a control plane of its own; both sides are told the same."""

    def __init__(self, lab, folder, kind, api):
        self.lab, self.folder, self.kind, self.version = lab, folder, kind, 1
        self.ports = free_ports(["admin", "plain", "mutual", "front", "zero"])
        self.admin = f"127.0.0.1:{self.ports['admin']}"
        xds = free_port()
        self.put({}, with_listeners=False, reload=False)
        self.control = lab.start(f"control-{kind}-{api}", [PEERS / "controlplane", "-config", self.file, "-node", "edge-1", "-address", f"127.0.0.1:{xds}"])
        self.control.await_line("listening")
        self.proxy = lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", lab.write(f"{kind}-{api}.json", json.dumps(bootstrap(self.ports["admin"], xds, api))), self.admin)

    def put(self, secrets, with_listeners=True, reload=True):
        listeners, clusters = [listener("zero", self.ports["zero"])], []
        if with_listeners:
            listeners += [listener("plain", self.ports["plain"], common={"tls_certificate_sds_secret_configs": [named("pair", ADS)]},
                                   context={"session_ticket_keys_sds_secret_config": named("keys", ADS, "0.3s")} if "keys" in secrets else None),
                          listener("mutual", self.ports["mutual"], common={"tls_certificate_sds_secret_configs": [named("pair", ADS)], "combined_validation_context": {
                              "default_validation_context": {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "client.test"}}]},
                              "validation_context_sds_secret_config": named("ca", ADS)}}),
                          listener("front", self.ports["front"], cluster="up")]
            clusters.append(cluster("up", self.ports["mutual"], {"tls_certificate_sds_secret_configs": [named("client", ADS, "0.3s")], "validation_context_sds_secret_config": named("up-ca", ADS, "0.3s")}))
        text = {"listeners": listeners, "clusters": clusters, "secrets": [{"name": name, **what} for name, what in secrets.items()]}
        self.file = self.lab.write(f"{self.kind}/resources.yaml", json.dumps(text))
        if reload:
            self.version += 1
            self.control.process.send_signal(signal.SIGHUP)
            self.control.await_line(rf"version {self.version}\b")

    def seen(self):
        front = "refused"
        try:
            reply = get(f"127.0.0.1:{self.ports['front']}", "/")
            front = (reply.status, without_reason(reply.body))
        except OSError:
            pass
        return {"plain": greet(self.ports["plain"], self.folder), "mutual": greet(self.ports["mutual"], self.folder, "client"), "mutual without": greet(self.ports["mutual"], self.folder), "front": front}

    def stats(self):
        return counters(self.admin)

    def nacks(self):
        return re.findall(r"nack \S*Secret (.*)", self.control.text())

    def dump(self):
        configs = json.loads(get(self.admin, "/config_dump").body)["configs"]
        out = {}
        for dump in configs:
            for kind in ("dynamic_active_secrets", "dynamic_warming_secrets", "static_secrets"):
                for row in dump.get(kind, []):
                    out[f"{kind} {row['name']}"] = {k: v for k, v in row.items() if k not in ("last_updated", "error_state")}
        return out

    def certs(self):
        rows = json.loads(get(self.admin, "/certs").body)["certificates"]
        return sorted({json.dumps(row, sort_keys=True) for row in rows if row["cert_chain"] or row["ca_cert"]})


def both(sides, what, wanted):
    ours, theirs = sides
    for side in sides:
        await_true(f"{what}: {side.kind} does not show {wanted}", lambda s=side: all(s.seen()[n] == w for n, w in wanted.items()))
    same(f"{what}: answers", ours.seen(), theirs.seen())
    same(f"{what}: configuration dump", ours.dump(), theirs.dump())
    same(f"{what}: certificates", ours.certs(), theirs.certs())


def counted(sides, what, name):
    """Until both count the same."""
    ours, theirs = sides
    pick = lambda side: {k: v for k, v in side.stats().items() if re.search(name, k)}
    await_true(f"{what}: statistics: fairlead-proxy {pick(ours)}, Envoy {pick(theirs)}", lambda: pick(ours) == pick(theirs))


def over_ads(lab, folder, api):
    sides = [Side(lab, folder, kind, api) for kind in ("fairlead", "envoy")]
    told = {}

    def tell(**more):
        told.update(more)
        for side in sides:
            side.put(told)

    pair = lambda name: {"tls_certificate": inline(folder, name)}
    trust = lambda name: {"validation_context": trusted(folder, name)}
    tell()
    both(sides, "waiting", {"plain": "refused", "mutual": "refused", "front": (503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")})
    require(all(side.dump().keys() >= {"dynamic_warming_secrets pair", "dynamic_warming_secrets ca"} for side in sides), "warming secrets in the dump")
    tell(pair=pair("one"))
    both(sides, "the certificate alone", {"plain": ("one", "200"), "mutual": "refused"})
    tell(ca=trust("ca"))
    both(sides, "a server that asks for certificates", {"plain": ("one", "200"), "mutual": ("one", "200")})
    tell(client=pair("client"), **{"up-ca": trust("ca")})
    both(sides, "an upstream with both", {"front": (200, "direct")})
    kept = [Kept(side.ports["plain"], folder) for side in sides]
    require(all(k.ask() == "200" for k in kept), "connections before the rotation")
    tell(pair=pair("two"))
    both(sides, "rotated", {"plain": ("two", "200"), "mutual": ("two", "200"), "front": (200, "direct")})
    require(all(k.ask() == "200" for k in kept), "connections that began before the rotation")
    mixed = inline(folder, "one")
    mixed["private_key"] = inline(folder, "two")["private_key"]
    tell(pair={"tls_certificate": mixed})
    for side in sides:
        await_true(f"refused: {side.kind}", lambda s=side: any("Failed to load private key" in n for n in s.nacks()))
        require("PRIVATE KEY" not in " ".join(side.nacks()), f"{side.kind}: a refusal tells a key")
    require(any("secret 'pair'" in n for n in sides[0].nacks()), f"a refusal names its secret: {sides[0].nacks()}")
    for side in sides:
        require(side.seen()["plain"] == ("two", "200"), f"{side.kind}: the last good one does not serve")
    if api == "DELTA_GRPC":  # in state-of-the-world the server sends it again and again, and Envoy takes what it has refused once
        counted(sides, "refused", r"^sds\.\S+\.update_(rejected|attempt|success)")
    tell(pair=pair("expired"))
    for side in sides:
        await_true(f"expired: {side.kind}", lambda s=side: s.seen()["plain"] == "CERTIFICATE_VERIFY_FAILED")
    tell(pair=pair("one"))
    both(sides, "good again", {"plain": ("one", "200"), "mutual": ("one", "200"), "front": (200, "direct")})
    require(all(k.ask() == "200" for k in kept), "connections that began before everything")
    tell(**{"up-ca": trust("stranger")})
    counted(sides, "another authority", r"ssl_context_update_by_sds")
    for side in sides:
        shown = json.dumps(side.dump()) + side.proxy.text() + side.control.text()
        require("PRIVATE KEY" not in shown, f"{side.kind}: a key is shown")
        lab.stop(side.proxy)
        lab.stop(side.control)


def missing(lab, folder):
    """Secrets that never come: bound, closed and counted."""
    seen = {}
    for kind in ("fairlead", "envoy"):
        ports = free_ports(["admin", "down", "front", "xds"])
        path = lab.write(f"{kind}/silent.yaml", json.dumps({"resources": []}))
        source = {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
        config = {"node": {"id": "edge-1", "cluster": "edge"}, "admin": {"address": address(ports["admin"])}, "static_resources": {
            "listeners": [listener("down", ports["down"], common={"tls_certificate_sds_secret_configs": [named("s", source, "0.3s")]}), listener("front", ports["front"], cluster="up")],
            "clusters": [cluster("up", ports["down"], {"validation_context_sds_secret_config": named("v", source, "0.3s")})]}}
        admin = f"127.0.0.1:{ports['admin']}"
        proxy = lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", lab.write(f"{kind}-missing.json", json.dumps(config)), admin)
        reply = get(f"127.0.0.1:{ports['front']}", "/")
        plain = socket.create_connection(("127.0.0.1", ports["down"]), timeout=5)
        plain.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
        plain.close()
        stats = dict(re.findall(r"^(\S+): (.*)$", get(admin, "/stats").body.decode(), re.M))
        seen[kind] = {"handshake": greet(ports["down"], folder), "plain text": answer, "request": (reply.status, without_reason(reply.body)), **{
            name: stats.get(name) for name in ("listener.down.server_ssl_socket_factory.downstream_context_secrets_not_ready", "cluster.up.client_ssl_socket_factory.upstream_context_secrets_not_ready",
                                               "sds.s.update_rejected", "sds.s.update_attempt", "sds.s.update_success", "sds.v.update_rejected", "cluster.up.upstream_cx_connect_fail", "listener.down.downstream_cx_total")}}
        lab.stop(proxy)
    same("without secrets", seen["fairlead"], seen["envoy"])


def from_files(lab, folder):
    """A secret in a file, which names files; both are rotated by moves."""
    sides = []

    class File:
        def __init__(self, kind):
            self.kind, self.ports = kind, free_ports(["admin", "l"])
            self.dir = lab.dir / f"files-{kind}"
            self.admin = f"127.0.0.1:{self.ports['admin']}"
            self.move("one")
            self.write("1", {"certificate_chain": {"filename": str(self.dir / "c.pem")}, "private_key": {"filename": str(self.dir / "c.key")}})
            source = {"path_config_source": {"path": str(self.path), "watched_directory": {"path": str(self.path.parent)}}, "resource_api_version": "V3"}
            config = {"node": {"id": "edge-1", "cluster": "edge"}, "admin": {"address": address(self.ports["admin"])}, "static_resources": {
                "listeners": [listener("l", self.ports["l"], common={"tls_certificate_sds_secret_configs": [named("s", source)]})]}}
            self.proxy = lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", lab.write(f"{kind}-files.json", json.dumps(config)), self.admin)

        def write(self, version, pair):
            self.path = lab.write(f"files-{self.kind}/sds/s.yaml", json.dumps({"version_info": version, "resources": [{"@type": f"{TLS}.Secret", "name": "s", "tls_certificate": pair}]}))

        def move(self, name, parts=("pem", "key")):
            for part in parts:
                lab.write(f"files-{self.kind}/c.{part}", (folder / f"{name}.{part}").read_text())

        def stats(self):
            return counters(self.admin)

        def name(self):
            return greet(self.ports["l"], folder)[0]

    sides = [File(kind) for kind in ("fairlead", "envoy")]

    def await_both(what, name):
        for side in sides:
            await_true(f"{what}: {side.kind}", lambda s=side: s.name() == name)

    await_both("from files", "one")
    kept = [Kept(side.ports["l"], folder) for side in sides]
    counted(sides, "from files", r"rejected|success|version_text|ssl_context")
    for side in sides:
        side.move("two", ["pem"])
    for side in sides:
        await_true(f"half a rotation: {side.kind}", lambda s=side: s.stats()["sds.s.key_rotation_failed"] != "0")
        require(side.name() == "one", f"{side.kind}: half a rotation is used")
    for side in sides:
        side.move("two", ["key"])
    await_both("the other half", "two")
    for side in sides:
        side.write("2", inline(folder, "one"))
    await_both("another secret", "one")
    counted(sides, "another secret", r"success|rejected|version_text")
    mixed = inline(folder, "two")
    mixed["private_key"] = inline(folder, "one")["private_key"]
    for side in sides:
        side.write("3", mixed)
    counted(sides, "a secret that does not fit", r"success|rejected")
    for side in sides:
        await_true(f"refused: {side.kind}", lambda s=side: s.stats()["sds.s.update_rejected"] == "1")
        require(side.name() == "one", f"{side.kind}: the last good one does not serve")
    require(all(k.ask() == "200" for k in kept), "connections that began before the rotations")
    for side in sides:
        lab.stop(side.proxy)


def expired(folder):
    certificate(folder, "expired", "/CN=expired", "DNS:example.test")
    openssl("x509", "-req", "-in", folder / "expired.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-days", "-1", "-out", folder / "expired.pem", "-extfile", folder / "expired.ext")


def run(lab):
    build_go_peers()
    folder = lab.dir
    authority(folder, "ca")
    authority(folder, "stranger")
    for name, subject, names in (("one", "/CN=one", "DNS:example.test"), ("two", "/CN=two", "DNS:example.test"), ("client", "/CN=client", "DNS:client.test")):
        certificate(folder, name, subject, names)
    expired(folder)
    missing(lab, folder)
    from_files(lab, folder)
    for api in ("DELTA_GRPC", "GRPC"):
        over_ads(lab, folder, api)
