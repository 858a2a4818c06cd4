"""Requests are spread over hosts as Envoy spreads them: weights, localities, zones, priorities, degraded hosts, panic, and the lb_* statistics.

As in hash_picks nothing listens behind the clusters: a pick shows as %UPSTREAM_HOST% of the 503."""
import collections
import http.client
import json

import lab
from lb_config import endpoint, flat, picked, proxy, typed, zone

REQUESTS = 600
STATS = ("lb_healthy_panic", "lb_local_cluster_not_ok", "lb_zone_cluster_too_small", "lb_zone_no_capacity_left", "lb_zone_routing_all_directly",
         "lb_zone_routing_cross_zone", "lb_zone_routing_sampled", "upstream_cx_none_healthy", "membership_total", "membership_healthy", "membership_degraded")


def hosts(first, count, **more):
    return [endpoint(n, **more) for n in range(first, first + count)]


WEIGHTED = flat(*[endpoint(n, weight=w) for n, w in ((1, 1), (2, 2), (3, 3))])
THREE = [zone("a", 3, 0, *hosts(1, 2)), zone("b", 1, 0, *hosts(3, 2)), zone("c", None, 0, endpoint(5))]
# Our zone is b, where 2 of our 4 hosts are.
BALANCED = [zone("a", None, 0, *hosts(1, 2)), zone("b", None, 0, *hosts(3, 4)), zone("c", None, 0, *hosts(7, 2))]
SPARSE = [zone("a", None, 0, *hosts(1, 4)), zone("b", None, 0, *hosts(5, 2)), zone("c", None, 0, *hosts(7, 2))]
SICK = [zone("a", None, 0, *hosts(1, 4)), zone("b", None, 0, *hosts(5, 2, health="UNHEALTHY")), zone("c", None, 0, *hosts(7, 2))]
SPILL = [zone("a", None, 0, endpoint(1), endpoint(2, health="UNHEALTHY")), zone("b", None, 1, *hosts(3, 2))]
DEGRADED = flat(endpoint(1), endpoint(2, health="DEGRADED"), endpoint(3, health="UNHEALTHY"), endpoint(4, health="DRAINING"))
PANIC = flat(endpoint(1), *hosts(2, 3, health="UNHEALTHY"))
LOCALITIES = {"locality_lb_config": {"locality_weighted_lb_config": {}}}

CLUSTERS = {
    "weighted": (WEIGHTED, {}),
    "weighted-least": (WEIGHTED, {"lb_policy": "LEAST_REQUEST"}),
    "weighted-random": (WEIGHTED, {"lb_policy": "RANDOM"}),
    "least-scan": (flat(*hosts(1, 3)), typed("least_request", "LeastRequest", selection_method="FULL_SCAN")),
    "localities": (THREE, {"common_lb_config": {"locality_weighted_lb_config": {}}}),
    "localities-typed": (THREE, typed("random", "Random", **LOCALITIES)),
    "localities-unweighted": ([zone("a", None, 0, *hosts(1, 2)), zone("b", None, 0, endpoint(3))], {"common_lb_config": {"locality_weighted_lb_config": {}}}),
    "localities-sick": ([zone("a", 10, 0, endpoint(1), endpoint(2, health="UNHEALTHY")), zone("b", 7, 0, *hosts(3, 2))],
                        {"common_lb_config": {"locality_weighted_lb_config": {}}}),
    "zones-direct": (BALANCED, {}),
    "zones-residual": (SPARSE, {"lb_policy": "RANDOM"}),
    "zones-sick": (SICK, {}),
    "zones-small": (flat(*hosts(1, 5)), {}),
    "zones-small-allowed": ([zone("a", None, 0, endpoint(1)), zone("b", None, 0, endpoint(2))], {"common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": 2}}}),
    "zones-off": (BALANCED, {"common_lb_config": {"zone_aware_lb_config": {"routing_enabled": {"value": 0}}}}),
    "zones-half": (BALANCED, typed("random", "Random", locality_lb_config={"zone_aware_lb_config": {"routing_enabled": {"value": 50}}})),
    "zones-forced": (SPARSE, typed("round_robin", "RoundRobin", locality_lb_config={"zone_aware_lb_config": {"force_locality_direct_routing": True}})),
    "zones-forced-min": (SPARSE, typed("round_robin", "RoundRobin", locality_lb_config={"zone_aware_lb_config": {"force_local_zone": {"min_size": 3}}})),
    "zones-by-weight": ([zone("a", None, 0, *hosts(1, 3)), zone("b", None, 0, *hosts(4, 3, weight=3))],
                        typed("random", "Random", locality_lb_config={"zone_aware_lb_config": {"locality_basis": "HEALTHY_HOSTS_WEIGHT"}})),
    "priorities": (SPILL, {}),
    "degraded": (DEGRADED, {"common_lb_config": {"healthy_panic_threshold": {"value": 10}}}),
    "panic": (PANIC, {}),
    "panic-fails": (PANIC, {"common_lb_config": {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}}),
    "panic-never": (PANIC, {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}),
    "weighted-health": (flat(endpoint(1, weight=98, health="UNHEALTHY"), *hosts(2, 2)) + [zone("b", None, 1, endpoint(4))], {"policy": {"weighted_priority_health": True}}),
    "overprovisioning": (SPILL, {"policy": {"overprovisioning_factor": 100}}),
    "ring-panic": (PANIC, {"lb_policy": "RING_HASH"}),
    "maglev-degraded": (DEGRADED, {"lb_policy": "MAGLEV", "common_lb_config": {"healthy_panic_threshold": {"value": 10}}}),
}


def cluster(name, endpoints, balancing):
    policy = {"policy": balancing["policy"]} if "policy" in balancing else {}
    fields = {k: v for k, v in balancing.items() if k != "policy"}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints, **policy}, **fields}


def bootstrap(port, admin):
    own = cluster("self", [zone("a", None, 0, endpoint(101)), zone("b", None, 0, endpoint(102), endpoint(103)), zone("c", None, 0, endpoint(104))], {})
    return proxy(port, admin, [own] + [cluster(name, *CLUSTERS[name]) for name in CLUSTERS],
                 more={"node": {"id": "n", "cluster": "self", "locality": {"region": "r", "zone": "b"}}, "cluster_manager": {"local_cluster_name": "self"}})


def through(l, kind):
    port, admin = lab.free_port(), lab.free_port()
    config = l.write(f"{kind}.json", json.dumps(bootstrap(port, admin)))
    l.proxy(kind, config, f"127.0.0.1:{admin}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    shares = {}
    for name in CLUSTERS:
        seen = collections.Counter()
        for _ in range(REQUESTS):
            connection.request("GET", f"/{name}")
            reply = connection.getresponse()
            reply.read()
            seen[picked(reply)] += 1
        shares[name] = dict(sorted(seen.items()))
    connection.close()
    text = lab.get(f"127.0.0.1:{admin}", "/stats").body.decode()
    stats = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return shares, {name: {s: int(stats.get(f"cluster.{name}.{s}", 0)) for s in STATS} for name in CLUSTERS}


def alike(ours, theirs):
    """Whether two counts may come from one distribution: two-sample chi-square, one chance in some 100,000 per row to fail by accident."""
    keys = sorted(set(ours) | set(theirs))
    if sum(ours.values()) != sum(theirs.values()):
        return False
    value = sum((ours.get(k, 0) - theirs.get(k, 0)) ** 2 / (ours.get(k, 0) + theirs.get(k, 0)) for k in keys)
    return value < 15 + 4 * len(keys)


def run(l):
    envoy, envoy_stats = through(l, "envoy")
    fairlead, fairlead_stats = through(l, "fairlead")
    for name in CLUSTERS:
        lab.require(alike(fairlead[name], envoy[name]), f"{name}: hosts and their requests:\n  fairlead: {fairlead[name]}\n  envoy:    {envoy[name]}")
        for stat in STATS:
            ours, theirs = fairlead_stats[name][stat], envoy_stats[name][stat]
            drawn = stat.startswith("lb_zone_routing")  # a draw per request decides
            updates = stat == "lb_zone_cluster_too_small"  # counted whenever Envoy looks at the zones again
            good = ours == theirs or (drawn and abs(ours - theirs) < 120) or (updates and (ours == 0) == (theirs == 0))
            lab.require(good, f"{name}: {stat}: fairlead {ours}, envoy {theirs}")
