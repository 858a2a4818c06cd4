"""What much configuration costs: memory of idle things, ten thousand clusters and routes loaded and changed, requests among many routes.

Memory is resident memory (VmRSS) as the difference between few and many, each figure of freshly started processes, or of one process before and
after where connections are counted. malloc keeps what it has been given back, so a process that had more once shows more; what is allocated, to
the byte, tests/integration/xds/memory_test.cc holds to the bars."""
import pathlib
import re
import socket
import statistics
import threading
import time

from http_races import command_of, nginx_upstream, wrk
from lab import ADS_BOOTSTRAP, BIN, PEERS, Lab, await_http, await_port, build_go_peers, envoy, free_port, get
from measure import OTHER_CORES, SERVER_CORE, cpu, pinned, rss, table, verdict

NAMES = ["fairlead-proxy", "envoy"]
CLUSTER = """
  - name: outbound-service-{i:05d}
    type: STATIC
    connect_timeout: 1s
    load_assignment: {{cluster_name: outbound-service-{i:05d}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}"""
LISTENER = """
  - name: listener-{i:05d}
    address: {{socket_address: {{address: {address}, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
          route_config: {{name: r-{i}, virtual_hosts: {hosts}}}"""
DIRECT = '[{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]'


def bootstrap(admin, clusters="", listeners=""):
    return (f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}\nstatic_resources:\n"
            f"  clusters:{clusters or ' []'}\n  listeners:{listeners or ' []'}\n")


def start(lab, name, config, admin):
    program = [envoy(), "--base-id", str(admin)] if name == "envoy" else [BIN / "fairlead-proxy"]
    process = lab.start(name, pinned(SERVER_CORE, [*program, "-c", config, "--concurrency", "1", "--log-level", "error"]))
    await_http(f"127.0.0.1:{admin}", "/ready", process, 120)
    return process


def at_rest(name, text):
    """Resident bytes of a process on that bootstrap."""
    with Lab() as lab:
        admin = free_port()
        process = start(lab, name, lab.write(f"{name}.yaml", text(admin)), admin)
        time.sleep(1)
        return rss(process.process.pid)


def each_of(name, make, few=100, many=1100):
    return (at_rest(name, lambda admin: make(admin, many)) - at_rest(name, lambda admin: make(admin, few))) / (many - few)


def many_clusters(admin, n):
    return bootstrap(admin, clusters="".join(CLUSTER.format(i=i, port=9) for i in range(n)))


def many_listeners(admin, n):
    port = free_port()
    return bootstrap(admin, listeners="".join(LISTENER.format(i=i, address=f"127.1.{i // 250}.{i % 250 + 1}", port=port, hosts=DIRECT) for i in range(n)))


# --- connections and streams -------------------------------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
GET = bytes([0x82, 0x84, 0x86, 0x01, 0x01]) + b"a"  # GET / of http://a


def h1_connection(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    s.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    while b"\r\n\r\n" not in s.recv(65536):
        pass
    return s


def read_until(s, done):
    """Reads frames until one of (kind, flags, stream) is what `done` wants."""
    data = b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            if done(data[3], data[4], int.from_bytes(data[5:9], "big")):
                return
            data = data[9 + size:]
        data += s.recv(65536)


def h2_connection(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    s.sendall(PREFACE + frame(4, 1, 0) + frame(1, 5, 1, GET))
    read_until(s, lambda kind, flags, stream: stream == 1 and flags & 1)
    return s


class Silent:
    """An HTTP/2 server that takes every request and answers none; it counts them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.requests = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        s.sendall(frame(4, 0, 0) + frame(4, 1, 0))
        data = b""
        while part := s.recv(65536):
            data += part
            if data.startswith(b"PRI") and len(data) >= 24:
                data = data[24:]
            while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
                self.requests += data[3] == 1
                data = data[9 + size:]


def each_connection(names, connect, n, **settings):
    """Resident bytes of one more idle connection that has had a request, by proxy."""
    out = {}
    with Lab() as lab:
        upstream = nginx_upstream(lab)
        for name in names:
            port = free_port()
            process = lab.start(name, pinned(SERVER_CORE, command_of(lab, name, port, upstream, **settings)))
            await_port(port, process)
            held = [connect(port) for _ in range(300)]
            time.sleep(0.5)
            before = rss(process.process.pid)
            held += [connect(port) for _ in range(n)]
            time.sleep(0.5)
            out[name] = (rss(process.process.pid) - before) / n
            for s in held:
                s.close()
            lab.stop(process)
    return out


def each_stream(name, connections=20, streams=100):
    """Resident bytes of one more HTTP/2 request that waits for its answer, upstream side included."""
    silent = Silent()
    with Lab() as lab:
        port = free_port()
        process = lab.start(name, pinned(SERVER_CORE, command_of(lab, name, port, silent.port, front="h2", back="h2")))
        await_port(port, process)
        held = []
        for _ in range(2 * connections):
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            s.sendall(PREFACE + frame(4, 1, 0) + frame(1, 5, 1, GET))
            read_until(s, lambda kind, flags, stream: kind == 4 and flags & 1)
            held.append(s)
        wait_for(lambda: silent.requests == 2 * connections)
        time.sleep(0.5)

        def more(some):
            seen = silent.requests
            for s in some:
                s.sendall(b"".join(frame(1, 5, 3 + 2 * i, GET) for i in range(streams)))
            wait_for(lambda: silent.requests >= seen + len(some) * streams - 200)  # circuit breakers let 1,024 through
            time.sleep(0.5)
            return silent.requests - seen
        more(held[:2])
        before = rss(process.process.pid)
        count = more(held[2:9])
        return (rss(process.process.pid) - before) / max(count, 1)


def wait_for(check, seconds=20):
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(0.02)


def memory(options):
    """Memory of one more idle cluster, listener, HTTP/1 and HTTP/2 connection, and active HTTP/2 stream, beside Envoy (connections: nginx, HAProxy too)."""
    rows, ours = [], {}

    def row(what, figures):
        ours[what] = figures
        rows.append((what, *(f"{figures[n] / 1000:.2f}" if n in figures else "" for n in (*NAMES, "nginx", "haproxy")), f"{figures['fairlead-proxy'] / figures['envoy']:.2f}"))
    row("idle cluster", {name: each_of(name, many_clusters) for name in NAMES})
    row("idle listener", {name: each_of(name, many_listeners) for name in NAMES})
    row("idle HTTP/1 connection", each_connection([*NAMES, "nginx", "haproxy"], h1_connection, 2000))
    row("idle HTTP/2 connection", each_connection([*NAMES, "nginx", "haproxy"], h2_connection, 1000, front="h2"))
    row("active HTTP/2 stream", {name: each_stream(name) for name in NAMES})
    table("Memory: KB of resident memory of one more, one worker", rows, ["what", *NAMES, "nginx", "haproxy", "x envoy"])
    verdict("idle cluster at most 8 KB", ours["idle cluster"]["fairlead-proxy"] / 1000, 8)
    verdict("idle listener at most 12 KB", ours["idle listener"]["fairlead-proxy"] / 1000, 12)
    verdict("idle HTTP/1 connection at most 2 KB", ours["idle HTTP/1 connection"]["fairlead-proxy"] / 1000, 2)
    verdict("active HTTP/2 stream at most a third of Envoy's", ours["active HTTP/2 stream"]["fairlead-proxy"] / ours["active HTTP/2 stream"]["envoy"], 1 / 3)


# --- ten thousand clusters and routes ----------------------------------------------------------------------------------------


def cpu_by_worker(pid):
    """Seconds of CPU of the worker, and of all other threads."""
    worker = other = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        spent = int((task / "schedstat").read_text().split()[0]) / 1e9
        if re.match(r"(wrk:)?worker_\d", (task / "comm").read_text()):
            worker += spent
        else:
            other += spent
    return worker, other


def quiet(pid):
    last = cpu(pid)
    for _ in range(240):
        time.sleep(0.25)
        now = cpu(pid)
        if now - last < 0.003:
            return
        last = now


class Prober:
    """Requests one after the other on one connection; the longest wait is a bound on how long the worker stood still."""

    def __init__(self, port, path):
        self.port, self.path, self.longest, self.stopped, self.bodies = port, path, 0.0, False, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = f"GET {self.path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()
        while not self.stopped:
            begin = time.monotonic()
            s.sendall(request)
            s.recv(65536)
            self.longest = max(self.longest, time.monotonic() - begin)
        s.close()

    def stop(self):
        self.stopped = True
        self.thread.join()
        return self.longest


def scale_of(name, n, changes):
    with Lab() as lab:
        port, admin = free_port(), free_port()
        upstream = nginx_any(lab)
        control = lab.start("controlplane", pinned(OTHER_CORES, [PEERS / "controlplane", "-scale", str(n), "-listen", str(port), "-upstream", str(upstream)]))
        xds = control.await_line(r"listening 127\.0\.0\.1:(\d+)", 120)[1]
        program = [envoy(), "--base-id", str(admin)] if name == "envoy" else [BIN / "fairlead-proxy"]
        config = lab.write(f"{name}.yaml", ADS_BOOTSTRAP.format(api="DELTA_GRPC", admin=admin, xds=xds))
        begin = time.monotonic()
        process = lab.start(name, pinned(SERVER_CORE, [*program, "-c", config, "--concurrency", "1", "--log-level", "error"]))
        while True:
            try:
                if get(f"127.0.0.1:{port}", f"/service-{n - 1:05d}").status == 200:
                    break
            except OSError:
                pass
            if time.monotonic() > begin + 180:
                raise SystemExit(f"{name}: not ready; it printed:\n{process.text()[-2000:]}")
            time.sleep(0.01)
        out = {"ready": time.monotonic() - begin, "ready_cpu": cpu(process.process.pid)}
        pid = process.process.pid
        quiet(pid)
        out["rss"] = rss(pid)
        for what, command in (("cluster", b"cluster\n"), ("routes", b"routes\n")):
            off, on, stalls = [], [], []
            for change in range(changes + 1):
                quiet(pid)
                before = cpu_by_worker(pid)
                ask(control, command)
                time.sleep(0.3)
                quiet(pid)
                after = cpu_by_worker(pid)
                if change > 0:
                    on.append(after[0] - before[0])
                    off.append(after[1] - before[1])
            for _ in range(changes):
                prober = Prober(port, "/service-00000")
                time.sleep(0.3)
                prober.longest = 0.0
                ask(control, command)
                time.sleep(0.6)
                stalls.append(prober.stop())
            out[what] = (statistics.median(off), statistics.median(on), statistics.median(stalls))
        prober = Prober(port, "/service-00000")
        time.sleep(0.3)
        prober.longest = 0.0
        time.sleep(0.6)
        out["rest"] = prober.stop()
        return out


def ask(control, command):
    seen = control.text().count("version ")
    address = ("127.0.0.1", int(re.search(r"orders (\d+)", control.text())[1]))
    with socket.create_connection(address) as s:
        s.sendall(command)
    wait_for(lambda: control.text().count("version ") > seen)


def scale(options):
    """10,000 clusters and 10,000 routes over delta ADS: ready, memory; then one cluster changes, then the routes: CPU off and on the worker, its stall."""
    build_go_peers()
    n = 10_000
    rows, figures = [], {}
    for name in NAMES:
        r = figures[name] = scale_of(name, n, options.rounds)
        rows.append((name, f"{r['ready']:.2f}", f"{r['ready_cpu']:.2f}", f"{r['rss'] / 1e6:.0f}",
                     *(f"{x * 1000:.2f}" for what in ("cluster", "routes") for x in r[what]), f"{r['rest'] * 1000:.2f}"))
    table(f"{n} clusters and {n} routes over delta ADS, {options.rounds} changes each; times in ms of CPU, stalls in ms as a client sees them (the last: without any change)", rows,
          ["proxy", "ready s", "CPU s", "RSS MB", "cluster: off worker", "on worker", "stall", "routes: off worker", "on worker", "stall", "at rest"])
    ours, theirs = figures["fairlead-proxy"], figures["envoy"]
    verdict("ready in at most half of Envoy's time", ours["ready"] / theirs["ready"], 0.5)
    verdict("a cluster changed in at most 5 ms", ours["cluster"][0] * 1000, 5)
    verdict("10,000 routes changed in at most 100 ms", ours["routes"][0] * 1000, 100)
    verdict("no more than 2 ms on the worker, cluster", ours["cluster"][1] * 1000, 2)
    verdict("no more than 2 ms on the worker, routes", ours["routes"][1] * 1000, 2)


# --- requests among many routes ----------------------------------------------------------------------------------------------

def shapes():
    """name: (virtual hosts of n, the path and the host of request i). Numbers have as many digits among 10 as among 10,000."""
    def route(match):
        return f"{{match: {{{match}}}, route: {{cluster: up}}}}"

    def one_host(routes):
        return f'[{{name: all, domains: ["*"], routes: [{", ".join(routes)}]}}]'
    service = 'return string.format("/service/%05d/resource", i), "a"'
    return {
        "virtual hosts": (lambda n: "[" + ", ".join(f'{{name: v{i:05d}, domains: ["host-{i:05d}.example.com"], routes: [{route("prefix: /")}]}}' for i in range(n)) + "]", 'return "/", string.format("host-%05d.example.com", i)'),
        "exact": (lambda n: one_host([route(f"path: /service/{i:05d}/resource") for i in range(n)]), service),
        "prefix": (lambda n: one_host([route(f"prefix: /service/{i:05d}/") for i in range(n)]), service),
        "regex": (lambda n: one_host([route(f'safe_regex: {{regex: "/service/{i:05d}/[a-z]+"}}') for i in range(n)]), service),
    }


# As many different requests among 10 as among 10,000, so that the client and the upstream have the same work and only the proxy's table differs.
SCRIPT = """
local function choose(i) {choose} end
local requests = {{}}
init = function()
  math.randomseed(7)
  for k = 1, 20000 do
    local path, host = choose(math.random(0, {n} - 1))
    requests[k] = wrk.format("GET", path .. string.format("?k=%05d", k), {{["Host"] = host}})
  end
end
local next = 0
request = function() next = next % 20000 + 1; return requests[next] end
"""


def routes(options):
    """CPU per request among 10,000 virtual hosts, exact and prefix routes, and 1,000 regex routes, as a ratio to 10 of them, in one race."""
    rows = []
    with Lab() as lab:
        upstream_dir = nginx_any(lab)
        for shape, (hosts, choose) in shapes().items():
            many = 1000 if shape == "regex" else 10_000
            running = {}
            for n in (10, many):
                port, admin = free_port(), free_port()
                text = bootstrap(admin, clusters=CLUSTER.format(i=0, port=upstream_dir).replace("outbound-service-00000", "up"), listeners=LISTENER.format(i=0, address="127.0.0.1", port=port, hosts=hosts(n)))
                process = start(lab, "fairlead-proxy", lab.write(f"{shape.replace(' ', '-')}-{n}.yaml", text), admin)
                script = lab.write(f"{shape.replace(' ', '-')}-{n}.lua", SCRIPT.format(choose=choose, n=n))
                running[n] = (port, process, script)
                wrk(port, 1, script=script)
            spent, errors = {n: [] for n in running}, 0
            for _ in range(options.rounds):
                for n, (port, process, script) in running.items():
                    before = cpu(process.process.pid)
                    requests, bad, _ = wrk(port, options.seconds, script=script)
                    spent[n].append((cpu(process.process.pid) - before) / max(requests, 1) * 1e6)
                    errors += bad
            few, lots = statistics.median(spent[10]), statistics.median(spent[many])
            rows.append((shape, many, f"{few:.2f}", f"{lots:.2f}", f"{statistics.median(b / a for a, b in zip(spent[10], spent[many])):.3f}", errors))
            for _, process, _ in running.values():
                lab.stop(process)
    table(f"CPU µs per proxied HTTP/1.1 request among 10 and among many, {options.rounds} rounds of {options.seconds} s", rows, ["routes", "many", "among 10", "among many", "ratio", "errors"])
    for shape, many, _, _, ratio, errors in rows:
        verdict(f"{many} {shape}: per request at most {'twice' if shape == 'regex' else '1.1 times'} that among 10", float(ratio), 2.0 if shape == "regex" else 1.1)
        verdict("errors", errors, 0)


def nginx_any(lab):
    """An upstream that answers every path."""
    port = free_port()
    lab.nginx({port: "x" * 128}, pinned(OTHER_CORES, []))
    return port


# --- load reports ------------------------------------------------------------------------------------------------------------

def reporting(name, clusters, on):
    """Of a proxy with so many idle clusters whose load is asked for each second, or not at all: CPU seconds over a while, reports in it, resident bytes."""
    answer = '{"send_all_clusters": true, "load_reporting_interval": "1s"}'
    stats = 'cluster_manager: {load_stats_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: lrs}}]}}\n' if on else ""
    with Lab() as lab:
        server = lab.start("lrs", pinned(OTHER_CORES, [PEERS / "lrs", "--response", answer]))
        port, admin = int(server.await_line(r"listening 127\.0\.0\.1:(\d+)")[1]), free_port()
        lrs = CLUSTER.format(i=99999, port=port).replace("outbound-service-99999", "lrs") + "\n    http2_protocol_options: {}"
        text = "node: {id: edge-1, cluster: edge}\n" + stats + bootstrap(admin, clusters="".join(CLUSTER.format(i=i, port=9) for i in range(clusters)) + lrs)
        pid = start(lab, name, lab.write(f"{name}.yaml", text), admin).process.pid

        def reports():
            return sum(line.startswith("{") for line in server.text().splitlines())
        if on:
            wait_for(lambda: reports() >= 4, 60)
        else:
            time.sleep(2)
        before, had = cpu(pid), reports()
        time.sleep(12)
        return cpu(pid) - before, reports() - had, rss(pid)


def load_reports(options):
    """10,000 idle clusters whose load is reported each second: CPU of a report, and resident memory of it by cluster, beside Envoy."""
    build_go_peers()
    rows, figures, clusters = [], {}, 10_000
    for name in NAMES:
        without, reported = reporting(name, clusters, False), reporting(name, clusters, True)
        figures[name] = ((reported[0] - without[0]) / max(reported[1], 1) * 1000, (reported[2] - without[2]) / clusters)
        rows.append((name, f"{figures[name][0]:.1f}", f"{figures[name][1]:.0f}", f"{without[2] / 2**20:.0f}"))
    table(f"{clusters} idle clusters, a load report of them all each second", rows, ["proxy", "CPU ms/report", "bytes/cluster", "MiB without"])
    verdict("CPU of a report at most Envoy's", figures["fairlead-proxy"][0] / figures["envoy"][0], 1)


AT_SCALE = {"load-reports": load_reports, "memory": memory, "scale": scale, "routes": routes}
