"""HTTP/2 exchanges scripted on both sides of the proxy, to HTTP/1.1 and HTTP/2 upstreams, in Envoy and in fairlead-proxy: what client and upstream see of
each stream, how connections end, the access log and the statistics must be alike."""
import struct

from http2 import CONTINUATION, DATA, END, END_HEADERS, END_STREAM, GOAWAY, HEADERS, HTTP2, PING, PRIORITY, READY, REQUEST, SETTINGS, WINDOW, Await, D, F, H, R, Scenario as S, goaway, settings
from wire import CHUNKS, CLOSE, HEAD, NOT_COMPARED, OK, RESET, RESPONSE, REST, Body, compare, merged, reply, request

ROUTER = {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
NOT_HERE = tuple(p.replace("http1|http2|", "http1|") for p in NOT_COMPARED) + (
    r"log \d .*WIRE_BYTES", r"stat .*cx_(rx|tx)_bytes", r"stat .*http2\.(outbound_|pending_send|deferred_stream|metadata_empty|goaway_sent|nghttp2_|requests_rejected|dropped_headers)",
    r"log \d .*(DS_TX_BEG:DS_TX_END|DOWNSTREAM_LOCAL_CLOSE_REASON|CONNECTION_TERMINATION_DETAILS)")


def fields(path="/", *more, method="GET", host="any.test", scheme="http"):
    return [(":method", method), (":path", path), (":scheme", scheme), (":authority", host), *more]


def without(name, *more):
    return [f for f in fields("/", *more) if f[0] != name]


def get(path="/", *more, stream=1, **named):
    return [H(stream, fields(path, *more, **named)), Await(stream)]


def post(*more, body=b"body", stream=1, path="/", **named):
    return [H(stream, fields(path, *more, method="POST", **named), False), D(stream, body), Await(stream)]


def answer(status="200", *more, body=b"ok", stream=1, length=True):
    head = [(":status", status), *more, *([("content-length", str(len(body)))] if length else [])]
    return [H(stream, head, not body), *([D(stream, body)] if body else [])]


UNCHECKED = {"route_config": {"validate_clusters": False}}
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}], "http2_protocol_options": {"allow_connect": True}}
EXTENDED = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/chat"), (":scheme", "http"), (":authority", "any.test"), ("sec-websocket-version", "13")]
ALLOW = merged(HTTP2, {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"explicit_http_config": {"http2_protocol_options": {"allow_connect": True}}}}})


def options(**values):
    return merged(HTTP2, {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"explicit_http_config": {"http2_protocol_options": values}}}})


def h1(*steps):
    return [list(steps)]


def plain():
    """Whole exchanges, to either kind of upstream."""
    out = []
    for up in ("h1", "h2"):
        def s(name, client, **more):
            out.append(S(f"{name}, to {up}", client, up=up, **more))

        s("get", get())
        s("post", post())
        s("post with its length", post(("content-length", "4")))
        s("post without a body", [H(1, fields(method="POST")), Await(1)])
        s("post that ends with an empty frame", [H(1, fields(method="POST"), False), D(1), Await(1)], upstream=h1(HEAD, CHUNKS, OK) if up == "h1" else None)
        s("get that ends with an empty frame", [H(1, fields(), False), D(1), Await(1)], upstream=h1(HEAD, CHUNKS, OK) if up == "h1" else None)
        s("head", get(method="HEAD"))
        s("options *", get("*", method="OPTIONS"))
        s("put", [H(1, fields(method="PUT"), False), D(1, b"put"), Await(1)])
        s("delete", get(method="DELETE"))
        s("unknown method", get(method="BREW"))
        s("two requests in turn", get() + get(stream=3))
        s("two requests at once", [H(1, fields("/a")), H(3, fields("/b")), Await(1), Await(3)])
        s("cookie crumbs", get("/", ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")))
        s("host beside authority", get("/", ("host", "other.test")))
        s("host in place of authority", [H(1, without(":authority", ("host", "other.test"))), Await(1)])
        s("te trailers", get("/", ("te", "trailers")))
        s("https scheme", get(scheme="https"))
        s("foreign scheme", get(scheme="ftp"))
        s("padding", [F(HEADERS, END_HEADERS | END_STREAM | 8, 1, b"\x03" + bytes.fromhex("828684") + b"\x41\x08any.test" + b"\0\0\0"), Await(1)])
        s("priority in the head", [F(HEADERS, END_HEADERS | END_STREAM | 32, 1, b"\0\0\0\0\x10" + bytes.fromhex("828684") + b"\x41\x08any.test"), Await(1)])
        s("continuation", [H(1, fields("/", ("x-long", "v" * 300)), split=20), Await(1)])
        s("repeated header", get("/", ("x-two", "1"), ("x-two", "2")))
        s("empty header", get("/", ("x-empty", "")))
        s("path with query", get("/a/b?c=d&e#f"))
        s("relative path", get("a/b"))
        s("blank in the path", get("/a b"))
        s("expect", [H(1, fields("/", ("expect", "100-continue"), ("content-length", "4"), method="POST"), False), 0.2, D(1, b"body"), Await(1)])
        s("large body", [READY, H(1, fields(method="POST"), False), 0.2, D(1, b"b" * 200000), Await(1)], upstream=h1(HEAD, CHUNKS, OK) if up == "h1" else None)
        s("request id and forwarded headers", get("/", ("x-request-id", "0b0e2e0c-3c10-4e0a-9a6d-9a5e6b8f5d1c"), ("x-forwarded-for", "9.9.9.9"), ("user-agent", "agent/1.0")))
        s("header operations", get("/", ("x-drop", "1"), ("x-over", "mine")), entry={"request_headers_to_add": [{"header": {"key": "x-protocol", "value": "%PROTOCOL%"}}, {
            "header": {"key": "x-over", "value": "theirs"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}], "request_headers_to_remove": ["x-drop"], "response_headers_to_add": [
            {"header": {"key": "x-up", "value": "%UPSTREAM_PROTOCOL%"}}, {"header": {"key": "x-code", "value": "%RESPONSE_CODE%"}}]})
        s("prefix rewritten", get("/old/x?y"), route={"prefix_rewrite": "/new"})
        s("host rewritten", get(), route={"host_rewrite_literal": "rewritten.test"})
        s("via, server name, date", get(), hcm={"via": "test", "server_name": "me"})
        s("client with a table of its own", get() + get(stream=3), client_settings=settings(push=0, table=0))
        s("nobody listens", get(), refused=True)
        s("nobody listens, grpc", get("/", *GRPC), refused=True)
        s("mirror", post(), route={"request_mirror_policies": [{"cluster": "nowhere"}]}, hcm=UNCHECKED)
    return out


def local():
    """Answers of the proxy's own."""
    direct = {"route": None, "direct_response": {"status": 200, "body": {"inline_string": "direct"}}}
    mapped = {"local_reply_config": {"mappers": [{"filter": {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 404, "runtime_key": "none"}}}}, "status_code": 410,
                                                  "body": {"inline_string": "gone"}}]}}
    none = {"match": {"prefix": "/only"}}
    buffer = {"http_filters": [{"name": "buffer", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": 10}}, ROUTER]}
    return [
        S("direct response", get(), entry=direct), S("direct response to head", get(method="HEAD"), entry=direct), S("direct response to an unread post", [H(1, fields(method="POST"), False), Await(1), D(1, b"late")], entry=direct),
        S("direct response to grpc", get("/", *GRPC), entry=direct),
        S("redirect", get("/x?y"), entry={"route": None, "redirect": {"host_redirect": "other.test", "https_redirect": True}}),
        S("redirect by prefix", get("/x/y"), entry={"route": None, "redirect": {"prefix_rewrite": "/new", "response_code": "TEMPORARY_REDIRECT"}}),
        S("no route", get(), entry=none), S("no route, grpc", get("/", *GRPC), entry=none), S("no route, head", get(method="HEAD"), entry=none), S("no route, mapped", get(), entry=none, hcm=mapped),
        S("no route, mapped, grpc", get("/", *GRPC), entry=none, hcm=mapped), S("no route to a post", [H(1, fields(method="POST"), False), Await(1), D(1, b"late")], entry=none),
        S("no cluster", get(), route={"cluster": "nowhere"}, hcm=UNCHECKED), S("no cluster, grpc", get("/", *GRPC), route={"cluster": "nowhere"}, hcm=UNCHECKED),
        S("no virtual host", get(), host={"domains": ["only.test"]}),
        S("require tls", get(), host={"require_tls": "ALL"}),
        S("413", post(body=b"b" * 20), hcm=buffer), S("413, grpc", post(*GRPC, body=b"b" * 20), hcm=buffer), S("buffered", post(body=b"b" * 10), hcm=buffer),
        S("413, length told", post(("content-length", "20"), body=b"b" * 20), hcm=buffer),
        S("path normalised", get("/a/../b//c"), hcm={"normalize_path": True, "merge_slashes": True}), S("escaped slash refused", get("/a%2fb"), hcm={"path_with_escaped_slashes_action": "REJECT_REQUEST"}),
        S("escaped slash redirected", get("/a%2fb"), hcm={"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"}),
        S("underscore refused", get("/", ("x_bad", "1")), hcm={"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}}),
        S("underscore dropped", get("/", ("x_bad", "1")), hcm={"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}}),
        S("host stripped", get(host="any.test.:80"), hcm={"strip_any_host_port": True, "strip_trailing_host_dot": True}),
    ]


def malformed():
    """Requests that are wrong, with and without the option that ends only their stream."""
    out = []
    for alone in (False, True):
        hcm = {"http2_protocol_options": {"override_stream_error_on_invalid_http_message": alone}}

        def s(name, *client, **more):
            out.append(S(f"{name}{', alone' if alone else ''}", [*client, Await(1), *get(stream=3)], hcm=hcm, **more))

        s("no method", H(1, without(":method")))
        s("no path", H(1, without(":path")))
        s("no scheme", H(1, without(":scheme")))
        s("no authority", H(1, without(":authority")))
        s("two methods", H(1, [(":method", "GET"), *fields()]))
        s("two paths", H(1, [(":path", "/"), *fields()]))
        s("two authorities", H(1, [(":authority", "a.test"), *fields()]))
        s("pseudo header behind others", H(1, [("x", "y"), *fields()]))
        s("unknown pseudo header", H(1, [(":what", "y"), *fields()]))
        s("status in a request", H(1, [(":status", "200"), *fields()]))
        s("empty path", H(1, fields("")))
        s("upper case", H(1, fields("/", ("X-Upper", "1"))))
        s("connection", H(1, fields("/", ("connection", "close"))))
        s("keep-alive", H(1, fields("/", ("keep-alive", "timeout=1"))))
        s("proxy-connection", H(1, fields("/", ("proxy-connection", "close"))))
        s("transfer-encoding", H(1, fields("/", ("transfer-encoding", "chunked"))))
        s("upgrade", H(1, fields("/", ("upgrade", "websocket"))))
        s("te gzip", H(1, fields("/", ("te", "gzip"))))
        s("line feed in a value", H(1, fields("/", ("x", "a\nb"))))
        s("null in a value", H(1, fields("/", ("x", "a\0b"))))
        s("blank in a name", H(1, fields("/", ("x y", "1"))))
        s("empty name", H(1, fields("/", ("", "1"))))
        s("length is no number", H(1, fields("/", ("content-length", "x"), method="POST"), False))
        more = {"up": "h2"}
        s("two lengths", H(1, fields("/", ("content-length", "4"), ("content-length", "5"), method="POST"), False), D(1, b"body"), **more)
        s("body too long", H(1, fields("/", ("content-length", "3"), method="POST"), False), D(1, b"body"), **more)
        s("body too short", H(1, fields("/", ("content-length", "5"), method="POST"), False), D(1, b"body"), **more)
        s("pseudo header in trailers", H(1, fields(method="POST"), False), D(1, b"body", False), H(1, [(":path", "/")]), **more)
        s("connect without protocol", H(1, [(":method", "CONNECT"), (":authority", "any.test:80")], False))
        s("extended connect not offered", H(1, EXTENDED, False))
        s("data on a stream that never began", D(1, b"x"))
    return out


def limits():
    big = ("x-big", "b" * 16000)
    return [
        S("head too large", [H(1, fields("/", big, big, big, big)), Await(1), *get(stream=3)], differs="431 on the stream"),
        S("head near the limit", [H(1, fields("/", big, big, big)), Await(1), *get(stream=3)], up="h2"),
        S("too many headers", [H(1, fields("/", *[(f"x-{i}", "1") for i in range(120)])), Await(1), *get(stream=3)], differs="431 on the stream"),
        S("just enough headers", [H(1, fields("/", *[(f"x-{i}", "1") for i in range(96)])), Await(1)], up="h2"),
        S("streams over the limit", [0.2, H(1, fields(method="POST"), False), H(3, fields()), Await(3), D(1, b"x"), Await(1)], up="h2", hcm={"http2_protocol_options": {"max_concurrent_streams": 1}}),
        S("streams over the upstream's limit", [H(1, fields("/a")), H(3, fields("/b")), Await(1), Await(3)], [[REQUEST, END, 0.2, *answer(), REQUEST, *answer(stream=3)]] * 1, up="h2",
          upstream_settings=settings(streams=1), ignore=(r"upstream",)),
        S("streams over the cluster's limit", [H(1, fields("/a")), 0.1, H(3, fields("/b")), Await(1), Await(3)], [[REQUEST, END, 0.4, *answer()], [REQUEST, END, *answer()]], up="h2",
          cluster=options(max_concurrent_streams=1)),
        S("unread settings", [settings(streams=5, window=100), *get()], up="h2"),
        S("a window of nothing", [H(1, fields()), 0.3, F(WINDOW, 0, 1, struct.pack(">I", 100)), Await(1)], client_settings=settings(window=0)),
        S("max requests", get() + get(stream=3), hcm={"common_http_protocol_options": {"max_requests_per_connection": 1}, "drain_timeout": "0.3s"}),
        S("max requests upstream", get() + get(stream=3), up="h2", cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "common_http_protocol_options": {"max_requests_per_connection": 1}}}}),
        S("pending overflow", [H(1, fields()), 0.1, H(3, fields()), Await(3), Await(1)], [[REQUEST, END, 0.5, *answer()]], up="h2",
          cluster={"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}),
    ]


def timeouts():
    slow1, slow2 = h1(HEAD, REST), h1(REQUEST, REST)
    out = []
    for up, steps in (("h1", slow1), ("h2", slow2)):
        def s(name, client, **more):
            out.append(S(f"{name}, {up}", client, steps, up=up, **more))

        s("route timeout", get(), route={"timeout": "0.3s"})
        s("route timeout, grpc", get("/", *GRPC), route={"timeout": "0.3s"})
        s("route timeout, head", get(method="HEAD"), route={"timeout": "0.3s"})
        s("per try timeout", get(), route={"timeout": "3s", "retry_policy": {"retry_on": "5xx", "per_try_timeout": "0.2s", "num_retries": 1}})
        s("stream idle, whole request", get(), hcm={"stream_idle_timeout": "0.3s"})
        s("stream idle, half a request", [H(1, fields(method="POST"), False), Await(1), 0.1, *get(stream=3)], hcm={"stream_idle_timeout": "0.3s"})
        s("route's idle", get(), route={"idle_timeout": "0.3s", "timeout": "0s"})
        s("request timeout", [H(1, fields(method="POST"), False), Await(1)], hcm={"request_timeout": "0.3s"})
        s("max stream duration", get(), hcm={"common_http_protocol_options": {"max_stream_duration": "0.3s"}})
        s("max stream duration, half a request", [H(1, fields(method="POST"), False), Await(1)], hcm={"common_http_protocol_options": {"max_stream_duration": "0.3s"}})
        s("grpc timeout header", get("/", *GRPC, ("grpc-timeout", "300m")), route={"max_stream_duration": {"grpc_timeout_header_max": "5s"}})
        s("grpc timeout header, capped", get("/", *GRPC, ("grpc-timeout", "3S")), route={"max_stream_duration": {"grpc_timeout_header_max": "0.3s"}})
        s("upstream timeout header", get("/", ("x-envoy-upstream-rq-timeout-ms", "300")))
    out += [
        S("idle connection", [*get(), GOAWAY], hcm={"common_http_protocol_options": {"idle_timeout": "0.3s"}, "drain_timeout": "0.2s"}),
        S("connection duration", [*get(), GOAWAY], hcm={"common_http_protocol_options": {"max_connection_duration": "0.3s"}, "drain_timeout": "0.2s"}),
        S("half a head", [F(HEADERS, 0, 1, bytes.fromhex("82")), Await(1)], hcm={"request_headers_timeout": "0.3s"}),
        S("keepalive unanswered", get(), [[REQUEST, REST]], up="h2", cluster=options(connection_keepalive={"interval": "0.2s", "timeout": "0.2s"})),
        S("idle upstream", [*get(), 0.6, *get(stream=3)], up="h2", cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "common_http_protocol_options": {"idle_timeout": "0.3s"}}}}),
    ]
    return out


def upstreams():
    """What HTTP/2 upstreams do, right and wrong."""
    out = []

    def s(name, *steps, client=None, **more):
        out.append(S(name, client or get(), [list(steps), [REQUEST, END, *answer()]], up="h2", **more))

    def twice(name, *steps, **more):
        s(name, *steps, client=get() + get(stream=3), **more)

    s("204", REQUEST, H(1, [(":status", "204")]))
    s("304", REQUEST, H(1, [(":status", "304"), ("etag", "x")]))
    s("304 with a length", REQUEST, H(1, [(":status", "304"), ("content-length", "5")]))
    s("head with a length", REQUEST, H(1, [(":status", "200"), ("content-length", "5")]), client=get(method="HEAD"))
    s("trailers", REQUEST, H(1, [(":status", "200")], False), D(1, b"ok", False), H(1, [("x-trailer", "t"), ("grpc-status", "0")]))
    s("trailers without a body", REQUEST, H(1, [(":status", "200")], False), H(1, [("x-trailer", "t")]))
    s("trailers both ways", REQUEST, END, H(1, [(":status", "200")], False), H(1, [("x-trailer", "t")]), client=[H(1, fields(method="POST"), False), D(1, b"m", False), H(1, [("x-sent", "yes")]), Await(1)])
    s("request trailers without a body", REQUEST, END, *answer(), client=[H(1, fields(method="POST"), False), H(1, [("x-sent", "yes")]), Await(1)])
    s("grpc success", REQUEST, END, H(1, [(":status", "200"), ("content-type", "application/grpc")], False), D(1, b"\0\0\0\0\0", False), H(1, [("grpc-status", "0")]), client=post(*GRPC, body=b"\0\0\0\0\0"))
    s("grpc failure", REQUEST, END, H(1, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "13"), ("grpc-message", "no")]), client=post(*GRPC, body=b"\0\0\0\0\0"))
    s("grpc retried", REQUEST, END, H(1, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")]), REQUEST, END, *answer(stream=3), client=post(*GRPC, body=b"\0\0\0\0\0"),
      route={"retry_policy": {"retry_on": "unavailable"}})
    s("grpc, 503 of the upstream", REQUEST, END, *answer("503"), client=post(*GRPC, body=b"\0\0\0\0\0"))
    s("100 and 200", REQUEST, H(1, [(":status", "100")], False), *answer(), client=[H(1, fields("/", ("expect", "100-continue"), method="POST"), False), 0.2, D(1, b"body"), Await(1)], hcm={"proxy_100_continue": True})
    s("103 and 200", REQUEST, H(1, [(":status", "103"), ("link", "</x>")], False), *answer(), hcm={"proxy_100_continue": True})
    s("102 and 200", REQUEST, H(1, [(":status", "102")], False), *answer())
    s("set-cookie twice", REQUEST, *answer("200", ("set-cookie", "a=1"), ("set-cookie", "b=2")))
    s("early answer", REQUEST, *answer(), client=[H(1, fields(method="POST"), False), Await(1)])
    s("early answer and reset of the rest", REQUEST, *answer(), R(1, 0), client=[H(1, fields(method="POST"), False), Await(1), D(1, b"late")])
    s("large answer", REQUEST, *answer(body=b"b" * 200000))
    for name, code in (("no error", 0), ("internal error", 2), ("refused", 7), ("cancel", 8), ("calm", 11)):
        s(f"reset before the answer, {name}", REQUEST, END, R(1, code))
        s(f"reset before the answer, {name}, retried on reset", REQUEST, END, R(1, code), REQUEST, END, *answer(stream=3), route={"retry_policy": {"retry_on": "reset"}})
    s("refused, retried", REQUEST, END, R(1, 7), REQUEST, END, *answer(stream=3), route={"retry_policy": {"retry_on": "refused-stream"}})
    s("internal error, not retried", REQUEST, END, R(1, 2), route={"retry_policy": {"retry_on": "refused-stream"}})
    s("reset before the request", REQUEST, END, R(1, 2), route={"retry_policy": {"retry_on": "reset-before-request"}})
    s("reset after the head", REQUEST, H(1, [(":status", "200")], False), 0.1, R(1, 2))
    s("reset in the body", REQUEST, H(1, [(":status", "200"), ("content-length", "4")], False), D(1, b"ab", False), 0.1, R(1, 2), route={"retry_policy": {"retry_on": "reset"}})
    s("reset of a half request", REQUEST, R(1, 2), client=[H(1, fields(method="POST"), False), Await(1)])
    s("client resets before the answer", REQUEST, 0.6, REST, client=[H(1, fields()), 0.2, R(1), 0.2])
    s("client resets in the answer", REQUEST, H(1, [(":status", "200")], False), D(1, b"ab", False), REST, client=[H(1, fields()), Await(1, "head"), 0.1, R(1), 0.2])
    s("client resets its upload", REQUEST, REST, client=[H(1, fields(method="POST"), False), D(1, b"ab", False), 0.2, R(1), 0.2])
    s("client goes away", REQUEST, REST, client=[H(1, fields()), 0.2, CLOSE])
    s("client resets the connection", REQUEST, REST, client=[H(1, fields()), 0.2, RESET])
    twice("goaway after the answer", REQUEST, END, *answer(), goaway(1), REST)
    twice("goaway before the answer", REQUEST, END, goaway(1), 0.1, *answer(), REST)
    s("goaway that refuses", REQUEST, END, goaway(0), REST)
    s("goaway that refuses, retried", REQUEST, END, goaway(0), REST, route={"retry_policy": {"retry_on": "refused-stream"}})
    s("goaway with an error", REQUEST, END, goaway(1, 2), CLOSE)
    s("closes before the answer", REQUEST, END, CLOSE)
    s("closes before the answer, retried", REQUEST, END, CLOSE, route={"retry_policy": {"retry_on": "reset"}})
    s("resets the connection", REQUEST, END, RESET)
    s("closes in the body", REQUEST, H(1, [(":status", "200")], False), D(1, b"ab", False), 0.1, CLOSE)
    s("closes at once", CLOSE, ignore=("",))
    s("speaks HTTP/1.1", b"HTTP/1.1 400 Bad Request\r\n\r\n", CLOSE)
    s("503 retried", REQUEST, END, *answer("503"), REQUEST, END, *answer(stream=3), route={"retry_policy": {"retry_on": "5xx"}})
    for alone in (False, True):
        opts = options(override_stream_error_on_invalid_http_message=alone)
        tag = ", alone" if alone else ""
        s("answer without a status" + tag, REQUEST, END, H(1, [("x", "y")]), cluster=opts)
        s("answer with two statuses" + tag, REQUEST, END, H(1, [(":status", "200"), (":status", "200")]), cluster=opts)
        s("answer with upper case" + tag, REQUEST, END, H(1, [(":status", "200"), ("X-Up", "1")]), cluster=opts)
        s("answer with connection" + tag, REQUEST, END, H(1, [(":status", "200"), ("connection", "close")]), cluster=opts)
        s("answer with a path" + tag, REQUEST, END, H(1, [(":status", "200"), (":path", "/")]), cluster=opts)
        s("status 099" + tag, REQUEST, END, H(1, [(":status", "099")]), cluster=opts)
        s("status 101" + tag, REQUEST, END, H(1, [(":status", "101")]), cluster=opts)
        s("body too long" + tag, REQUEST, END, H(1, [(":status", "200"), ("content-length", "1")], False), D(1, b"ab"), cluster=opts)
        s("body too short" + tag, REQUEST, END, H(1, [(":status", "200"), ("content-length", "3")], False), D(1, b"ab"), cluster=opts)
        s("data before the head" + tag, REQUEST, END, D(1, b"ab"), cluster=opts)
        s("body of a 204" + tag, REQUEST, END, H(1, [(":status", "204")], False), D(1, b"ab"), cluster=opts)
    s("answer with a huge head", REQUEST, END, *[H(1, [(":status", "200"), *[(f"x-{i}", "b" * 10000) for i in range(8)]])])
    s("data on a stream unknown", REQUEST, END, D(7, b"x"))
    s("push", REQUEST, END, F(5, 4, 1, struct.pack(">I", 2) + bytes.fromhex("828684")))
    return out


def mixed():
    """HTTP/1.1 on one side."""
    chunked = reply("200 OK", "transfer-encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")
    out = [
        S("chunked answer", get(), h1(HEAD, chunked)), S("answer until the close", get(), h1(HEAD, reply("200 OK", body=b"all"), 0.1, CLOSE)),
        S("204 of h1", get(), h1(HEAD, reply("204 No Content"))), S("304 of h1", get(), h1(HEAD, reply("304 Not Modified", "content-length: 5"))),
        S("103 of h1", get(), h1(HEAD, reply("103 Early Hints", "link: x") + OK), hcm={"proxy_100_continue": True}),
        S("closes in the body, h1", get(), h1(HEAD, reply("200 OK", "content-length: 5", body=b"ab"), 0.1, CLOSE)),
        S("closes before the answer, h1", get(), [[HEAD, CLOSE], [HEAD, OK]]),
        S("closes before the answer, h1, retried", get(), [[HEAD, CLOSE], [HEAD, OK]], route={"retry_policy": {"retry_on": "reset"}}),
        S("early answer of h1", [H(1, fields(method="POST"), False), Await(1)], h1(HEAD, OK)),
        S("no HTTP, h1", get(), h1(HEAD, b"garbage\r\n\r\n")),
        S("trailers of h1 dropped", get(), h1(HEAD, reply("200 OK", "transfer-encoding: chunked", body=b"2\r\nok\r\n0\r\nx: y\r\n\r\n"))),
        S("503 of h1 to grpc", get("/", *GRPC), h1(HEAD, reply("503 Service Unavailable", "content-length: 2", body=b"no"))),
        S("request trailers to h1", [H(1, fields(method="POST"), False), D(1, b"m", False), H(1, [("x-sent", "yes")]), Await(1)], h1(HEAD, CHUNKS, OK)),
        S("connection header of h1", get(), h1(HEAD, reply("200 OK", "connection: close", "keep-alive: timeout=1", "content-length: 2", body=b"ok"), CLOSE)),
        S("client resets, h1", [H(1, fields()), 0.2, R(1), 0.2], h1(HEAD, REST)),
        S("client resets its upload, h1", [H(1, fields(method="POST"), False), D(1, b"ab", False), 0.2, R(1), 0.2], h1(HEAD, REST)),
    ]

    def from1(name, client, *steps, **more):
        out.append(S(f"{name}, from h1", client, [list(steps)] if steps else None, up="h2", h1=True, **more))

    body = request("/", "content-length: 4", method="POST", body=b"body")
    from1("get", [request(), RESPONSE])
    from1("post", [body, RESPONSE])
    from1("chunked post", [request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n0\r\n\r\n"), RESPONSE])
    from1("head", [request(method="HEAD"), REST])
    from1("keep-alive", [request(), RESPONSE, request(), RESPONSE])
    from1("connection headers", [request("/", "connection: close, x-hop", "x-hop: 1", "te: gzip, trailers", "keep-alive: timeout=1"), REST])
    from1("http/1.0", [b"GET / HTTP/1.0\r\nhost: any.test\r\n\r\n", REST], hcm={"http_protocol_options": {"accept_http_10": True}})
    from1("no length", [request(), RESPONSE], REQUEST, *answer(length=False))
    from1("trailers", [request(), REST], REQUEST, H(1, [(":status", "200")], False), D(1, b"ok", False), H(1, [("x", "y")]))
    from1("trailers enabled", [request("/", "te: trailers"), REST], REQUEST, H(1, [(":status", "200")], False), D(1, b"ok", False), H(1, [("x", "y")]), hcm={"http_protocol_options": {"enable_trailers": True}})
    from1("reset", [request(), RESPONSE], REQUEST, END, R(1, 2))
    from1("reset in the body", [request(), REST], REQUEST, H(1, [(":status", "200")], False), D(1, b"ab", False), 0.1, R(1, 2))
    from1("204", [request(), REST], REQUEST, H(1, [(":status", "204")]))
    from1("websocket", [request("/chat", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"), HEAD, b"hi", 0.3, CLOSE], REQUEST, H(1, [(":status", "200")], False), D(1, b"hello", False), REST,
          hcm=WEBSOCKET, cluster=ALLOW, upstream_settings=settings(connect=1))
    from1("websocket refused", [request("/chat", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"), REST], REQUEST, *answer("403"), hcm=WEBSOCKET, cluster=ALLOW,
          upstream_settings=settings(connect=1))
    return out


def tunnels():
    switch = reply("101 Switching Protocols", "upgrade: websocket", "connection: upgrade")
    out = [
        S("websocket to h1", [H(1, EXTENDED, False), Await(1, "head"), D(1, b"hi", False), 0.2, D(1, b"bye"), Await(1)], h1(HEAD, switch, b"hello", Body(5), b"end", CLOSE), hcm=WEBSOCKET),
        S("websocket to h1, upstream ends", [H(1, EXTENDED, False), Await(1)], h1(HEAD, switch, b"hello", 0.1, CLOSE), hcm=WEBSOCKET),
        S("websocket to h1, refused", [H(1, EXTENDED, False), Await(1)], h1(HEAD, reply("403 Forbidden", "content-length: 2", body=b"no")), hcm=WEBSOCKET),
        S("websocket to h1, client resets", [H(1, EXTENDED, False), Await(1, "head"), 0.1, R(1), 0.2], h1(HEAD, switch, REST), hcm=WEBSOCKET),
        S("websocket not configured", [H(1, EXTENDED, False), Await(1)], hcm={"http2_protocol_options": {"allow_connect": True}}),
        S("other upgrade", [H(1, [(n, "other" if n == ":protocol" else v) for n, v in EXTENDED], False), Await(1)], hcm=WEBSOCKET),
    ]

    def two(name, *client_and_steps, client, **more):
        out.append(S(f"{name}, to h2", client, [list(client_and_steps)], up="h2", hcm=WEBSOCKET, cluster=ALLOW, upstream_settings=settings(connect=1), **more))

    two("websocket", REQUEST, H(1, [(":status", "200")], False), D(1, b"hello", False), END, D(1, b"end"), client=[H(1, EXTENDED, False), Await(1, "head"), D(1, b"hi", False), 0.2, D(1, b"bye"), Await(1)])
    two("websocket, upstream ends", REQUEST, H(1, [(":status", "200")], False), D(1, b"hello"), REST, client=[H(1, EXTENDED, False), Await(1), D(1)])
    two("websocket, upstream resets", REQUEST, H(1, [(":status", "200")], False), D(1, b"hello", False), 0.1, R(1, 2), client=[H(1, EXTENDED, False), Await(1)])
    two("websocket, refused", REQUEST, *answer("403"), client=[H(1, EXTENDED, False), Await(1)])
    return out


def connections():
    """Frames that are no exchange."""
    return [
        S("ping", [F(PING, 0, 0, b"12345678"), *get()]), S("short ping", [F(PING, 0, 0, b"1234")]), S("unknown frame", [F(77, 0, 0, b"x"), *get()]), S("settings with a broken length", [F(SETTINGS, 0, 0, b"12345")]),
        S("client says goodbye", [*get(), goaway(0), 0.2, CLOSE]), S("client says goodbye in between", [H(1, fields()), goaway(0), Await(1)], h1(HEAD, 0.3, OK)),
        S("client says goodbye to a stream of its own", [*get(), goaway(1), 0.2, CLOSE], up="h2"),
        S("window of nothing added", [H(1, fields(), True), F(WINDOW, 0, 0, b"\0\0\0\0")], ignore=("",)), S("even stream", [H(2, fields())]), S("stream number falls", [H(3, fields()), Await(3), H(1, fields())]),
        S("data on stream 0", [F(DATA, 0, 0, b"x")]), S("reset of an idle stream", [R(5)]), S("head within a block", [F(HEADERS, 0, 1, bytes.fromhex("82")), F(PING, 0, 0, b"12345678")]),
        S("lonely continuation", [F(CONTINUATION, 4, 1, bytes.fromhex("82"))]), S("broken compression", [F(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff")]),
        S("too large a frame", [F(DATA, 0, 1, b"x" * 16385)]), S("no HTTP/2", [F(PRIORITY, 0, 1, b"\0\0\0\0\x10"), *get()]), S("priority on itself", [F(PRIORITY, 0, 1, b"\0\0\0\x01\x10"), *get()]),
    ]


# name: patterns on what is not compared, each for a reason that stands in docs/differences.md.
IGNORED = {
    "two requests at once, to h1": ("log", "pending_total"), "two requests at once, to h2": ("log", "pending_total"),  # either may be first
    "large body, to h1": ("upstream 0",), "503 retried": ("upstream 0", "tx_reset"),  # where chunks begin; the time that is left
    "foreign scheme, to h2": ("upstream 0",),
    "redirect by prefix": ("log",), "escaped slash refused": ("PATH", "HEADERS_BYTES"), "underscore refused": ("PATH", "REQ", "_rx_reset", "_tx_reset", "DURATION", "FLAGS"),
    "max requests": ("max_requests_reached",), "pending overflow": ("pending_overflow",),
    "client says goodbye in between": ("client end",), "stream number falls": ("client end", "upstream 0", "protocol_error"), "no HTTP/2": ("upstream 0",),
    "max requests upstream": ("upstream_cx_protocol_error",), "goaway before the answer": ("upstream_cx_protocol_error",),
    # What ends within a head has no line in our log.
    "half a head": ("log", "downstream_rq"),
    "head within a block": ("log", "downstream_rq"), "broken compression": ("log", "downstream_rq"),
    "websocket to h1, client resets": ("upstream 0",), "websocket to h1, upstream ends": ("upstream 0",),  # where the upgrade's headers stand
    # The error is seen before the head of the same read is told.
    **{name + tag: ("upstream", "cluster", "log", "http.rq_total") for name in ("body too long", "body too short", "pseudo header in trailers") for tag in ("", ", alone")},
    "early answer and reset of the rest": ("upstream 0", "[rt]x_reset"),
    "websocket refused, from h1": ("DETAILS",), "websocket, refused, to h2": ("DETAILS",), "websocket to h1, refused": ("DETAILS", "upstream 0"),
    "websocket not configured": ("client$",), "other upgrade": ("client$",),
}
ONE_PIECE = "a body over the buffer filter's limit that comes in one piece with its end"
MEANT = {"413": ONE_PIECE, "413, grpc": ONE_PIECE, "413, length told": ONE_PIECE, "status 099": "no such status", "status 099, alone": "no such status", "priority on itself": "an error",
         "answer with a huge head": "80 KiB, as over HTTP/1", "websocket to h1": "an upstream that is told of the end may still send"}


def run(lab):
    scenarios = [*plain(), *local(), *malformed(), *limits(), *timeouts(), *upstreams(), *mixed(), *tunnels(), *connections()]
    for s in scenarios:
        if s.name in MEANT:
            s.differs = MEANT[s.name]
        s.ignore += IGNORED.get(s.name, ())
    compare(lab, scenarios, NOT_HERE)
