"""Session persistence: the same cookies and headers lead to the same hosts in Envoy and in fairlead-proxy, and the same ones are given out.

Nothing listens behind the clusters: a pick shows as %UPSTREAM_HOST% of the 503, so that the addresses, which sessions hold, are the same for both."""
import base64
import json
import re
import time

import lab
from lb_config import TYPE, endpoint, flat

FILTER = f"{TYPE}.filters.http.stateful_session.v3.StatefulSession"
TTL = 100


def text(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def ticket(host, expires=None):
    """What a cookie holds: the address as field 1, the second of its end as field 2."""
    out = b"\x0a" + bytes([len(host)]) + host.encode()
    if expires is not None:
        out += b"\x10"
        while expires > 127:
            out, expires = out + bytes([expires & 127 | 128]), expires >> 7
        out += bytes([expires])
    return out


def state(kind, message, **fields):
    return {"session_state": {"name": f"envoy.http.stateful_session.{kind}", "typed_config": {"@type": f"{TYPE}.http.stateful_session.{kind}.v3.{message}", **fields}}}


def cookie(**fields):
    return state("cookie", "CookieBasedSessionState", cookie={"name": "s", **fields})


HEADER = state("header", "HeaderBasedSessionState", name="X-Session")
# The filter of a proxy, and what its routes say: path, cluster, the filter's configuration there, fields of the route.
RETRY = {"retry_policy": {"retry_on": "connect-failure", "host_selection_retry_max_attempts": 200, "retry_host_predicate": [
    {"name": "p", "typed_config": {"@type": f"{TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}}
PLAIN = [("/one", "one", None, {}), ("/many", "many", None, {}), ("/none", "none", None, {}), ("/unknown", "unknown", None, {}), ("/retry", "two", None, RETRY), ("/off", "one", {"disabled": True}, {}),
         ("/own", "many", {"stateful_session": HEADER}, {}), ("/empty", "one", {"stateful_session": {}}, {}), ("/direct", None, None, {}), ("/path", "one", None, {})]
PROXIES = {
    "cookie": cookie(), "cookie-strict": {**cookie(), "strict": True}, "cookie-ttl": cookie(ttl=f"{TTL}s", path="/", attributes=[{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}]),
    "cookie-path": cookie(path="/path/x"), "cookie-slash": cookie(path="/path/"), "header": HEADER, "header-strict": {**HEADER, "strict": True, "status_on_strict_destination_not_found": 410}, "nothing": {},
}


def config(port, admin, name):
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    cluster = lambda n, *hosts: {"name": n, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": n, "endpoints": flat(*[endpoint(h) for h in hosts])}}
    per_route = lambda own: {} if own is None else {"typed_per_filter_config": {"sessions": {"@type": FILTER + "PerRoute", **own}}}
    routes = [{"match": {"prefix": path}, **({"route": {"cluster": to, **more}} if to else {"direct_response": {"status": 200}}), **per_route(own)} for path, to, own, more in PLAIN]
    manager = {"@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
               "http_filters": [{"name": "sessions", "typed_config": {"@type": FILTER, "stat_prefix": "kept", **PROXIES[name]}}, {"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
               "route_config": {"validate_clusters": False, "response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_HOST%"}}], "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}}
    return {"admin": {"address": address(admin)}, "static_resources": {"listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}],
                                                                       "clusters": [cluster("one", 1), cluster("two", 1, 2), cluster("many", *range(1, 9)), cluster("none")]}}


def requests():
    """Paths with headers. Where nothing says which host, there is but one."""
    now, third, gone = int(time.time()), "127.7.0.3:1", "127.7.9.9:1"
    valid = [text(ticket(third)), text(third), text(ticket(third, now + 3600)), text(ticket(third, 0)), text(ticket(third) + b"\x1a\x02hi")]
    other = [text(ticket(gone)), text(gone), text(ticket(third, now - 10)), text(ticket(third, 1)), text(ticket(third)).rstrip("="), text(""), text(b"\x10\x05"), text(b"\x0a\x09ab"), "!!", text(ticket("")), text(third + ","), "AB=="]
    out = []
    for value in valid:
        out += [("/many", [f"cookie: s={value}", f"x-session: {value}"])] if value == text(third) else [("/many", [f"cookie: s={value}"])]
    out += [("/many", [f"cookie: a=b; s=\"{valid[0]}\"; s={text(ticket(gone))}"]), ("/many", [f"x-session: {valid[1]}", f"x-session: {text(gone)}", f"cookie: s={valid[0]}"]), ("/own", [f"x-session: {valid[1]}", f"cookie: s={other[0]}"])]
    for value in valid + other:
        out += [("/one", [f"cookie: s={value}"]), ("/one", [f"x-session: {value}"])]
    first = [f"cookie: s={text(ticket('127.7.0.1:1'))}", f"x-session: {text('127.7.0.1:1')}"]
    out += [(path, headers) for path in ("/none", "/unknown", "/off", "/empty", "/direct", "/nowhere") for headers in ([], first, [f"cookie: s={other[0]}", f"x-session: {other[1]}"])]
    out += [("/retry", first), ("/one", []), ("/one", ["content-type: application/grpc"]), ("/one", ["content-type: application/grpc", f"x-session: {other[1]}", f"cookie: s={other[0]}"])]
    out += [(path, []) for path in ("/path", "/path/", "/path/x", "/path/x/y", "/path/x?y", "/path/xy", "/path?x")]
    return out


def told(line):
    """A response's header line; in a cookie the end of its session becomes how far away it is."""
    found = re.fullmatch(r'set-cookie: s="([^"]+)"(.*)', line)
    if not found:
        return line
    data = base64.b64decode(found[1])
    host, rest = data[2:2 + data[1]].decode(), data[2 + data[1]:]
    if not rest:
        return f"set-cookie: {host}{found[2]}"
    expires = sum((byte & 127) << 7 * i for i, byte in enumerate(rest[1:]))
    return f"set-cookie: {host} for {'the ttl' if rest[0] == 0x10 and abs(expires - time.time() - TTL) < 30 else expires}{found[2]}"


def through(l, kind, name, asked):
    port, admin = lab.free_port(), lab.free_port()
    process = l.proxy(kind, l.write(f"{kind}-{name}.json", json.dumps(config(port, admin, name))), f"127.0.0.1:{admin}")
    out = []
    for path, headers in asked:
        head = lab.raw(port, "\r\n".join([f"GET {path} HTTP/1.1", "host: a", *headers, "", ""]).encode())[0].split(b"\r\n\r\n")[0].decode()
        out.append([told(line) for line in head.split("\r\n") if not line.startswith("date:")])
    counted = [line for line in lab.get(f"127.0.0.1:{admin}", "/stats").body.decode().splitlines() if "stateful_session" in line or "upstream_cx_none_healthy" in line]
    l.stop(process)
    return out, sorted(counted)


def run(l):
    total = 0
    for name in PROXIES:
        # with several hosts, whoever has no session goes anywhere: only carriers of this proxy's sessions ask for it
        asked = [(path, headers) for path, headers in requests() if path not in ("/many", "/retry") or any(h.startswith("cookie" if "cookie" in name else "x-session") for h in headers) and name not in ("nothing", "cookie-path", "cookie-slash")]
        (theirs, their_stats), (ours, our_stats) = through(l, "envoy", name, asked), through(l, "fairlead-proxy", name, asked)
        for request, a, b in zip(asked, ours, theirs):
            lab.same(f"{name}: {request}", a, b)
        lab.same(f"{name}: statistics", our_stats, their_stats)
        total += len(asked)
    print(f"        {total} requests alike")
