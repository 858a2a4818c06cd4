"""Load that is dropped is answered as by Envoy, and so are clients without the cookie that a hash policy wants; cookies' random values aside."""
import http.client
import http.server
import json
import re
import threading

import lab
from lb_config import flat, proxy

COOKIE = {"cookie": {"name": "sess", "ttl": "60s", "path": "/p", "attributes": [{"name": "Secure"}, {"name": "SameSite", "value": "Strict"}]}}
RETRY = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"}}
ROUTES = {  # by cluster: fields of the route, of the cluster, of its assignment
    "drop-all": ({"retry_policy": RETRY}, {}, {"policy": {"drop_overloads": [{"category": "c", "drop_percentage": {"numerator": 100}}]}}),
    "drop-most": ({"retry_policy": RETRY}, {}, {"policy": {"drop_overloads": [{"category": "c", "drop_percentage": {"numerator": 999999, "denominator": "MILLION"}}]}}),
    "drop-none": ({}, {}, {"policy": {"drop_overloads": [{"category": "c", "drop_percentage": {"numerator": 0}}]}}),
    "cookie": ({"hash_policy": [COOKIE]}, {"lb_policy": "RING_HASH"}, {}),
    "session": ({"hash_policy": [{"cookie": {"name": "sess", "ttl": "0s"}}]}, {"lb_policy": "MAGLEV"}, {}),
    "no-ttl": ({"hash_policy": [{"cookie": {"name": "sess"}}]}, {"lb_policy": "RING_HASH"}, {}),
    "nobody-asks": ({"hash_policy": [COOKIE]}, {}, {}),
    "fails": ({"hash_policy": [COOKIE], "retry_policy": RETRY}, {"lb_policy": "RING_HASH"}, {}),
}


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(503 if self.path == "/fails" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def through(l, kind, upstream):
    port, admin = lab.free_port(), lab.free_port()
    address = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}
    clusters = [{"name": name, "type": "STATIC", "connect_timeout": "1s", **more, "load_assignment": {"cluster_name": name, "endpoints": flat(address), **assignment}}
                for name, (_, more, assignment) in ROUTES.items()]
    config = proxy(port, admin, clusters)
    hosts = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    for route in hosts[0]["routes"]:
        route["route"].update(ROUTES[route["route"]["cluster"]][0])
        route["response_headers_to_add"] = [{"header": {"key": "x-seen", "value": "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%"}}]
    l.proxy(kind, l.write(f"{kind}.json", json.dumps(config)), f"127.0.0.1:{admin}")
    out = {}
    for name in ROUTES:
        for what, headers in (("", {}), (" with a cookie", {"cookie": "sess=here"})):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", f"/{name}", headers=headers)
            reply = connection.getresponse()
            shown = [(k, re.sub('sess="[0-9a-f]{16}"', 'sess="X"', v)) for k, v in reply.getheaders() if k in ("set-cookie", "x-seen", "content-type", "content-length") or "overload" in k]
            out[name + what] = (reply.status, reply.read().decode(), sorted(shown))
            connection.close()
    return out


def run(l):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        envoy, fairlead = through(l, "envoy", server.server_port), through(l, "fairlead", server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    for name in envoy:
        lab.same(name, fairlead[name], envoy[name])
    lab.same("a client without the cookie gets one", [k for k, _ in envoy["cookie"][2]].count("set-cookie"), 1)
