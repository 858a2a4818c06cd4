"""TCP through tunnels over HTTP/2 (and HTTP/1), CONNECT and POST, with either proxy at either end: what client and upstream see, and the log of the tunnel's begin,
are alike whoever digs it and whoever ends it."""
import concurrent.futures
import json
import time

import lab as labs
import wire
from wire import CLOSE, HALF, RESET, REST, Body, access_log

FILTER = "type.googleapis.com/envoy.extensions.filters.network."
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
BIG = b"x" * 3_000_000
LOGGED = ("RESPONSE_FLAGS", "BYTES_RECEIVED", "BYTES_SENT", "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "UPSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_LOCAL_CLOSE_REASON", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
          "DOWNSTREAM_DETECTED_CLOSE_TYPE")


class Tunnel:
    def __init__(self, name, client, upstream, http2=True, post=False, refused=False, route=True, tcp=None, together=1, but=()):
        self.name = f"{name} ({'POST' if post else 'CONNECT'} over HTTP/{2 if http2 else 1})"
        self.client, self.upstream, self.http2, self.post, self.refused, self.route, self.tcp, self.together = client, upstream, http2, post, refused, route, tcp or {}, together
        self.connections = upstream
        self.but = but  # pairs of proxies of which it is not asked: (begin, end)

    def digger(self, name, port, to, log):
        tunneling = {"hostname": "db.test:5432", **({"use_post": True, "post_path": "/tunnel"} if self.post else {})}
        tcp = {"@type": FILTER + "tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": name, "tunneling_config": tunneling, "access_log": [access_log(name, log)], **self.tcp}
        http = {"http2_protocol_options": {}} if self.http2 else {"http_protocol_options": {}}
        return ({"name": name, "address": wire.address(port), "filter_chains": [{"filters": [{"name": "tcp", "typed_config": tcp}]}]},
                {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": wire.address(to)}}]}]},
                 "typed_extension_protocol_options": {OPTIONS: {"@type": "type.googleapis.com/" + OPTIONS, "explicit_http_config": http}}})

    def ender(self, name, port, to):
        match = {"prefix": "/tunnel"} if self.post else {"connect_matcher": {}}
        upgrade = {"upgrade_type": "CONNECT", "connect_config": {"allow_post": True} if self.post else {}}
        routes = [{"match": match, "route": {"cluster": name, "timeout": "0s", "upgrade_configs": [upgrade]}}] if self.route else []
        hcm = {"@type": FILTER + "http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name, "http2_protocol_options": {"allow_connect": True}, "upgrade_configs": [{"upgrade_type": "CONNECT"}],
               "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
               "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
        return ({"name": name, "address": wire.address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]},
                {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": wire.address(to)}}]}]}})


def scenarios():
    pong = [[Body(4), b"pong", REST]]
    made = []
    for http2, post in ((True, False), (True, True), (False, False), (False, True)):
        add = lambda name, client, upstream, **more: made.append(Tunnel(name, client, upstream, http2=http2, post=post, **more))
        add("client closes", [b"ping", Body(4), CLOSE], pong)
        add("upstream speaks first", [Body(6), b"x", CLOSE], [[b"banner", Body(1), REST]])
        if http2 or not post:  # Envoy 1.40 dies of it otherwise
            add("upstream closes", [b"ping", REST], [[Body(4), b"pong", CLOSE]])
        add("much up", [BIG, Body(4), CLOSE], [[Body(len(BIG)), b"done", REST]])
        add("much down", [b"ping", Body(len(BIG)), CLOSE], [[Body(4), BIG, REST]])
        add("much up to a slow reader", [BIG, Body(4), CLOSE], [[0.5, Body(len(BIG)), b"done", REST]])
        add("client resets", [b"ping", Body(4), 0.1, RESET], pong)
        add("no route", [b"ping", REST], [[REST]], route=False)
        add("no upstream", [b"ping", REST], [[REST]], refused=True)
        add("no upstream, two attempts", [b"ping", REST], [[REST]], refused=True, tcp={"max_connect_attempts": 2})
        add("idle", [b"ping", Body(4), REST], pong, tcp={"idle_timeout": "0.4s"})
        add("eight at once", [b"ping", Body(4), 0.3, CLOSE], pong, together=8)
        if http2:  # Envoy ends a tunnel over HTTP/1 with either's half: docs/differences.md
            add("client ends, upstream goes on", [b"ping", HALF, Body(4), REST], [[Body(4), 0.2, b"pong", CLOSE]])
            add("upstream ends, client goes on", [b"ping", Body(4), 0.3, b"more", HALF, REST], [[Body(4), b"pong", HALF, Body(4), REST]])
            add("both end", [b"ping", HALF, REST], [[Body(4), b"pong", HALF, REST]])
            add("upstream resets", [b"ping", REST], [[Body(4), b"pong", 0.1, RESET]])
    for i, tunnel in enumerate(made):
        tunnel.cluster = f"s{i}"
    return made


def play(lab, begin, end, tunnels):
    upstreams = [wire.Upstream(t) for t in tunnels]
    n = len(tunnels)
    admin, other, *free = wire.free_ports(2 + 3 * n)
    fronts, middles, nobody = free[:n], free[n:2 * n], free[2 * n:]
    log = lab.dir / f"{begin}-{end}.access"
    log.unlink(missing_ok=True)  # of the run before

    def start(kind, name, admin_port, pairs):
        config = {"admin": {"address": wire.address(admin_port)}, "static_resources": {"listeners": [p[0] for p in pairs], "clusters": [p[1] for p in pairs]}}
        return lab.proxy(kind, lab.write(f"{name}.json", json.dumps(config)), f"127.0.0.1:{admin_port}")

    ender = start(end, f"{begin}-{end}-end", other, [t.ender(t.cluster, middles[i], nobody[i] if t.refused else upstreams[i].port) for i, t in enumerate(tunnels)])
    digger = start(begin, f"{begin}-{end}-begin", admin, [t.digger(t.cluster, fronts[i], middles[i], log) for i, t in enumerate(tunnels)])
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        played = [[pool.submit(wire.play_client, fronts[i], t.client) for _ in range(t.together)] for i, t in enumerate(tunnels)]
        clients = [[p.result() for p in group] for group in played]
    time.sleep(0.5)
    streams = labs.get(f"127.0.0.1:{admin}", "/stats?filter=^cluster.*upstream_cx_http2_total").body.decode()
    for process, kind in ((digger, begin), (ender, end)):
        code = lab.stop(process)
        labs.require(kind == "envoy" or code == 0, f"{begin} to {end}: exit code {code}:\n{process.text()[-2000:]}")
    logs = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        logs.setdefault(entry.pop("scenario"), []).append(entry)
    out = []
    for i, t in enumerate(tunnels):
        # where no tunnel comes to be, "ping" may come before the proxy closes or after: whether by FIN or RST depends on who was faster
        ending = lambda r: "closed" if r["end"] == "reset" and (t.refused or not t.route) else r["end"]
        names = [(fronts[i], "LISTENER"), (middles[i], "TUNNEL"), (upstreams[i].port, "UPSTREAM")]
        seen = {"client": sorted((wire.normal(r["read"], names), ending(r)) for _, r in clients[i]), "upstream": sorted((wire.normal(s["read"], names), s["end"]) for s in upstreams[i].seen)}
        for key in LOGGED:
            seen[f"log {key}"] = sorted(str(e.get(key)).replace(str(middles[i]), "TUNNEL") for e in logs.get(t.cluster, []))
        if t.http2 and t.together > 1:
            seen["connections of the tunnel"] = [line for line in streams.splitlines() if f"cluster.{t.cluster}." in line]
        out.append(seen)
        upstreams[i].listener.close()
    return out


def run(lab):
    tunnels = scenarios()
    theirs = play(lab, "envoy", "envoy", tunnels)
    wrong = {}
    compared = 0
    for begin, end in (("fairlead-proxy", "envoy"), ("envoy", "fairlead-proxy"), ("fairlead-proxy", "fairlead-proxy")):
        left = list(range(len(tunnels)))
        for _ in range(3):  # as wire.compare(): a loaded machine shows either another order of the same events
            ours = play(lab, begin, end, [tunnels[i] for i in left])
            differ = {}
            for i, seen in zip(left, ours):
                if (begin, end) in tunnels[i].but:
                    continue
                bad = [f"    {key}:\n      {seen[key]}\n      Envoy to Envoy: {theirs[i][key]}" for key in seen if seen[key] != theirs[i][key]]
                if bad:
                    differ[i] = f"  {begin} to {end}, {tunnels[i].name}\n" + "\n".join(bad)
            left = list(differ)
            if not left:
                break
        compared += len(tunnels)
        wrong.update({(begin, end, i): text for i, text in differ.items()})
    if wrong:
        raise labs.Failed(f"{len(wrong)} of {compared} differ:\n" + "\n".join(wrong.values()))
    print(f"        {len(tunnels)} tunnels through three pairs of proxies, as through two Envoys")
