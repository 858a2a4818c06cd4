"""Upstreams that misbehave, scripted: resets, stalls, early, broken, doubled and interim answers, wrong lengths, in Envoy and in fairlead-proxy."""
from wire import CHUNKS, CLOSE, HALF, HEAD, OK, RESET, RESPONSE, REST, Body, Scenario as S, compare, reply, request

GET = request()
POST = request("/", "content-length: 4", method="POST", body=b"body")
HALF_POST = request("/", "content-length: 8", method="POST", body=b"half")
# Refused by fairlead-proxy alone: docs/differences.md.
STRICTER = {"wrong version", "tab in the line", "two spaces", "status 000", "status 099", "status 2000", "status 20"}


def answer(name, data, *after, client=None, **more):
    """One request; the upstream answers with data, then does what `after` says. A second request shows whether its connection is used again."""
    return S(name, client or [GET, RESPONSE, GET, RESPONSE, CLOSE], [[HEAD, data, *(after or (HEAD, OK))], [HEAD, OK]], **more)


def chunked(body, *headers):
    return reply("200 OK", "transfer-encoding: chunked", *headers, body=body)


def scenarios():
    out = [
        S("closes before it answers", [GET, RESPONSE, CLOSE], [[HEAD, CLOSE]]),
        S("closes before it answers, post", [POST, RESPONSE, CLOSE], [[HEAD, Body(4), CLOSE]]),
        S("resets before it answers", [GET, RESPONSE, CLOSE], [[HEAD, RESET]]),
        S("closes at once", [GET, RESPONSE, CLOSE], [[CLOSE]], ignore=("",)),
        S("resets at once", [GET, RESPONSE, CLOSE], [[RESET]], ignore=("",)),
        S("ends sending and reads on", [GET, RESPONSE, CLOSE], [[HEAD, HALF, REST]]),
        S("refuses the connection", [GET, RESPONSE, GET, RESPONSE, CLOSE], refused=True),
        S("refuses the connection, post", [POST, RESPONSE, CLOSE], refused=True),
        S("closes in the status line", [GET, RESPONSE, CLOSE], [[HEAD, b"HTTP/1.1 20", CLOSE]]),
        S("closes in the head", [GET, RESPONSE, CLOSE], [[HEAD, b"HTTP/1.1 200 OK\r\nx: y\r\n", CLOSE]]),
        S("resets in the head", [GET, RESPONSE, CLOSE], [[HEAD, b"HTTP/1.1 200 OK\r\nx: y\r\n", RESET]]),
        S("closes in a counted body", [GET, REST], [[HEAD, reply("200 OK", "content-length: 10", body=b"half"), 0.1, CLOSE]]),
        S("resets in a counted body", [GET, REST], [[HEAD, reply("200 OK", "content-length: 10", body=b"half"), 0.1, RESET]]),
        S("closes in a chunk", [GET, REST], [[HEAD, chunked(b"a\r\nhalf"), 0.1, CLOSE]]),
        S("closes between chunks", [GET, REST], [[HEAD, chunked(b"4\r\nhalf\r\n"), 0.1, CLOSE]]),
        S("resets between chunks", [GET, REST], [[HEAD, chunked(b"4\r\nhalf\r\n"), 0.1, RESET]]),
        S("closes in the trailers", [GET, REST], [[HEAD, chunked(b"4\r\nhalf\r\n0\r\nx: y\r\n"), 0.1, CLOSE]]),
        S("a body until the close", [GET, REST], [[HEAD, reply("200 OK", body=b"all"), 0.1, CLOSE]]),
        S("a body until the close, HTTP/1.0", [GET, REST], [[HEAD, b"HTTP/1.0 200 OK\r\n\r\nall", 0.1, CLOSE]]),
        S("a body until a reset", [GET, REST], [[HEAD, reply("200 OK", body=b"all"), 0.1, RESET]], differs="a reset is not an end"),
        S("an empty body until the close", [GET, REST], [[HEAD, reply("200 OK"), 0.1, CLOSE]]),
        S("closes after a whole answer", [GET, RESPONSE, 0.2, GET, RESPONSE, CLOSE], [[HEAD, OK, CLOSE]]),
        S("says close", [GET, RESPONSE, GET, RESPONSE, CLOSE], [[HEAD, reply("200 OK", "connection: close", "content-length: 2", body=b"ok"), REST]]),
        S("HTTP/1.0 with keep-alive", [GET, RESPONSE, GET, RESPONSE, CLOSE], [[HEAD, b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", HEAD, OK], [HEAD, OK]]),
        S("HTTP/1.0 without keep-alive", [GET, RESPONSE, GET, RESPONSE, CLOSE], [[HEAD, b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", HEAD, OK], [HEAD, OK]]),
        answer("two answers at once", OK + OK),
        answer("two answers, the second later", OK, 0.2, OK, REST, client=[GET, RESPONSE, 0.5, GET, RESPONSE, CLOSE]),
        answer("bytes behind the body", OK + b"more"),
        answer("crlf behind the body", OK + b"\r\n"),
        answer("crlf before the answer", b"\r\n" + OK),
        answer("answers before the request", OK),
        S("speaks first", [GET, RESPONSE, CLOSE], [[OK, HEAD, OK]]),
        S("speaks while idle", [GET, RESPONSE, 0.4, GET, RESPONSE, CLOSE], [[HEAD, OK, 0.1, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", CLOSE], [HEAD, OK]]),
        S("answers before the body", [HALF_POST, RESPONSE, REST], [[HEAD, OK, REST]]),
        S("answers before the body, which follows", [HALF_POST, 0.3, b"half", RESPONSE, REST], [[HEAD, OK, REST]]),
        S("answers before the body and closes", [HALF_POST, REST], [[HEAD, reply("413 Too Large", "connection: close", "content-length: 0"), CLOSE]]),
        S("answers in part before the body", [HALF_POST, 0.3, b"half", RESPONSE, GET, RESPONSE, CLOSE], [[HEAD, reply("200 OK", "content-length: 4", body=b"ha"), Body(8), b"lf", HEAD, OK]]),
        S("answers before a chunked body", [request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nhalf\r\n"), 0.3, b"0\r\n\r\n", RESPONSE, REST], [[HEAD, OK, REST]]),
        S("streams while the request streams", [request("/", "transfer-encoding: chunked", method="POST", body=b"1\r\na\r\n"), 0.2, b"1\r\nb\r\n", 0.2, b"0\r\n\r\n", RESPONSE, GET, RESPONSE, CLOSE],
          [[HEAD, chunked(b"1\r\nx\r\n"), 0.3, b"1\r\ny\r\n", CHUNKS, b"0\r\n\r\n", HEAD, OK]]),
    ]
    for name, data in {
        "100 and 200": reply("100 Continue") + OK, "102 and 200": reply("102 Processing") + OK, "103 and 200": reply("103 Early Hints", "link: </a>") + OK, "150 and 200": reply("150 Odd") + OK,
        "100, 103 and 200": reply("100 Continue") + reply("103 Early Hints", "link: </a>") + OK, "three times 100 and 200": reply("100 Continue") * 3 + OK, "100 with a length": reply("100 Continue", "content-length: 0") + OK,
        "101 unasked": reply("101 Switching Protocols") + OK, "101 unasked with upgrade": reply("101 Switching Protocols", "connection: upgrade", "upgrade: websocket") + OK,
        "199 and 200": reply("199 Odd") + OK,
    }.items():
        meant = "refused" if "101" in name else ""
        odd = name not in ("100 and 200", "100 with a length")
        out += [answer(name, data, differs=meant, ignore=("stat",) if odd else ()),  # all are counted
                answer(f"{name}, passed on", data, hcm={"proxy_100_continue": True}, differs=meant or ("all of them, with their names" if odd else ""))]
    out += [
        S("100 and then nothing", [GET, REST], [[HEAD, reply("100 Continue"), CLOSE]], differs="1xx is not the response"),
        S("100 and a reset", [GET, REST], [[HEAD, reply("100 Continue"), RESET]], differs="1xx is not the response"),
        S("expect passed on", [request("/", "content-length: 4", "expect: 100-continue", method="POST"), 0.3, b"body", RESPONSE, CLOSE], [[HEAD, reply("100 Continue"), Body(4), OK]], hcm={"proxy_100_continue": True}),
        S("expect refused by the upstream", [request("/", "content-length: 4", "expect: 100-continue", method="POST"), RESPONSE, REST], [[HEAD, reply("417 Expectation Failed", "content-length: 0"), REST]], hcm={"proxy_100_continue": True}),
        S("expect answered by the proxy", [request("/", "content-length: 4", "expect: 100-continue", method="POST"), 0.2, b"body", RESPONSE, CLOSE], [[HEAD, Body(4), OK]]),
        S("expect without a body", [request("/", "expect: 100-continue"), RESPONSE, CLOSE]),
        S("expect, upper case", [request("/", "content-length: 4", "expect: 100-Continue", method="POST"), 0.2, b"body", RESPONSE, CLOSE], [[HEAD, Body(4), OK]]),
        S("expect, chunked", [request("/", "transfer-encoding: chunked", "expect: 100-continue", method="POST"), 0.2, b"4\r\nbody\r\n0\r\n\r\n", RESPONSE, CLOSE], [[HEAD, CHUNKS, OK]]),
        S("expect twice on a connection", [request("/", "content-length: 4", "expect: 100-continue", method="POST", body=b"body"), RESPONSE, request("/", "content-length: 4", "expect: 100-continue", method="POST", body=b"body"), RESPONSE, CLOSE],
          [[HEAD, Body(4), OK, HEAD, Body(4), OK]]),
    ]
    bad = {
        "no version": b"200 OK\r\n\r\n", "wrong version": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.2": b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", "version in lower case": b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "no status": b"HTTP/1.1 OK\r\n\r\n", "no reason": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "no reason but a space": b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", "tab in the line": b"HTTP/1.1\t200 OK\r\ncontent-length: 0\r\n\r\n",
        "reason with odd bytes": b"HTTP/1.1 200 \xe9\x01t\r\ncontent-length: 0\r\n\r\n", "two spaces": b"HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n",
        "bare lf": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", "garbage": bytes(range(256)) * 2 + b"\r\n\r\n", "an HTTP/2 preface": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x16",
        "a request": GET, "space before the colon": reply("200 OK", "x : y", "content-length: 0"), "no colon": reply("200 OK", "broken", "content-length: 0"), "empty name": reply("200 OK", ": y", "content-length: 0"),
        "nul in a value": reply("200 OK", "x: a\0b", "content-length: 0"), "control in a value": reply("200 OK", "x: a\x01b", "content-length: 0"), "bad name": reply("200 OK", "x(y): z", "content-length: 0"),
        "obs-fold": reply("200 OK", "x: a\r\n b", "content-length: 0"), "fold in the first line": b"HTTP/1.1 200 OK\r\n x: y\r\ncontent-length: 0\r\n\r\n",
        "two equal lengths": reply("200 OK", "content-length: 2", "content-length: 2", body=b"ok"), "two lengths": reply("200 OK", "content-length: 2", "content-length: 3", body=b"ok"),
        "a list of lengths": reply("200 OK", "content-length: 2, 2", body=b"ok"), "length with plus": reply("200 OK", "content-length: +2", body=b"ok"), "negative length": reply("200 OK", "content-length: -2", body=b"ok"),
        "empty length": reply("200 OK", "content-length:", body=b"ok"), "length in hex": reply("200 OK", "content-length: 0x2", body=b"ok"), "length and chunked": chunked(b"2\r\nok\r\n0\r\n\r\n", "content-length: 2"),
        "length beyond 64 bits": reply("200 OK", "content-length: 99999999999999999999", body=b"ok"),
        "gzip, chunked": reply("200 OK", "transfer-encoding: gzip, chunked", body=b"2\r\nok\r\n0\r\n\r\n"), "unknown coding": reply("200 OK", "transfer-encoding: other", body=b"ok"), "chunked twice": chunked(b"2\r\nok\r\n0\r\n\r\n", "transfer-encoding: chunked"),
        "identity": reply("200 OK", "transfer-encoding: identity", "content-length: 2", body=b"ok"), "Chunked in upper case": reply("200 OK", "Transfer-Encoding: CHUNKED", body=b"2\r\nok\r\n0\r\n\r\n"),
        "bad chunk size": chunked(b"zz\r\nok\r\n0\r\n\r\n"), "chunk size with 0x": chunked(b"0x2\r\nok\r\n0\r\n\r\n"), "chunk size too large": chunked(b"fffffffffffffffff\r\nok\r\n"), "chunk extension": chunked(b"2;a=b\r\nok\r\n0\r\n\r\n"),
        "chunks with bare lf": chunked(b"2\nok\n0\n\n"), "first chunk good, second bad": chunked(b"2\r\nok\r\nzz\r\n"),
        "204 with a body": reply("204 No Content", "content-length: 2", body=b"ok"), "204 with length 0": reply("204 No Content", "content-length: 0"), "204 chunked": reply("204 No Content", "transfer-encoding: chunked", body=b"0\r\n\r\n"),
        "304 with a length": reply("304 Not Modified", "content-length: 2"), "304 with a body": reply("304 Not Modified", "content-length: 2", body=b"ok"), "205": reply("205 Reset Content", "content-length: 0"),
        "status 999": reply("999 Odd", "content-length: 0"), "status 000": reply("000 Odd", "content-length: 0"), "status 099": reply("099 Odd", "content-length: 0"), "status 2000": reply("2000 Odd", "content-length: 0"), "status 20": reply("20 Odd", "content-length: 0"),
        "many headers": reply("200 OK", *[f"x-{i}: v" for i in range(101)], "content-length: 0"), "99 headers": reply("200 OK", *[f"x-{i}: v" for i in range(98)], "content-length: 0"),
        "61 KiB of headers": reply("200 OK", "x: " + "b" * 62500, "content-length: 0"), "50 KiB of headers": reply("200 OK", "x: " + "b" * 51200, "content-length: 0"),
        "hop-by-hop headers": reply("200 OK", "connection: x-hop", "x-hop: 1", "keep-alive: timeout=5", "proxy-connection: close", "te: trailers", "trailer: x-t", "upgrade: foo", "content-length: 2", body=b"ok"),
        "repeated headers": reply("200 OK", "set-cookie: a", "set-cookie: b", "x-a: 1", "X-A: 2", "x-empty:", "content-length: 2", body=b"ok"),
        "underscores": reply("200 OK", "x_a: 1", "content-length: 2", body=b"ok"), "host in a response": reply("200 OK", "host: x", "content-length: 2", body=b"ok"), "a pseudo header": reply("200 OK", ":status: 404", "content-length: 2", body=b"ok"),
        "proxy's own headers": reply("200 OK", "x-envoy-upstream-service-time: 7", "x-envoy-attempt-count: 3", "x-envoy-expected-rq-timeout-ms: 3", "x-envoy-upstream-healthchecked-cluster: z", "x-envoy-immediate-health-check-fail: 1",
                                     "x-envoy-overloaded: 1", "x-envoy-ratelimited: 1", "x-envoy-degraded: 1", "x-envoy-decorator-operation: op", "x-request-id: 5", "server: s", "date: d", "via: v", "content-length: 2", body=b"ok"),
        "trailers": chunked(b"2\r\nok\r\n0\r\nx-t: 1\r\n\r\n", "trailer: x-t"),
    }
    for name, data in bad.items():
        out.append(answer(name, data, HEAD, OK, client=[GET, REST], differs="refused" if name in STRICTER else "", ignore=("upstream \\d", "protocol_error", "close_notify")))  # when an unused connection goes
    head = request("/", method="HEAD")
    out += [
        S("HEAD with a length", [head, 0.2, GET, RESPONSE, CLOSE], [[HEAD, reply("200 OK", "content-length: 2"), HEAD, OK], [HEAD, OK]]),
        S("HEAD with a body", [head, 0.3, GET, RESPONSE, CLOSE], [[HEAD, OK, HEAD, OK], [HEAD, OK]]),
        S("HEAD chunked", [head, 0.2, GET, RESPONSE, CLOSE], [[HEAD, chunked(b""), HEAD, OK], [HEAD, OK]]),
        S("HEAD, neither", [head, 0.2, GET, RESPONSE, CLOSE], [[HEAD, reply("200 OK"), HEAD, OK], [HEAD, OK]]),
        S("HEAD, refused", [head, 0.2, REST], refused=True),
        S("trailers enabled", [GET, REST], [[HEAD, chunked(b"2\r\nok\r\n0\r\nx-t: 1\r\nx-u: 2\r\n\r\n"), REST]], hcm={"http_protocol_options": {"enable_trailers": True}},
          cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}}}}),
        S("request trailers enabled", [request("/", "transfer-encoding: chunked", method="POST", body=b"2\r\nok\r\n0\r\nx-t: 1\r\n\r\n"), RESPONSE, CLOSE], [[HEAD, 0.2, OK, REST]], hcm={"http_protocol_options": {"enable_trailers": True}},
          cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}}}}),
        S("bad request trailers", [request("/", "transfer-encoding: chunked", method="POST", body=b"2\r\nok\r\n0\r\nbro ken: 1\r\n\r\n"), REST], [[HEAD, REST]], hcm={"http_protocol_options": {"enable_trailers": True}}),
        S("bad request trailers that are dropped", [request("/", "transfer-encoding: chunked", method="POST", body=b"2\r\nok\r\n0\r\nbro ken: 1\r\n\r\n"), REST], [[HEAD, REST]]),
        S("grpc, closes before it answers", [request("/", "content-type: application/grpc", "content-length: 0", method="POST"), REST], [[HEAD, CLOSE]]),
        S("grpc status in headers", [request("/", "content-type: application/grpc", "content-length: 0", method="POST"), RESPONSE, CLOSE], [[HEAD, reply("200 OK", "content-type: application/grpc", "grpc-status: 14", "content-length: 0")]]),
        S("grpc, 503 from upstream", [request("/", "content-type: application/grpc", "content-length: 0", method="POST"), RESPONSE, CLOSE], [[HEAD, reply("503 No", "content-length: 2", body=b"no")]]),
        S("no connection is free", [GET, RESPONSE, CLOSE], cluster={"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}, ignore=("pending_overflow",)),
        S("no connection may be made", [GET, RESPONSE, CLOSE], cluster={"circuit_breakers": {"thresholds": [{"max_connections": 0}]}}, ignore=("cx_open",)),
        S("none may wait", [GET, RESPONSE, CLOSE], cluster={"circuit_breakers": {"thresholds": [{"max_pending_requests": 0}]}}, ignore=("UPSTREAM_HOST",)),
    ]
    return out


def run(lab):
    compare(lab, scenarios())
