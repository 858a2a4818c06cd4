"""Clients, scripted: pipelining with errors in the middle, split requests, garbage, keep-alive, HTTP/1.0, large heads and bodies, slow readers, WebSockets, in Envoy and in fairlead-proxy."""
from wire import CHUNKS, CLOSE, HALF, HEAD, OK, RESET, RESPONSE, REST, Body, Scenario as S, compare, reply, request

GET = request()
POST = request("/", "content-length: 4", method="POST", body=b"body")
CHUNKED = request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n0\r\n\r\n")
WS = request("/", "connection: Upgrade", "upgrade: websocket", "sec-websocket-key: x", "sec-websocket-version: 13")
WS_OK = reply("101 Switching Protocols", "connection: Upgrade", "upgrade: websocket", "sec-websocket-accept: y")
UPGRADES = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
INLINE = ("x-forwarded-for", "via", "accept", "cookie", "x-a", "user-agent", "cache-control", "accept-encoding", "content-type", "authorization", "referer", "origin", "if-none-match", "range", "x-forwarded-host",
          "forwarded", "accept-language", "x-forwarded-port", "traceparent", "x-client-trace-id", "access-control-request-method")
INLINE_BACK = ("via", "vary", "set-cookie", "content-type", "location", "cache-control", "etag", "x-a", "access-control-allow-origin", "content-encoding", "last-modified", "www-authenticate", "age")
NO_RETRY_ROOM = {"per_connection_buffer_limit_bytes": 4096}


def http(**options):
    return {"http_protocol_options": options}


def upstream_http(**options):
    return {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", **options}}}


def scenarios():
    posts = [[HEAD, Body(4), OK, HEAD, OK, HEAD, OK]]
    out = [
        S("three requests pipelined", [GET * 3, REST]),
        S("pipelined with bodies", [POST + CHUNKED + GET, REST], [[HEAD, Body(4), OK, HEAD, CHUNKS, OK, HEAD, OK]]),
        S("pipelined, the second is bad", [GET + b"bad\r\n\r\n" + GET, REST]),
        S("pipelined, the second has a bad header", [GET + request("/", "no colon") + GET, REST]),
        S("pipelined, the second has a bad length", [GET + request("/", "content-length: x") + GET, REST]),
        S("pipelined, the second's body is bad", [GET + request("/", "transfer-encoding: chunked", method="POST", body=b"zz\r\n") + GET, REST], [[HEAD, OK, HEAD, REST]], ignore=("upstream",)),
        S("pipelined, the first says close", [request("/", "connection: close") + GET, REST]),
        S("pipelined, the second says close", [GET + request("/", "connection: close") + GET, REST]),
        S("pipelined, the upstream says close", [GET * 3, REST], [[HEAD, reply("200 OK", "connection: close", "content-length: 2", body=b"ok"), CLOSE]]),
        S("pipelined, the upstream fails", [GET * 2, REST], [[HEAD, CLOSE], [HEAD, OK, REST]], ignore=("upstream",)),
        S("pipelined, the first answer is slow", [GET * 2, REST], [[HEAD, 0.4, OK, HEAD, OK]]),
        S("pipelined, then the client ends", [GET * 2, HALF, REST], [[HEAD, 0.2, OK, HEAD, OK]], differs="answers what came before the end"),
        S("pipelined behind an upgrade that is refused", [request("/", "connection: upgrade", "upgrade: websocket") + GET, REST]),
        S("pipelined behind a HEAD", [request("/", method="HEAD") + GET, REST], [[HEAD, reply("200 OK", "content-length: 2"), HEAD, OK]]),
        S("pipelined behind a local answer", [GET + GET, REST], entry={"route": None, "direct_response": {"status": 200, "body": {"inline_string": "here"}}}),
        S("pipelined behind a local answer, with bodies", [POST + GET, REST], entry={"route": None, "direct_response": {"status": 200, "body": {"inline_string": "here"}}}),
        S("local answer before the body is there", [request("/", "content-length: 4", method="POST"), 0.3, b"body", REST], entry={"route": None, "direct_response": {"status": 200, "body": {"inline_string": "here"}}}),
        S("local answer before a chunked body is there", [request("/", "transfer-encoding: chunked", method="POST"), 0.3, b"4\r\nbody\r\n0\r\n\r\n", REST], entry={"route": None, "direct_response": {"status": 404}}),
        S("local answer and expect", [request("/", "content-length: 4", "expect: 100-continue", method="POST"), REST], entry={"route": None, "direct_response": {"status": 404}}),
        S("half a body, then a bad chunk", [request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n"), 0.2, b"zz\r\n", REST], [[HEAD, REST]]),
        S("a bad chunk after the response began", [request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n"), 0.4, b"zz\r\n", REST], [[HEAD, reply("200 OK", "content-length: 4", body=b"ha"), REST]], ignore=("tx_reset",)),
        S("a bad chunk after the response ended", [request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n"), 0.4, b"zz\r\n", REST], [[HEAD, OK, REST]]),
        S("connection resets in the body", [request("/", "content-length: 8", method="POST", body=b"half"), 0.2, RESET], [[HEAD, REST]]),
        S("connection resets in the head", [b"GET / HTTP/1.1\r\nho", 0.1, RESET]),
        S("connection ends in the head", [b"GET / HTTP/1.1\r\nho", HALF, REST]),
        S("connection ends without a byte", [HALF, REST]),
        S("connection ends in a chunk", [request("/", "transfer-encoding: chunked", method="POST", body=b"8\r\nhalf"), HALF, REST], [[HEAD, REST]], ignore=("upstream", "UPSTREAM", "stat", "US_")),
        S("request in single bytes", [*[bytes([b]) for b in POST[:-4]], b"bo", 0.1, b"dy", RESPONSE, CLOSE], [[HEAD, Body(4), OK]]),
        S("chunks in single bytes", [CHUNKED[:-17], *[bytes([b]) for b in CHUNKED[-17:]], RESPONSE, CLOSE], [[HEAD, CHUNKS, OK]]),
        S("crlf between requests", [GET, RESPONSE, b"\r\n" + GET, RESPONSE, b"\r\n\r\n", 0.1, GET, RESPONSE, REST]),
        S("body behind the length", [POST + b"more", REST], [[HEAD, Body(4), OK]], differs="refused at its first byte"),
        S("garbage", [bytes(range(256)) * 40, REST]),
        S("garbage without an end", [b"\x00\x01\x02", REST]),
        S("letters without an end", [b"G" * 70000, REST]),
        S("a method of 70 KB", [b"G" * 70000 + b" / HTTP/1.1\r\n\r\n", REST]),
        S("a header line without an end", [b"GET / HTTP/1.1\r\nx: " + b"y" * 70000, REST]),
        S("TLS to a plain port", [b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(100), REST]),
        S("an HTTP/1.1 response as a request", [OK, REST]),
        S("proxy protocol to a port without", [b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + GET, REST]),
        S("keep-alive in HTTP/1.1", [request("/", "connection: keep-alive"), RESPONSE, GET, RESPONSE, REST]),
        S("connection: close and keep-alive", [request("/", "connection: close, keep-alive"), REST]),
        S("connection: Close", [request("/", "connection: Close"), REST]),
        S("proxy-connection: close", [request("/", "proxy-connection: close"), RESPONSE, GET, RESPONSE, CLOSE]),
        S("two connection headers", [request("/", "connection: x-a", "connection: close", "x-a: 1"), REST]),
        S("connection names what must stay", [request("/", "connection: host, content-length", "content-length: 2", method="POST", body=b"ab"), REST], [[HEAD, Body(2), OK]], ignore=("protocol_error",)),
        S("connection names cookie", [request("/", "connection: cookie, x-forwarded-for, x-forwarded-proto, :path", "cookie: a"), REST]),
        S("HTTP/1.0 refused", [b"GET / HTTP/1.0\r\n\r\n", REST]),
    ]
    old = {**http(accept_http_10=True, default_host_for_http_10="old.test")}
    out += [
        S("HTTP/1.0", [b"GET / HTTP/1.0\r\n\r\n", REST], hcm=old),
        S("HTTP/1.0 keep-alive", [b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", RESPONSE, b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", RESPONSE, REST], hcm=old),
        S("HTTP/1.0 and a chunked answer", [b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", REST], [[HEAD, reply("200 OK", "transfer-encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")]], hcm=old),
        S("HTTP/1.0 and a body until close", [b"GET / HTTP/1.0\r\n\r\n", REST], [[HEAD, reply("200 OK", body=b"ok"), CLOSE]], hcm=old),
        S("HTTP/1.0 and a broken body", [b"GET / HTTP/1.0\r\n\r\n", REST], [[HEAD, reply("200 OK", "transfer-encoding: chunked", body=b"2\r\nok\r\n"), 0.1, CLOSE]], hcm=old, differs="a reset is not an end"),
        S("HTTP/1.0 post", [b"POST / HTTP/1.0\r\ncontent-length: 4\r\n\r\nbody", REST], posts, hcm=old),
        S("HTTP/1.0 post without a length", [b"POST / HTTP/1.0\r\n\r\nbody", REST], hcm=old),
        S("HTTP/1.0 expect", [b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nbody", REST], posts, hcm=old, differs="no 1xx for HTTP/1.0"),
        S("HTTP/1.0 pipelined", [b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" * 2, REST], hcm=old),
        S("HTTP/0.9", [b"GET /\r\n", REST], hcm=old, differs="refused"),
        S("absolute form, refused", [request("http://other.test/x"), REST], hcm=http(allow_absolute_url=False)),
        S("absolute form, refused, and another request", [request("http://other.test/x"), RESPONSE, GET, RESPONSE, CLOSE], hcm=http(allow_absolute_url=False)),
        S("absolute form, refused, no URL", [request("x"), REST], hcm=http(allow_absolute_url=False)),
        S("absolute form", [request("http://other.test:81/x?y"), REST]),
        S("absolute form, https scheme", [request("https://other.test/x"), REST]),
        S("absolute form, odd scheme", [request("ftp://other.test/x"), REST]),
        S("absolute form, no host header", [b"GET http://other.test/x HTTP/1.1\r\n\r\n", REST]),
        S("header case is lost", [request("/", "X-oNe: 1", "X-TWO: 2"), REST], [[HEAD, reply("200 OK", "X-Three: 3", "CONTENT-LENGTH: 2", body=b"ok")]]),
        S("limit of header size", [request("/", "x: " + "y" * 5000), REST], hcm={"max_request_headers_kb": 4}),
        S("under the limit of header size", [request("/", "x: " + "y" * 3900), REST], hcm={"max_request_headers_kb": 4}),
        S("limit of header count", [request("/", *["x: y"] * 12), REST], hcm={"common_http_protocol_options": {"max_headers_count": 10}}),
        S("underscores refused", [request("/", "x_a: y"), REST], hcm={"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}}),
        S("underscores dropped", [request("/", "x_a: y"), RESPONSE, REST], hcm={"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}}),
        S("bad message, connection kept", [request("/", "x: a\0b"), REST], hcm={"stream_error_on_invalid_http_message": True}),
        S("bad host, connection kept", [request("/", host="a b"), 0.2, GET, REST], hcm={"stream_error_on_invalid_http_message": True}, ignore=("client end", "times")),
    ]
    big = b"x" * 3_000_000
    small = {"per_connection_buffer_limit_bytes": 16384}
    up = {"per_connection_buffer_limit_bytes": 16384}
    send = request("/", f"content-length: {len(big)}", method="POST", body=big)
    length = reply("200 OK", f"content-length: {len(big)}", body=big)
    out += [
        S("a large upload", [send, RESPONSE, CLOSE], [[HEAD, Body(len(big)), OK]]),
        S("a large upload through small buffers", [send, RESPONSE, CLOSE], [[HEAD, 0.3, Body(len(big)), OK]], listener=small, cluster=up, ignore=("upstream",)),
        S("a large upload, chunked", [request("/", "transfer-encoding: chunked", method="POST", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(big), big)), RESPONSE, CLOSE], [[HEAD, CHUNKS, OK]], listener=small, cluster=up, ignore=("upstream", "BYTES", "bytes")),
        S("a large upload with retries", [send, RESPONSE, CLOSE], [[HEAD, Body(len(big)), OK]], route={"retry_policy": {"retry_on": "5xx"}}, listener=small, cluster=up),
        S("a large upload that fails", [send, REST], [[HEAD, Body(100000), 0.2, CLOSE]], route={"retry_policy": {"retry_on": "5xx"}}, listener=small, cluster=up, ignore=("client", "times", "BYTES", "bytes", "stat", "upstream", "DETAILS", "FLAGS", "CODE", "DURATION")),
        S("a large download", [GET, RESPONSE, CLOSE], [[HEAD, length, REST]]),
        S("a large download, slow reader", [GET, 0.7, RESPONSE, CLOSE], [[HEAD, length, REST]], listener=small, cluster=up),
        S("a large download that never is read", [GET, 0.9, CLOSE], [[HEAD, length, REST]], listener=small, cluster=up, hcm={"stream_idle_timeout": "0.4s"}, ignore=("bytes", "BYTES", "client", "upstream 0", "paused|resumed|backed|drained|flow_control", "REASON|CLOSE_TYPE")),
        S("a large response, HEAD", [request("/", method="HEAD"), 0.3, GET, RESPONSE, CLOSE], [[HEAD, reply("200 OK", "content-length: 3000000"), HEAD, OK]], ignore=("upstream",)),
        S("50 KB of header to and fro", [request("/", "x: " + "y" * 50000), RESPONSE, CLOSE], [[HEAD, reply("200 OK", "x: " + "z" * 50000, "content-length: 0"), REST]]),
    ]
    out += [
        S("a redirect to a path without a slash", [request("/a?b"), RESPONSE, CLOSE], entry={"route": None, "redirect": {"path_redirect": "x"}}),
        S("headers of one line, repeated", [request("/", *[f"{n}: {v}" for v in (1, 2) for n in INLINE]), RESPONSE, CLOSE],
          [[HEAD, reply("200 OK", *[f"{n}: {v}" for v in (1, 2) for n in INLINE_BACK], "content-length: 0"), REST]], ignore=("REQ", "PATH")),
        S("headers of one line, added to", [request("/", *[f"{n}: 1" for n in INLINE]), RESPONSE, CLOSE], [[HEAD, reply("200 OK", *[f"{n}: 1" for n in INLINE_BACK], "content-length: 0"), REST]],
          host={"request_headers_to_add": [{"header": {"key": n, "value": "2"}} for n in INLINE], "response_headers_to_add": [{"header": {"key": n, "value": "2"}} for n in INLINE_BACK]}),
    ]
    upgraded = [HEAD, WS_OK, b"hello", Body(4), b"world", REST]
    out += [
        S("websocket", [WS, 0.3, b"ping", REST], [upgraded], hcm=UPGRADES),
        S("websocket, data with the request", [WS + b"ping", REST], [upgraded], hcm=UPGRADES),
        S("websocket, the client ends", [WS, 0.3, b"ping", 0.2, HALF, REST], [upgraded], hcm=UPGRADES),
        S("websocket, the client closes", [WS, 0.3, b"ping", 0.2, CLOSE], [upgraded], hcm=UPGRADES),
        S("websocket, the client resets", [WS, 0.3, b"ping", 0.2, RESET], [upgraded], hcm=UPGRADES),
        S("websocket, the upstream ends", [WS, 0.3, b"ping", REST], [[HEAD, WS_OK, b"hello", HALF, Body(4), REST]], hcm=UPGRADES),
        S("websocket, the upstream closes", [WS, 0.1, b"ping", REST], [[HEAD, WS_OK, b"hello", Body(4), CLOSE]], hcm=UPGRADES),
        S("websocket, the upstream resets", [WS, 0.1, b"ping", REST], [[HEAD, WS_OK, b"hello", Body(4), RESET]], hcm=UPGRADES),
        S("websocket refused with a status", [WS, REST], [[HEAD, reply("403 Forbidden", "content-length: 0"), REST]], hcm=UPGRADES),
        S("websocket answered 200", [WS, REST], [[HEAD, reply("200 OK", "content-length: 0"), REST]], hcm=UPGRADES, ignore=("client", "DETAILS")),
        S("websocket refused with a body", [WS, REST], [[HEAD, reply("403 Forbidden", "content-length: 2", body=b"no"), REST]], hcm=UPGRADES, differs="the body is passed on"),
        S("websocket, the upstream says nothing", [WS, REST], [[HEAD, CLOSE]], hcm=UPGRADES),
        S("websocket, the upstream stalls", [WS, REST], [[HEAD, REST]], hcm=UPGRADES, route={"timeout": "0.4s"}),
        S("websocket outlives the route's timeout", [WS, 0.8, b"ping", REST], [upgraded], hcm=UPGRADES, route={"timeout": "0.4s"}),
        S("websocket, upstream refuses the connection", [WS, REST], refused=True, hcm=UPGRADES),
        S("websocket, not enabled", [WS, RESPONSE, GET, RESPONSE, CLOSE], [upgraded]),
        S("websocket, enabled by the route", [WS, 0.3, b"ping", REST], [upgraded], route={"upgrade_configs": [{"upgrade_type": "websocket"}]}),
        S("websocket, disabled by the route", [WS, REST], [upgraded], hcm=UPGRADES, route={"upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}]}),
        S("websocket, wrong upgrade in the answer", [WS, REST], [[HEAD, reply("101 Switching Protocols", "connection: upgrade", "upgrade: other"), b"hello", REST]], hcm=UPGRADES),
        S("websocket in capitals", [request("/", "Connection: UPGRADE", "Upgrade: WebSocket"), 0.3, b"ping", REST], [upgraded], hcm=UPGRADES),
        S("websocket among others", [request("/", "Connection: keep-alive, Upgrade", "Upgrade: websocket"), 0.3, b"ping", REST], [upgraded], hcm=UPGRADES),
        S("upgrade without connection", [request("/", "Upgrade: websocket"), RESPONSE, CLOSE], hcm=UPGRADES),
        S("websocket with a body", [request("/", "connection: upgrade", "upgrade: websocket", "content-length: 4", method="POST", body=b"body"), REST], [[HEAD, Body(4), WS_OK, b"hello", REST]], hcm=UPGRADES, ignore=("",)),
        S("websocket with a chunked body", [request("/", "connection: upgrade", "upgrade: websocket", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n0\r\n\r\n"), REST], [[HEAD, CHUNKS, WS_OK, b"hello", REST]], hcm=UPGRADES, ignore=("",)),
        S("websocket with retries", [WS, 0.4, b"ping", REST], [[HEAD, reply("503 No", "content-length: 0"), REST], upgraded], hcm=UPGRADES, route={"retry_policy": {"retry_on": "5xx"}}),
        S("websocket, large frames both ways", [WS, 0.2, b"y" * 2_000_000, REST], [[HEAD, WS_OK, b"x" * 2_000_000, Body(2_000_000), CLOSE]], hcm=UPGRADES, listener=small, cluster=up, ignore=("flow_control", "paused", "resumed", "backed", "drained")),
        S("upgrade of another kind", [request("/", "connection: upgrade", "upgrade: tcp"), 0.3, b"ping", REST], [[HEAD, reply("101 Switching Protocols", "connection: upgrade", "upgrade: tcp"), b"hello", Body(4), REST]], hcm={"upgrade_configs": [{"upgrade_type": "tcp"}]}),
        S("connect, no route", [b"CONNECT other.test:443 HTTP/1.1\r\nhost: other.test:443\r\n\r\n", REST]),
    ]
    for s in out:
        if "websocket" in s.name or "upgrade" in s.name:  # either end closes: the counts of bytes and resets depend on which is seen first
            s.ignore += ("stat", "DURATION", "upstream", "BYTES", "RESPONSE_FLAGS_LONG")
        if "bad header" in s.name or "bad length" in s.name or s.name in ("connection names cookie", "HTTP/1.0 refused", "limit of header count", "underscores refused", "bad message, connection kept", "bad host, connection kept"):
            s.ignore += ("REQ", "PATH", "stat", "DURATION")  # the request line of what is refused for its header lines is logged
    return out


def run(lab):
    compare(lab, scenarios())
