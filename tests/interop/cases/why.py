"""What `fairlead why` says of a request is what fairlead-proxy and Envoy do with it: status, Location, cluster, path, host and headers, for hundreds of
random requests to random routes, asked of the running control plane that serves both."""
import json
import random
import urllib.parse

import echo
from lab import await_true, free_port, get, require

SMOKE = True

TYPE = "type.googleapis.com/envoy."
PATHS = ("/", "/a", "/A", "/a/b", "/ab", "/b/", "/a/b/c", "/x")
HOSTS = ("a.example.com", "b.example.com", "x.b.example.com", "other.org", "A.example.com:8080", "c")
ASKED = ("/", "/a", "/a/", "/A/b", "/a/b?q=1", "/ab", "/b/c", "/a/b/c?x=/y", "/x/../a", "/xy", "//a", "/a?q=", "/a%2fb", "/%61")


def route(choose, number):
    path = choose.choice(PATHS)
    match = choose.choice(({"prefix": path}, {"path": path}, {"path_separated_prefix": "/a" if path[-1] == "/" else path}, {"safe_regex": {"regex": choose.choice(("/[ab].*", "(?i)/ab?", "/a/.*"))}}))
    if choose.random() < 0.25:
        match["case_sensitive"] = False
    if choose.random() < 0.3:
        match["headers"] = [{"name": "x-h", "string_match": {"exact": choose.choice("12")}, "invert_match": choose.random() < 0.3}]
    if choose.random() < 0.2:
        match["query_parameters"] = [{"name": "q", "present_match": True}]
    kind = choose.random()
    out = {"name": f"r{number}", "match": match}
    if kind < 0.15:
        out["redirect"] = choose.choice(({"path_redirect": "/new"}, {"https_redirect": True}, {"host_redirect": "else.org", "response_code": "FOUND"}, {"prefix_rewrite": "/p"}, {"port_redirect": 81, "strip_query": True}))
    elif kind < 0.25:
        out["direct_response"] = {"status": choose.choice((200, 403, 404)), "body": {"inline_string": f"direct {number}"}}
    else:
        action = {"cluster": choose.choice(("one", "two", "two", "nowhere"))}
        if choose.random() < 0.3:
            action["prefix_rewrite"] = choose.choice(("/", "/pre", "/pre/"))
        elif choose.random() < 0.2:
            action["regex_rewrite"] = {"pattern": {"regex": "a"}, "substitution": "Z"}
        if choose.random() < 0.3:
            action["host_rewrite_literal"] = "inner"
        out["route"] = action
        if choose.random() < 0.4:
            out["request_headers_to_add"] = [{"header": {"key": "x-route", "value": f"%REQ(:AUTHORITY)% r{number}"}}]
        out["response_headers_to_add"] = [{"header": {"key": "x-answer", "value": f"r{number}"}}]
    return out


def resources(seed, port, upstreams):
    choose = random.Random(seed)
    domains = [["a.example.com", "A.example.com:8080"], ["*.example.com"], ["*.b.example.com"]] + ([["*"]] if seed % 2 else [])
    hosts = [{"name": f"v{i}", "domains": d, "require_tls": "ALL" if choose.random() < 0.1 else "NONE", "routes": [route(choose, f"{i}-{n}") for n in range(choose.randint(1, 12))]} for i, d in enumerate(domains)]
    hosts.append({"name": f"mark{seed}", "domains": ["mark"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": f"mark {seed}"}}}]})
    hcm = {"@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "edge", "server_name": f"s{seed}", "normalize_path": bool(seed % 3), "merge_slashes": seed % 3 == 1,
           "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD" if seed % 3 == 2 else "KEEP_UNCHANGED", "use_remote_address": True, "strip_any_host_port": seed % 4 == 1,
           "rds": {"route_config_name": "edge", "config_source": {"ads": {}, "resource_api_version": "V3"}},
           "http_filters": [{"name": "router", "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}}]}
    return [{"@type": TYPE + "config.listener.v3.Listener", "name": "edge", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]},
            {"@type": TYPE + "config.route.v3.RouteConfiguration", "name": "edge", "virtual_hosts": hosts},
            *({"@type": TYPE + "config.cluster.v3.Cluster", "name": name, "connect_timeout": "1s",
               "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": up.port}}}}]}]}} for name, up in upstreams.items())]


def done(reply):
    """What came back, in the terms of an answer."""
    if b'"upstream"' not in reply.body:
        return {"status": reply.status, "location": reply.header("location"), "body": reply.body.decode() if reply.status in (200, 403, 404) and b"direct" in reply.body else ""}
    seen = json.loads(reply.body)
    headers = {n.lower(): v for n, v in seen["headers"]}
    return {"cluster": seen["upstream"], "path": seen["line"].split()[1], "host": headers["host"], "x-route": headers.get("x-route"), "x-answer": reply.header("x-answer")}


def said(answer):
    if answer["kind"] != "forwarded":
        return {"status": answer["status"], "location": answer.get("location"), "body": answer.get("body", "")}
    of = lambda list_, name: next((h["value"] for h in list_ if h["name"] == name), None)
    return {"cluster": answer["clusters"][0]["name"], "path": answer["upstream"]["path"], "host": answer["upstream"]["host"], "x-route": of(answer["upstream"]["headers"], "x-route"),
            "x-answer": of(answer["response_headers"], "x-answer")}


def run(lab):
    upstreams = {name: echo.Echo(name) for name in ("one", "two")}
    ports = {kind: free_port() for kind in ("proxy", "envoy")}
    admins = {kind: f"127.0.0.1:{free_port()}" for kind in ports}
    kinds = {}

    def write(seed):
        objects = [{"apiVersion": "fairlead.io/v1alpha1", "kind": "EnvoyResources", "metadata": {"name": kind}, "spec": {"nodes": {"clusters": [kind]}, "resources": resources(seed, port, upstreams)}} for kind, port in ports.items()]
        return lab.write("source/edge.yaml", "\n---\n".join(json.dumps(o) for o in objects)).parent

    source = write(0)
    _, xds, admin = lab.control(source)
    for kind in ports:
        lab.proxy(kind, lab.bootstrap(kind, kind, xds, admins[kind], "--id", kind), admins[kind])
    for seed in range(12):
        write(seed)
        for kind, port in ports.items():
            await_true(f"{kind} has table {seed}", lambda: marked(get(f"127.0.0.1:{port}", "/", headers={"host": "mark"}), seed))
            await_true(f"the control plane explains table {seed}", lambda: why(admin, kind, port, "mark", "/", {}).get("virtual_host") == f"mark{seed}")
        choose = random.Random(1000 + seed)
        for _ in range(30):
            host, path, headers = choose.choice(HOSTS), choose.choice(ASKED), {"x-h": choose.choice("12")} if choose.random() < 0.5 else {}
            for kind, port in ports.items():
                answer = why(admin, kind, port, host, path, headers)
                reply = get(f"127.0.0.1:{port}", path, headers={"host": host, **headers})
                told, did = said(answer), done(reply)
                require(told == did, f"table {seed}, {kind}: GET {path} of {host} with {headers}:\n  told {told}\n  did  {did}\n  {answer['answer']}\n  {json.dumps(answer['steps'])}")
                kinds[answer["kind"]] = kinds.get(answer["kind"], 0) + 1
    require(all(kinds.get(k, 0) > 10 for k in ("forwarded", "redirect", "direct", "not found", "refused")), f"the requests do not meet every kind of answer: {kinds}")


def why(admin, kind, port, host, path, headers):
    query = [("proxy", kind), ("url", f"http://127.0.0.1:{port}{path}"), ("header", f"host: {host}")] + [("header", f"{n}: {v}") for n, v in headers.items()]
    return json.loads(get(admin, "/why?" + urllib.parse.urlencode(query)).body)


def marked(reply, seed):
    """The listener and the route table of a seed are both in use."""
    return reply.header("server") == f"s{seed}" and reply.body == f"mark {seed}".encode()
