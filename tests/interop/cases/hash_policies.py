"""A request's parts make the same hash as in Envoy: headers, rewritten or several, cookies, query parameters, the client's address, joined and terminal.

Nothing listens behind the ring: a pick shows as %UPSTREAM_HOST% of the 503, so that the hosts, which the ring is made of, are the same for both."""
import http.client
import json

import lab
from lb_config import endpoint, flat, picked, proxy

KEY, QUERY, COOKIE, CLIENT = ({"header": {"header_name": "X-Key"}}, {"query_parameter": {"name": "q"}}, {"cookie": {"name": "sess"}}, {"connection_properties": {"source_ip": True}})
REWRITTEN = {"header": {"header_name": "x-key", "regex_rewrite": {"pattern": {"regex": "(key)-([0-9])[0-9]*"}, "substitution": "\\2-\\1"}}}
POLICIES = {
    "key": [KEY], "query": [QUERY], "cookie": [COOKIE], "client": [CLIENT], "rewritten": [REWRITTEN], "joined": [KEY, QUERY, COOKIE, CLIENT], "reversed": [CLIENT, COOKIE, QUERY, KEY],
    "same-twice": [KEY, KEY], "terminal": [{**KEY, "terminal": True}, QUERY], "terminal-after": [QUERY, {**KEY, "terminal": True}, COOKIE],
    "host": [{"header": {"header_name": ":authority"}}], "path": [{"header": {"header_name": ":path"}}], "no-client": [{"connection_properties": {"source_ip": False}, "terminal": True}, KEY],
}
REQUESTS = 40


def requests(n):
    """Of each request the query and the headers, a list as names repeat. Every policy finds something to hash in it."""
    key, other = ("x-key", f"key-{n}"), ("x-key", f"other-{n % 7}")
    cookie = ("cookie", [f"sess=s{n}", f"a=b; sess=\"s{n}\"; sess=x", f"sess= s{n}", f"x;  sess=s{n};"][n % 4])
    return f"?q={n}&q=x" if n % 2 else f"?a&q=%2{n}", [key, cookie] + ([other] if n % 3 == 0 else []) + ([("x-forwarded-for", f"10.0.0.{n}")] if n % 5 == 0 else [])


def picks(port, name):
    connection, out = http.client.HTTPConnection("127.0.0.1", port, timeout=10), []
    for n in range(REQUESTS):
        query, headers = requests(n)
        connection.putrequest("GET", f"/{name}{query}", skip_host=True)
        connection.putheader("host", f"h{n}.example")
        for header in headers:
            connection.putheader(*header)
        connection.endheaders()
        reply = connection.getresponse()
        reply.read()
        out.append(picked(reply))
    connection.close()
    return out


def through(l, kind):
    port, admin = lab.free_port(), lab.free_port()
    clusters = [{"name": name, "type": "STATIC", "connect_timeout": "1s", "lb_policy": "RING_HASH", "load_assignment": {"cluster_name": name, "endpoints": flat(*[endpoint(n) for n in range(1, 9)])}} for name in POLICIES]
    config = proxy(port, admin, clusters)
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        route["route"]["hash_policy"] = POLICIES[route["route"]["cluster"]]
    l.proxy(kind, l.write(f"{kind}.json", json.dumps(config)), f"127.0.0.1:{admin}")
    return {name: picks(port, name) for name in POLICIES}


def run(l):
    envoy, fairlead = through(l, "envoy"), through(l, "fairlead")
    for name in POLICIES:
        if len(set(envoy[name])) < 2:
            raise lab.Failed(f"{name}: all requests go to one host, so nothing is compared")
        lab.same(name, fairlead[name], envoy[name])
