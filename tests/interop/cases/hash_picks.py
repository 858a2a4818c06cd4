"""Ring hash and Maglev send each key where Envoy sends it: rings, tables, weights, localities, priorities, hostnames, both hash functions.

Nothing listens behind the clusters: a pick shows as %UPSTREAM_HOST% of the 503, so that addresses, which the hashes are made of, can be the
same in every run. Envoy's picks are recorded in tests/unit/dataplane/upstream/envoy_picks.json, against which a unit test holds the tables;
this case compares them with Envoy as it is now, and with fairlead-proxy. FAIRLEAD_REGENERATE=1 records them again."""
import http.client
import json
import os
import subprocess

import lab

RECORDED = lab.ROOT / "tests/unit/dataplane/upstream/envoy_picks.json"
KEYS = 300
TYPE = "type.googleapis.com/envoy.extensions"


def endpoint(n, weight=None, hostname=None, health=None, key=None):
    e = {"endpoint": {"address": {"socket_address": {"address": f"127.7.0.{n}", "port_value": 1}}}}
    if hostname:
        e["endpoint"]["hostname"] = hostname
    if weight:
        e["load_balancing_weight"] = weight
    if health:
        e["health_status"] = health
    if key:
        e["metadata"] = {"filter_metadata": {"envoy.lb": {"hash_key": key}}}
    return e


def flat(*endpoints):
    return [{"lb_endpoints": list(endpoints)}]


def zone(name, weight, priority, *endpoints):
    z = {"locality": {"region": "r", "zone": name}, "lb_endpoints": list(endpoints), "priority": priority}
    if weight is not None:
        z["load_balancing_weight"] = weight
    return z


def typed(kind, message, **fields):
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {
        "name": kind, "typed_config": {"@type": f"{TYPE}.load_balancing_policies.{kind}.v3.{message}", **fields}}}]}}


EQUAL = flat(*[endpoint(n) for n in range(1, 6)])
WEIGHTED = flat(*[endpoint(n, weight=w) for n, w in ((1, 1), (2, 2), (3, 3), (4, 5), (5, 8))])
NAMED = flat(*[endpoint(n, hostname=f"backend-{n}.example") for n in range(1, 6)])
ZONES = [zone("c", 3, 0, endpoint(1, 2), endpoint(2)), zone("a", 2, 0, endpoint(3), endpoint(4, 3), endpoint(5, health="UNHEALTHY")),
         zone("b", 1, 0, endpoint(6)), zone("d", None, 0, endpoint(7))]
PRIORITIES = [zone("a", None, 0, endpoint(1), endpoint(2, health="UNHEALTHY")), zone("b", None, 1, endpoint(3), endpoint(4))]
PANIC = flat(endpoint(1), *[endpoint(n, health="UNHEALTHY") for n in range(2, 6)])

CLUSTERS = {
    "ring": (EQUAL, {"lb_policy": "RING_HASH"}),
    "ring-murmur": (EQUAL, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}}),
    "ring-weighted": (WEIGHTED, {"lb_policy": "RING_HASH"}),
    "ring-weighted-murmur": (WEIGHTED, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2", "minimum_ring_size": 100}}),
    "ring-small": (WEIGHTED, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 1, "maximum_ring_size": 17}}),
    "ring-hostname": (NAMED, {"type": "STRICT_DNS", "lb_policy": "RING_HASH", "common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}}),
    "ring-metadata": (flat(*[endpoint(n, key=f"shard-{n % 3}-{n}") for n in range(1, 5)], endpoint(5)), {"lb_policy": "RING_HASH"}),
    "ring-localities": (ZONES, {"lb_policy": "RING_HASH", "common_lb_config": {"locality_weighted_lb_config": {}}}),
    "ring-localities-unweighted": (ZONES, {"lb_policy": "RING_HASH"}),
    "ring-priorities": (PRIORITIES, {"lb_policy": "RING_HASH"}),
    "ring-panic": (PANIC, {"lb_policy": "RING_HASH"}),
    "ring-bounded-idle": (WEIGHTED, {"lb_policy": "RING_HASH", "common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 150}}}),
    "ring-typed": (NAMED, typed("ring_hash", "RingHash", hash_function="MURMUR_HASH_2", minimum_ring_size=64,
                                consistent_hashing_lb_config={"use_hostname_for_hashing": True})),
    "ring-typed-localities": (ZONES, typed("ring_hash", "RingHash", locality_weighted_lb_config={})),
    "maglev": (EQUAL, {"lb_policy": "MAGLEV"}),
    "maglev-weighted": (WEIGHTED, {"lb_policy": "MAGLEV"}),
    "maglev-small": (WEIGHTED, {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 211}}),
    "maglev-hostname": (NAMED, {"type": "STRICT_DNS", "lb_policy": "MAGLEV", "common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}}),
    "maglev-localities": (ZONES, {"lb_policy": "MAGLEV", "common_lb_config": {"locality_weighted_lb_config": {}}}),
    "maglev-priorities": (PRIORITIES, {"lb_policy": "MAGLEV"}),
    "maglev-typed": (NAMED, typed("maglev", "Maglev", table_size=1009, consistent_hashing_lb_config={"use_hostname_for_hashing": True})),
}


def cluster(name):
    endpoints, balancing = CLUSTERS[name]
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **balancing}


def bootstrap(port, admin):
    routes = [{"match": {"path": f"/{name}"}, "route": {"cluster": name, "hash_policy": [{"header": {"header_name": "x-key"}}]}} for name in CLUSTERS]
    manager = {"@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
               "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
               "route_config": {"response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_HOST%"}}],
                                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}}
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}],
        "clusters": [cluster(name) for name in CLUSTERS]}}


def picks(port):
    """Per cluster, for each key the number of the endpoint: the last part of its address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    out = {}
    for name in CLUSTERS:
        out[name] = []
        for k in range(KEYS):
            connection.request("GET", f"/{name}", headers={"x-key": f"key-{k}"})
            reply = connection.getresponse()
            reply.read()
            host = reply.getheader("x-host") or "-"
            out[name].append(int(host.split(":")[0].rsplit(".", 1)[1]) if host != "-" else 0)
    connection.close()
    return out


def through(l, kind):
    port, admin = lab.free_port(), lab.free_port()
    config = l.write(f"{kind}.json", json.dumps(bootstrap(port, admin)))
    if kind == "fairlead":
        checked = subprocess.run([lab.BIN / "fairlead-proxy", "--mode", "validate", "-c", config], capture_output=True, text=True)
        if "hash_policy: not supported" in checked.stdout + checked.stderr:
            return None
    l.proxy(kind, config, f"127.0.0.1:{admin}")
    return picks(port)


def run(l):
    envoy = through(l, "envoy")
    if os.environ.get("FAIRLEAD_REGENERATE"):
        rows = [json.dumps({"cluster": cluster(name), "picks": " ".join(map(str, envoy[name]))}) for name in CLUSTERS]
        RECORDED.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    recorded = {row["cluster"]["name"]: [int(p) for p in row["picks"].split()] for row in json.loads(RECORDED.read_text())}
    lab.same("the recorded clusters", sorted(CLUSTERS), sorted(recorded))
    fairlead = through(l, "fairlead")
    for name in CLUSTERS:
        lab.same(f"{name}: recorded and live", recorded[name], envoy[name])
        if fairlead is not None:
            lab.same(f"{name}: picks", fairlead[name], envoy[name])
    if fairlead is None:
        print("        routes have no hash policies yet: only Envoy's picks were compared with the recorded ones", flush=True)
