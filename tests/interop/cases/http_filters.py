"""Every HTTP filter in Envoy and in fairlead-proxy: the same requests, compared with what the upstream saw, the access log and the filters' statistics."""
import base64
import gzip
import json
import re
import zlib

import lab as interop
from echo import Echo
from lab import Failed, free_port
from parity import dechunked, get, raw_request, shape

SMOKE = True

# What is compared of /stats: the filters' own names; byte counts of compressed text depend on the library.
STATS = re.compile(r"(\.fault\.|http_local_rate_limit|\.cors\.|compressor\.|\.grpc[-_.]|\.health_check|^http\.main\.(downstream_rq_[1-5]xx|downstream_rq_too_large|rs_too_large))")
LIBRARY = re.compile(r"total_compressed_bytes|decompressor_library|isal|upstream_rq_time|max_total")


def unpacked(received):
    """gzip is undone and other encodings are cut to a mark: the bytes are the library's business."""
    data, end = received
    head, mark, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-encoding: ([a-z]+)", head, re.I)
    if not mark or not found or not body:
        return received
    chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
    plain = dechunked(body) if chunked else body
    if found[1] == b"gzip":
        plain = zlib.decompressobj(31).decompress(plain)
    elif found[1] in (b"br", b"zstd"):
        plain = b"packed"
    else:
        return received
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(plain), plain) if chunked else plain
    return head + mark + body, end


def chunked(path, *pieces, trailers=(), **headers):
    lines = get(path, method="POST", transfer_encoding="chunked", **headers)
    return lines + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + b"".join(t + b"\r\n" for t in trailers) + b"\r\n"


def binary(path, body, **headers):
    return get(path, method="POST", content_length=str(len(body)), **headers) + body


def frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def requests():
    out = []
    # header_mutation
    out += [get("/mutate?a=1&b=2&c=3&b=4&d", x_gone="1", x_append="old", x_absent="old", x_over="old", x_exists="old", x_many_a="1", x_many="2", x_in="in"), get("/mutate"),
            get("/mutate?", x_in="a b"), get("/mutate?a", x_over=""), get("/mutate?e=1&f=2&f=3", x_test_header="x-up=old"), get("/mutate", x_test_chunked="1"), get("/mutate", x_test_status="404"),
            get("/mutate?a=%31&b=%32&%62=x", x_in="&="), get("/mutate?c=+", x_in="x"), get("/mutate?d=", x_in="x")]
    out += [get("/query?gone=1&x=1"), get("/query?gone"), get("/query?b=1&b=2&c=3"), get("/query"), get("/query?new=old"), get("/query?x=a%20b&gone=1#"), get("/query?=1&&x")]
    out += [get("/always", x_level="client", x_seen="client"), get("/", "levels.test", x_level="client"), get("/always", x_test_header="x-level=up"), get("/x"), get("/x", x_test_close="1", method="POST", body=""), get("/x", x_order="client")]
    # cors
    for path, host in (("/cors/typed", "any.test"), ("/cors/strict", "any.test"), ("/cors/shadow", "any.test"), ("/host", "cors.test"), ("/both", "cors.test"), ("/off", "cors.test"), ("/nothing", "any.test")):
        for origin in ("https://ok.test", "https://pre.x", "https://host.test", "https://a.route.test", "https://bad.test"):
            out.append(get(path, host, origin=origin))
            out.append(get(path, host, method="OPTIONS", origin=origin, access_control_request_method="PUT", access_control_request_headers="x-a"))
    out += [get("/cors/typed", method="OPTIONS", origin="https://ok.test"), get("/cors/typed", origin=""), get("/cors/typed"),
            get("/cors/typed", method="OPTIONS", origin="https://ok.test", access_control_request_method="GET", access_control_request_private_network="true"),
            get("/cors/typed", method="OPTIONS", origin="https://ok.test", access_control_request_method=""), get("/cors/typed", origin="https://ok.test", x_test_header="access-control-allow-origin=*"),
            get("/cors/typed", origin="https://ok.test", x_test_close="1", method="POST", body=""), get("/cors/typed", origin="HTTPS://ok.test"), get("/cors/strict", method="OPTIONS", origin="https://bad.test")]
    # fault
    for path in ("/fault/abort", "/fault/body", "/fault/grpc", "/fault/delay", "/fault/both", "/fault/elsewhere", "/fault/full", "/fault/runtime", "/fault/slow"):
        out += [get(path), get(path, method="POST", body="body"), get(path, content_type="application/grpc"), get(path, method="HEAD")]
    out += [get("/fault/header"), get("/fault/header", x_envoy_fault_delay_request="30"), get("/fault/header", x_envoy_fault_abort_request="404"), get("/fault/header", x_envoy_fault_abort_grpc_request="7"),
            get("/fault/header", x_envoy_fault_abort_request="404", x_envoy_fault_delay_request="20"), get("/fault/header", x_envoy_fault_abort_request="404", x_envoy_fault_abort_request_percentage="0"),
            get("/fault/header", x_envoy_fault_abort_request="199"), get("/fault/header", x_envoy_fault_abort_request="600"), get("/fault/header", x_envoy_fault_abort_request="junk"),
            get("/fault/header", x_envoy_fault_abort_grpc_request="99"), get("/fault/header", x_envoy_fault_throughput_response="4000"), get("/fault/header", x_envoy_fault_delay_request="0"),
            get("/fault/header", x_envoy_fault_abort_request="404", x_envoy_fault_abort_request_percentage="200"), get("/fault/header", x_envoy_fault_abort_request="404", x_envoy_fault_abort_grpc_request="5"),
            get("/fault/header", x_envoy_fault_throughput_response="0"), get("/x", x_envoy_fault_abort_request="404")]
    out += [get("/fault/some"), get("/fault/some", x_please="1"), get("/fault/some", x_please="1", x_envoy_downstream_service_node="canary"), get("/fault/some", x_please="1", x_envoy_downstream_service_node="other"),
            get("/fault/abort", x_envoy_downstream_service_cluster="callers"), get("/fault/slow", x_test_size="20000"), get("/fault/slow", x_test_size="300", x_test_chunked="1")]
    # buffer
    for path in ("/buffer/on", "/buffer/more", "/buffer/off"):
        out += [get(path), get(path, method="POST", body="x" * 100), get(path, method="POST", body="x" * 101), get(path, method="POST", body="x" * 5000), chunked(path, b"abc", b"defg"), chunked(path, b"a" * 60, b"b" * 60),
                chunked(path, b"abc", trailers=[b"x-t: 1"]), chunked(path), get(path, method="POST", body="")]
    # local_ratelimit
    out += [get("/limit/three")] * 4 + [get("/limit/three", method="HEAD"), get("/limit/three", content_type="application/grpc"), get("/limit/three", method="POST", body="body")]
    out += [get("/limit/status"), get("/limit/status"), get("/limit/grpc"), get("/limit/grpc", content_type="application/grpc"), get("/limit/grpc", content_type="application/grpc"), get("/limit/loose"), get("/limit/loose"),
            get("/limit/off"), get("/limit/off")]
    out += [get("/limit/who", x_who="bob"), get("/limit/who", x_who="eve"), get("/limit/who"), get("/limit/who", x_who="bob"), get("/limit/who", x_who="bob"), get("/limit/who", x_who="eve"), get("/limit/who", x_who="eve"), get("/limit/who")]
    out += [get(path, x_more=more, user_agent=agent) for path in ("/limit/own?q=a", "/limit/own?q=b", "/limit/own?masked", "/limit/own") for more in ("b", "c") for agent in ("curl/1", "other")] + [get("/limit/own?q=a")] * 2
    out += [get(path, "cors.test") for path in ("/limit/host", "/limit/both", "/limit/include") for _ in range(2)]
    # health_check
    out += [get("/health/local"), get("/health/local?q"), get("/health/local", method="POST", body="body"), get("/health/local", method="HEAD"), get("/health/localx"), get("/health/pass"), get("/health/pass", x_test_status="500"),
            get("/health/cached", x_test_status="500"), get("/health/cached"), get("/health/clusters"), get("/health/unknown"), get("/health/empty"), get("/health"), get("/health/cached", method="HEAD"),
            get("/health/local", content_type="application/grpc")]
    # compressor
    encodings = ("gzip", "br", "zstd", "deflate", "identity", "*", "gzip;q=0", "gzip;q=0.5, br;q=0.9", "gzip, br, zstd", "br, gzip", "zstd, gzip", "*;q=0.1, gzip;q=0", "gzip;q=junk", "GZIP", "x-gzip", "", "gzip;q=0.0, *", "identity;q=1, gzip;q=0.5", " gzip ; q=1 ,br;q=0.1",
                 "deflate, gzip;q=1.0, *;q=0.5", "gzip;q=2", "gzip;x=1")
    for path in ("/zip/gzip", "/zip/all", "/zip/first"):
        out += [get(path)] + [get(path, accept_encoding=e) for e in encodings]
    for path in ("/zip/gzip", "/zip/strict", "/zip/weak", "/zip/override", "/zip/off"):
        for more in ({}, {"x_test_size": "29"}, {"x_test_size": "30"}, {"x_test_size": "2000"}, {"x_test_size": "60000"}, {"x_test_chunked": "1"}, {"x_test_chunked": "1", "x_test_size": "5"}, {"x_test_header": "etag=\"strong\""}, {"x_test_header": "etag=W/\"weak\"", "x_test_size": "2000"},
                     {"x_test_header": "content-encoding=br"}, {"x_test_header": "cache-control=no-transform"}, {"x_test_header": "cache-control=private, No-Transform"}, {"x_test_header": "vary=origin", "x_test_size": "2000"},
                     {"x_test_header": "vary=Accept-Encoding, x"}, {"x_test_header": "vary=*"}, {"x_test_status": "404", "x_test_size": "2000"}, {"x_test_status": "206", "x_test_size": "2000"}, {"x_test_status": "204"},
                     {"x_test_status": "304"}, {"x_test_status": "500"}, {"x_test_header": "etag=x", "x_test_size": "2000"}):
            out.append(get(path, accept_encoding="gzip", **more))
        out += [get(path, method="HEAD", accept_encoding="gzip"), get(path, method="POST", body="a body to be packed " * 10, accept_encoding="gzip"), get(path, method="POST", body="short"), chunked(path, b"pieces " * 5, b"of it " * 5)]
    out += [get("/direct", accept_encoding="gzip"), get("/direct"), get("/zip/gzip", accept_encoding="gzip", x_test_close="1", method="POST", body="")]
    # decompressor
    packed = gzip.compress(b"packed " * 40, mtime=0)
    for path in ("/unpack/on", "/unpack/quiet"):
        out += [get(path), get(path, accept_encoding="br"), get(path, accept_encoding="gzip"), get(path, accept_encoding="gzip;q=0"), binary(path, packed, content_encoding="gzip"), binary(path, packed, content_encoding="gzip, br"),
                binary(path, packed, content_encoding="br, gzip"), binary(path, packed, content_encoding="GZIP"), binary(path, packed, content_encoding="gzip", cache_control="no-transform"), binary(path, packed), chunked(path, packed[:10], packed[10:], content_encoding="gzip")]
    # grpc_web and grpc_stats
    for kind in ("application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto", "application/grpc", "application/grpc-web+json", "application/json"):
        body = frame(b"hello there")
        if "text" in kind:
            body = base64.b64encode(body)
        for more in ({}, {"accept": "application/grpc-web-text"}, {"x_test_type": "application/grpc"}):
            out.append(binary("/web/pkg.Service/Call", body, content_type=kind, **more))
    out += [binary("/web/x", b"AAAA!", content_type="application/grpc-web-text"), binary("/web/x", b"!!!!", content_type="application/grpc-web-text"), chunked("/web/x", b"AAA", b"AAAAA", content_type="application/grpc-web-text"),
            get("/web/x", content_type="application/grpc-web"), get("/web/x", content_type="application/grpc-web", x_test_header="grpc-status=5"), get("/web/x", content_type="application/grpc-web", x_test_status="503"),
            get("/web/x", content_type="application/grpc-web", x_test_close="1", method="POST", body="")]
    frames = (frame(b"one") + frame(b"four") + frame(b"")).hex()
    grpc_reply = {"x_test_type": "application/grpc", "x_test_body": frames, "x_test_chunked": "1", "x_test_trailer": "grpc-status=0"}
    for accept in ("application/grpc-web", "application/grpc-web-text", "application/grpc-web-text+proto"):
        for more in ({"x_test_trailer": "grpc-status=0"}, {"x_test_trailer": "grpc-status=9"}):
            out.append(binary("/web/pkg.Service/Call", frame(b"hi"), content_type="application/grpc-web", accept=accept, x_test_type="application/grpc", x_test_body=frames, x_test_chunked="1", **more))
        out.append(binary("/web/Call", frame(b"hi"), content_type="application/grpc-web", accept=accept, **grpc_reply))
    for path in ("/pkg.Known/Do", "/pkg.Known/Other", "/pkg.Other/Do", "/pkg.Known", "/pkg.Known/Do?x=1", "/list.Known/Do", "/list.Known/Other", "/list.Other/Do"):
        out += [binary(path, frame(b"one") + frame(b"two"), content_type="application/grpc"), binary(path, frame(b"x"), content_type="application/grpc", x_test_header="grpc-status=0"),
                binary(path, frame(b"x"), content_type="application/grpc", x_test_header="grpc-status=13"), binary(path, b"no grpc"), binary(path, frame(b"x"), content_type="application/grpc", **grpc_reply)]
    return out


def run_one(lab, kind, requests, echo):
    port, admin = free_port(), free_port()
    log = lab.dir / f"{kind}-access.log"
    text = (interop.ROOT / "tests/interop/http_filters_config.yaml").read_text()
    for name, value in {"ADMIN": admin, "PORT": port, "ECHO": echo.port, "LOG": log}.items():
        text = text.replace(f"@{name}@", str(value))
    proxy = lab.proxy(kind, lab.write(f"{kind}.yaml", text), f"127.0.0.1:{admin}")

    def send(data):
        seen = json.loads(json.dumps(shape(unpacked(interop.raw(port, data)))).replace(str(port), "PORT"))
        # what the upstream said, as a gRPC error: its request id is another each time
        seen["headers"] = [[n, "*" if n == "grpc-message" and v.startswith('{"upstream"') else v] for n, v in seen["headers"]]
        if isinstance(seen["body"], dict) and ["content-encoding", "gzip"] in seen["body"]["headers"]:
            seen["body"]["body"] = seen["body"]["bytes"] = "packed"
        return seen

    out = [send(r) for r in requests]
    stats = interop.get(f"127.0.0.1:{admin}", "/stats").body.decode().splitlines()
    out_stats = {name: value for name, _, value in (line.partition(": ") for line in stats) if STATS.search(name) and not LIBRARY.search(name)}
    # what the filters do once the proxy is to fail its health checks
    interop.get(f"127.0.0.1:{admin}", "/healthcheck/fail", method="POST")
    failed = [send(get(p)) for p in ("/health/local", "/health/pass", "/health/cached", "/health/clusters", "/health")]
    interop.get(f"127.0.0.1:{admin}", "/healthcheck/ok", method="POST")
    failed += [send(get(p)) for p in ("/health/local", "/health")]
    for reply in failed:
        reply["end"] = "*"  # when an idle connection closes afterwards
    code = lab.stop(proxy)
    if kind != "envoy" and code != 0:
        raise Failed(f"{kind}: exit code {code}:\n{proxy.text()[-2000:]}")
    return out, failed, out_stats, log.read_text().splitlines()


# (pattern on the request, why it differs): each stands in docs/differences.md.
MEANT = [("POST /buffer/(on|more) .*(x{101}|b{60})", "413 when all of the request has been read: the connection stays open; Envoy closes it"),
         ("POST /web/x .*(AAAA!|!!!!)", "the same for 400")]
# the same for names of statistics
MEANT_STATS = [("grpc.web.x.request_message_count", "Envoy sees a part of a message that is not base64 at its end"),
               ("compressor.weak.gzip.response.content_length_too_small", "Envoy counts such a response twice")]


def run(lab):
    def is_meant(text, table):
        return any(re.search(pattern, text, re.S) for pattern, _ in table)

    echo = Echo()
    wanted = requests()
    theirs, their_failed, their_stats, their_log = run_one(lab, "envoy", wanted, echo)
    ours, our_failed, our_stats, our_log = run_one(lab, "fairlead-proxy", wanted, echo)
    echo.close()
    differences = []
    for request, a, b in list(zip(wanted, ours, theirs)) + list(zip([b"after /healthcheck/fail"] * 9, our_failed, their_failed)):
        if a != b and not is_meant(request.decode("latin1"), MEANT):
            fields = "\n".join(f"    {k}:\n      fairlead {a[k]}\n      envoy    {b[k]}" for k in a if a[k] != b[k])
            differences.append(f"  {request[:300]!r}\n{fields}")
    for name in sorted(set(our_stats) | set(their_stats)):
        a, b = our_stats.get(name), their_stats.get(name)
        if a != b and not is_meant(name, MEANT_STATS):
            differences.append(f"  {name}: fairlead {a}, envoy {b}")
    for i, (a, b) in enumerate(zip(our_log, their_log)):
        if a != b and not is_meant(a, MEANT):
            differences.append(f"  access log line {i}:\n      fairlead {a}\n      envoy    {b}")
    if len(our_log) != len(their_log):
        differences.append(f"  access log: {len(our_log)} lines, Envoy wrote {len(their_log)}")
    if differences:
        raise Failed(f"{len(differences)} differences in {len(theirs)} requests:\n" + "\n".join(differences))
    print(f"        {len(theirs) + len(their_failed)} requests, {len(their_log)} access log lines, {len(their_stats)} statistics alike")
