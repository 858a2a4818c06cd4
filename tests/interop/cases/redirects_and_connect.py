"""Internal redirects and CONNECT, refused, passed on and ended at the proxy, over either protocol: the same exchanges in Envoy and in fairlead-proxy,
with the same access log and statistics."""
from http2 import END, HTTP2, REQUEST, Await, D, H, R, settings
from http2 import Scenario as S2
from wire import CHUNKS, CLOSE, HALF, HEAD, NOT_COMPARED, OK, RESET, RESPONSE, REST, SELF, Body, Scenario, compare, merged, reply, request

ROUTER = {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
MUTATE = {"name": "change", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", "mutations": {
    f"{side}_mutations": [{"append": {"header": {"key": "x-filter", "value": "%ROUTE_NAME%"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}}] for side in ("request", "response")}}}
GET = request("/old?x=1", "x-envoy-original-url: mine", "referer: ref")
POST = request("/old", "content-length: 4", method="POST", body=b"body")
# A redirect may take a connection of its own in Envoy, which asks for it before it is through with the first.
# And what it restores of a request that goes nowhere has other bytes.
TWICE = ("upstream \\d", "cx_total", "cx_http1_total", "pending_total", "DURATION", "REQUEST_HEADERS_BYTES")


def to(location="http://any.test/new", code="302 Found", *more, body=b""):
    return reply(code, f"location: {location}", f"content-length: {len(body)}", *more, body=body)


def policy(**fields):
    return {"internal_redirect_policy": fields}


def predicate(kind, **fields):
    return {"name": kind, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.internal_redirect.{kind}", **fields}}


SAFE, PREVIOUS = predicate("safe_cross_scheme.v3.SafeCrossSchemeConfig"), predicate("previous_routes.v3.PreviousRoutesConfig")


def allow(*names):
    return predicate("allow_listed_routes.v3.AllowListedRoutesConfig", allowed_route_names=list(names))


def redirects():
    out = []

    def s(name, up, client=(GET, RESPONSE, CLOSE), old=policy(), new=None, ignore=TWICE, then=None, **more):
        cluster = {"cluster": SELF}
        target = new if new and ("direct_response" in new or "redirect" in new) else {"route": merged(cluster, new or {})}
        host = merged({"routes": [{"name": "old", "match": {"prefix": "/old"}, "route": merged(cluster, old)}, {"name": "new", "match": {"prefix": "/new"}, **target}]}, more.pop("host", {}))
        out.append(Scenario(name, list(client), [up, then or up], host=host, ignore=ignore, **more))

    def once(*more):
        return [HEAD, to(*more), HEAD, OK]

    s("followed", once())
    for name, location in {"relative": "/new", "relative without a slash": "new", "empty": "", "a fragment": "http://any.test/new#f", "user": "http://u@any.test/new", "a query alone": "http://any.test?a",
                           "a host alone": "http://any.test", "a port": "http://any.test:81/new", "ftp": "ftp://any.test/new", "https": "https://any.test/new", "upper case": "HTTP://Any.Test/new",
                           "a blank": "http://any.test/n w", "no host": "http:///new", "a bad port": "http://any.test:99999/new", "a host with a fragment": "http://any.test#f"}.items():
        s(f"location: {name}", [HEAD, to(location), HEAD, OK])
    s("no location", [HEAD, reply("302 Found", "content-length: 0")])
    s("https allowed", once("https://any.test/new"), old=policy(allow_cross_scheme_redirect=True))
    s("https, safe", once("https://any.test/new"), old=policy(allow_cross_scheme_redirect=True, predicates=[SAFE]))
    s("https said of the client", once(), [request("/old", "x-forwarded-proto: https"), RESPONSE, CLOSE])
    s("two in a row, one allowed", [HEAD, to("http://any.test/old"), HEAD, to("http://any.test/old2")])
    s("two in a row, two allowed", [HEAD, to("http://any.test/old"), HEAD, to(), HEAD, OK], old=policy(max_internal_redirects=2), then=[HEAD, OK])
    s("none allowed", once(), old=policy(max_internal_redirects=0))
    for code in (301, 303, 307, 308, 305):
        s(f"{code} by default", once("http://any.test/new", f"{code} x"))
        s(f"{code} listed", once("http://any.test/new", f"{code} x"), old=policy(redirect_response_codes=[code, 301]))
    s("302 not listed", once(), old=policy(redirect_response_codes=[301]))
    for code in ("302", "303", "307"):
        codes = policy(redirect_response_codes=[302, 303, 307])
        gone = code == "303"
        s(f"post, {code}", [HEAD, Body(4), to("http://any.test/new", f"{code} x"), HEAD, *([] if gone else [Body(4)]), OK], [POST, RESPONSE, CLOSE], codes)
        s(f"chunked post, {code}", [HEAD, CHUNKS, to("http://any.test/new", f"{code} x"), HEAD, *([] if gone else [CHUNKS]), OK],
          [request("/old", "transfer-encoding: chunked", method="POST", body=b"4\r\nbody\r\n0\r\n\r\n"), RESPONSE, CLOSE], codes)
    s("get with a body, 303", [HEAD, Body(4), to("http://any.test/new", "303 x"), HEAD, Body(4), OK], [request("/old", "content-length: 4", body=b"body"), RESPONSE, CLOSE], policy(redirect_response_codes=[303]))
    s("head, 303", [HEAD, reply("303 x", "location: http://any.test/new"), HEAD, reply("200 OK", "content-length: 2")], [request("/old", method="HEAD"), REST], policy(redirect_response_codes=[303]))
    s("while the request is coming", [HEAD, to(), REST], [request("/old", "content-length: 8", method="POST", body=b"body"), 0.2, b"rest", RESPONSE, CLOSE], ignore=(*TWICE, "client end"))
    s("too large", [HEAD, Body(20000), to(), REST], [request("/old", "content-length: 20000", method="POST", body=b"b" * 20000), RESPONSE, CLOSE], listener={"per_connection_buffer_limit_bytes": 10000})
    s("previous routes, another", once(), old=policy(predicates=[PREVIOUS]))
    s("previous routes, the same again", [HEAD, to("http://any.test/old"), HEAD, to("http://any.test/old")], old=policy(predicates=[PREVIOUS], max_internal_redirects=5))
    s("allow listed", once(), old=policy(predicates=[allow("x", "new")]))
    s("not allow listed", once(), old=policy(predicates=[allow("old")]))
    s("no route there", once("http://any.test/other"))
    s("no virtual host there", once("http://only.test/new"), host={"domains": ["any.test"]})
    s("direct response there", once(), new={"direct_response": {"status": 200, "body": {"inline_string": "direct"}}})
    s("redirect there", once(), new={"redirect": {"host_redirect": "x.test"}})
    s("no cluster there", once(), new={"cluster": "nowhere"}, hcm={"route_config": {"validate_clusters": False}})
    s("no policy there", [HEAD, to(), HEAD, to("http://any.test/old")])
    s("rewritten before and behind", once(), old=dict(prefix_rewrite="/rewritten", host_rewrite_literal="other.test", **policy()), new={"prefix_rewrite": "/renew"})
    s("headers copied", [HEAD, to("http://any.test/new", "302 F", "x-a: 1", "x-a: 2", "x-c: theirs", "set-cookie: a=b"), HEAD, OK], [request("/old", "x-c: mine", "x-d: mine"), RESPONSE, CLOSE],
      policy(response_headers_to_copy=["x-a", "x-b", "x-c", "x-d", "set-cookie"]))
    s("header operations", once(), host={"request_headers_to_add": [{"header": {"key": "x-op", "value": "%ROUTE_NAME%"}}], "response_headers_to_add": [{"header": {"key": "x-route", "value": "%ROUTE_NAME%"}}],
                                         "include_request_attempt_count": True, "include_attempt_count_in_response": True})
    s("filters again", once(), hcm={"http_filters": [MUTATE, ROUTER]})
    s("retried and redirected", [HEAD, reply("503 x", "content-length: 0"), HEAD, to(), HEAD, reply("503 x", "content-length: 0"), HEAD, OK],
      old=dict(retry_policy={"retry_on": "5xx"}, **policy()), new={"retry_policy": {"retry_on": "5xx"}})
    s("302 retried", [HEAD, to(), HEAD, OK], old=dict(retry_policy={"retry_on": "retriable-status-codes", "retriable_status_codes": [302]}, **policy()))
    s("each has its timeout", [HEAD, 0.3, to(), HEAD, 0.4, OK], old=dict(timeout="0.5s", **policy()), new={"timeout": "0.6s"})
    s("the second times out", [HEAD, 0.1, to(), HEAD, 0.8, OK], old=dict(timeout="0.6s", **policy()), new={"timeout": "0.3s"})
    s("with a body", [HEAD, to(body=b"moved"), REST])
    s("the deprecated way", once(), old={"internal_redirect_action": "HANDLE_INTERNAL_REDIRECT", "max_internal_redirects": 2})
    s("of an upgrade", [HEAD, to(), REST], [request("/old", "connection: upgrade", "upgrade: websocket"), REST], hcm={"upgrade_configs": [{"upgrade_type": "websocket"}]}, ignore=(*TWICE, "upstream_rq_(302|3xx|completed)", "client$", "DETAILS"))
    s("path normalised", once("http://any.test/x/../new//y"), hcm={"normalize_path": True, "merge_slashes": True})
    out[-1].host = {"routes": [{"name": "all", "match": {"prefix": "/"}, "route": merged({"cluster": SELF}, policy())}]}
    s("the client goes away in between", [HEAD, to(), HEAD, REST], [GET, 0.3, CLOSE])
    return out


CONNECT_MATCH = {"match": {"prefix": None, "connect_matcher": {}}}
PASS_ON = {"upgrade_configs": [{"upgrade_type": "CONNECT"}]}
END_HERE = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
OFF = {"upgrade_configs": [{"upgrade_type": "CONNECT", "enabled": False}]}
WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
GRANTED = b"HTTP/1.1 200 OK\r\n\r\n"


def ask(*headers):
    return "\r\n".join(("CONNECT any.test:80 HTTP/1.1", "host: any.test:80", *headers, "", "")).encode()


def ending(**config):
    return {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": config}]}


def over_http1():
    out = []

    def s(name, client, *up, **more):
        out.append(Scenario(f"connect: {name}", list(client), [list(up)], entry=merged(CONNECT_MATCH, more.pop("entry", {})), **more))

    upgrade = request("/", "connection: upgrade", "upgrade: websocket")
    out += [Scenario("connect: no route for it", [ask(), REST]), Scenario("connect: no route, but allowed", [ask(), REST], hcm=PASS_ON),
            Scenario("websocket: no route", [upgrade, REST], hcm=WEBSOCKET, entry={"match": {"prefix": "/only"}}), Scenario("websocket: no route, not allowed", [upgrade, REST], entry={"match": {"prefix": "/only"}}, ignore=("REQUEST_HEADERS_BYTES",)),  # we drop the wish
            Scenario("websocket: not allowed", [upgrade, REST]), Scenario("other upgrade: no route", [request("/", "connection: upgrade", "upgrade: foo"), REST], hcm=WEBSOCKET, entry={"match": {"prefix": "/only"}}, ignore=("REQUEST_HEADERS_BYTES",)),
            Scenario("websocket: direct response", [upgrade, REST], hcm=WEBSOCKET, entry={"route": None, "direct_response": {"status": 200, "body": {"inline_string": "direct"}}}),
            Scenario("websocket: no virtual host", [upgrade, REST], hcm=WEBSOCKET, host={"domains": ["x.test"]})]
    s("not allowed", [ask(), REST])
    s("not allowed by the route", [ask(), REST], hcm=PASS_ON, route=OFF)
    s("passed on", [ask(), HEAD, Body(2), b"ping", 0.2, CLOSE], HEAD, GRANTED, b"hi", Body(4), REST, hcm=PASS_ON)
    s("passed on, early bytes", [ask() + b"early", HEAD, Body(2), b"ping", Body(3), CLOSE], HEAD, 0.1, GRANTED, b"hi", Body(9), b"got", REST, route=PASS_ON)
    s("refused by the upstream", [ask(), REST], HEAD, reply("403 Forbidden", "content-length: 2", body=b"no"), REST, route=PASS_ON)
    s("upstream closes", [ask(), HEAD, REST], HEAD, GRANTED, b"hi", 0.1, CLOSE, route=PASS_ON)
    s("upstream resets", [ask(), HEAD, REST], HEAD, GRANTED, b"hi", 0.1, RESET, route=PASS_ON)
    s("client ends sending", [ask(), HEAD, Body(2), b"bye", HALF, REST], HEAD, GRANTED, b"hi", Body(3), 0.2, b"late", REST, route=PASS_ON)
    s("client resets", [ask(), HEAD, Body(2), 0.1, RESET], HEAD, GRANTED, b"hi", REST, route=PASS_ON)
    s("nobody listens", [ask(), REST], route=PASS_ON, refused=True)
    s("upstream closes at once", [ask(), REST], HEAD, CLOSE, route=PASS_ON)
    s("no timeout of the route", [ask(), HEAD, 0.1, CLOSE], HEAD, 0.6, GRANTED, REST, route=dict(timeout="0.2s", **PASS_ON))
    s("port stripped for the route alone", [ask(), HEAD, b"x", 0.2, CLOSE], HEAD, GRANTED, REST, route=PASS_ON, hcm={"strip_any_host_port": True}, host={"domains": ["any.test"]})
    s("with an upgrade that is not allowed", [ask("connection: upgrade", "upgrade: websocket"), REST], route=PASS_ON)
    s("ends here", [ask(), HEAD, b"ping", Body(4), 0.1, CLOSE], Body(4), b"pong", REST, route=END_HERE)
    s("ends here, early bytes", [ask() + b"ping", HEAD, Body(4), 0.1, CLOSE], Body(4), b"pong", REST, route=END_HERE)
    s("ends here, upstream speaks first", [ask(), HEAD, Body(5), 0.1, CLOSE], b"hello", REST, route=END_HERE)
    s("ends here, upstream closes", [ask(), HEAD, REST], b"hello", 0.2, CLOSE, route=END_HERE)
    s("ends here, upstream resets", [ask(), HEAD, REST], b"hello", 0.2, RESET, route=END_HERE)
    s("ends here, upstream ends sending", [ask(), HEAD, REST], b"hello", 0.2, HALF, REST, route=END_HERE)
    s("ends here, client ends sending", [ask(), HEAD, b"ping", HALF, REST], Body(4), 0.2, b"late", REST, route=END_HERE)
    s("ends here, client resets", [ask(), HEAD, b"ping", 0.1, RESET], Body(4), REST, route=END_HERE)
    s("ends here, nobody listens", [ask(), REST], route=END_HERE, refused=True)
    s("ends here, nobody listens, retried", [ask(), REST], route=dict(retry_policy={"retry_on": "connect-failure"}, **END_HERE), refused=True)
    s("ends here, header operations", [ask(), HEAD, b"x", 0.2, CLOSE], REST, route=END_HERE, entry={"response_headers_to_add": [{"header": {"key": "x-r", "value": "v"}}]})
    s("ends here, idle", [ask(), HEAD, REST], REST, route=dict(idle_timeout="0.3s", **END_HERE))
    s("ends here, too long", [ask(), HEAD, REST], REST, route=dict(max_stream_duration={"max_stream_duration": "0.3s"}, **END_HERE))
    s("PROXY protocol", [ask(), HEAD, b"ping", 0.3, CLOSE], Body(60), b"pong", REST, route=ending(proxy_protocol_config={"version": "V1"}))
    s("PROXY protocol 2", [ask(), HEAD, b"ping", 0.3, CLOSE], Body(32), b"pong", REST, route=ending(proxy_protocol_config={"version": "V2"}), ignore=("upstream 0",))  # ports in binary
    post = ending(allow_post=True)
    out += [
        Scenario("post: its body ends here", [request("/", "content-length: 4", method="POST", body=b"ping"), REST], [[Body(4), b"pong", 0.1, CLOSE]], route=post, ignore=("US_TX_END",)),
        Scenario("post: chunks", [request("/", "transfer-encoding: chunked", method="POST", body=b"4\r\nping\r\n"), 0.2, b"4\r\nmore\r\n0\r\n\r\n", REST], [[Body(4), b"pong", Body(4), 0.1, CLOSE]], route=post,
                 ignore=("client", "times")),  # whether the connection can go on: we have read all of the request by then
        Scenario("post: not where it is not allowed", [request("/", "content-length: 4", method="POST", body=b"ping"), RESPONSE, CLOSE], [[HEAD, Body(4), OK]], route=END_HERE),
        Scenario("get: goes on as HTTP", [request(), RESPONSE, CLOSE], route=post),
    ]
    return out


PLAIN = [(":method", "CONNECT"), (":authority", "any.test:80")]
GRANTED2 = H(1, [(":status", "200")], False)


def over_http2():
    out = []

    def s(name, client, *up, route=PASS_ON, **more):
        out.append(S2(f"connect/2: {name}", list(client), [list(up)] if up else None, route=route, entry=more.pop("entry", CONNECT_MATCH), **more))

    def both(name, client, *up, **more):
        s(f"{name}, to h2", client, *up, up="h2", **more)

    head, begin = Await(1, "head"), H(1, PLAIN, False)
    s("no route for it", [begin, Await(1)], route={}, entry={})
    s("not allowed", [begin, Await(1)], route={}, ignore=("client$",))  # Envoy sends GOAWAY: docs/differences.md
    s("upstream closes", [begin, Await(1)], HEAD, GRANTED, b"hi", 0.1, CLOSE)
    s("upstream closes behind its last words", [begin, Await(1)], HEAD, GRANTED, b"hi", 0.1, b"bye", CLOSE)
    s("client resets", [begin, head, 0.1, R(1), 0.2], HEAD, GRANTED, b"hi", REST)
    s("client goes away", [begin, head, 0.1, CLOSE], HEAD, GRANTED, b"hi", REST)
    s("refused", [begin, Await(1)], HEAD, reply("403 Forbidden", "content-length: 2", body=b"no"), REST)
    s("client ends its half, to h1", [begin, head, D(1, b"bye"), Await(1)], HEAD, GRANTED, b"hi", Body(3), 0.2, b"late", CLOSE)
    both("whole", [begin, head, D(1, b"ping", False), 0.2, D(1, b"end"), Await(1)], REQUEST, GRANTED2, D(1, b"hi", False), END, D(1, b"late"))
    both("upstream ends", [begin, Await(1)], REQUEST, GRANTED2, D(1, b"hi"), REST)
    both("upstream resets", [begin, Await(1)], REQUEST, GRANTED2, D(1, b"hi", False), 0.1, R(1, 2))
    both("client resets", [begin, head, 0.1, R(1), 0.2], REQUEST, GRANTED2, D(1, b"hi", False), REST)
    both("refused", [begin, Await(1)], REQUEST, H(1, [(":status", "403"), ("content-length", "2")], False), D(1, b"no"))
    both("from h1", [ask() + b"early", HEAD, Body(2), b"ping", 0.3, CLOSE], REQUEST, 0.1, GRANTED2, D(1, b"hi", False), REST, h1=True)
    both("from h1, upstream ends", [ask(), HEAD, REST], REQUEST, GRANTED2, D(1, b"hi"), REST, h1=True)
    s("ends here", [begin, head, D(1, b"ping", False), 0.2, D(1, b"end"), Await(1)], Body(4), b"pong", Body(3), b"late", 0.1, CLOSE, route=END_HERE)
    s("ends here, client ends its half", [begin, head, D(1, b"ping"), Await(1)], Body(4), b"pong", 0.2, b"late", 0.1, CLOSE, route=END_HERE)
    s("ends here, upstream closes", [begin, Await(1)], b"hello", 0.2, CLOSE, route=END_HERE)
    s("ends here, upstream resets", [begin, Await(1)], b"hello", 0.2, RESET, route=END_HERE)
    s("ends here, client resets", [begin, head, 0.1, R(1), 0.2], b"hello", REST, route=END_HERE)
    s("ends here, nobody listens", [begin, Await(1)], route=END_HERE, refused=True, ignore=("client$",))
    s("ends here, ended at once", [H(1, PLAIN), Await(1)], b"hello", 0.2, CLOSE, route=END_HERE, ignore=("US_TX_END",))
    s("ends here, bytes behind the head", [begin, D(1, b"ping", False), head, 0.2, D(1), Await(1)], Body(4), b"pong", 0.3, CLOSE, route=END_HERE)
    chat = request("/chat", "connection: upgrade", "upgrade: websocket")
    socket = dict(h1=True, hcm=WEBSOCKET, route={}, entry={}, cluster=merged(HTTP2, {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "explicit_http_config": {"http2_protocol_options": {"allow_connect": True}}}}}), upstream_settings=settings(connect=1))
    both("websocket from h1, client goes away", [chat, HEAD, Body(5), b"hi", 0.3, CLOSE], REQUEST, GRANTED2, D(1, b"hello", False), REST, **socket)
    both("websocket from h1, client ends sending", [chat, HEAD, Body(5), b"hi", HALF, REST], REQUEST, GRANTED2, D(1, b"hello", False), 0.5, D(1, b"late"), REST, **socket)
    return out


def run(lab):
    not_compared = tuple(p.replace("http1|http2|", "http1|") for p in NOT_COMPARED) + (
        r"log \d .*WIRE_BYTES", r"stat .*cx_(rx|tx)_bytes", r"stat .*http2\.(outbound_|pending_send|deferred_stream|metadata_empty|goaway_sent|nghttp2_|requests_rejected|dropped_headers)",
        r"log \d .*(DS_TX_BEG:DS_TX_END|DOWNSTREAM_LOCAL_CLOSE_REASON|CONNECTION_TERMINATION_DETAILS)")
    scenarios = [*over_http1(), *over_http2(), *redirects()]
    for s in scenarios:
        if s.name == "connect/2: client ends its half, to h1":
            s.differs = "the upstream may still send"
    compare(lab, scenarios, not_compared)
