"""Every core match and filter of HTTPRoute, hostnames, listeners and cross-namespace references: the answers the API asks for, the same from both proxies."""
import http.client
import json
from collections import Counter

import echo
from lab import await_true, free_port, require, same

PREFIX, EXACT, REGEX = "PathPrefix", "Exact", "RegularExpression"
LISTENERS = [("any", None), ("wild", "*.wild.example.com"), ("exact", "one.wild.example.com")]


def path(kind, value, **more):
    return {"path": {"type": kind, "value": value}, **more}


def values(**pairs):
    return [{"name": n.replace("_", "-"), "value": v} for n, v in pairs.items()]


def to(*services, **more):
    return {"backendRefs": [{"name": s, "port": 80, "weight": w} if isinstance(w, int) else {"name": s, "port": 80, **(w or {})}
                            for s, w in (s if isinstance(s, tuple) else (s, None) for s in services)], **more}


def with_filter(kind, **config):
    return {"type": kind, ("urlRewrite" if kind == "URLRewrite" else kind[0].lower() + kind[1:]): config}


def new_path(prefix=None, full=None):
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": prefix} if full is None else {"type": "ReplaceFullPath", "replaceFullPath": full}


def redirect(at, **config):
    return {"matches": [path(PREFIX, at)], "filters": [with_filter("RequestRedirect", **config)]}


def filtered(at, *filters, **more):
    return {"matches": [path(PREFIX, at)], "filters": list(filters), **to("a"), **more}


def matched(*matches, service="a"):
    return {"matches": list(matches), **to(service)}


ROUTES = {
    "match": (["m.example.com", "special"], [
        matched(path(EXACT, "/exact")), matched(path(PREFIX, "/exact"), service="b"), matched(path(PREFIX, "/pre/")),
        matched(path(REGEX, "/re/[0-9]+/x.*")), matched(path(PREFIX, "/re"), service="b"), matched(path(REGEX, "/long/[a-z]{1,200}")),
        matched(path(PREFIX, "/meth", method="POST")), matched(path(PREFIX, "/meth", method="PATCH"), path(PREFIX, "/meth", method="OPTIONS"), service="b"),
        matched(path(PREFIX, "/hdr", headers=values(X_One="1"))),
        matched(path(PREFIX, "/hdr", headers=[*values(X_One="1"), {"name": "x-two", "type": REGEX, "value": "t[w]+o"}]), service="b"),
        matched(path(PREFIX, "/hdr", headers=values(host="special")), service="c"),
        matched(path(PREFIX, "/q", queryParams=values(animal="whale"))),
        matched(path(PREFIX, "/q", queryParams=values(animal="whale", color="blue")), service="b"),
        matched(path(PREFIX, "/q", queryParams=[{"name": "n", "type": REGEX, "value": "[0-9]+"}]), service="c")]),
    "headers": (["h.example.com"], [
        filtered("/request", with_filter("RequestHeaderModifier", set=values(X_Set="s%v", Accept="only"), add=values(X_Add="added"), remove=["X-Remove"])),
        filtered("/response", with_filter("ResponseHeaderModifier", set=values(X_Set="s%v", Server="mine"), add=values(X_Up="added"), remove=["X-Remove"])),
        {"matches": [path(PREFIX, "/both")], "filters": [with_filter("RequestHeaderModifier", add=values(X_A="rule"))],
         **to(("a", {"filters": [with_filter("RequestHeaderModifier", add=values(X_A="backend")), with_filter("ResponseHeaderModifier", add=values(X_B="b"))]}))}]),
    "redirect": (["r.example.com"], [
        redirect("/host", hostname="other.example.com"), redirect("/https", scheme="https"), redirect("/http", scheme="http"),
        redirect("/moved", scheme="https", hostname="sec.example.com", statusCode=301), redirect("/port", port=8083, statusCode=308),
        redirect("/80", port=80, statusCode=307), redirect("/full", path=new_path(full="/new"), statusCode=303),
        redirect("/prefix", path=new_path("/new")), redirect("/cut", path=new_path("/"))]),
    "rewrite": (["w.example.com"], [
        filtered("/host", with_filter("URLRewrite", hostname="re.example.com")), filtered("/full", with_filter("URLRewrite", path=new_path(full="/a\\1b"))),
        filtered("/empty", with_filter("URLRewrite", path=new_path(full=""))), filtered("/prefix", with_filter("URLRewrite", path=new_path("/new/"))),
        filtered("/cut", with_filter("URLRewrite", path=new_path("")))]),
    "backends": (["b.example.com"], [
        {"matches": [path(PREFIX, "/weights")], **to(("a", 3), ("b", 1))}, {"matches": [path(PREFIX, "/zero")], **to(("a", 0), ("b", 1))},
        {"matches": [path(PREFIX, "/none")], **to(("a", 0))}, {"matches": [path(PREFIX, "/without")]}, {"matches": [path(PREFIX, "/missing")], **to("nowhere")},
        {"matches": [path(PREFIX, "/half")], **to("nowhere", "a")}, {"matches": [path(PREFIX, "/empty")], **to("empty")},
        {"matches": [path(PREFIX, "/granted")], **to(("granted", {"namespace": "other"}))}, {"matches": [path(PREFIX, "/forbidden")], **to(("forbidden", {"namespace": "other"}))},
        filtered("/extension", {"type": "ExtensionRef", "extensionRef": {"group": "x.y", "kind": "Z", "name": "n"}}),
        filtered("/mirror", with_filter("RequestMirror", backendRef={"name": "b", "port": 80}), with_filter("RequestMirror", backendRef={"name": "c", "port": 80}, percent=50))]),
    "timeouts": (["t.example.com"], [
        {"matches": [path(PREFIX, f"/{i}")], **to("a", timeouts=t)} for i, t in enumerate(
            [{"request": "300ms"}, {"request": "2s", "backendRequest": "300ms"}, {"request": "0s", "backendRequest": "300ms"}, {"backendRequest": "300ms"}, {"request": "0s"}])]),
    "any": (None, [to("a")]), "wild": (None, [to("b")]), "exact": (None, [matched(path(PREFIX, "/only"), service="c")]), "sub": (["*.sub.example.com", "x.wild.example.com"], [to("c")]),
}

# host, target, status, and who answers (with the path it saw) or the Location, in which PORT is the listener's; request headers.
CASES = [
    ("m.example.com", "/exact?x=1", 200, "a /exact?x=1"), ("m.example.com", "/exact/", 200, "b /exact/"), ("m.example.com", "/exactx", 404, None), ("m.example.com", "/EXACT", 404, None),
    ("m.example.com", "/pre", 200, "a /pre"), ("m.example.com", "/pre/z", 200, "a /pre/z"), ("m.example.com", "/prefix", 404, None), ("m.example.com", "/pre/../exact", 200, "a /exact"),
    ("m.example.com", "/re/12/xyz?q", 200, "a /re/12/xyz?q"), ("m.example.com", "/re/12/y", 200, "b /re/12/y"), ("m.example.com", "/long/abc", 200, "a /long/abc"),
    ("M.Example.COM:8080", "/exact", 200, "a /exact"), ("m.example.com", "POST /meth", 200, "a /meth"), ("m.example.com", "PATCH /meth", 200, "b /meth"), ("m.example.com", "OPTIONS /meth", 200, "b /meth"),
    ("m.example.com", "/meth", 404, None), ("m.example.com", "/hdr", 404, None), ("m.example.com", "/hdr", 200, "a /hdr", {"x-one": "1"}), ("m.example.com", "/hdr", 200, "b /hdr", {"x-one": "1", "x-two": "twwo"}),
    ("m.example.com", "/hdr", 404, None, {"x-one": "2"}), ("special", "/hdr", 200, "c /hdr"),
    *[("m.example.com", f"/q?{q}", 200 if who else 404, who and f"{who} /q?{q}") for q, who in (
        ("animal=whale", "a"), ("animal=whale&color=blue", "b"), ("color=blue", None), ("animal=Whale", None), ("animal=whale&animal=dog", "a"), ("n=12", "c"), ("n=12a", None), ("Animal=whale", None))],
    ("h.example.com", "/request", 200, "a /request", {"x-set": "old", "x-add": "old", "x-remove": "y"}), ("h.example.com", "/response", 200, "a /response", {"x-test-header": "x-remove=1"}),
    ("h.example.com", "/response", 200, "a /response", {"x-test-header": "x-up=up"}), ("h.example.com", "/both", 200, "a /both"),
    *[(host, p, status, where) for host in ("r.example.com", "r.example.com:80", "r.example.com:8080") for p, status, where in (
        ("/host/x?q=1", 302, "http://other.example.com:PORT/host/x?q=1"), ("/https/x", 302, "https://r.example.com/https/x"), ("/http", 302, "http://r.example.com/http"),
        ("/moved", 301, "https://sec.example.com/moved"), ("/port", 308, "http://r.example.com:8083/port"), ("/80", 307, "http://r.example.com/80"),
        ("/full/x?q=1", 303, "http://r.example.com:PORT/new?q=1"), ("/prefix", 302, "http://r.example.com:PORT/new"), ("/prefix/x?q=1", 302, "http://r.example.com:PORT/new/x?q=1"),
        ("/cut", 302, "http://r.example.com:PORT/"), ("/cut/x", 302, "http://r.example.com:PORT/x"))],
    ("w.example.com", "/host/x", 200, "a /host/x"), ("w.example.com", "/full/x?q", 200, "a /a\\1b?q"), ("w.example.com", "/empty/x", 200, "a /"), ("w.example.com", "/prefix", 200, "a /new"),
    ("w.example.com", "/prefix/x?q", 200, "a /new/x?q"), ("w.example.com", "/cut", 200, "a /"), ("w.example.com", "/cut/x", 200, "a /x"),
    ("b.example.com", "/zero", 200, "b /zero"), *[("b.example.com", p, 500, None) for p in ("/none", "/without", "/missing", "/forbidden", "/extension")],
    ("b.example.com", "/empty", 503, None), ("b.example.com", "/granted", 200, "c /granted"),
    *[("t.example.com", f"/{i}", 200, f"a /{i}") for i in range(5)], *[("t.example.com", f"/{i}", 504, None, {"x-test-delay": "1"}) for i in range(4)],
    ("t.example.com", "/4", 200, "a /4", {"x-test-delay": "0.5"}),
    ("nobody", "/", 200, "a /"), ("two.wild.example.com", "/", 200, "b /"), ("a.b.wild.example.com", "/only/x", 200, "b /only/x"), ("wild.example.com", "/", 200, "a /"),
    ("one.wild.example.com", "/", 404, None), ("one.wild.example.com", "/only/x", 200, "c /only/x"), ("x.wild.example.com", "/", 200, "c /"), ("a.sub.example.com", "/", 200, "c /"), ("sub.example.com", "/", 200, "a /"),
]


def objects(ports, upstreams):
    gateway_api = "gateway.networking.k8s.io/v1"

    def of(api, kind, name, ns="default", **more):
        return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": ns, **({"labels": more.pop("labels")} if "labels" in more else {})}, **more}

    everybody = {"namespaces": {"from": "All"}}
    yield {"apiVersion": gateway_api, "kind": "GatewayClass", "metadata": {"name": "fairlead"}, "spec": {"controllerName": "fairlead.io/gateway-controller"}}
    for name, port in ports.items():
        listeners = [{"name": n, "protocol": "HTTP", "port": port, "allowedRoutes": everybody, **({"hostname": h} if h else {})} for n, h in LISTENERS]
        yield of(gateway_api, "Gateway", name, spec={"gatewayClassName": "fairlead", "addresses": [{"value": "127.0.0.1"}], "listeners": listeners})
    for name, (hosts, rules) in ROUTES.items():
        section = {"sectionName": name} if hosts is None else {}
        yield of(gateway_api, "HTTPRoute", name, spec={"parentRefs": [{"name": g, **section} for g in ports], **({"hostnames": hosts} if hosts else {}), "rules": rules})
    yield of("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "g", "other", spec={
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default"}], "to": [{"group": "", "kind": "Service", "name": "granted"}]})
    services = [(n, "default", u.port) for n, u in upstreams.items()] + [("empty", "default", None)] + [(n, "other", upstreams["c"].port) for n in ("granted", "forbidden")]
    for name, ns, port in services:
        yield of("v1", "Service", name, ns, spec={"ports": [{"name": "http", "port": 80}]})
        if port:
            yield of("discovery.k8s.io/v1", "EndpointSlice", name, ns, labels={"kubernetes.io/service-name": name}, addressType="IPv4",
                     ports=[{"name": "http", "port": port}], endpoints=[{"addresses": ["127.0.0.1"]}])


def ask(port, host, target, headers=None):
    """Status, response headers and what the upstream saw, with the listener's port written as PORT."""
    method, _, where = target.rpartition(" ")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method or "GET", where, skip_host=True, skip_accept_encoding=True)
        for name, value in {"host": host, **({"content-length": "0"} if method in ("POST", "PATCH") else {}), **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        heads = sorted((n.lower(), v.replace(str(port), "PORT")) for n, v in reply.getheaders() if n.lower() not in ("date", "x-envoy-upstream-service-time", "content-length"))
        body = reply.read()
        seen = json.loads(body) if body.startswith(b"{") else None
        if seen:
            seen["headers"] = sorted((n.lower(), v.replace(str(port), "PORT")) for n, v in seen["headers"] if n.lower() != "x-request-id")
        return reply.status, heads, seen or body
    finally:
        connection.close()


def run(lab):
    upstreams = {n: echo.Echo(n) for n in "abc"}
    ports = {"ours": free_port(), "theirs": free_port()}
    lab.write("source/all.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects(ports, upstreams))}))
    _, xds, _ = lab.control(lab.dir / "source")
    for gateway, kind in (("ours", "proxy"), ("theirs", "envoy")):
        admin = f"127.0.0.1:{free_port()}"
        lab.proxy("envoy" if kind == "envoy" else "fairlead-proxy", lab.bootstrap(kind, gateway, xds, admin), admin)
        await_true(f"{kind} serves", lambda: ask(ports[gateway], "m.example.com", "/exact")[0] == 200)
    for host, target, status, answer, *headers in CASES:
        what = f"{target} of {host} {headers or ''}"
        ours, theirs = ask(ports["ours"], host, target, *headers), ask(ports["theirs"], host, target, *headers)
        same(what, ours, theirs)
        got = dict(ours[1]).get("location") or (f"{ours[2]['upstream']} {ours[2]['line'].split()[1]}" if isinstance(ours[2], dict) else None)
        require((ours[0], got) == (status, answer), f"{what}: {ours[0]} {got}, expected {status} {answer}")
    for port in ports.values():
        shares = Counter(ask(port, "b.example.com", "/weights")[2]["upstream"] for _ in range(400))
        require(240 <= shares["a"] <= 360, f"weights 3 to 1: {shares}")
        halves = Counter(ask(port, "b.example.com", "/half")[0] for _ in range(200))
        require(60 <= halves[500] <= 140 and halves[200] + halves[500] == 200, f"half of the backends does not exist: {halves}")
        key = {"x-test-fail-first": f"mirrored-{port}"}
        for _ in range(100):
            ask(port, "b.example.com", "/mirror", key)
        count = lambda name: upstreams[name].seen.get(key["x-test-fail-first"], 0)  # noqa: E731
        await_true("each request is mirrored", lambda: count("b") == 100)
        require(25 <= count("c") <= 75, f"half of the requests are mirrored to c: {count('c')}")
