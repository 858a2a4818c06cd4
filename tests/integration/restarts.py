#!/usr/bin/env python3
"""Hot restarts under load: N (100) times SIGUSR2 while wrk with and without keep-alive, h2load, long downloads, and sessions of datagrams run. Several
generations drain at once. Not one failed request, not one refused connection, every download whole, all counted, no datagram lost, no session at another
host or port, and at the end one process.   restarts.py BIN [N]"""
import ctypes
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ["FAIRLEAD_BIN"] = sys.argv[1]
sys.path[:0] = [str(ROOT / "tests/interop"), str(ROOT / "tests/integration")]
from datagrams import Hosts, Stream, dropped_by_kernel, udp_bootstrap  # noqa: E402
from lab import BIN, Lab, await_true, free_port, get, require  # noqa: E402

RESTARTS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
BETWEEN = 0.4                 # s between two restarts
SIZE = 4 << 20                # bytes of a long download, at most at RATE
RATE = 1 << 20
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: this process awaits those that leave

CONFIG = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  clusters:
  - name: up
    connect_timeout: 5s
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {up}}}}}}}}}]}}]}}
{udp_cluster}  listeners:
{udp_listener}  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {{virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: up, timeout: 0s}}}}]}}]}}
          http_filters: [{{name: r, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
"""


class Downloads:
    """One after the other, each slow: bytes that are missing, or an end that comes too early, are failures."""

    def __init__(self, port):
        self.port, self.whole, self.failures, self.stop = port, 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            r = subprocess.run(["curl", "-sS", "-o", "/dev/null", "--limit-rate", str(RATE), "-w", "%{size_download} %{http_code}", f"http://127.0.0.1:{self.port}/long"],
                               capture_output=True, text=True)
            if r.returncode == 0 and r.stdout == f"{SIZE} 200":
                self.whole += 1
            else:
                self.failures.append(f"{r.stdout} {r.stderr.strip()}")


class Connects:
    """Connects, and lets go: a refusal is a failure."""

    def __init__(self, port):
        self.port, self.count, self.failures, self.stop = port, 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                    s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    data = b""
                    while part := s.recv(4096):
                        data += part
                    if not data.startswith(b"HTTP/1.1 200"):
                        raise OSError(f"answered {data[:100]!r}")
                self.count += 1
            except OSError as error:
                self.failures.append(str(error))
            time.sleep(0.002)


class H2Load:
    """h2load cannot go on after GOAWAY, so its runs are short: each has its connections anew."""

    def __init__(self, port):
        self.port, self.requests, self.runs, self.failures, self.stop = port, 0, 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            r = subprocess.run(["h2load", "-n", "40", "-c", "4", "-m", "10", f"http://127.0.0.1:{self.port}/"], capture_output=True, text=True)
            found = re.search(r"requests: 40 total, 40 started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", r.stdout)
            self.runs += 1
            self.requests += int(found[2]) if found else 0
            if not found or found.groups() != ("40", "40", "0", "0"):
                self.failures.append(r.stdout[-600:] + r.stderr[-300:])


def alive(pid):
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    return pathlib.Path(f"/proc/{pid}").exists()


def memory(pid):
    """KiB; of one that has just gone none."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) if found else 0


with Lab() as lab:
    port, admin_port, up = free_port(), free_port(), free_port()
    admin = f"127.0.0.1:{admin_port}"
    hosts = Hosts(2)
    udp_port = free_port()
    udp = udp_bootstrap(udp_port, hosts.ports)
    lab.dir.chmod(0o755)
    (lab.dir / "files").mkdir()
    (lab.dir / "files/long").write_bytes(os.urandom(1 << 16) * (SIZE >> 16))
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (lab.dir / kind).mkdir()
    temp = " ".join(f"{kind}_temp_path {lab.dir}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = lab.write("nginx.conf", f"daemon off; worker_processes 1; user root; pid {lab.dir}/nginx.pid; error_log {lab.dir}/nginx.err;\nevents {{ worker_connections 4096; }}\n"
                       f"http {{ access_log off; keepalive_requests 1000000000; {temp}\n  server {{ listen 127.0.0.1:{up} backlog=1024;\n"
                       f"    location = /long {{ root {lab.dir}/files; }}\n    location / {{ return 200 ok; }} }} }}\n")
    nginx = lab.start("nginx", ["nginx", "-p", lab.dir, "-c", config])
    await_true("nginx serves", lambda: get(f"127.0.0.1:{up}", "/").status == 200)
    first = lab.start("proxy", [BIN / "fairlead-proxy", "-c", lab.write("bootstrap.yaml", CONFIG.format(admin=admin_port, port=port, up=up, udp_cluster=udp[0], udp_listener=udp[1])), "--concurrency", "2",
                                "--drain-time-s", "6", "--parent-shutdown-time-s", "60"])
    await_true("the proxy serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
    dropped = dropped_by_kernel()
    stream = Stream(udp_port, 16, rate=2000)
    seconds = int(RESTARTS * (BETWEEN + 0.4)) + 2
    wrk = [subprocess.Popen(["wrk", "-t1", "-c8", f"-d{seconds}s", *more, f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
           for more in ([], ["-H", "connection: close"])]
    loads = [Downloads(port), Downloads(port), Downloads(port), Connects(port), H2Load(port)]
    pids, most, took, memories = [first.process.pid], 1, [], []
    try:
        for n in range(1, RESTARTS + 1):
            begin = time.monotonic()
            os.kill(pids[-1], signal.SIGUSR2)
            text = await_true("the next process has taken over", lambda: (t := first.text()).count("has taken over from process") >= n and t)
            took.append(time.monotonic() - begin)
            pids.append(int(re.findall(r"has started '[^']*' as process (\d+)", text)[-1]))
            living = [p for p in pids if alive(p)]
            most = max(most, len(living))
            memories.append(sum(memory(p) for p in living))
            time.sleep(BETWEEN)
        for load in loads:
            load.stop = True
        for load in loads:
            load.thread.join()
        stream.end()
        hosts.end()
        reports = [w.communicate()[0] for w in wrk]
        requests = sum(int(re.search(r"(\d+) requests in", r)[1]) for r in reports)
        for r in reports:
            require("Socket errors" not in r and "Non-2xx" not in r, f"wrk saw failures:\n{r}")
        downloads, connects, h2 = sum(d.whole for d in loads[:3]), loads[3], loads[4]
        for load in loads:
            require(not load.failures, f"{type(load).__name__}: {len(load.failures)} failures, the first: {load.failures[:1]}")
        await_true("those that drain have left", lambda: not any(alive(p) for p in pids[:-1]), timeout=70)
        stat = lambda name: int(re.search(rf"^{re.escape(name)}: (\d+)$", get(admin, "/stats").body.decode(), re.M)[1])  # noqa: E731
        require(stat("server.hot_restart_epoch") == RESTARTS, "the epoch")
        require(stat("http.in.downstream_cx_active") == 0 and stat("server.parent_connections") == 0, "nothing is open any more")
        counted, least = stat("http.in.downstream_rq_2xx"), requests + downloads + connects.count + h2.requests
        require(least <= counted <= least + 1 + 16, f"{counted} requests are counted; clients saw {least}, and at most one more each of wrk's connections")
        lost, homes = sum(map(len, stream.lost())), [len(h) for h in hosts.homes.values()]
        require(lost == 0, f"{lost} of {sum(stream.sent)} datagrams were lost on the way there or back, {dropped_by_kernel() - dropped} of them at full receive buffers")
        require(homes == [1] * 16, f"sessions went to another host or port: {hosts.homes}")
        took.sort()
        print(f"{RESTARTS} restarts, at most {most} processes at once with {max(memories) >> 10} MiB together; one took {took[len(took) // 2] * 1000:.0f} ms (median), {took[-1] * 1000:.0f} ms (longest)\n"
              f"{requests} requests of wrk, {h2.requests} of h2load in {h2.runs} runs, {connects.count} single connections, {downloads} downloads of {SIZE >> 20} MiB: all whole, none failed, none refused; {counted} counted\n"
              f"{sum(stream.sent)} datagrams of 16 sessions and their answers: none lost, no session at another host or port")
    finally:
        stream.stop = hosts.stop = True
        for load in loads:
            load.stop = True
        for pid in pids:
            if alive(pid):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGTERM)
