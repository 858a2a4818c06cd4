"""The cache filter in Envoy and in fairlead-proxy: exchanges of several requests each, with what the upstream saw, compared with their access log.

Envoy 1.40 falls over when it serves a response that varies, and leaves out parts of RFC 9111: those exchanges are held against what is expected."""
import http.server
import json
import re
import threading
import time
import urllib.parse

import lab

TYPE = "type.googleapis.com/envoy"
FRESH = "cache-control%3Dmax-age%3D100"


class Upstream(http.server.ThreadingHTTPServer):
    """Answers as the query says: st (status), h (a header, NAME=VALUE), size, valid (304 to conditions), trailer; each path counts its requests."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.counts = {}
        self.gate = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        n = self.server.counts[path] = self.server.counts.get(path, 0) + 1
        said = [part.partition("=")[::2] for part in query.split("&")]
        field = {name: urllib.parse.unquote(value) for name, value in said}
        if "stall" in field:
            self.server.gate.wait(10)
        status = int(field.get("st", 200))
        if "valid" in field and (self.headers.get("if-none-match") or self.headers.get("if-modified-since")):
            status = 304
        conditions = sorted(f"{k.lower()}: {v}" for k, v in self.headers.items() if k.lower().startswith("if-") or k.lower() in ("range", "accept"))
        body = json.dumps([n, self.command, conditions]).encode() + b"x" * int(field.get("size", 0))
        headers = [urllib.parse.unquote(value).partition("=")[::2] for name, value in said if name == "h"]
        if not any(name == "date" for name, _ in headers) and "undated" not in field:
            headers.append(("date", self.date_time_string()))
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        bodiless = status in (204, 304)
        chunked = "trailer" in field
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        elif not bodiless:
            self.send_header("content-length", str(len(body) + int(field.get("short", 0))))
        self.end_headers()
        if chunked:
            body = b"%x\r\n%s\r\n0\r\nx-end: 1\r\n\r\n" % (len(body), body)
        if not bodiless and self.command != "HEAD":
            self.wfile.write(body)
        if "short" in field:
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


def config(port, admin, upstream, log, **fields):
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    cache = {"@type": f"{TYPE}.extensions.filters.http.cache.v3.CacheConfig", "typed_config": {"@type": f"{TYPE}.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"},
             "allowed_vary_headers": [{"exact": "accept"}], **fields}
    line = "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT%\n"
    manager = {"@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
               "access_log": [{"name": "f", "typed_config": {"@type": f"{TYPE}.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"text_format_source": {"inline_string": line}}}}],
               "http_filters": [{"name": "cache", "typed_config": cache}, {"name": "router", "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"}}],
               "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]}}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}],
        "clusters": [{"name": "up", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]}}]}}


def exchanges():
    """Query of one path, and its requests: (method, headers)."""
    get = lambda *headers: ("GET", headers)
    twice = [get(), get()]
    out = [(f"h={FRESH}", twice)]
    out += [(f"h={FRESH}", [get(), ("HEAD", ())]), (f"h={FRESH}", [("HEAD", ()), get(), get()]), (f"h={FRESH}", [get("authorization: x"), get(), get("authorization: x"), get()])]
    out += [(f"h={FRESH}", [get(), get(f"range: {r}")]) for r in ("bytes=0-3", "bytes=5-", "bytes=-4", "bytes=900-", "bytes=0-0", "bytes=3-1000", "bytes=0-1,3-4")]
    out += [(f"h={FRESH}", [get(), get("cache-control: " + c)]) for c in ("max-age=1000", "min-fresh=10", "min-fresh=1000", "max-stale=10", "no-transform", "no-cache", "max-age=1000, no-cache")]
    out += [(f"h={FRESH}", [get("cache-control: no-store"), get(), get("cache-control: no-store")]), (f"h={FRESH}", [get(), get("pragma: no-cache"), get()]), (f"h={FRESH}", [get(), get("if-match: \"x\""), get("if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT")])]
    out += [(f"st={s}&h={FRESH}", twice) for s in (200, 203, 300, 301, 302, 307, 308, 400, 403, 404, 405, 410, 414, 421, 451, 500, 501, 503)]
    out += [(f"h=cache-control%3D{c}", twice) for c in ("no-store", "private", "private,max-age%3D100", "no-cache", "public", "s-maxage%3D100", "max-age%3D0,s-maxage%3D100", "s-maxage%3D0,max-age%3D100", "max-age%3D99999999999",
                                                        "max-age%3D%22100%22", "MAX-AGE%3D100", "must-revalidate,max-age%3D100", "no-transform,max-age%3D100", "max-age%3D100,no-store", "immutable,max-age%3D100")]
    out += [("h=expires%3DFri,%2031%20Dec%202027%2023:59:59%20GMT", twice), ("h=expires%3DSun,%2006%20Nov%201994%2008:49:37%20GMT", twice), ("h=last-modified%3DSun,%2006%20Nov%201994%2008:49:37%20GMT", twice), ("", twice)]
    out += [(f"h={FRESH}&h=age%3D{a}", twice) for a in ("50", "200")]
    out += [(f"h={FRESH}&h=date%3DFri,%2001%20Jan%202038%2000:00:00%20GMT", twice), (f"h={FRESH}&h=x-many%3D1&h=x-many%3D2", twice), (f"h={FRESH}&size=100000", twice)]
    tagged = "h=etag%3D%22v%22&valid=1&"
    out += [(tagged + "h=cache-control%3Dno-cache", [get(), get(), get()]), (tagged + "h=cache-control%3Dno-cache", [get(), get("range: bytes=0-3")])]
    out += [(tagged + f"h={FRESH}", [get(), get("cache-control: no-cache"), get()])]
    out += [(f"h={FRESH}", [("POST", ("content-length: 0",)), ("PUT", ("content-length: 0",)), get()])]
    return out


# What Envoy does not: query, requests, and for each the status, how many requests the upstream had then, and what the access log says.
def expected():
    get = lambda *headers: ("GET", headers)
    hit, miss, fresh = "cache.response_from_cache_filter", "via_upstream", f"h={FRESH}"
    tagged = fresh + "&h=etag%3D%22v%22"
    stale = "valid=1&h=cache-control%3Dmax-age%3D0&h=etag%3D%22v%22"
    dated = fresh + "&h=last-modified%3DSun,%2006%20Nov%201994%2008:49:37%20GMT"
    return [
        (fresh + "&h=vary%3Daccept", [get("accept: a"), get("accept: b"), get("accept: a"), get("accept: b"), get()], [(200, 1, miss), (200, 2, miss), (200, 2, hit), (200, 2, hit), (200, 3, miss)]),
        (fresh + "&h=vary%3DAccept,cookie", [get(), get()], [(200, 1, miss), (200, 2, miss)]),
        (fresh + "&h=vary%3D*", [get(), get()], [(200, 1, miss), (200, 2, miss)]),
        (tagged, [get(), get('if-none-match: "v"'), get('if-none-match: W/"v"'), get("if-none-match: *"), get('if-none-match: "w"'), ("HEAD", ('if-none-match: "v"',))],
         [(200, 1, miss), (304, 1, hit), (304, 1, hit), (304, 1, hit), (200, 1, hit), (304, 1, hit)]),
        (dated, [get(), get("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"), get("if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT")], [(200, 1, miss), (304, 1, hit), (200, 1, hit)]),
        (tagged, [get(), get('if-range: "v"', "range: bytes=0-1"), get('if-range: "w"', "range: bytes=0-1")], [(200, 1, miss), (206, 1, hit), (200, 1, hit)]),
        (stale, [get(), get(), get('if-none-match: "v"'), get("range: bytes=0-3"), ("HEAD", ())], [(200, 1, miss), (200, 2, hit), (304, 3, hit), (206, 4, hit), (200, 5, hit)]),
        (fresh, [get("cache-control: only-if-cached"), get(), get("cache-control: only-if-cached")], [(504, 0, "cache.only_if_cached"), (200, 1, miss), (200, 1, hit)]),
        (fresh, [get(), ("POST", ("content-length: 0",)), get()], [(200, 1, miss), (200, 2, miss), (200, 3, miss)]),
        ("h=cache-control%3Dmax-age%3Djunk", [get(), get()], [(200, 1, miss), (200, 2, miss)]),
        ("h=cache-control%3Dmax-age%3D99999999999999999999999999", [get(), get()], [(200, 1, miss), (200, 1, hit)]),
        (fresh + "&h=age%3D99999999999999999999", [get(), get()], [(200, 1, miss), (200, 2, miss)]),
        (fresh + "&trailer=1", [get(), get()], [(200, 1, miss), (200, 1, hit)]),
        (fresh + "&size=9000000", [get(), get()], [(200, 1, miss), (200, 2, miss)]),
        (fresh + "&undated=1", [get(), get()], [(200, 1, miss), (200, 1, hit)]),
        (fresh + "&st=204", [get(), get()], [(204, 1, miss), (204, 1, hit)]),
        (fresh + "&st=206&h=content-range%3Dbytes%200-1/9", [get(), get()], [(206, 1, miss), (206, 2, miss)]),
    ]


def request(method, path, headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: a", *headers, "", ""]).encode()


def shape(received):
    head, _, body = received[0].partition(b"\r\n\r\n")
    status, *lines = head.decode("latin1").split("\r\n")
    headers = sorted(re.sub(r"^age: .*", "age: *", line) for line in lines if not re.match("date:|x-envoy-upstream-service-time:", line))
    text = re.sub(r"if-modified-since: [^\"]*", "if-modified-since: *", body.decode("latin1"))
    return status, headers, text if len(text) < 500 else f"{len(text)} bytes"


class Running:
    def __init__(self, l, kind, **fields):
        self.l, self.upstream, self.port, admin = l, Upstream(), lab.free_port(), lab.free_port()
        self.log = l.dir / f"{kind}-{self.port}.log"
        self.process = l.proxy(kind, l.write(f"{kind}-{self.port}.json", json.dumps(config(self.port, admin, self.upstream.server_address[1], self.log, **fields))), f"127.0.0.1:{admin}")

    def ask(self, method, path, headers=()):
        return lab.raw(self.port, request(method, path, headers))

    def stop(self):
        self.l.stop(self.process)
        self.upstream.shutdown()
        return self.log.read_text().splitlines()


# (pattern on the exchange or on the line of our access log, why it differs): each stands in docs/differences.md.
MEANT = [("s-maxage%3D0,max-age%3D100", "s-maxage counts before max-age"),
         (r"no-cache.*, \('GET', \('range: |valid=1&h=cache-control%3Dno-cache 206", "a range of what has just been validated is served as a range")]


def whole(line):
    """Envoy may see the client leave before it is done with a range."""
    return line.replace("RFCF,DC downstream_remote_disconnect", "RFCF cache.response_from_cache_filter")


def through(l, kind, asked):
    running = Running(l, kind)
    out = [shape(running.ask(method, f"/{i}?{query}", headers)) for i, (query, requests) in enumerate(asked) for method, headers in requests]
    return out, running.stop()


def alike(l):
    asked = [(query, requests) for query, requests in exchanges()]
    (theirs, their_log), (ours, our_log) = through(l, "envoy", asked), through(l, "fairlead-proxy", asked)
    flat = [(query, requests, r) for query, requests in asked for r in requests]
    is_meant = lambda text: any(re.search(pattern, text) for pattern, _ in MEANT)
    wrong = [f"{f}\n    fairlead {a}\n    envoy    {b}" for f, a, b in zip(flat, ours, theirs) if a != b and not is_meant(str(f))]
    wrong += [f"log\n    fairlead {a}\n    envoy    {b}" for a, b in zip(our_log, map(whole, their_log)) if a != b and not is_meant(a)]
    lab.require(not wrong and len(our_log) == len(their_log), f"{len(wrong)} differences:\n" + "\n".join(wrong))
    print(f"        {len(flat)} requests alike")


def better(l):
    running, count, details = Running(l, "fairlead-proxy"), 0, []
    for i, (query, requests, results) in enumerate(expected()):
        for (method, headers), (status, upstream, detail) in zip(requests, results):
            head = running.ask(method, f"/{i}?{query}", headers)[0].split(b"\r\n", 1)[0].decode()
            lab.same(f"{query} {method} {headers}", (int(head.split()[1]), running.upstream.counts.get(f"/{i}", 0)), (status, upstream))
            details.append(detail)
            count += 1
    log = running.stop()
    lab.same("access log details", [line.split()[-2] for line in log], details)
    print(f"        {count} requests as RFC 9111 says")


def settings(l):
    for fields, status_of in (({"max_body_bytes": 10}, 2), ({"disabled": True}, 2), ({"ignore_request_cache_control_header": True}, 1)):
        running = Running(l, "fairlead-proxy", **fields)
        for _ in range(2):
            running.ask("GET", f"/x?h={FRESH}", ["cache-control: no-cache"])
        lab.same(f"{fields}: requests upstream", running.upstream.counts["/x"], status_of)
        running.stop()


def stalls(l):
    """A response that does not come holds up nobody: not those who ask for the same, not those who ask for what is kept."""
    running = Running(l, "fairlead-proxy")
    running.ask("GET", f"/kept?h={FRESH}")
    waiting = [threading.Thread(target=running.ask, args=("GET", f"/slow?h={FRESH}&stall=1")) for _ in range(3)]
    for thread in waiting:
        thread.start()
    lab.await_true("three requests upstream", lambda: running.upstream.counts.get("/slow") == 3)
    begin = time.monotonic()
    running.ask("GET", f"/kept?h={FRESH}")
    lab.require(time.monotonic() - begin < 1 and running.upstream.counts["/kept"] == 1, "what is kept is served meanwhile")
    running.upstream.gate.set()
    for thread in waiting:
        thread.join()
    running.ask("GET", f"/slow?h={FRESH}&stall=1")
    lab.same("requests upstream afterwards", running.upstream.counts["/slow"], 3)
    # a response that breaks off is not kept
    running.ask("GET", f"/cut?h={FRESH}&short=5")
    running.ask("GET", f"/cut?h={FRESH}&short=5")
    lab.same("a response that breaks off is asked for again", running.upstream.counts["/cut"], 2)
    running.stop()


def run(l):
    better(l)
    settings(l)
    stalls(l)
    alike(l)
