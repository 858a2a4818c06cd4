"""Benchmarks of the control plane: crowds of delta ADS streams over Services read from files, beside go-control-plane where that can follow."""
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import threading
import time
import types

import lab as peers
from lab import BIN, PEERS, Lab, await_http, await_true, build_go_peers, free_port
from measure import OTHER_CORES, SERVER_CORE, cpu, pinned, rss, table, verdict
from tls_races import certificate

# --- one endpoint changes, many delta streams ----------------------------------------------------------------------------

SERVICE = """apiVersion: v1
kind: Service
metadata: {{name: svc-{c}}}
spec: {{ports: [{{name: http, port: 80, targetPort: 8080}}]}}
"""
SLICE = """apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: svc-{c}-1, labels: {{kubernetes.io/service-name: svc-{c}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints:
{endpoints}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{c}}}
spec:
  parentRefs: [{{name: load}}]
  hostnames: ["svc-{c}.test"]
  rules: [{{backendRefs: [{{name: svc-{c}, port: 80}}]}}]
"""
GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead}
spec: {controllerName: fairlead.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: load}
spec:
  gatewayClassName: fairlead
  listeners: [{name: http, protocol: HTTP, port: 8080}]
"""


def slice_text(c, endpoints, port=8080):
    return SLICE.format(c=c, port=port, endpoints="\n".join(f"- {{addresses: [10.{c // 256}.{c % 256}.{e + 1}], conditions: {{ready: true}}}}" for e in range(endpoints)))


def control_on_services(lab, clusters, endpoints, *flags):
    """fairlead-control with a route, a Service and an EndpointSlice for each cluster: (process, folder, xDS address)."""
    source = lab.dir / "source"
    shutil.rmtree(source, ignore_errors=True)
    (source / "slices").mkdir(parents=True)
    (source / "gateway.yaml").write_text(GATEWAY)
    (source / "services.yaml").write_text("---\n".join(SERVICE.format(c=c) for c in range(clusters)))
    (source / "routes.yaml").write_text("---\n".join(ROUTE.format(c=c) for c in range(clusters)))
    for c in range(clusters):
        (source / f"slices/{c}.yaml").write_text(slice_text(c, endpoints))
    xds, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    server = lab.start("fairlead-control", pinned(SERVER_CORE, [BIN / "fairlead-control", "--source", f"file:{source}", "--xds-address", xds, "--admin-address", admin, "--log-level", "warning", *flags]))
    await_http(admin, "/readyz", server, 60)
    return server, source, xds


def fan_out_round(lab, kind, mode, streams, clusters, endpoints, changes):
    """Starts one control plane and its crowd; returns CPU µs per stream and change, latencies in s, bytes per stream, memory per stream."""
    if kind == "go-control-plane":
        server = lab.start(kind, pinned(SERVER_CORE, [PEERS / "controlplane", "-generate", f"{clusters}x{endpoints}"]), env={"GOMAXPROCS": "1"})
        address = "127.0.0.1:" + server.await_line(r"listening 127\.0\.0\.1:(\d+)", 60)[1]
        watched = "default/svc-0/80"
    else:
        server, source, address = control_on_services(lab, clusters, endpoints)
        watched = "default/svc-0/80"
    pid = server.process.pid
    idle = rss(pid)
    crowd = subprocess.Popen(pinned(OTHER_CORES, [str(PEERS / "xdsload"), "-address", address, "-streams", str(streams), "-clusters", str(clusters), "-mode", mode]),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "GOMAXPROCS": "1", "GOGC": "400"})
    try:
        ready = crowd.stdout.readline()
        if not ready.startswith("ready"):
            raise peers.Failed(f"{kind}: the crowd did not get ready: {ready!r}; the server printed:\n{server.text()[-2000:]}")
        settle(pid)
        memory = (rss(pid) - idle) / streams
        out = {"cpu": [], "latency": [], "bytes": [], "resources": [], "memory": memory, "ready": float(ready.split()[2])}
        for change in range(changes):
            crowd.stdin.write(f"watch {watched}\n")
            crowd.stdin.flush()
            crowd.stdout.readline()
            before = cpu(pid)
            if kind == "go-control-plane":
                seen = len(re.findall("changed", server.text()))
                server.process.send_signal(1)
                await_true("the change", lambda: len(re.findall("changed", server.text())) > seen)
                start = int(re.findall(r"changed (\d+)", server.text())[-1])
            else:
                fresh = source / "slices/.0.yaml"
                fresh.write_text(slice_text(0, endpoints, 8081 + change))
                start = time.time_ns()
                fresh.rename(source / "slices/0.yaml")
            line = crowd.stdout.readline().split()
            if line[0] != "change":
                raise peers.Failed(f"{kind}: not every stream got the change; the server printed:\n{server.text()[-2000:]}")
            numbers = crowd.stdout.readline().split()
            settle(pid)
            out["cpu"].append((cpu(pid) - before) / streams * 1e6)
            times = [(int(t) - start) / 1e9 for t in line[2:]]
            out["latency"].append((times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))], times[-1]))
            out["bytes"].append(int(numbers[1]) / streams)
            out["resources"].append(int(numbers[5]) / streams)
        return out
    finally:
        crowd.kill()
        crowd.wait()
        lab.stop(server)


def settle(pid):
    """Waits until a process has used no CPU worth speaking of for half a second."""
    last = cpu(pid)
    for _ in range(120):
        time.sleep(0.5)
        now = cpu(pid)
        if now - last < 0.005:
            return
        last = now


def fan_out(options):
    """1,000 delta ADS streams x 1,000 clusters x 10 endpoints, one endpoint changes: CPU, latency, memory and bytes beside go-control-plane."""
    build_go_peers()
    streams, clusters, endpoints = options.streams or 1000, options.clusters, 10
    rows, ours = [], None
    with Lab() as lab:
        for kind in ("fairlead-control", "go-control-plane"):
            r = fan_out_round(lab, kind, "delta", streams, clusters, endpoints, options.rounds)
            latency = [statistics.median(x) for x in zip(*r["latency"])]
            rows.append((kind, f"{statistics.median(r['cpu']):.0f}", f"{latency[0] * 1000:.0f}", f"{latency[1] * 1000:.0f}", f"{latency[2] * 1000:.0f}",
                         f"{r['memory'] / 1000:.0f}", f"{statistics.median(r['bytes']):.0f}", f"{statistics.median(r['resources']):.2f}", f"{r['ready']:.1f}"))
            ours = ours or (statistics.median(r["cpu"]), latency[2], r["memory"], max(r["resources"]))
    table(f"One endpoint changes: {streams} delta streams x {clusters} clusters x {endpoints} endpoints, {options.rounds} changes, server on core {SERVER_CORE}", rows,
          ["server", "CPU µs/stream", "p50 ms", "p99 ms", "last ms", "KB/stream", "bytes/stream", "resources/stream", "all ready s"])
    verdict("CPU per stream at most 130 µs", ours[0], 130)
    verdict("the last stream within 250 ms", ours[1] * 1000, 250)
    verdict("memory per stream at most 80 KB", ours[2] / 1000, 80)
    verdict("resources per stream: exactly the one", ours[3], 1)


def xds_memory_round(options, shared, storm):
    streams = options.streams or 1000
    with Lab() as lab:
        # one after another, or all at once, which leaves holes behind
        server, _, address = control_on_services(lab, options.clusters, 10, "--xds-max-connects-per-s", "100000" if storm else "110")
        pid, crowds = server.process.pid, []

        def more(streams):
            crowds.append(Crowd(address, streams, shared, 200, at_once=100_000))
            settle(pid)
            return rss(pid)
        try:
            few = more(200)
            return (more(streams) - few) / streams
        finally:
            for crowd in crowds:
                crowd.kill()


def xds_memory(options):
    """Resident memory of one more delta ADS stream with the names of 200 of 1,000 endpoints, alone on its connection and among 100, let in one by one or all at once."""
    rows, each = [], {}
    for shared in (1, 100):
        for storm in (False, True):
            each[shared, storm] = statistics.median(xds_memory_round(options, shared, storm) for _ in range(options.rounds)) / 1024
        rows.append((str(shared), f"{each[shared, False]:.1f}", f"{each[shared, True]:.1f}"))
    table(f"One more of {options.streams or 1000} delta streams x {options.clusters} clusters, 200 endpoint names each", rows, ["streams a connection", "KiB/stream", "after a storm"])
    verdict("KiB a stream on a connection of its own at most 32", each[1, False], 32)
    verdict("KiB a stream where 100 share a connection at most 6", each[100, False], 6)
    verdict("KiB a stream on a connection of its own after a storm at most 32", each[1, True], 32)
    verdict("KiB a stream where 100 share a connection after a storm at most 8", each[100, True], 8)


# --- crowds of thousands -----------------------------------------------------------------------------------------------------

class Crowd:
    """bench_xds_load: delta streams that ACK what they get, and a command at a time."""

    def __init__(self, address, streams, shared=1, names=0, stuck=0, at_once=50, more=()):
        self.streams = streams
        self.process = subprocess.Popen(pinned(OTHER_CORES, [BIN / "bench_xds_load", "--address", address, "--streams", str(streams), "--per-connection", str(shared), "--names", str(names),
                                                             "--node", "load", "--stuck", str(stuck), "--at-once", str(at_once), *more]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds, self.bytes = self.ready()

    def line(self, begin):
        line = self.process.stdout.readline()
        if not line.startswith(begin):
            raise peers.Failed(f"the crowd was to say {begin!r} and said {line!r}")
        return line.split()

    def ready(self):
        words = self.line("ready")
        return float(words[2]), int(words[3])

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def reconnect(self):
        self.say("reconnect")
        return self.ready()

    def change(self, name, change):
        """Nanoseconds at which each subscriber got it, sorted; bytes and resources of all responses since. `change` makes it."""
        self.say(f"watch {name}")
        self.line("watching")
        change()
        times = [int(t) for t in self.line("change")[2:]]
        words = self.line("bytes")
        return times, int(words[1]), int(words[5])

    def kill(self):
        self.process.kill()
        self.process.wait()


PLAIN, SECURED = "plaintext", "TLS"


def flags(lab, over):
    """What makes fairlead-control and a crowd speak that: their flags."""
    if over == PLAIN:
        return (), ()
    pem = certificate(lab, "ECDSA P-256")
    return ("--xds-tls-cert", pem, "--xds-tls-key", pem), ("--tls", "1")


def peak(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def at(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


def xds_connect(options):
    """10,000 delta ADS streams (all of 1,000 clusters and 200 endpoint names each, 50,000 endpoints) connect at once; all of them again, with their versions. Over TLS, too."""
    streams, rows, figures = options.streams or 10_000, [], {}
    for shared, over in ((1, PLAIN), (10, PLAIN), (1, SECURED)):
        with Lab() as lab:
            servers, crowds = flags(lab, over)
            server, _, address = control_on_services(lab, options.clusters, 50, *servers)
            pid = server.process.pid
            begun = cpu(pid)
            crowd = Crowd(address, streams, shared, 200, more=crowds)
            try:
                settle(pid)
                spent, most, rests = cpu(pid) - begun, peak(pid), rss(pid)
                begun = cpu(pid)
                again, few = crowd.reconnect()
                settle(pid)
                if over == PLAIN:
                    figures[shared] = (crowd.seconds, most, again, few / crowd.bytes)
                rows.append((str(shared), over, f"{crowd.seconds:.1f}", f"{spent:.1f}", f"{most / 2**20:.0f}", f"{rests / 2**20:.0f}", f"{crowd.bytes / streams / 1000:.0f}", f"{again:.1f}",
                             f"{cpu(pid) - begun:.1f}", f"{few / streams / 1000:.2f}", f"{rss(pid) / 2**20:.0f}"))
            finally:
                crowd.kill()
    table(f"{streams} delta streams x {options.clusters} clusters of 50 endpoints, 200 endpoint names each", rows,
          ["streams a connection", "over", "all ready s", "CPU s", "peak MiB", "at rest MiB", "KB/stream", "again s", "CPU s", "KB/stream", "at rest MiB"])
    for shared, (first, most, again, share) in figures.items():
        what = "a connection each" if shared == 1 else f"{shared} on a connection"
        verdict(f"{what}: all ready in at most 45 s", first, 45)
        verdict(f"{what}: at most 450 MiB", most / 2**20, 450)
        verdict(f"{what}: all again with their versions in at most 10 s", again, 10)
        verdict(f"{what}: with at most 2 % of the bytes", share * 100, 2)


def changes(server, source, crowd, count, endpoints):
    """CPU µs a stream, p50, p99 and last in ms, bytes and resources a stream, of each of `count` changes of one service's endpoints."""
    pid, out = server.process.pid, []
    for n in range(count + 1):
        fresh, moment = source / "slices/.0.yaml", []
        fresh.write_text(slice_text(0, endpoints, 8081 + n))

        def change():
            moment.append(time.time_ns())
            fresh.rename(source / "slices/0.yaml")
        before = cpu(pid)
        times, size, resources = crowd.change("default/svc-0/80", change)
        settle(pid)
        ms = [(t - moment[0]) / 1e6 for t in times]
        if n > 0:  # the first meets what is cold
            out.append(((cpu(pid) - before) / len(times) * 1e6, at(ms, 0.5), at(ms, 0.99), ms[-1], size / len(times), resources / len(times)))
    return [statistics.median(x) for x in zip(*out)]


def xds_change(options):
    """One endpoint changes, 5,000 subscribers, each on its own connection and 100 sharing one, over TLS, too; beside go-control-plane, with 1,000 of the former and all of the latter."""
    build_go_peers()
    rows, figures, streams, services, endpoints = [], {}, options.streams or 5000, 200, 10
    few = min(streams, 1000)
    for kind, count, shared, over in (("fairlead-control", streams, 1, PLAIN), ("fairlead-control", streams, 100, PLAIN), ("fairlead-control", streams, 1, SECURED), ("fairlead-control", streams, 100, SECURED),
                                      ("fairlead-control", few, 1, PLAIN), ("go-control-plane", few, 1, PLAIN), ("go-control-plane", streams, 100, PLAIN)):
        with Lab() as lab:
            if kind == "go-control-plane":
                r = [statistics.median(x) for x in zip(*go_changes(lab, count, shared, services, endpoints, options.rounds))]
            else:
                servers, crowds = flags(lab, over)
                server, source, address = control_on_services(lab, services, endpoints, *servers)
                crowd = Crowd(address, count, shared, more=crowds)
                try:
                    settle(server.process.pid)
                    r = changes(server, source, crowd, 3 * options.rounds, endpoints)
                finally:
                    crowd.kill()
            figures[kind, count, shared, over] = r
            rows.append((kind, count, shared, over, f"{r[0]:.1f}", *(f"{x:.0f}" for x in r[1:5]), f"{r[5]:.2f}"))
    table(f"One endpoint of {services} services of {endpoints} changes, all of them subscribed to", rows,
          ["server", "streams", "a connection", "over", "CPU µs/stream", "p50 ms", "p99 ms", "last ms", "bytes/stream", "resources/stream"])
    debounce = 20  # of the fast path, and no part of the bars
    for shared, what, most in ((1, "a connection each", (300, 600, 35)), (100, "100 on a connection", (120, 300, 5))):
        r = figures["fairlead-control", streams, shared, PLAIN]
        verdict(f"{what}: p50 at most {most[0]} ms", r[1] - debounce, most[0])
        verdict(f"{what}: p99 at most {most[1]} ms", r[2] - debounce, most[1])
        verdict(f"{what}: CPU a stream at most {most[2]} µs", r[0], most[2])
        verdict(f"{what}: resources a stream: exactly the one", r[5], 1)
    for shared, what, count in ((1, "a connection each", few), (100, "100 on a connection", streams)):
        verdict(f"{what}: CPU a stream at most 1/35 of go-control-plane's", figures["fairlead-control", count, shared, PLAIN][0] / figures["go-control-plane", count, shared, PLAIN][0] * 35, 1)


def go_changes(lab, streams, shared, services, endpoints, count):
    server = lab.start("go-control-plane", pinned(SERVER_CORE, [PEERS / "controlplane", "-generate", f"{services}x{endpoints}"]), env={"GOMAXPROCS": "1"})
    crowd = Crowd("127.0.0.1:" + server.await_line(r"listening 127\.0\.0\.1:(\d+)", 60)[1], streams, shared)
    pid, out = server.process.pid, []
    try:
        settle(pid)
        for _ in range(count):
            before, seen = cpu(pid), len(re.findall("changed", server.text()))

            def change():
                server.process.send_signal(1)
                await_true("the change", lambda: len(re.findall("changed", server.text())) > seen)
            times, size, resources = crowd.change("default/svc-0/80", change)
            moment = int(re.findall(r"changed (\d+)", server.text())[-1])
            settle(pid)
            ms = [(t - moment) / 1e6 for t in times]
            out.append(((cpu(pid) - before) / len(times) * 1e6, at(ms, 0.5), at(ms, 0.99), ms[-1], size / len(times), resources / len(times)))
        return out
    finally:
        crowd.kill()


def xds_services(options):
    """One endpoint changes among 100 to 10,000 services, 200 subscribers of 1,000 streams: what it costs does not grow with the world."""
    rows, cost, streams, endpoints = [], {}, options.streams or 1000, 10
    for services in (100, 1000, 10_000):
        with Lab() as lab:
            server, source, address = control_on_services(lab, services, endpoints)
            rest = Crowd(address, streams - streams // 5, 100, 20, more=("--first", str(services // 2)))  # others: they do not subscribe to it
            crowd = Crowd(address, streams // 5, 100, 20, more=("--together", "1"))
            try:
                settle(server.process.pid)
                r = changes(server, source, crowd, 3 * options.rounds, endpoints)
            finally:
                crowd.kill()
                rest.kill()
            cost[services] = r[0]
            rows.append((services, f"{r[0]:.1f}", f"{r[1]:.0f}", f"{r[3]:.0f}", f"{r[5]:.2f}"))
    table(f"One endpoint changes, {streams // 5} of {streams} streams subscribe to it, 100 on a connection", rows, ["services", "CPU µs/subscriber", "p50 ms", "last ms", "resources/subscriber"])
    verdict("CPU among 10,000 services at most 1.5 times that among 100", cost[10_000] / cost[100], 1.5)


def xds_flaps(options):
    """1,000 endpoint flaps a second for 60 s, 2,000 delta streams of 20 names each: CPU, memory, how old what a client gets is.

    Whether memory grows is asked at rest, after 10 s of flaps and after the measured minute more: while they go on, resident memory follows the
    highest point so far of what is under way, which says how long the machine has stalled rather than what was kept."""
    streams, seconds, endpoints, rows, figures = options.streams or 2000, max(60, options.seconds), 10, [], {}
    for shared in (1, 20):
        with Lab() as lab:
            server, source, address = control_on_services(lab, options.clusters, endpoints)
            pid, crowd = server.process.pid, Crowd(address, streams, shared, 20)
            try:
                settle(pid)
                with flapping(source, options.clusters, endpoints):
                    time.sleep(10)
                settle(pid)
                before = rss(pid)
                with flapping(source, options.clusters, endpoints) as flaps:
                    crowd.say("ages 5")  # until it is as it goes on
                    crowd.line("ages")
                    spent = cpu(pid)
                    crowd.say(f"ages {seconds}")
                    words = crowd.line("ages")
                    spent, during = (cpu(pid) - spent) / seconds, rss(pid)
                settle(pid)
                after = rss(pid)
            finally:
                crowd.kill()
            figures[shared] = (spent, (after - before) / before, int(words[5]))
            rows.append((shared, f"{flaps.rate:.0f}", f"{int(words[1]) / seconds:.0f}", f"{spent:.2f}", f"{during / 2**20:.1f}",
                         f"{before / 2**20:.1f}", f"{after / 2**20:.1f}", words[3], words[5], words[7], f"{flaps.late * 1000:.0f}"))
    table(f"1,000 flaps a second for {seconds} s, {streams} delta streams of 20 of {options.clusters} services of {endpoints} endpoints", rows,
          ["streams a connection", "flaps/s", "resources/s", "CPU cores", "MiB at the end", "at rest before", "at rest after", "age p50 ms", "p99", "max", "writer late ms"])
    for shared, (spent, growth, p99) in figures.items():
        what = "a connection each" if shared == 1 else f"{shared} on a connection"
        verdict(f"{what}: CPU below one core", spent, 1)
        verdict(f"{what}: memory at rest grows by at most 2 %", growth * 100, 2)
        verdict(f"{what}: age p99 at most 1,000 ms", p99, 1000)


@contextlib.contextmanager
def flapping(source, services, endpoints):
    """Changes 1,000 EndpointSlices a second until the block ends; then .rate says how many a second it was, .late (s) by how much the latest was late."""
    flaps, stop = types.SimpleNamespace(rate=0.0, late=0.0), threading.Event()

    def write():
        # the port says when: 1 + milliseconds of the Unix time modulo 60,000
        begun, n = time.monotonic(), 0
        while not stop.is_set():
            fresh, c = source / "slices/.flap.yaml", n * 7 % services
            fresh.write_text(slice_text(c, endpoints, 1 + time.time_ns() // 1_000_000 % 60_000))
            fresh.rename(source / f"slices/{c}.yaml")
            n += 1
            wait = begun + n / 1000 - time.monotonic()
            flaps.late = max(flaps.late, -wait)
            if wait > 0:
                time.sleep(wait)
        flaps.rate = n / (time.monotonic() - begun)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield flaps
    finally:
        stop.set()
        writer.join()


def xds_stuck(options):
    """One reader that never reads among 1,000: what the others wait for a change, beside without it, before it came and after it went."""
    streams, services, endpoints, count = options.streams or 1000, 200, 10, 5 * options.rounds
    with Lab() as lab:
        server, source, address = control_on_services(lab, services, endpoints)
        crowd = Crowd(address, streams - 1)
        try:
            settle(server.process.pid)
            without = changes(server, source, crowd, count, endpoints)
            reader = Crowd(address, 1, stuck=1, more=("--window", "65535"))
            try:
                reader.say("stick")
                reader.line("stuck")
                for n in range(300):  # until its window is full
                    fresh = source / "slices/.1.yaml"
                    fresh.write_text(slice_text(1, endpoints, 9000 + n))
                    fresh.rename(source / "slices/1.yaml")
                    time.sleep(0.03)
                settle(server.process.pid)
                beside = changes(server, source, crowd, count, endpoints)
            finally:
                reader.kill()
            settle(server.process.pid)
            without = [statistics.mean(x) for x in zip(without, changes(server, source, crowd, count, endpoints))]
        finally:
            crowd.kill()
    rows = [(name, *(f"{x:.1f}" for x in r[:4])) for name, r in (("all read", without), ("one does not", beside))]
    table(f"One of {streams} streams never reads; {count} changes", rows, ["", "CPU µs/stream", "p50 ms", "p99 ms", "last ms"])
    verdict("the others' p99 within 10 % of without it", beside[2] / without[2], 1.1)


def replan(options):
    """Planning 10,000 routes, 1,000 services and 50,000 endpoints, then again with one route changed: CPU of it and of its parts."""
    said = subprocess.run(pinned(SERVER_CORE, [BIN / "bench_replan"]), check=True, capture_output=True, text=True).stdout
    found = {what: float(value) for what, value in re.findall(r"^\s*(.+?)\s{2,}([\d.]+) ms", said, re.M)}
    table(said.splitlines()[0], list(found.items()), ["ms of CPU", ""])
    verdict("a full plan in at most 500 ms", found["a full plan"], 500)
    verdict("one changed route judged before the push in at most 5 ms", found["judging before the push"], 5)
    verdict("one changed route replanned in at most 5 ms", found["replanning one changed route"], 5)


def statuses(options):
    """The echo of a status that fairlead-control has written, compared with what is to be said, among 100, 1,000 and 10,000 HTTPRoutes: CPU."""
    said = subprocess.run(pinned(SERVER_CORE, [BIN / "bench_status_take"]), check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"(\d+) routes: all\s+(\d+) us, one\s+([\d.]+) us", said)
    table("Statuses: all routes are looked at, then one that has changed", rows, ["routes", "all, CPU us", "one, CPU us"])
    verdict("one among 10,000 in at most 500 us", float(rows[-1][2]), 500)


XDS_SCALE = {"fan-out": fan_out, "xds-memory": xds_memory, "xds-connect": xds_connect, "xds-change": xds_change, "xds-services": xds_services, "xds-flaps": xds_flaps, "xds-stuck": xds_stuck,
             "replan": replan, "statuses": statuses}
