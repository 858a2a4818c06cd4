"""Network filters, scripted: tcp_proxy and what may stand before it, in Envoy and in fairlead-proxy: the same bytes, ends, access log lines and statistics."""
import dataclasses
import json
import socket

import wire
from wire import CLOSE, HALF, RESET, REST, Body, access_log, merged, compare

TYPE = "type.googleapis.com/envoy.extensions.filters.network."
BIG = b"x" * 3_000_000
SLOW = {"per_connection_buffer_limit_bytes": 16384}
# What fairlead-proxy has not, and what is chance between programs on one machine: how many reads make a transfer, what is measured in milliseconds.
NOT_COMPARED = (
    r"stat cluster\.(http1|http2|default\.|lb_|ring_hash_lb|upstream_cx_(rx_bytes_buffered|tx_bytes_buffered|length_ms)|upstream_rq_(per_cx|time)|.*\.upstream_rq_time|circuit_breakers.*remaining)",
    r"stat listener\.", r"stat .*flow_control", r"log \d .*(DURATION|HEADER_BYTES|LOCAL_REPLY_BODY)")


@dataclasses.dataclass
class Tcp(wire.Scenario):
    tcp: dict = dataclasses.field(default_factory=dict)     # of the TcpProxy
    before: list = dataclasses.field(default_factory=list)  # filters before it: (name, configuration)
    instead: tuple = ()                                     # a terminal filter other than tcp_proxy
    held: bool = False                                      # another connection is there, and stays until this one has ended

    def play(self, port):
        if not self.held:
            return super().play(port)
        with socket.create_connection(("127.0.0.1", port), timeout=3) as first:
            first.sendall(b"ping")
            first.recv(4)
            return super().play(port)

    def filters(self, name, log):
        chain = [*self.before, self.instead or ("tcp_proxy", merged({"@type": TYPE + "tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": name, "access_log": [access_log(name, log)]}, self.tcp))]
        chain = json.loads(json.dumps(chain).replace(f'"{wire.SELF}"', f'"{name}"'))
        return [{"name": f"f{i}", "typed_config": {**config, "@type": config.get("@type") or TYPE + KIND[kind], **({"stat_prefix": name} if "stat_prefix" in config or kind in PREFIXED else {})}}
                for i, (kind, config) in enumerate(chain)]


KIND = {"echo": "echo.v3.Echo", "direct_response": "direct_response.v3.Config", "sni_cluster": "sni_cluster.v3.SniCluster", "rbac": "rbac.v3.RBAC",
        "hcm": "http_connection_manager.v3.HttpConnectionManager",
        "connection_limit": "connection_limit.v3.ConnectionLimit", "local_ratelimit": "local_ratelimit.v3.LocalRateLimit"}
HTTP = {"http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": wire.SELF}}]}]}}
PREFIXED = ("hcm", "rbac", "connection_limit", "local_ratelimit")


def breaker(**limits):
    return {"circuit_breakers": {"thresholds": [limits]}}


def weighted(*weights):
    return {"cluster": None, "weighted_clusters": {"clusters": [{"name": n, "weight": w} for n, w in weights]}}


def log_options(**options):
    return {"access_log_options": options}


def silent_port():
    """A port whose connects are never answered: its backlog is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    FULL.append(listener)
    for _ in range(3):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
        FULL.append(waiting)
    return listener.getsockname()[1]


FULL = []


def nowhere(**more):
    if not FULL:
        silent_port()
    port = FULL[0].getsockname()[1]
    return {"load_assignment": {"cluster_name": "n", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": wire.address(port)}}]}]}, **more}


def policy(permission=None, principal=None):
    return {"policies": {"p": {"permissions": [permission or {"any": True}], "principals": [principal or {"any": True}]}}}


def rbac(name, rules, ok, **more):
    return Tcp(f"rbac: {name}", [b"ping", Body(4), CLOSE] if ok else [b"ping", REST], [[Body(4), b"pong", REST]], before=[("rbac", {"rules": rules, **more})])


ECHO = [[Body(4), b"pong", REST]]
NETWORK = {"address_prefix": "127.0.0.0", "prefix_len": 8}
OTHER = {"address_prefix": "10.0.0.0", "prefix_len": 8}


def proxying():
    return [
        Tcp("client closes", [b"ping", Body(4), CLOSE], ECHO),
        Tcp("client closes at once", [0.2, CLOSE], [[REST]]),
        Tcp("upstream closes", [b"ping", REST], [[Body(4), b"pong", CLOSE]]),
        Tcp("upstream speaks first", [Body(6), b"x", REST], [[b"banner", Body(1), CLOSE]]),
        Tcp("upstream closes at once", [REST], [[CLOSE]]),
        Tcp("client ends, upstream goes on", [b"ping", HALF, Body(4), REST], [[Body(4), 0.2, b"pong", CLOSE]]),
        Tcp("upstream ends, client goes on", [b"ping", 0.3, b"more", HALF, REST], [[Body(4), b"pong", HALF, Body(4), REST]]),
        Tcp("upstream ends, client closes", [b"ping", Body(4), 0.3, CLOSE], [[Body(4), b"pong", HALF, REST]]),
        Tcp("both end", [b"ping", HALF, REST], [[Body(4), b"pong", HALF, REST]]),
        Tcp("client ends before a byte", [HALF, REST], [[REST]]),
        Tcp("client resets", [b"ping", Body(4), 0.1, RESET], ECHO),
        Tcp("upstream resets", [b"ping", REST], [[Body(4), b"pong", 0.1, RESET]]),
        Tcp("upstream resets before it answers", [b"ping", REST], [[Body(4), RESET]]),
        Tcp("much up", [BIG, Body(4), CLOSE], [[Body(len(BIG)), b"done", REST]]),
        Tcp("much down", [b"ping", Body(len(BIG)), CLOSE], [[Body(4), BIG, REST]]),
        Tcp("much up to a slow reader", [BIG, Body(4), CLOSE], [[0.5, Body(len(BIG)), b"done", REST]], listener=SLOW, cluster=SLOW),
        Tcp("much down to a slow reader", [b"ping", 0.5, Body(len(BIG)), CLOSE], [[Body(4), BIG, REST]], listener=SLOW, cluster=SLOW),
        Tcp("much down, then the end", [b"ping", 0.3, REST], [[Body(4), BIG, CLOSE]]),
        Tcp("what the client sent last arrives", [BIG, CLOSE], [[0.5, Body(len(BIG)), REST]]),
        Tcp("refused", [REST], [[REST]], refused=True),
        Tcp("refused, three attempts", [REST], [[REST]], refused=True, tcp={"max_connect_attempts": 3}),
        Tcp("refused, three attempts with a back-off", [REST], [[REST]], refused=True, tcp={"max_connect_attempts": 3, "backoff_options": {"base_interval": "0.1s", "max_interval": "0.1s"}}),
        # the second attempt, so that the bytes are there when it is given up: closing with unread bytes is a reset
        Tcp("bytes before a refusal", [b"ping", REST], [[REST]], refused=True, tcp={"max_connect_attempts": 2, "backoff_options": {"base_interval": "0.2s", "max_interval": "0.2s"}}),
        Tcp("connect timeout", [REST], [[REST]], cluster=nowhere(connect_timeout="0.4s")),
        Tcp("connect timeout, two attempts", [REST], [[REST]], cluster=nowhere(connect_timeout="0.4s"), tcp={"max_connect_attempts": 2}),
        Tcp("client closes while connecting", [0.3, CLOSE], [[REST]], cluster=nowhere(connect_timeout="1s")),
        Tcp("client sends and closes while connecting", [b"ping", 0.3, CLOSE], [[REST]], cluster=nowhere(connect_timeout="1s")),
        Tcp("client ends while connecting", [b"ping", HALF, REST], [[REST]], cluster=nowhere(connect_timeout="0.5s")),
        Tcp("idle while connecting", [REST], [[REST]], cluster=nowhere(connect_timeout="1s"), tcp={"idle_timeout": "0.4s"}),
        Tcp("no such cluster", [REST], [[REST]], tcp={"cluster": "nobody"}),
        Tcp("no host", [REST], [[REST]], cluster={"load_assignment": {"endpoints": []}}),
        Tcp("no connection allowed", [REST], [[REST]], cluster=breaker(max_connections=0)),
        Tcp("no pending request allowed", [REST], [[REST]], cluster=breaker(max_pending_requests=0)),
        Tcp("idle", [b"ping", Body(4), REST], ECHO, tcp={"idle_timeout": "0.4s"}),
        Tcp("idle, bytes from the client", [b"ping", 0.3, b"ping", 0.3, b"ping", 0.1, REST], [[REST]], tcp={"idle_timeout": "0.5s"}),
        Tcp("idle, bytes from the upstream", [REST], [[0.3, b"a", 0.3, b"b", 0.3, b"c", REST]], tcp={"idle_timeout": "0.5s"}),
        Tcp("idle, never", [0.7, b"ping", Body(4), CLOSE], ECHO, tcp={"idle_timeout": "0s"}),
        Tcp("idle of downstream", [b"ping", Body(4), REST], ECHO, tcp={"downstream_idle_timeout": "0.4s"}),
        Tcp("idle of upstream", [b"ping", Body(4), REST], ECHO, tcp={"upstream_idle_timeout": "0.4s"}),
        Tcp("idle after the client's end", [b"ping", HALF, REST], [[Body(4), REST]], tcp={"idle_timeout": "0.4s"}),
        Tcp("greatest duration", [b"ping", 0.2, b"ping", 0.2, b"ping", REST], [[REST]], tcp={"max_downstream_connection_duration": "0.5s"}),
        Tcp("greatest duration while connecting", [REST], [[REST]], cluster=nowhere(connect_timeout="1s"), tcp={"max_downstream_connection_duration": "0.4s"}),
        Tcp("weights", [b"ping", Body(4), CLOSE], ECHO, tcp=weighted((wire.SELF, 1))),
        Tcp("weights, no such cluster", [REST], [[REST]], tcp=weighted(("nobody", 3), ("nothing", 5))),
        Tcp("log when connected", [b"ping", Body(4), CLOSE], ECHO, tcp=log_options(flush_access_log_on_connected=True)),
        Tcp("log when connected, refused", [REST], [[REST]], refused=True, tcp=log_options(flush_access_log_on_connected=True)),
        Tcp("log at the start", [b"ping", Body(4), CLOSE], ECHO, tcp=log_options(flush_access_log_on_start=True)),
        Tcp("log now and then", [b"ping", Body(4), 0.9, CLOSE], ECHO, tcp=log_options(access_log_flush_interval="0.6s")),
        Tcp("source hashed", [b"ping", Body(4), CLOSE], ECHO, tcp={"hash_policy": [{"source_ip": {}}]}, cluster={"lb_policy": "RING_HASH"}),
        Tcp("connect on data", [0.2, b"ping", Body(4), CLOSE], ECHO, tcp={"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 1024}),
        Tcp("connect on data, none comes", [0.2, CLOSE], [[REST]], ignore=("log", "stat"), tcp={"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 1024}),
        Tcp("connect on data, the client ends", [0.2, HALF, REST], [[REST]], differs="Envoy keeps the connection for ever", tcp={"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 1024}),
        Tcp("connect at once, early data", [b"ping", Body(4), CLOSE], ECHO, tcp={"max_early_data_bytes": 1024}),
        Tcp("PROXY protocol upstream", [b"ping", Body(4), CLOSE], [[Body(10), b"pong", REST]], ignore=("upstream 0",), cluster={"transport_socket": {"name": "p", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", "config": {"version": "V1"},
            "transport_socket": {"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}}}),
    ]


AGREE = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = wire.reply("200 OK", "transfer-encoding: chunked")


def tunnel(name, client, upstream, ignore=(), cluster={}, tcp={}, differs="", **config):
    # how an upstream connection ends, and what is on its wire: see docs/differences.md
    ignore = (*ignore, "WIRE_BYTES", "upstream_cx_destroy", "upstream_cx_active", "upstream_rq_active", "upstream_cx_protocol_error")
    return Tcp(f"tunnel: {name}", client, upstream, ignore=ignore, cluster=cluster, differs=differs, tcp={"tunneling_config": {"hostname": "db.test:5432", **config}, **tcp})


def tunnels():
    header = lambda key, value, **more: {"header": {"key": key, "value": value}, **more}
    ask = [b"ping", Body(4), CLOSE]
    return [
        tunnel("CONNECT", ask, [[wire.HEAD, AGREE, Body(4), b"pong", REST]]),
        tunnel("another success", ask, [[wire.HEAD, b"HTTP/1.1 202 Accepted\r\n\r\n", Body(4), b"pong", REST]]),
        tunnel("a late answer", ask, [[wire.HEAD, 0.3, AGREE, Body(4), b"pong", REST]]),
        tunnel("upstream speaks first", [Body(5), b"x", CLOSE], [[wire.HEAD, AGREE + b"hello", Body(1), REST]]),
        tunnel("refused", [REST], [[wire.HEAD, wire.reply("403 Forbidden", "content-length: 2", body=b"no"), REST]]),
        tunnel("refused twice", [REST], [[wire.HEAD, wire.reply("503 Service Unavailable", "content-length: 0"), REST]], tcp={"max_connect_attempts": 2}),
        tunnel("refused, then not", ask, [[wire.HEAD, wire.reply("503 Service Unavailable", "content-length: 0"), REST], [wire.HEAD, AGREE, Body(4), b"pong", REST]], tcp={"max_connect_attempts": 2}),
        tunnel("no answer but the end", [b"ping", REST], [[wire.HEAD, CLOSE]]),
        tunnel("no HTTP", [b"ping", REST], [[wire.HEAD, b"what?\r\n\r\n", REST]]),
        tunnel("upstream closes", [b"ping", REST], [[wire.HEAD, AGREE, Body(4), b"pong", CLOSE]]),
        tunnel("upstream resets", [b"ping", REST], [[wire.HEAD, AGREE, Body(4), b"pong", 0.1, RESET]]),
        tunnel("client resets", [b"ping", Body(4), 0.1, RESET], [[wire.HEAD, AGREE, Body(4), b"pong", REST]]),
        tunnel("client closes before the answer", [0.2, CLOSE], [[wire.HEAD, 0.5, AGREE, REST]]),
        tunnel("client ends", [b"ping", HALF, Body(4), REST], [[wire.HEAD, AGREE, Body(4), 0.2, b"pong", CLOSE]], differs="Envoy ends a tunnel over HTTP/1 with the client's half"),
        tunnel("much up", [BIG, Body(4), CLOSE], [[wire.HEAD, AGREE, Body(len(BIG)), b"done", REST]]),
        tunnel("much down", [b"ping", Body(len(BIG)), CLOSE], [[wire.HEAD, AGREE, Body(4), BIG, REST]]),
        tunnel("idle", [b"ping", Body(4), REST], [[wire.HEAD, AGREE, Body(4), b"pong", REST]], tcp={"idle_timeout": "0.4s"}),
        tunnel("headers and a hostname with operators", ask, [[wire.HEAD, AGREE, Body(4), b"pong", REST]], hostname="%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:1%%",
               headers_to_add=[header("x-a", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), header("X-B", "b"), header("x-b", "c"), header("x-c", "", keep_empty_value=True)]),
        tunnel("POST", ask, [[wire.HEAD, CHUNKED, Body(9), b"4\r\npong\r\n", REST]], use_post=True, ignore=("upstream_cx_.x_bytes_total",)),
        tunnel("POST with a path", ask, [[wire.HEAD, CHUNKED, Body(9), b"4\r\npong\r\n", REST]], use_post=True, post_path="/t?x=1", ignore=("upstream_cx_.x_bytes_total",)),
        tunnel("POST refused", [REST], [[wire.HEAD, wire.reply("404 Not Found", "content-length: 0"), REST]], use_post=True),
        # Envoy 1.40 dies where the response ends and the client has not
        tunnel("POST, the client ends", [b"ping", HALF, Body(4), REST], [[wire.HEAD, CHUNKED, Body(9), 0.2, b"4\r\npong\r\n0\r\n\r\n", REST]], use_post=True, differs="Envoy ends a tunnel over HTTP/1 with the client's half"),
    ]


def others():
    limit, rate = "connection_limit", "local_ratelimit"
    bucket = lambda n: {"token_bucket": {"max_tokens": n, "fill_interval": "60s"}}
    off = {"runtime_enabled": {"default_value": False, "runtime_key": "none"}}
    return [
        Tcp("echo", [b"ping", Body(4), b"pong", Body(4), CLOSE], [[REST]], instead=("echo", {})),
        Tcp("echo, the client ends", [b"ping", HALF, REST], [[REST]], ignore=("^client$",), instead=("echo", {})),
        Tcp("direct response", [REST], [[REST]], instead=("direct_response", {"response": {"inline_string": "no"}})),
        Tcp("direct response to bytes", [b"ping", REST], [[REST]], ignore=("client end", "times"), instead=("direct_response", {"response": {"inline_string": "no"}})),
        Tcp("direct response, empty", [REST], [[REST]], instead=("direct_response", {})),
        Tcp("no server name", [b"ping", Body(4), CLOSE], ECHO, before=[("sni_cluster", {})]),
        Tcp("connection limit, room", [b"ping", Body(4), CLOSE], ECHO, before=[(limit, {"max_connections": 1})]),
        Tcp("two connection limits", [b"ping", Body(4), CLOSE], ECHO, before=[(limit, {"max_connections": 1}), (limit, {"max_connections": 1})]),
        Tcp("connection limit reached", [REST], ECHO, held=True, before=[(limit, {"max_connections": 1})], ignore=("REMOTE",)),
        Tcp("connection limit reached, late", [b"ping", REST], ECHO, held=True, before=[(limit, {"max_connections": 1, "delay": "0.3s"})], ignore=("REMOTE",)),
        Tcp("connection limit off", [b"ping", Body(4), CLOSE], ECHO, held=True, before=[(limit, {"max_connections": 1, **off})], ignore=("active_connections", "REMOTE")),
        Tcp("rate, a token", [b"ping", Body(4), CLOSE], ECHO, before=[(rate, bucket(1))]),
        Tcp("rate, two filters", [b"ping", Body(4), CLOSE], ECHO, before=[(rate, bucket(1)), (rate, bucket(1))]),
        Tcp("rate exceeded", [REST], ECHO, held=True, before=[(rate, bucket(1))], ignore=("REMOTE",)),
        Tcp("rate off", [b"ping", Body(4), CLOSE], ECHO, held=True, before=[(rate, {**bucket(1), **off})], ignore=("REMOTE",)),
    ]


def access():
    ok, no = {"destination_ip": NETWORK}, {"destination_ip": OTHER}
    allow = [
        ("any", policy(), True), ("no rules", {}, False), ("destination", policy(ok), True), ("other destination", policy(no), False),
        ("and", policy({"and_rules": {"rules": [ok, {"any": True}]}}), True), ("and, one does not", policy({"and_rules": {"rules": [ok, no]}}), False),
        ("or", policy({"or_rules": {"rules": [no, ok]}}), True), ("or, none", policy({"or_rules": {"rules": [no, no]}}), False),
        ("not", policy({"not_rule": no}), True), ("not, it does", policy({"not_rule": ok}), False), ("port", policy({"destination_port": 1}), False),
        ("ports", policy({"destination_port_range": {"start": 1024, "end": 65536}}), True), ("other ports", policy({"destination_port_range": {"start": 1, "end": 1024}}), False),
        ("server name, exact empty", policy({"requested_server_name": {"exact": ""}}), True), ("server name", policy({"requested_server_name": {"exact": "a"}}), False),
        ("metadata", policy({"metadata": {"filter": "f", "path": [{"key": "k"}], "value": {"present_match": True}}}), False),
        ("metadata, inverted", policy({"metadata": {"filter": "f", "path": [{"key": "k"}], "value": {"present_match": True}, "invert": True}}), True),
        ("peer", policy(None, {"direct_remote_ip": NETWORK}), True), ("other peer", policy(None, {"direct_remote_ip": OTHER}), False), ("client", policy(None, {"remote_ip": NETWORK}), True),
        ("source", policy(None, {"source_ip": NETWORK}), True), ("other source", policy(None, {"source_ip": OTHER}), False),
        ("authenticated", policy(None, {"authenticated": {}}), False), ("not authenticated", policy(None, {"not_id": {"authenticated": {}}}), True),
        ("and of principals", policy(None, {"and_ids": {"ids": [{"any": True}, {"remote_ip": OTHER}]}}), False), ("or of principals", policy(None, {"or_ids": {"ids": [{"any": True}, {"remote_ip": OTHER}]}}), True),
        ("filter state", policy(None, {"filter_state": {"key": "k", "string_match": {"exact": "v"}}}), False),
    ]
    deny, log = {"action": "DENY", **policy()}, {"action": "LOG", **policy()}
    return [rbac(name, rules, ok) for name, rules, ok in allow] + [
        rbac("deny", deny, False), rbac("deny others", {"action": "DENY", **policy(no)}, True), rbac("deny nobody", {"action": "DENY"}, True), rbac("log", log, True),
        rbac("shadow denies", policy(), True, shadow_rules=deny), rbac("shadow allows", deny, False, shadow_rules=policy(), shadow_rules_stat_prefix="p_"),
        rbac("late", deny, False, delay_deny="0.4s"),
        Tcp("rbac: the banner comes through", [Body(6), b"ping", REST], [[b"banner", REST]], before=[("rbac", {"rules": deny})]),
        Tcp("rbac: no byte", [0.3, CLOSE], [[REST]], before=[("rbac", {"rules": deny})]),
        Tcp("rbac: no rules at all", [b"ping", Body(4), CLOSE], ECHO, before=[("rbac", {})]),
        Tcp("rbac: continuous", [b"ping", Body(4), b"ping", Body(4), CLOSE], [[Body(4), b"pong", Body(4), b"pong", REST]], before=[("rbac", {"rules": policy(), "enforcement_type": "CONTINUOUS"})]),
        Tcp("rbac: before the connection manager", [wire.request(), wire.RESPONSE, CLOSE], [[wire.HEAD, wire.OK, REST]], before=[("rbac", {"rules": policy()})], instead=("hcm", HTTP), ignore=("stat http",)),
        Tcp("rbac: denies before the connection manager", [wire.request(), REST], [[REST]], before=[("rbac", {"rules": deny})], instead=("hcm", HTTP), ignore=("stat http",)),
        Tcp("rbac: before echo", [b"ping", REST], [[REST]], before=[("rbac", {"rules": deny})], instead=("echo", {})),
    ]


def run(lab):
    compare(lab, proxying() + tunnels() + others() + access(), NOT_COMPARED)
