"""How connections to hosts are made, against Envoy: addresses raced, the PROXY protocol, hosts that requests name, no room for a pool."""
import re
import socket
import threading
import time

import lab
import json
from lb_config import proxy

SMOKE = True
TYPE = "type.googleapis.com/envoy.extensions"
CHECK = {"timeout": "1s", "interval": "60s", "no_traffic_interval": "60s", "healthy_threshold": 1, "unhealthy_threshold": 1, "http_health_check": {"path": "/check"}}
STATS = r"upstream_cx_(?:total|active|connect_fail|pool_overflow|none_healthy)|upstream_rq_(?:total|503|200|pending_total)|original_dst_host_invalid|membership_(?:total|healthy|change)"


class Upstream:
    """Listens on one port of several addresses; remembers the first bytes of each connection and answers each request with its name."""

    def __init__(self, places, port=0):
        self.seen, self.sockets, self.port = [], [], port
        for name, family, address in places:
            s = socket.socket(family)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, self.port))
            s.listen(64)
            self.port = s.getsockname()[1]
            self.sockets.append(s)
            threading.Thread(target=self.accept, args=(s, name), daemon=True).start()

    def accept(self, s, name):
        try:
            while True:
                threading.Thread(target=self.serve, args=(s.accept()[0], name), daemon=True).start()
        except OSError:
            pass  # closed

    def serve(self, connection, name):
        with connection:
            data = b""
            try:
                while part := connection.recv(65536):
                    data += part
                    if b"PRI * HTTP/2" in data:
                        self.seen.append((name, data[:data.index(b"PRI")]))
                        return
                    if b"\r\n\r\n" in data[16 if data.startswith(b"\r\n\r\n\0") else 0:]:
                        self.seen.append((name, data[:re.search(rb"GET \S+ HTTP/1.1\r\n", data).end()]))
                        connection.sendall(f"HTTP/1.1 200 OK\r\nx-at: {name}\r\ncontent-length: 0\r\n\r\n".encode())
                        data = b""
            except OSError:
                pass

    def close(self):
        for s in self.sockets:
            s.close()


def place(address, port):
    return {"socket_address": {"address": address, "port_value": port}}


def cluster(name, endpoints, **more):
    return {"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": e} for e in endpoints]}]}, **more}


def several(*places):
    first, *others = [{"address": p} for p in places]
    return [{**first, "additional_addresses": others}]


def proxied(**config):
    return {"transport_socket": {"name": "p", "typed_config": {
        "@type": f"{TYPE}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", "config": config,
        "transport_socket": {"name": "raw", "typed_config": {"@type": f"{TYPE}.transport_sockets.raw_buffer.v3.RawBuffer"}}}}}


def original(name, **more):
    return {"name": name, "type": "ORIGINAL_DST", "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED", **more}


def clusters(port, six, closed):
    a, b, v6, no, no6 = place("127.0.0.1", port), place("127.0.0.2", port), place("::1", port), place("127.0.0.1", closed), place("::1", closed)
    http2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}
    race = lambda **config: {"upstream_connection_options": {"happy_eyeballs_config": config}}
    one = [{"address": a}]
    return [
        cluster("race-first", several(a, v6)), cluster("race-second", several(no, v6)), cluster("race-third", several(no, no6, b)), cluster("race-none", several(no, no6)),
        cluster("race-interleaved", several(no, place("127.0.0.3", closed), b, v6)), cluster("race-unreachable", several(place("192.0.2.1", 80), a)),
        cluster("race-v6-first", several(a, v6), **race(first_address_family_version="V6")), cluster("race-two-first", several(no, no, v6, b), **race(first_address_family_count=2)),
        cluster("race-checked", several(no, a), health_checks=[CHECK]),
        cluster("dns-all", [{"address": place("localhost", six)}], type="LOGICAL_DNS", dns_lookup_family="ALL"), cluster("dns-v4", [{"address": place("localhost", six)}], type="LOGICAL_DNS", dns_lookup_family="V4_ONLY"),
        cluster("dns-strict", [{"address": place("localhost", port)}], type="STRICT_DNS", dns_lookup_family="ALL"),
        cluster("dns-additional", several(place("localhost", closed), a), type="STRICT_DNS"),
        cluster("proxy-v1", one, **proxied(version="V1")), cluster("proxy-v2", one, **proxied(version="V2")), cluster("proxy-v1-v6", [{"address": v6}], **proxied(version="V1")),
        cluster("proxy-tlvs", one, **proxied(version="V2", added_tlvs=[{"type": 240, "value": "YWJj"}, {"type": 240, "value": "eA=="}, {"type": 1, "value": "aDI="}])),
        cluster("proxy-h2", one, **proxied(version="V2"), **http2),
        cluster("proxy-race", several(no, a), **proxied(version="V1")), cluster("proxy-check-v1", one, **proxied(version="V1"), health_checks=[CHECK]),
        cluster("proxy-check-v2", one, **proxied(version="V2"), health_checks=[CHECK]),
        cluster("no-pools", one, circuit_breakers={"thresholds": [{"max_connection_pools": 0}]}),
        original("original", original_dst_lb_config={"use_http_header": True}, cleanup_interval="60s"), original("original-plain"),
        original("original-port", original_dst_lb_config={"use_http_header": True, "http_header_name": "X-To", "upstream_port_override": port}),
    ]


def requests(port, closed):
    for name in [c["name"] for c in clusters(1, 1, 1) if not c["name"].startswith("original")]:
        yield name, ""
    yield "dns-strict", ""  # its other host: where the round begins is chance
    yield "proxy-v1", "x-forwarded-for: 10.1.2.3\r\n"
    for where in (f"127.0.0.1:{port}", f"127.0.0.2:{port}", f"[::1]:{port}", f"127.0.0.1:{port}", f"127.0.0.1:{closed}", "127.0.0.1", "name", ":80", "[::1]", "::1:80", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:+80",
                  "127.0.0.1: 80", "127.0.0.1:", "/tmp/x", "unix:///tmp/x", "@x", "", f"127.0.0.1:{port}, 127.0.0.2:{port}", "256.0.0.1:80", f"127.0.0.1:{port}\r\nx-envoy-original-dst-host: 127.0.0.2:{port}"):
        yield "original", f"x-envoy-original-dst-host: {where}\r\n"
    yield "original", ""
    yield "original-plain", f"x-envoy-original-dst-host: 127.0.0.1:{port}\r\n"
    yield "original-port", "x-to: 127.0.0.1:1\r\n"
    yield "original-port", "X-TO: 127.0.0.2:1\r\n"
    yield "original-port", f"x-envoy-original-dst-host: 127.0.0.1:{port}\r\n"


def through(l, kind):
    port, admin, closed = lab.free_port(), lab.free_port(), lab.free_port()
    upstream = Upstream([("a", socket.AF_INET, "127.0.0.1"), ("b", socket.AF_INET, "127.0.0.2"), ("v6", socket.AF_INET6, "::1")])
    only_six = Upstream([("six", socket.AF_INET6, "::1")])
    log = l.dir / f"access-{kind}"
    config = proxy(port, admin, clusters(upstream.port, only_six.port, closed))
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"] = [{"name": "f", "typed_config": {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"text_format_source": {"inline_string":
        "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"}}}}]
    process = l.proxy(kind, l.write(f"connects-{kind}.json", json.dumps(config)), f"127.0.0.1:{admin}", "--file-flush-interval-msec", "50")
    address = f"127.0.0.1:{admin}"

    def plain(text):
        for number, word in ((upstream.port, "PORT"), (only_six.port, "SIX"), (closed, "CLOSED"), (port, "PROXY")):
            text = re.sub(rf"\b{number}\b", word, text)
        return text

    try:
        lab.await_true("checks of both clusters", lambda: sum(b"/check" in data for _, data in upstream.seen) == 2)
        out = {"checks": sorted(plain(repr((name, re.sub(rb"(127.0.0.1 127.0.0.1) \d+", rb"\1 SOURCE", data)))) for name, data in upstream.seen)}
        for name, headers in requests(upstream.port, closed):
            upstream.seen.clear()
            only_six.seen.clear()
            with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.9", 0)) as s:
                mine = s.getsockname()[1]
                s.sendall(f"GET /{name} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n".encode())
                s.settimeout(5)
                reply = b"".join(iter(lambda: s.recv(65536), b""))
            if name.startswith("original"):
                lab.get(address, "/ready")  # Envoy's main thread has taken up the host by then; one that is asked for once more before that is counted twice
            head, _, body = reply.partition(b"\r\n\r\n")
            seen = [(at, data.replace(str(mine).encode(), b"MINE").replace(mine.to_bytes(2), b"MINE").replace(port.to_bytes(2), b"PROXY")) for at, data in upstream.seen + only_six.seen]
            answers = out.setdefault(f"{name} {plain(headers)!r}", [])
            answers.append(plain(repr((head.split(b"\r\n")[0], b"x-at:" in head, body, seen))))
            answers.sort()
        time.sleep(0.2)
        lines = plain(log.read_text()).splitlines()
        strict = iter(sorted(line for line in lines if line.startswith("/dns-strict ")))
        out["access log"] = "\n".join(next(strict) if line.startswith("/dns-strict ") else line for line in lines)
        for name, value in re.findall(rf"^cluster\.([\w-]+\.(?:{STATS})): (\d+)$", lab.get(address, "/stats").body.decode(), re.M):
            if not name.endswith("original_dst_host_invalid") or name.startswith("original"):  # Envoy has it in every cluster
                out[f"statistic {name}"] = value
        return out
    finally:
        l.stop(process)
        upstream.close()
        only_six.close()


def to_haproxy(l, kind):
    """haproxy as who is told: it answers with whom it takes for the client, and where that one connected to."""
    port, admin, told = lab.free_port(), lab.free_port(), lab.free_port()
    haproxy = l.start(f"haproxy-{kind}", ["haproxy", "-db", "-q", "-f", l.write(f"haproxy-{kind}.cfg", f"defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n"
                      f"frontend told\n  bind 127.0.0.1:{told} accept-proxy\n  http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port]\"\n")])
    lab.await_port(told, haproxy)
    config = proxy(port, admin, [cluster(version, [{"address": place("127.0.0.1", told)}], **proxied(version=version)) for version in ("V1", "V2")])
    process = l.proxy(kind, l.write(f"haproxy-{kind}.json", json.dumps(config)), f"127.0.0.1:{admin}")
    seen = {}
    for version in ("V1", "V2"):
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.9", 0), timeout=5) as s:
            s.sendall(f"GET /{version} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            body = b"".join(iter(lambda: s.recv(65536), b"")).partition(b"\r\n\r\n")[2].decode()
            lab.require(body == f"127.0.0.9:{s.getsockname()[1]} 127.0.0.1:{port}", f"haproxy was told by {kind} in {version}: {body!r}")
        seen[f"haproxy {version}"] = "told"
    l.stop(process)
    l.stop(haproxy)
    return seen


def run(l):
    envoy, fairlead = ({**through(l, kind), **to_haproxy(l, kind)} for kind in ("envoy", "fairlead"))
    for key in sorted({*envoy, *fairlead}):
        lab.same(key, fairlead.get(key), envoy.get(key))
