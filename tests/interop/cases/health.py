"""Health checks and outlier detection against Envoy: which of good, bad, slow and absent hosts get traffic, what statistics and flags say."""
import collections
import http.client
import json
import re
import time

import lab
from echo import get_server
from lb_config import proxy

HOSTS = ("good", "bad", "slow", "degraded", "leaving", "flaky")
PACE = {"timeout": "0.3s", "interval": "0.1s", "no_traffic_interval": "0.1s", "healthy_threshold": 1, "unhealthy_threshold": 2}
HTTP = {**PACE, "http_health_check": {"path": "/health"}}
CLUSTERS = {  # name: hosts, fields
    "http": (("good", "bad", "slow", "gone"), {"health_checks": [HTTP]}),
    "degraded": (("good", "degraded", "bad"), {"health_checks": [HTTP]}),
    "all-bad": (("bad", "slow"), {"health_checks": [HTTP]}),
    "expected": (("good", "bad"), {"health_checks": [{**PACE, "http_health_check": {"path": "/health", "expected_statuses": [{"start": 500, "end": 501}]}}]}),
    "retriable": (("good", "bad"), {"health_checks": [{**PACE, "http_health_check": {"path": "/health", "retriable_statuses": [{"start": 500, "end": 501}]}}]}),
    "tcp": (("good", "gone"), {"health_checks": [{**PACE, "tcp_health_check": {}}]}),
    "tcp-bytes": (("good", "gone"), {"health_checks": [{**PACE, "tcp_health_check": {"send": {"text": b"GET /tcp HTTP/1.1\r\nhost: a\r\n\r\n".hex()}, "receive": [{"text": "48545450"}, {"text": "323030"}]}}]}),
    "passive": (("good", "leaving"), {"health_checks": [{**HTTP, "interval": "60s", "no_traffic_interval": "60s"}]}),
    "outlier": (("good", "flaky"), {"outlier_detection": {"consecutive_5xx": 3, "max_ejection_percent": 50, "base_ejection_time": "60s"}}),
    "outlier-gateway": (("good", "flaky"), {"outlier_detection": {"consecutive_5xx": 100, "consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100, "max_ejection_percent": 50}}),
    "outlier-connect": (("good", "gone"), {"outlier_detection": {"consecutive_5xx": 3, "max_ejection_percent": 50}}),
    "outlier-local": (("good", "gone"), {"outlier_detection": {"split_external_local_origin_errors": True, "consecutive_local_origin_failure": 3, "max_ejection_percent": 50}}),
    "outlier-ten-percent": (("good", "flaky"), {"outlier_detection": {"consecutive_5xx": 3}}),
    "outlier-one-always": (("good", "flaky"), {"outlier_detection": {"consecutive_5xx": 3, "always_eject_one_host": True}}),
    "outlier-not-enforced": (("good", "flaky"), {"outlier_detection": {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 0, "max_ejection_percent": 50}}),
    "outlier-percentage": (("good", "flaky"), {"outlier_detection": {"consecutive_5xx": 1000, "consecutive_gateway_failure": 1000, "interval": "0.5s", "enforcing_failure_percentage": 100, "max_ejection_percent": 50,
                                                                     "failure_percentage_minimum_hosts": 2, "failure_percentage_request_volume": 5}}),
    "both": (("good", "flaky"), {"health_checks": [{**HTTP, "interval": "60s", "no_traffic_interval": "60s"}], "outlier_detection": {"consecutive_5xx": 3, "max_ejection_percent": 50, "base_ejection_time": "60s"}}),
}


def upstream(kind, seen):
    def answer(request):
        check = request.path == "/health"
        if check:
            seen.setdefault(kind, (request.requestline, sorted((k.lower(), v) for k, v in request.headers.items() if k.lower() != "host")))
        if check and kind == "slow":
            time.sleep(1)
        headers = {}
        if check and kind == "degraded":
            headers["x-envoy-degraded"] = ""
        if not check and kind == "leaving":
            headers["x-envoy-immediate-health-check-fail"] = "1"
        return 500 if check and kind == "bad" else 503 if not check and kind == "flaky" else 200, headers

    return get_server(answer)


def through(l, kind):
    seen = {}
    servers = {name: upstream(name, seen) for name in HOSTS}
    ports = {**{name: s.server_port for name, s in servers.items()}, "gone": lab.free_port()}
    names = {str(p): n for n, p in ports.items()}
    port, admin = lab.free_port(), lab.free_port()
    endpoint = lambda p: {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": p}}}}
    clusters = [{"name": name, "type": "STATIC", "connect_timeout": "1s", **more,
                 "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(ports[h]) for h in hosts]}]}} for name, (hosts, more) in CLUSTERS.items()]
    process = l.proxy(kind, l.write(f"health-{kind}.json", json.dumps(proxy(port, admin, clusters))), f"127.0.0.1:{admin}")
    address = f"127.0.0.1:{admin}"

    def requests(count):
        out = {}
        for name in CLUSTERS:
            picked = collections.Counter()
            for _ in range(count * 6 if name == "degraded" else count):  # each of its two hosts gets half, by chance
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", f"/{name}")
                reply = connection.getresponse()
                reply.read()
                picked[names.get((reply.getheader("x-host") or "-").split(":")[-1], "-"), reply.status] += 1
                connection.close()
            out[name] = sorted(picked)
        return out

    try:
        time.sleep(1)   # so that checks have had their rounds
        requests(14)
        time.sleep(1.2)  # and detection its interval
        after = requests(6)
        text = lab.get(address, "/clusters").body
        flags = {}
        for name, at, value in re.findall(r"^([\w-]+)::127\.0\.0\.1:(\d+)::health_flags::(.*)$", text if isinstance(text, str) else text.decode(), re.M):
            flags[name, names[at]] = value
        stats = lab.get(address, "/stats").body
        stats = stats if isinstance(stats, str) else stats.decode()
        numbers = {}
        for name, value in re.findall(r"^cluster\.([\w.-]+): (\d+)$", stats, re.M):
            if ".outlier_detection." in name or ".health_check." in name or re.search(r"\.membership_(healthy|degraded|excluded|total)$", name):
                counts = re.search(r"\.health_check\.(attempt|success|failure|network_failure)$|ejections_overflow|detected_", name)
                numbers[name] = int(value) != 0 if counts else int(value)  # how often depends on the time
        return after, flags, numbers, seen
    finally:
        l.stop(process)
        for server in servers.values():
            server.shutdown()
            server.server_close()


def run(l):
    envoy, fairlead = through(l, "envoy"), through(l, "fairlead")
    for what, theirs, ours in zip(("hosts with traffic: ", "flags: ", "statistic "), envoy, fairlead):
        for name in sorted({*theirs, *ours}, key=str):
            lab.same(f"{what}{name}", ours.get(name), theirs.get(name))
    for host in envoy[3]:
        lab.same(f"the check that {host} sees", fairlead[3].get(host), envoy[3][host])
