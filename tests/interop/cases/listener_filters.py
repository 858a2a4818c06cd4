"""Listener filters, scripted: tls_inspector, http_inspector, proxy_protocol and local_ratelimit in Envoy and in fairlead-proxy: the same bytes, which chain, what is logged and counted."""
import json
import re
import socket
import struct
import subprocess
import time

import echo
import lab as labs

TYPE = "type.googleapis.com/envoy.extensions.filters."
LOG = ("%FILTER_CHAIN_NAME%|%DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_ADDRESS%|%REQUESTED_SERVER_NAME%|%TLS_JA3_FINGERPRINT%|%TLS_JA4_FINGERPRINT%"
       "|%DYNAMIC_METADATA(envoy.filters.listener.tls_inspector:failure_reason)%|%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol)%|%DYNAMIC_METADATA(other)%\n")
COUNTED = re.compile(r"^(tls_inspector|http_inspector|proxy_proto|listener_local_ratelimit)\.|downstream_cx_proxy_proto_error|listener\.127\.0\.0\.1_\d+\.(no_filter_chain_match|downstream_pre_cx_timeout|downstream_cx_total)")


def u16(n):
    return struct.pack(">H", n)


def sized16(data):
    return u16(len(data)) + data


def client_hello(name=b"", alpn=(), version=0x0303, versions=(0x0304, 0x0303), ciphers=(0x1301, 0xc02f), compression=b"\0", extensions=(), session=b"s" * 32, padding=0):
    items = list(extensions)
    if name:
        items.append((0, sized16(b"\0" + sized16(name))))
    if alpn:
        items.append((16, sized16(b"".join(bytes([len(p)]) + p for p in alpn))))
    if versions:
        items.append((43, bytes([2 * len(versions)]) + b"".join(map(u16, versions))))
    items += [(t, d) for t, d in ((10, sized16(u16(29))), (13, sized16(u16(0x0403))), (51, sized16(u16(29) + sized16(b"k" * 32)))) if t not in dict(items)]
    if padding:
        items.append((21, b"\0" * padding))
    body = u16(version) + b"r" * 32 + bytes([len(session)]) + session + sized16(b"".join(map(u16, ciphers))) + bytes([len(compression)]) + compression
    body += sized16(b"".join(u16(t) + sized16(d) for t, d in items))
    return b"\1" + len(body).to_bytes(3, "big") + body


def record(payload, kind=22, version=0x0301):
    return bytes([kind]) + u16(version) + sized16(payload)


def records(message, size=16384):
    return b"".join(record(message[i:i + size]) for i in range(0, len(message), size))


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ENDS = bytes([1, 2, 3, 4, 5, 6, 7, 8]) + u16(80) + u16(443)


def v2(body=ENDS, command=0x21, family=0x11):
    return SIGNATURE + bytes([command, family]) + sized16(body)


def tlv(kind, value):
    return bytes([kind]) + sized16(value)


def chain(name, **match):
    return name, match


TLS = {"tls_inspector": {}}
ANY = [chain("any")]
BY_NAME = [chain("exact", server_names=["a.test"]), chain("suffix", server_names=["*.b.test"]), chain("h2", application_protocols=["h2"]), chain("tls", transport_protocol="tls"), chain("raw", transport_protocol="raw_buffer")]
BY_HTTP = [chain("h2c", application_protocols=["h2c"]), chain("http11", application_protocols=["http/1.1"]), chain("http10", application_protocols=["http/1.0"]), chain("other")]
BY_SOURCE = [chain("one", source_prefix_ranges=[{"address_prefix": "1.0.0.0", "prefix_len": 8}]), chain("port", destination_port=443), chain("else")]
RULES = {"rules": [{"tlv_type": 2, "on_tlv_present": {"key": "authority"}}, {"tlv_type": 0xea, "on_tlv_present": {"metadata_namespace": "other", "key": "vpce"}},
                   {"tlv_type": 0xeb, "on_tlv_present": {"key": "raw", "value_string_encoding": "BASE64"}}]}
BUCKET = {"stat_prefix": "l", "token_bucket": {"max_tokens": 1, "fill_interval": "600s"}}
# name: (listener filters, filter chains)
LISTENERS = {
    "tls": (TLS, BY_NAME),
    "small": ({"tls_inspector": {"max_client_hello_size": 1000}}, BY_NAME),
    "strict": ({"tls_inspector": {"close_connection_on_client_hello_parsing_errors": True}}, BY_NAME),
    "prints": ({"tls_inspector": {"enable_ja3_fingerprinting": True, "enable_ja4_fingerprinting": True}}, ANY),
    "http": ({"http_inspector": {}}, BY_HTTP),
    "both": ({"tls_inspector": {}, "http_inspector": {}}, [chain("tls", transport_protocol="tls"), *BY_HTTP]),
    "proxy": ({"proxy_protocol": RULES}, BY_SOURCE),
    "named": ({"proxy_protocol": {"stat_prefix": "edge"}}, BY_SOURCE),
    "optional": ({"proxy_protocol": {"allow_requests_without_proxy_protocol": True}}, BY_SOURCE),
    "only1": ({"proxy_protocol": {"disallowed_versions": ["V2"]}}, BY_SOURCE),
    "only2": ({"proxy_protocol": {"disallowed_versions": ["V1"]}}, BY_SOURCE),
    "optional1": ({"proxy_protocol": {"disallowed_versions": ["V2"], "allow_requests_without_proxy_protocol": True}}, BY_SOURCE),
    "proxytls": ({"proxy_protocol": {}, "tls_inspector": {}}, BY_NAME),
    "rate": ({"local_ratelimit": BUCKET}, ANY),
    "unlimited": ({"local_ratelimit": {**BUCKET, "stat_prefix": "u", "runtime_enabled": {"default_value": False, "runtime_key": "none"}}}, ANY),
}
MESSAGES = {"tls_inspector": "TlsInspector", "http_inspector": "HttpInspector", "proxy_protocol": "ProxyProtocol", "local_ratelimit": "LocalRateLimit", "original_dst": "OriginalDst"}


def scenarios():
    """(name, listener, bytes in pieces)"""
    hello = lambda *a, **k: records(client_hello(*a, **k))
    grease = dict(ciphers=(0x2a2a, 0x1301, 0xc02f), versions=(0x4a4a, 0x0304, 0x0303))
    out = []
    add = lambda name, listener, *pieces: out.append((f"{listener}: {name}", listener, pieces))
    for name, message in {
            "name": client_hello(b"a.test"), "name in capitals": client_hello(b"A.TEST"), "name below": client_hello(b"x.b.test", [b"h2"]), "another name": client_hello(b"c.test"), "protocol": client_hello(alpn=[b"h2", b"http/1.1"]),
            "neither": client_hello(), "TLS 1.2": client_hello(b"a.test", versions=()), "TLS 1.0": client_hello(b"a.test", version=0x0301, versions=()), "SSL 3": client_hello(b"a.test", version=0x0300, versions=()),
            "TLS 1.1 alone": client_hello(b"a.test", versions=(0x0302,)), "TLS 1.4 alone": client_hello(b"a.test", versions=(0x0305,)), "no version": client_hello(b"a.test", extensions=[(43, b"\0")], versions=()),
            "no ciphers": client_hello(b"a.test", ciphers=()), "no compression": client_hello(b"a.test", compression=b""), "compressed": client_hello(b"a.test", compression=b"\1"), "compression offered": client_hello(b"a.test", compression=b"\1\0"),
            "compression offered to TLS 1.2": client_hello(b"a.test", compression=b"\1\0", versions=()), "long session": client_hello(b"a.test", session=b"s" * 33), "empty name": client_hello(extensions=[(0, sized16(b"\0" + sized16(b"")))]),
            "name with a NUL": client_hello(b"a\0b"), "name of 255": client_hello(b"a" * 255), "name of 256": client_hello(b"a" * 256), "name of another type": client_hello(extensions=[(0, sized16(b"\1" + sized16(b"a.test")))]),
            "two names": client_hello(extensions=[(0, sized16(b"\0" + sized16(b"a.test") + b"\0" + sized16(b"b.test")))]), "broken protocols": client_hello(b"c.test", extensions=[(16, b"\0\5\2h2")]), "empty protocol": client_hello(b"c.test", alpn=[b""]),
            "same extension twice": client_hello(b"a.test", extensions=[(0, sized16(b"\0" + sized16(b"a.test")))]), "large": client_hello(b"a.test", padding=12000), "another message": b"\2" + client_hello(b"a.test")[1:]}.items():
        add(name, "tls", records(message))
    whole = hello(b"a.test", [b"h2"])
    add("in two", "tls", whole[:3], whole[3:])
    add("in three", "tls", whole[:1], whole[1:50], whole[50:])
    add("in records of 10", "tls", records(client_hello(b"a.test"), 10))
    add("in records of 1", "tls", records(client_hello(b"a.test"), 1))
    add("empty records first", "tls", record(b"") * 3 + whole)
    add("33 empty records first", "tls", record(b"") * 33 + whole)
    add("with what follows", "tls", whole + b"more")
    add("cut short", "tls", whole[:-1])
    add("plain text", "tls", b"hello, server\n")
    add("HTTP", "tls", b"GET / HTTP/1.1\r\n\r\n")
    add("binary", "tls", b"\0\0\0\0\0\0\0\0")
    add("an alert", "tls", record(b"\2\50", 21))
    add("application data", "tls", record(b"data", 23))
    add("record of version 2", "tls", record(client_hello(b"a.test"), version=0x0200))
    add("record of version 3.9", "tls", record(client_hello(b"a.test"), version=0x0309))
    add("record too long", "tls", b"\x16\3\1" + u16(16705) + b"x" * 100)
    add("without an end", "tls", records(b"\1" + (16000).to_bytes(3, "big") + b"x" * 16000, 100))
    add("message too long", "tls", records(b"\1" + (16385).to_bytes(3, "big") + b"x" * 100))
    add("too large", "small", hello(b"a.test", padding=2000))
    add("fits", "small", hello(b"a.test", padding=500))
    add("much plain text", "small", b"x" * 2000)
    add("name", "strict", whole)
    add("plain text", "strict", b"hello, server\n")
    add("no ciphers", "strict", hello(b"a.test", ciphers=()))
    add("much plain text", "strict", b"x" * 20000)
    for version in (0, 0x0304, 0x0305, 0xfefd):
        add(f"version {version:x}", "tls", hello(b"a.test", version=version))
    add("old, no name", "tls", hello(version=0x0300, alpn=[b"h2"]))
    add("unknown extension twice", "tls", hello(b"a.test", extensions=[(999, b""), (999, b"")]))
    for odd in (b"a_b.test", b"[::1]", b"x y.b.test", b"a\nb.test", b"\xc3\xa9.b.test"):
        add(f"name {odd!r}", "tls", hello(odd))
    add("name as an address", "tls", hello(b"127.0.0.1"))
    add("name with a dot at its end", "tls", hello(b"a.test."))
    add("name, then more", "tls", hello(extensions=[(0, sized16(b"\0" + sized16(b"a.test")) + b"x")]))
    add("empty name extension", "tls", hello(extensions=[(0, b"")]))
    add("broken versions", "tls", hello(b"a.test", extensions=[(43, b"\5\3")], versions=()))
    add("four bytes", "tls", b"hi!\n")
    add("three of a record", "tls", b"\x16\3\1")
    add("usual", "prints", hello(b"a.test", [b"h2", b"http/1.1"]))
    add("GREASE", "prints", hello(b"a.test", [b"h2"], extensions=[(0x3a3a, b""), (10, sized16(u16(0x5a5a) + u16(29) + u16(23))), (11, b"\1\0")], **grease))
    add("odd protocol", "prints", hello(alpn=[b"\xab\xcd"]))
    add("TLS 1.2", "prints", hello(versions=()))
    for name, line in {"1.1": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "1.0": b"GET / HTTP/1.0\r\n\r\n", "0.9": b"GET /\r\n", "1.2": b"GET / HTTP/1.2\r\n\r\n", "3": b"GET / HTTP/3\r\n", "11": b"GET / HTTP/11\r\n", "newline alone": b"GET / HTTP/1.1\n\n",
                       "own method": b"BREW /pot HTTP/1.1\r\n\r\n", "method with a dot": b"a.b / HTTP/1.1\r\n", "bad method": b"G(T / HTTP/1.1\r\n", "absolute": b"GET http://a.test/ HTTP/1.1\r\n\r\n", "no path": b"GET a HTTP/1.1\r\n\r\n",
                       "asterisk": b"OPTIONS * HTTP/1.1\r\n\r\n", "CONNECT": b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", "CONNECT to a path": b"CONNECT /a HTTP/1.1\r\n\r\n", "no target": b"GET\r\n", "space first": b" GET / HTTP/1.1\r\n", "line end first": b"\r\nGET / HTTP/1.1\r\n",
                       "no version but a space": b"GET / \r\n", "two spaces": b"GET  /  HTTP/1.1\r\n", "space in the path": b"GET /a b HTTP/1.1\r\n", "another protocol": b"GET / FTP/1.1\r\n", "lower case": b"GET / http/1.1\r\n",
                       "tab": b"GET\t/ HTTP/1.1\r\n", "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", "half a preface": b"PRI * HTTP/2.0\r\n", "preface, then other": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "binary": b"\0\1\2\3", "TLS": whole,
                       "word": b"hello\r\n", "words": b"hello dear server\r\n", "no line end": b"GET /", "no line end, not HTTP": b"\x80abc", "tab in the path": b"GET /a\tb HTTP/1.1\r\n", "DEL in the path": b"GET /\x7f HTTP/1.1\r\n", "quote in the path": b'GET /"<> HTTP/1.1\r\n', "space at the end": b"GET / HTTP/1.1 \r\n", "ftp": b"GET ftp://a/ HTTP/1.1\r\n",
                       "scheme alone": b"GET ://a/ HTTP/1.1\r\n", "odd scheme": b"GET a+b://c/ HTTP/1.1\r\n", "odd authority": b"GET http://a^b/ HTTP/1.1\r\n", "no authority": b"GET http:///x HTTP/1.1\r\n", "query": b"GET ?a HTTP/1.1\r\n", "colon": b"GET:/", "control": b"GET\x01",
                       "brace": b"{}", "PRI alone": b"PRI * HTTP/1.1\r\n", "two carriage returns": b"GET / HTTP/1.1\r\r\n", "URL with junk": b"GET /\x01\xff HTTP/1.1\r\n", "carriage return within": b"GET /\r HTTP/1.1\r\n"}.items():
        add(name, "http", line)
    add("in pieces", "http", b"G", b"ET / HT", b"TP/1.1\r", b"\n\r\n")
    add("preface in pieces", "http", b"PRI * H", b"TTP/2.0\r\n\r\nSM", b"\r\n\r\n")
    add("a long line", "http", b"GET /" + b"a" * 20000, b" HTTP/1.1\r\n\r\n")
    add("a line too long", "http", b"GET /" + b"a" * 70000)
    add("TLS", "both", hello(b"a.test", [b"h2"]))
    add("HTTP", "both", b"GET / HTTP/1.1\r\n\r\n")
    add("other", "both", b"hello there\n")
    lines = {"TCP4": b"TCP4 1.2.3.4 5.6.7.8 1000 443", "TCP6": b"TCP6 2001:db8::1 2001:db8::2 1000 444", "UNKNOWN": b"UNKNOWN", "UNKNOWN with ends": b"UNKNOWN ffff:f ffff:e 1 2", "TCP6 with IPv4": b"TCP6 1.2.3.4 5.6.7.8 1 2", "TCP4 with IPv6": b"TCP4 ::1 ::2 1 2",
             "few parts": b"TCP4 1.2.3.4 5.6.7.8 1", "many parts": b"TCP4 1.2.3.4 5.6.7.8 1 2 3", "port too large": b"TCP4 1.2.3.4 5.6.7.8 1 65536", "port 0": b"TCP4 1.2.3.4 5.6.7.8 0 443", "any": b"TCP4 0.0.0.0 5.6.7.8 1 2", "broadcast": b"TCP4 1.2.3.4 255.255.255.255 1 2",
             "multicast": b"TCP4 224.0.0.1 5.6.7.8 1 2", "multicast 6": b"TCP6 ff02::1 ::1 1 2", "two spaces": b"TCP4  1.2.3.4 5.6.7.8 1 2", "TCP5": b"TCP5 1.2.3.4 5.6.7.8 1 2", "a name": b"TCP4 localhost 5.6.7.8 1 2", "space at the end": b"TCP4 1.2.3.4 5.6.7.8 1 443 ",
             "mapped": b"TCP6 ::ffff:1.2.3.4 ::1 1 2", "zone": b"TCP6 fe80::1%lo ::1 1 2", "leading zeros": b"TCP4 01.2.3.4 5.6.7.8 1 2", "signed port": b"TCP4 1.2.3.4 5.6.7.8 +1 2", "107 bytes": b"UNKNOWN " + b"x" * 91, "108 bytes": b"UNKNOWN " + b"x" * 92, "109 bytes": b"UNKNOWN " + b"x" * 93}
    for name, line in lines.items():
        add(name, "proxy", b"PROXY " + line + b"\r\nmore")
    add("TCP4 in pieces", "proxy", b"PRO", b"XY TCP4 1.2.3.4 5.6.7.8 10", b"00 443\r", b"\nmore")
    add("newline alone", "proxy", b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\nmore")
    add("no space", "proxy", b"PROXYTCP4 1.2.3.4 5.6.7.8 1000 443\r\nmore")
    add("no line end", "proxy", b"PROXY " + b"x" * 200)
    add("not closed", "proxy", b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443")
    add("a request", "proxy", b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
    add("a short request", "proxy", b"GET /\r\n")
    add("signature in pieces", "proxy", v2()[:1], v2()[1:14], v2()[14:20], v2()[20:] + b"more")
    for name, header in {
            "v2": v2(), "v2 over IPv6": v2(b"\x20" + b"\0" * 14 + b"\1" + b"\x20" + b"\0" * 14 + b"\2" + u16(1) + u16(444), family=0x21), "v2 of datagrams": v2(family=0x12), "LOCAL": v2(b"", 0x20, 0), "LOCAL with a body": v2(b"whatever", 0x20, 0),
            "LOCAL with TLVs": v2(ENDS + tlv(2, b"a.test"), 0x20), "version 3": v2(command=0x31), "command 2": v2(command=0x22), "no family": v2(family=0), "Unix": v2(b"u" * 216, family=0x31), "transport 3": v2(family=0x13), "transport 0": v2(family=0x10), "short": v2(ENDS[1:]),
            "short IPv6": v2(ENDS, family=0x21), "any v2": v2(b"\0\0\0\0" + ENDS[4:]), "TLVs": v2(ENDS + tlv(2, b"a.test") + tlv(0xea, b"\1vpce-1") + tlv(0xeb, b"\0\xff") + tlv(9, b"unwanted")), "TLV twice": v2(ENDS + tlv(2, b"first") + tlv(2, b"second")),
            "TLV that is no text": v2(ENDS + tlv(2, b"a\xff\xfeb\xc3\xa9\xe2\x82")), "empty TLV": v2(ENDS + tlv(2, b"")), "TLV cut": v2(ENDS + b"\2"), "TLV without a value": v2(ENDS + b"\2\0\5ab"), "TLV without a length": v2(ENDS + b"\2\0"), "large TLV": v2(ENDS + tlv(2, b"t" * 40000))}.items():
        add(name, "proxy", header + b"more")
    add("TLV that never comes", "proxy", v2(ENDS + tlv(2, b"a.test"))[:-3])
    for name in ("named", "optional", "only1", "only2", "optional1"):
        add("v1", name, b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\nmore")
        add("v2", name, v2() + b"more")
        add("malformed v1", name, b"PROXY nonsense\r\n12345678")
        add("malformed v2", name, v2(command=0x31))
        add("none", name, b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        add("short", name, b"hi")
        add("like v1", name, b"PROX")
        add("like v2", name, SIGNATURE[:5])
        add("like v2 then not", name, SIGNATURE[:5] + b"123456789012345")
    add("name behind it", "proxytls", v2() + hello(b"a.test"))
    add("in pieces", "proxytls", v2()[:20], v2()[20:] + whole[:5], whole[5:])
    for n in range(2):
        add(f"connection {n}", "rate", b"x")
        add(f"connection {n}", "unlimited", b"x")
    return out


class Upstream(echo.Echo):
    """Says hello to whoever connects, and takes what is sent."""

    def serve(self, connection):
        with connection:
            try:
                connection.sendall(b"hello")
                while connection.recv(65536):
                    pass
            except OSError:
                pass


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def bootstrap(lab, kind, ports, admin, upstream):
    listeners = []
    for name, (filters, chains) in LISTENERS.items():
        log = {"name": "f", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(lab.dir / f"{kind}-{name}.log"),
                                             "log_format": {"text_format_source": {"inline_string": LOG}}}}
        tcp = {"name": "tcp", "typed_config": {"@type": TYPE + "network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": "up", "access_log": [log]}}
        listeners.append({"name": name, "address": address(ports[name]), "listener_filters_timeout": "0.4s",
                          "listener_filters": [{"name": f, "typed_config": {"@type": f"{TYPE}listener.{f}.v3.{MESSAGES[f]}", **config}} for f, config in filters.items()],
                          "filter_chains": [{"name": c, **({"filter_chain_match": match} if match else {}), "filters": [tcp]} for c, match in chains]})
    cluster = {"name": "up", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream.port)}}]}]}}
    return lab.write(f"{kind}.json", json.dumps({"admin": {"address": address(admin)}, "static_resources": {"listeners": listeners, "clusters": [cluster]}}))


def stats(admin, ports):
    text = labs.get(f"127.0.0.1:{admin}", "/stats").body.decode()
    out = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if COUNTED.search(name) and not line.endswith("No recorded values"):
            for known, port in ports.items():
                name = name.replace(f"127.0.0.1_{port}.", f"{known}.")
            out[name] = int(value) if value.isdigit() else value
    return out


def await_line(log, number):
    """A line of an access log, waiting for it: it is written when the proxy has seen its connection's end."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) > number:
            return lines[number]
        time.sleep(0.01)
    return ""


def play(lab, kind, ports, admin):
    seen = {}
    for name, listener, pieces in scenarios():
        log = lab.dir / f"{kind}-{listener}.log"
        lines = len(log.read_text().splitlines()) if log.exists() else 0
        before = stats(admin, ports)
        with socket.create_connection(("127.0.0.1", ports[listener]), timeout=5) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            own = s.getsockname()[1]
            answer = b""
            try:
                for i, piece in enumerate(pieces):
                    if i:
                        time.sleep(0.05)
                    s.sendall(piece)
                answer = s.recv(100)
            except (ConnectionResetError, BrokenPipeError):
                pass
        line = (await_line(log, lines) if answer else "").replace(str(own), "CLIENT").replace(str(ports[listener]), "PORT")
        after = stats(admin, ports)
        seen[name] = {"answer": answer.decode(), "log": line, "stats": {n: v - before.get(n, 0) for n, v in after.items() if isinstance(v, int) and v != before.get(n, 0)}}
    seen["names"] = {"stats": sorted(stats(admin, ports))}
    return seen


# Where fairlead-proxy knows sooner that the bytes are of no use and need not wait for the timeout, or names it more exactly; see docs/differences.md.
DIFFERS = {"tls: four bytes", "proxy: a short request", "named: short", "only1: short", "only2: short"}


def real_senders(lab, kind, ports):
    """haproxy in front of the proxy, openssl in place of bytes: what is logged of them."""
    fronts = labs.free_ports(["v1", "v2", "v2-checked"])
    options = {"v1": "send-proxy", "v2": "send-proxy-v2 proxy-v2-options crc32c,unique-id", "v2-checked": "send-proxy-v2 check-send-proxy check inter 50"}
    config = "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n  unique-id-format test-%pid\n"
    for name, port in fronts.items():
        config += f"listen {name}\n  bind 127.0.0.1:{port}\n  server s 127.0.0.1:{ports['proxy']} {options[name]}\n"
    haproxy = lab.start(f"haproxy-{kind}", ["haproxy", "-db", "-q", "-f", lab.write(f"haproxy-{kind}.cfg", config)])
    log, seen = lab.dir / f"{kind}-proxy.log", {}
    for name, port in fronts.items():
        labs.await_port(port, haproxy)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            own = s.getsockname()[1]
            answer = s.recv(10).decode()
        marks = f"|127.0.0.1:{own}|127.0.0.1|127.0.0.1:{port}|"
        end = time.monotonic() + 5
        while marks not in log.read_text() and time.monotonic() < end:
            time.sleep(0.01)
        seen[f"haproxy {name}"] = (answer, marks in log.read_text())
    end = time.monotonic() + 5  # checks connect for nobody: LOCAL
    while not re.search(r"^else\|127\.0\.0\.1:\d+\|127\.0\.0\.1\|127\.0\.0\.1:%d\|" % ports["proxy"], log.read_text(), re.M) and time.monotonic() < end:
        time.sleep(0.01)
    seen["haproxy checks"] = re.search(r"^else\|127\.0\.0\.1:\d+\|127\.0\.0\.1\|127\.0\.0\.1:%d\|" % ports["proxy"], log.read_text(), re.M) is not None
    lab.stop(haproxy)
    for name, options in {"1.3": ["-tls1_3", "-servername", "A.test"], "1.2": ["-tls1_2", "-servername", "x.b.test", "-alpn", "h2,http/1.1"], "no name": ["-noservername", "-alpn", "h2"]}.items():
        log = lab.dir / f"{kind}-tls.log"
        number = len(log.read_text().splitlines()) if log.exists() else 0
        subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{ports['tls']}", *options], input=b"", capture_output=True, timeout=10, check=False)
        seen[f"openssl {name}"] = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", await_line(log, number))
    return seen


def observe(lab, kind, upstream):
    ports = labs.free_ports([*LISTENERS, "admin"])
    admin = ports.pop("admin")
    process = lab.proxy(kind, bootstrap(lab, kind, ports, admin, upstream), f"127.0.0.1:{admin}", "--file-flush-interval-msec", "20")
    seen = play(lab, kind, ports, admin)
    seen.update(real_senders(lab, kind, ports))
    process.stop()
    return seen


def run(lab):
    upstream = Upstream()
    theirs, ours = observe(lab, "envoy", upstream), observe(lab, "fairlead", upstream)
    wrong = []
    for name, expected in theirs.items():
        if (ours[name] == expected) == (name in DIFFERS):
            wrong.append(f"{name}:\n  Envoy    {expected}\n  Fairlead {ours[name]}" if name not in DIFFERS else f"{name}: no difference any more")
    if wrong:
        raise labs.Failed(f"{len(wrong)} of {len(theirs)} differ:\n" + "\n".join(wrong))
    print(f"  {len(theirs)} scenarios, {len(DIFFERS)} of them known to differ")
