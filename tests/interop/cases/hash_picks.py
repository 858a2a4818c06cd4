"""Ring hash and Maglev send each key where Envoy sends it: rings, tables, weights, localities, priorities, hostnames, both hash functions.

Nothing listens behind most clusters: a pick shows as %UPSTREAM_HOST% of the 503, so that addresses, which the hashes are made of, can be the
same in every run. Bounded load is asked with requests that stay open, and keys from metadata. Envoy's picks are recorded in tests/unit/dataplane/upstream/envoy_picks.json, against which a unit test holds the tables;
this case compares them with Envoy as it is now, and with fairlead-proxy. FAIRLEAD_REGENERATE=1 records them again."""
import http.client
import json
import os
import queue
import selectors
import socket
import threading

import lab
from lb_config import TYPE, endpoint, flat, picked, proxy, typed, zone

RECORDED = lab.ROOT / "tests/unit/dataplane/upstream/envoy_picks.json"
KEYS = 300
HELD = 80  # requests in flight at the end, over three keys

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

SHARDS = flat(*[endpoint(n, weight=w, key=f"shard-{n}") for n, w in ((1, 1), (2, 2), (3, 3), (4, 1), (5, 1))])
BOUND = {"common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 120}}}
BOUNDED = {
    "ring-bounded": (SHARDS, {"lb_policy": "RING_HASH", **BOUND}),
    "maglev-bounded": (SHARDS, {"lb_policy": "MAGLEV", **BOUND}),
    "maglev-bounded-typed": (SHARDS, typed("maglev", "Maglev", consistent_hashing_lb_config={"hash_balance_factor": 200})),
}


class Silent:
    """Listens as each of five hosts, never answers, and tells which host a request came to."""

    def __init__(self):
        self.arrived, self.stopped = queue.Queue(), threading.Event()
        self.selector, self.ports = selectors.DefaultSelector(), {}
        for n in range(1, 6):
            s = socket.create_server(("127.0.0.1", 0))
            self.ports[n] = s.getsockname()[1]
            self.selector.register(s, selectors.EVENT_READ, n)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.stopped.is_set():
            for ready, _ in self.selector.select(0.05):
                if ready.data < 10:
                    self.selector.register(ready.fileobj.accept()[0], selectors.EVENT_READ, ready.data + 10)
                    continue
                try:
                    data = ready.fileobj.recv(65536)
                except ConnectionError:
                    data = b""
                if data:
                    self.arrived.put(ready.data - 10)
                else:
                    self.selector.unregister(ready.fileobj)
                    ready.fileobj.close()

    def stop(self):
        self.stopped.set()
        self.thread.join()
        for open_socket in list(self.selector.get_map().values()):
            open_socket.fileobj.close()


def cluster(name):
    endpoints, balancing = {**CLUSTERS, **BOUNDED}[name]
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **balancing}


def bootstrap(port, admin, silent):
    bounded = []
    for name in BOUNDED:
        live = json.loads(json.dumps(cluster(name)))
        for e in live["load_assignment"]["endpoints"][0]["lb_endpoints"]:
            address = e["endpoint"]["address"]["socket_address"]
            address["port_value"] = silent.ports[int(address["address"].rsplit(".", 1)[1])]
            address["address"] = "127.0.0.1"
        bounded.append(live)
    policy = {"hash_policy": [{"header": {"header_name": "x-key"}}]}
    return proxy(port, admin, [cluster(name) for name in CLUSTERS] + bounded, policy)


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
            out[name].append(picked(reply))
    connection.close()
    return out


def held_picks(port, silent):
    """Per bounded cluster, the hosts of requests that are sent one after the other and all stay open."""
    out = {}
    for name in BOUNDED:
        sockets, out[name] = [], []
        for k in range(HELD):
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            s.sendall(f"GET /{name} HTTP/1.1\r\nhost: a\r\nx-key: key-{k % 3}\r\n\r\n".encode())
            sockets.append(s)
            out[name].append(silent.arrived.get(timeout=10))
        for s in sockets:
            s.close()
    return out


def through(l, kind):
    port, admin = lab.free_port(), lab.free_port()
    silent = Silent()
    try:
        return picks_of(l, kind, port, admin, silent)
    finally:
        silent.stop()


def picks_of(l, kind, port, admin, silent):
    config = l.write(f"{kind}.json", json.dumps(bootstrap(port, admin, silent)))
    l.proxy(kind, config, f"127.0.0.1:{admin}")
    return {**picks(port), **held_picks(port, silent)}


def run(l):
    envoy = through(l, "envoy")
    if os.environ.get("FAIRLEAD_REGENERATE"):
        rows = [json.dumps({"cluster": cluster(name), "held": name in BOUNDED, "picks": " ".join(map(str, envoy[name]))}) for name in envoy]
        RECORDED.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    recorded = {row["cluster"]["name"]: [int(p) for p in row["picks"].split()] for row in json.loads(RECORDED.read_text())}
    lab.same("the recorded clusters", sorted(envoy), sorted(recorded))
    fairlead = through(l, "fairlead")
    for name in envoy:
        lab.same(f"{name}: recorded and live", recorded[name], envoy[name])
        lab.same(f"{name}: picks", fairlead[name], envoy[name])
