"""What attacks on a proxy have in common: each is played from a process of its own against a listener of its own, while another client is served on the same
listener. Looked at are the proxy's memory (its curve is printed), its connections upstream, the other client's answers and the counter of the limit."""
import dataclasses
import multiprocessing
import pathlib
import select
import socket
import threading
import time
import typing

import wire
from lab import get, require

SECONDS = 2.0
GROWTH = 48 * 1024  # KiB that an attack may add at most
UPSTREAM_CONNECTIONS = 50


@dataclasses.dataclass
class Attack:
    play: typing.Callable  # (port, connections): for SECONDS; counts its connections in connections.value
    counters: tuple = ()   # of which one must move: "http." of the listener's connection manager, "listener." of it, "upstream_" of the cluster
    upstream: dict = dataclasses.field(default_factory=dict)
    route: dict = dataclasses.field(default_factory=lambda: {"match": {"prefix": "/large"}})
    hcm: dict = dataclasses.field(default_factory=dict)
    growth: int = GROWTH
    patience: float = 1.5  # seconds that the other client waits at most


class Upstream:
    """Answers whatever is asked with 4 MiB; `at_once`: before anything is asked, as what stands behind a tunnel may; `silent`: reads nothing, says nothing."""

    def __init__(self, at_once=False, silent=False):
        self.at_once, self.silent = at_once, silent
        self.open, self.most, self.lock = 0, 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    def count(self, change):
        with self.lock:
            self.open += change
            self.most = max(self.most, self.open)

    def serve(self, connection):
        body = bytes(1 << 16)
        self.count(1)
        try:
            with connection:
                connection.settimeout(10)
                if self.silent:
                    return self.wait_for_the_end(connection)
                if not self.at_once:
                    connection.recv(65536)
                    connection.sendall(wire.reply("200 OK", f"content-length: {4 << 20}"))
                for _ in range(64):
                    connection.sendall(body)
        except OSError:
            pass
        finally:
            self.count(-1)

    def wait_for_the_end(self, connection):
        """Without reading."""
        ended = select.poll()
        ended.register(connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        ended.poll(10000)


def rss(pid):
    return int(next(line.split()[1] for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")))


def counted(admin, i, counters, port):
    stats = wire.statistics(f"127.0.0.1:{admin}")
    full = {c: c.replace("http.", f"http.s{i}.") if c.startswith("http") else c.replace("listener.", f"listener.127.0.0.1_{port}.") if c.startswith("listener.")
            else f"cluster.s{i}.{c}" for c in counters}
    return {c: int(stats.get(name, 0)) for c, name in full.items()}


def caught(call):
    try:
        call()
        return []
    except Exception as error:
        return [repr(error)]


def play(lab, attacks, hcm, visit, kind="fairlead-proxy"):
    """`attacks`: by name; `visit(port, until, latencies)`: the other client, until that process has ended."""
    upstreams = [Upstream(**a.upstream) for a in attacks.values()]
    admin, *ports = wire.free_ports(1 + len(attacks))
    scenarios = [wire.Scenario(name, [], hcm={**hcm, **a.hcm}, listener={"per_connection_buffer_limit_bytes": 32768}, host={"routes": [
        wire.merged({"route": {"cluster": f"s{i}"}}, a.route), {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]},
        cluster={"per_connection_buffer_limit_bytes": 32768, "circuit_breakers": {"thresholds": [{"max_connections": UPSTREAM_CONNECTIONS, "max_pending_requests": 50}]}})
        for i, (name, a) in enumerate(attacks.items())]
    config = wire.configuration(scenarios, ports, [upstream.port for upstream in upstreams], admin, lab.dir / "access")
    proxy = lab.proxy(kind, lab.write("attacks.json", config), f"127.0.0.1:{admin}")
    wrong = []
    for i, (name, a) in enumerate(attacks.items()):
        wrong += [f"{name}: {what}" for what in one(a, proxy, admin, i, ports[i], upstreams[i], visit, name)]
        require(proxy.process.poll() is None, f"{name}: the proxy ended: {proxy.text()[-2000:]}")
    for upstream in upstreams:
        upstream.listener.close()
    require(get(f"127.0.0.1:{admin}", "/ready").status == 200, "not ready afterwards")
    code = lab.stop(proxy)
    require(code == 0, f"exit code {code}")
    require(not wrong, "\n".join(wrong))


def one(a, proxy, admin, i, port, upstream, visit, name):
    fork, pid = multiprocessing.get_context("fork"), proxy.process.pid
    connections = fork.Value("i", 0)
    attacker = fork.Process(target=a.play, args=(port, connections))
    start, curve, latencies, failures, before = rss(pid), [], [], [], counted(admin, i, a.counters, port)
    attacker.start()
    visitor = threading.Thread(target=lambda: failures.extend(caught(lambda: visit(port, attacker, latencies))))
    visitor.start()
    while attacker.is_alive() and proxy.process.poll() is None:
        curve.append(rss(pid))
        time.sleep(0.02)
    attacker.join()
    visitor.join()
    time.sleep(0.3)
    moved = {c: value - before[c] for c, value in counted(admin, i, a.counters, port).items()}
    end, most = rss(pid), max(curve, default=0)
    tenths = [curve[len(curve) * n // 10] // 1024 for n in range(10)] if len(curve) > 9 else curve
    print(f"        {name}: {connections.value} connections, RSS {start} → {most} → {end} KiB ({' '.join(map(str, tenths))} MiB), {len(latencies)} others served, "
          f"at most {max(latencies, default=0) * 1000:.0f} ms, at most {upstream.most} connections upstream, {moved}", flush=True)
    wrong = failures[:1]
    if most - start > a.growth:
        wrong.append(f"memory grew from {start} to {most} KiB")
    if a.counters and not any(moved.values()):
        wrong.append(f"none of {a.counters} moved")
    # one that the proxy has closed may still be counted here while the next is there already
    if upstream.most > UPSTREAM_CONNECTIONS * 3 // 2:
        wrong.append(f"{upstream.most} connections upstream at once, of at most {UPSTREAM_CONNECTIONS}")
    if len(latencies) < 3 or max(latencies, default=9) > a.patience:
        wrong.append(f"the other client was served {len(latencies)} times, at most in {max(latencies, default=0):.2f} s")
    return wrong
