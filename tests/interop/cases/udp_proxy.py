"""UDP: the same datagrams through udp_proxy in Envoy and in fairlead-proxy: who gets what, statistics, access logs, and which configurations are refused."""
import json
import re
import socket
import time

import lab as peers
from lab import await_true, free_port, get, require

TYPE = "type.googleapis.com/envoy."
PROXY = TYPE + "extensions.filters.udp.udp_proxy.v3."
INPUTS = TYPE + "extensions.matching.common_inputs.network.v3."
SESSION = "cluster_name bytes_sent bytes_received errors_sent datagrams_sent datagrams_received".split()
WHOLE = "bytes_sent bytes_received errors_sent errors_received datagrams_sent datagrams_received no_route session_total idle_timeout".split()
WORDS = ["ACCESS_LOG_TYPE", "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "BYTES_RECEIVED", "BYTES_SENT", "RESPONSE_FLAGS", "PROTOCOL", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
         "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "CONNECTION_ID", "UPSTREAM_LOCAL_ADDRESS", "REQUESTED_SERVER_NAME", "FILTER_CHAIN_NAME"]


def at(host, port, protocol="UDP"):
    return {"socket_address": {"protocol": protocol, "address": host, "port_value": port}}


def log(path, scope, fields):
    text = " ".join(f"{f}=%DYNAMIC_METADATA(udp.proxy.{scope}:{f})%" for f in fields) + " " + " ".join(f"{w}=%{w}%" for w in WORDS)
    return {"name": "file", "typed_config": {"@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog", "path": str(path), "log_format": {"text_format_source": {"inline_string": text + "\n"}}}}


def proxy_filter(name, logs, **fields):
    if "matcher" not in fields and "cluster" not in fields:
        fields["matcher"] = {"on_no_match": route(f"{name}-up")}
    return {"name": "udp", "typed_config": {"@type": PROXY + "UdpProxyConfig", "stat_prefix": name, "access_log": [log(logs / f"{name}-session.log", "session", SESSION)],
                                            "proxy_access_log": [log(logs / f"{name}-proxy.log", "proxy", WHOLE)], **fields}}


def route(cluster):
    return {"action": {"name": "route", "typed_config": {"@type": PROXY + "Route", "cluster": cluster}}}


def input_of(name):
    return {"name": "in", "typed_config": {"@type": INPUTS + name}}


def cluster(name, ports, **more):
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", **more,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at("127.0.0.1", p, "TCP")}} for p in ports]}]}}


class Peer:
    """A UDP socket that waits 3 s at most."""

    def __init__(self, host="127.0.0.1", port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.settimeout(3)
        self.port = self.socket.getsockname()[1]

    def send(self, port, data, host="127.0.0.1"):
        self.socket.sendto(data, (host, port))

    def get(self):
        try:
            data, self.sender = self.socket.recvfrom(70000)
            return data
        except TimeoutError:
            return b"(nothing)"

    def answer(self, data):
        self.socket.sendto(data, self.sender)


def short(data):
    return f"{data[:12]}{len(data)}"


# Each scenario: what a filter says beyond the defaults, the hosts of its cluster, and what is sent; `play` returns what was seen.
def exchange(port, hosts, client):
    seen = []
    for data in (b"one", b"", b"x" * 1500, b"y" * 1501, b"after"):
        client.send(port, data)
        if len(data) > 1500: continue
        seen.append(short(hosts[0].get()))
        hosts[0].answer(data + b"!" if len(data) < 1500 else data)
        seen.append(short(client.get()))
    hosts[0].answer(b"z" * 1501)
    hosts[0].answer(b"end")
    return [*seen, short(client.get())]


def two_clients(port, hosts, client):
    other, seen = Peer(), []
    for one, data in ((client, b"1"), (other, b"2"), (client, b"3"), (other, b"4")):
        one.send(port, data)
        seen.append((hosts[0].get(), ))
        hosts[0].answer(data * 2)
        seen.append(one.get())
    return seen


def refused_host(port, hosts, client):
    client.send(port, b"a")
    seen = [hosts[0].get()]
    hosts[0].socket.close()
    client.send(port, b"b")
    time.sleep(0.2)
    client.send(port, b"c")
    time.sleep(0.2)
    return seen


def overflow(port, hosts, client):
    client.send(port, b"a")
    seen = [hosts[0].get()]
    Peer().send(port, b"b")
    time.sleep(0.2)
    client.send(port, b"c")
    return [*seen, hosts[0].get()]


def once(port, hosts, client):
    client.send(port, b"a")
    time.sleep(0.3)
    return []


def idle(port, hosts, client):
    client.send(port, b"a")
    seen = [hosts[0].get()]
    time.sleep(0.6)
    client.send(port, b"b")
    return [*seen, hosts[0].get()]


def per_packet(port, hosts, client):
    for i in range(4):
        client.send(port, b"%d" % i)
        time.sleep(0.05)
    seen = sorted([h.get() for h in hosts for _ in range(2)])
    for h in hosts:
        h.answer(b"back")
        seen.append(client.get())
    return seen


def other_address(port, hosts, client):
    client.send(port, b"a", "127.0.0.9")
    seen = [hosts[0].get()]
    hosts[0].answer(b"A")
    return [*seen, client.get(), client.sender[0]]


SCENARIOS = {
    "exchange": ({}, 1, {}, exchange),
    "cluster": ({"cluster": "cluster-up"}, 1, {}, exchange),
    "two": ({}, 1, {}, two_clients),
    "refused": ({}, 1, {}, refused_host),
    "overflow": ({}, 1, {"circuit_breakers": {"thresholds": [{"max_connections": 1}]}}, overflow),
    "nohost": ({}, 0, {}, once),
    "nocluster": ({"cluster": "nowhere"}, 1, {}, once),
    "nomatch": ({"matcher": {"matcher_tree": {"input": input_of("SourceIPInput"), "exact_match_map": {"map": {"10.0.0.1": route("nomatch-up")}}}}}, 1, {}, once),
    "match": ({"matcher": {"matcher_tree": {"input": input_of("SourceIPInput"), "exact_match_map": {"map": {"127.0.0.1": route("match-up")}}}}}, 1, {}, two_clients),
    "idle": ({"idle_timeout": "0.25s"}, 1, {}, idle),
    "packets": ({"use_per_packet_load_balancing": True}, 2, {"lb_policy": "ROUND_ROBIN"}, per_packet),
    "large": ({"upstream_socket_config": {"max_rx_datagram_size": 100}}, 1, {}, exchange),
    "any": ({}, 1, {}, other_address),
}
# What Envoy accepts though nothing would come of it; see docs/differences.md.
STRICTER = {"two filters", "no filter"}
# What is not compared: counts of reads, and what fairlead-proxy counts only where there is something to count.
SKIP = re.compile(r"(max_host_weight|_per_cx|length_ms|connect_ms|lb_|circuit_breakers|http1|http2|upstream_flow|ring_hash|default\.|client_ssl|upstream_rq_|retry|assignment|update_|original_dst|bind_errors|_pool_|"
                  r"upstream_cx_(http|idle|max|close|protocol|preconnect|connect_with_0_rtt)|sess_tunnel|warming_state|http3_broken|queue_overloaded|worker_0|config_missing$|listener\.admin\.|_buffered|internal_redirect|upstream_internal)")


def statistics(admin):
    """Everything of the scenarios' scopes."""
    out = {}
    for line in get(admin, "/stats").body.decode().splitlines():
        name, _, value = line.partition(": ")
        if name.split(".")[0] in ("udp", "listener", "cluster") and not SKIP.search(name):
            out[re.sub(r"\d+\.\d+\.\d+\.\d+_\d+", "ADDRESS", name)] = value
    return out


def start(lab, kind):
    logs = lab.dir / kind
    logs.mkdir()
    ports, hosts, listeners, clusters = {}, {}, [], []
    for name, (fields, count, more, _) in SCENARIOS.items():
        ports[name], hosts[name] = Peer(), [Peer() for _ in range(count)]
        ports[name].socket.close()
        address = "0.0.0.0" if name == "any" else "127.0.0.1"
        listeners.append({"name": name, "stat_prefix": f"l-{name}", "address": at(address, ports[name].port), "listener_filters": [proxy_filter(name, logs, **fields)]})
        clusters.append(cluster(f"{name}-up", [h.port for h in hosts[name]], **more))
    admin = f"127.0.0.1:{free_port()}"
    config = lab.write(f"{kind}.json", json.dumps({"admin": {"address": at(*admin.split(":"), "TCP")}, "static_resources": {"listeners": listeners, "clusters": clusters}}))
    process = lab.proxy(kind, config, admin)
    return process, admin, {n: p.port for n, p in ports.items()}, hosts, logs


def lines(folder):
    out = {}
    for path in sorted(folder.glob("*.log")):
        out[path.name] = sorted(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", re.sub(r"CONNECTION_ID=\d+", "CONNECTION_ID=N", line)) for line in path.read_text().splitlines())
    return out


REFUSED = {
    "two filters": lambda base: {**base, "listener_filters": base["listener_filters"] * 2},
    "a chain": lambda base: {**base, "filter_chains": [{"filters": []}]},
    "no filter": lambda base: {**base, "listener_filters": []},
    "a filter of TCP": lambda base: {**base, "listener_filters": [{"name": "t", "typed_config": {"@type": TYPE + "extensions.filters.listener.tls_inspector.v3.TlsInspector"}}]},
    "UDP's filter of TCP": lambda base: {**base, "address": at("127.0.0.1", free_port(), "TCP"), "filter_chains": [{"filters": [{"name": "e", "typed_config": {"@type": TYPE + "extensions.filters.network.echo.v3.Echo"}}]}]},
    "an address of TCP": lambda base: {**base, "additional_addresses": [{"address": at("127.0.0.1", free_port(), "TCP")}]},
    "another address": lambda base: {**base, "additional_addresses": [{"address": at("127.0.0.1", free_port())}]},
    "plain": lambda base: base,
}


def accepts(lab, kind, name, listener):
    config = lab.write("judge.json", json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster("x-up", [1])]}}))
    command = [peers.envoy(), "--mode", "validate", "-c", config, "--log-level", "critical"] if kind == "envoy" else [peers.BIN / "fairlead-proxy", "--mode", "validate", "-c", config]
    process = lab.start(f"judge-{kind}", command)
    status = process.process.wait(30)
    print(f"{kind} on {name}: {'accepted' if status == 0 else process.text().strip()[-300:]}")
    lab.stop(process)
    return status == 0


def run(lab):
    seen, stats, logged = {}, {}, {}
    for kind in ("envoy", "fairlead-proxy"):
        process, admin, ports, hosts, logs = start(lab, kind)
        seen[kind] = {name: play(ports[name], hosts[name], Peer()) for name, (*_, play) in SCENARIOS.items()}
        time.sleep(0.3)
        stats[kind] = statistics(admin)
        lab.stop(process)
        logged[kind] = lines(logs)
    wrong = []
    for name in SCENARIOS:
        if seen["envoy"][name] != seen["fairlead-proxy"][name]:
            wrong.append(f"{name}: Envoy {seen['envoy'][name]}, here {seen['fairlead-proxy'][name]}")
    for name in sorted(stats["envoy"].keys() | stats["fairlead-proxy"].keys()):
        theirs, ours = stats["envoy"].get(name), stats["fairlead-proxy"].get(name)
        if theirs != ours:
            wrong.append(f"stat {name}: Envoy {theirs}, here {ours}")
    for name in sorted(logged["envoy"].keys() | logged["fairlead-proxy"].keys()):
        theirs, ours = logged["envoy"].get(name), logged["fairlead-proxy"].get(name)
        if theirs != ours:
            wrong.append(f"log {name}:\n  Envoy {theirs}\n  here  {ours}")
    base = {"name": "l", "address": at("127.0.0.1", free_port()), "listener_filters": [proxy_filter("x", lab.dir)]}
    for name, change in REFUSED.items():
        verdicts = {kind: accepts(lab, kind, name, change(base)) for kind in ("envoy", "fairlead-proxy")}
        if (len(set(verdicts.values())) > 1) != (name in STRICTER):
            wrong.append(f"configuration with {name} accepted: {verdicts}")
    print(f"{len(SCENARIOS)} scenarios, {len(stats['envoy'])} statistics, {sum(map(len, logged['envoy'].values()))} lines of access logs, {len(REFUSED)} configurations")
    require(not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:60]))
