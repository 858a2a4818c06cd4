#!/usr/bin/env python3
"""Hot restarts of fairlead-proxy as a process: by signal and by Envoy's flags, under load, with failures at every step, and what a service manager sees.
Processes that leave are awaited by this one: it is their reaper."""
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/interop"), str(ROOT / "tests/integration")]
from datagrams import Hosts, Stream, udp_bootstrap, udp_socket  # noqa: E402
from lab import BIN, Lab, await_true, free_port, get  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

BLOCK = b"0123456789abcdef" * 4096  # 64 KiB
LONG = 160                          # blocks of a long download


class Upstream:
    """Answers /long with LONG blocks, one each 25 ms, everything else with a few bytes. A thread a connection."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    @staticmethod
    def serve(peer):
        try:
            with peer, peer.makefile("rb") as lines:
                while request := lines.readline():
                    while lines.readline() not in (b"\r\n", b""):
                        pass
                    if b"/long" not in request:
                        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        continue
                    peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (LONG * len(BLOCK)))
                    for _ in range(LONG):
                        peer.sendall(BLOCK)
                        time.sleep(0.025)
        except OSError:
            pass


class Client:
    """One HTTP/1.1 client that asks again and again, over one connection for as long as that is offered, or over a new one each time."""

    def __init__(self, port, keep):
        self.port, self.keep, self.requests, self.failures, self.stop = port, keep, 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        s = None
        while not self.stop:
            try:
                if s is None:
                    s = socket.create_connection(("127.0.0.1", self.port), timeout=10)
                s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n" + (b"\r\n" if self.keep else b"connection: close\r\n\r\n"))
                head = b""
                while not head.endswith(b"ok"):
                    part = s.recv(4096)
                    if not part:
                        raise OSError(f"the connection ended after {head!r}")
                    head += part
                if not head.startswith(b"HTTP/1.1 200"):
                    raise OSError(f"{head!r}")
                self.requests += 1
                if b"connection: close" in head.lower():
                    s.close()
                    s = None
            except OSError as error:
                self.failures.append(str(error))
                if s is not None:
                    s.close()
                s = None
        if s is not None:
            s.close()

    def end(self):
        self.stop = True
        self.thread.join()


class Download:
    def __init__(self, port):
        self.port, self.received, self.error = port, 0, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
                s.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
                data = b""
                while b"\r\n\r\n" not in data:
                    data += s.recv(65536)
                self.received = len(data.partition(b"\r\n\r\n")[2])
                while self.received < LONG * len(BLOCK):
                    part = s.recv(65536)
                    if not part:
                        raise OSError("the connection ended")
                    self.received += len(part)
        except OSError as error:
            self.error = error

    def whole(self):
        self.thread.join()
        return self.error is None and self.received == LONG * len(BLOCK)


class Notify:
    """A service manager's socket."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(15)

    def next(self, *but):
        while True:
            text = self.socket.recv(4096).decode()
            if not any(b in text for b in but):
                return text


def bootstrap(upstream, port, admin, xds=None):
    more = "" if xds is None else NEVER_READY
    return f"""
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
{more}
static_resources:
  clusters:
  - name: up
    connect_timeout: 5s
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
  - name: xds
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment: {{cluster_name: xds, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {xds or upstream}}}}}}}}}]}}]}}
  listeners:
  - name: l
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


# A process that waits for a management server that never answers stays where it is.
NEVER_READY = """node: {id: n, cluster: c}
dynamic_resources:
  cds_config: {resource_api_version: V3, initial_fetch_timeout: 1s, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.lab.__enter__()
        self.upstream = Upstream()
        self.port, self.admin_port = free_port(), free_port()
        self.admin = f"127.0.0.1:{self.admin_port}"
        self.binary = self.lab.dir / "fairlead-proxy"
        os.symlink(BIN / "fairlead-proxy", self.binary)
        self.configure()
        self.processes = []
        self.left = set()

    def tearDown(self):
        for pid in self.known():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for p in self.processes:
            p.process.wait()
        self.upstream.socket.close()
        result = self._outcome.result
        failed = any(case is self for case, _ in result.failures + result.errors)
        self.lab.__exit__(Exception if failed else None, None, None)

    def configure(self, xds=None):
        self.config = self.lab.write("bootstrap.yaml", bootstrap(self.upstream.port, self.port, self.admin_port, xds))

    def start(self, *flags, workers=2, wait=True):
        p = self.lab.start(f"proxy{len(self.processes)}", [self.binary, "-c", self.config, "--concurrency", str(workers), *flags])
        self.processes.append(p)
        if wait:
            p.await_line("all dependencies initialized")
        return p

    def known(self):
        """The processes that were started by this test or by one of them, and are there."""
        pids = [p.process.pid for p in self.processes]
        for p in self.processes:
            pids += [int(n) for n in re.findall(r"has started '[^']*' as process (\d+)", p.text())]
        return [pid for pid in pids if self.alive(pid)]

    def alive(self, pid):
        if pid in self.left:
            return False
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                self.left.add(pid)
                return False
        except ChildProcessError:
            pass
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def stat(self, name):
        found = re.search(rf"^{re.escape(name)}: (\d+)$", get(self.admin, f"/stats?filter=^{re.escape(name)}$").body.decode(), re.M)
        return int(found[1]) if found else None

    def restart(self, process, log=None):
        """SIGUSR2, until the next process has taken over. Its pid."""
        log = log or self.processes[0]
        before = log.text().count("has taken over from process")
        os.kill(process, signal.SIGUSR2)
        await_true("the next process has taken over", lambda: log.text().count("has taken over from process") > before)
        return int(re.findall(r"has started '[^']*' as process (\d+)", log.text())[-1])

    def serves(self):
        return get(f"127.0.0.1:{self.port}", "/").body == b"ok"


class BySignal(Case):
    def test_generations_under_load(self):
        """Four processes one after the other: no request fails, a long download is whole, counters go on, the admin address stays, all the old ones leave."""
        p = self.start("--drain-time-s", "2", "--parent-shutdown-time-s", "30")
        download = Download(self.port)
        clients = [Client(self.port, keep) for keep in (True, True, True, False, False)]
        pid, generations = p.process.pid, [p.process.pid]
        for n in range(1, 4):
            time.sleep(0.3)
            pid = self.restart(pid)
            generations.append(pid)
            await_true("the epoch counts", lambda: self.stat("server.hot_restart_epoch") == n)
        time.sleep(0.5)
        for c in clients:
            c.end()
        self.assertEqual([c.failures for c in clients], [[]] * len(clients))
        self.assertTrue(download.whole(), download.error)
        requests = sum(c.requests for c in clients) + 1
        await_true("all requests are counted", lambda: self.stat("cluster.up.upstream_rq_total") == requests)
        await_true("and their responses", lambda: self.stat("http.in.downstream_rq_2xx") == requests)
        await_true("the old ones have left", lambda: not any(self.alive(old) for old in generations[:-1]))
        self.assertTrue(self.alive(pid))
        await_true("nothing of them is open", lambda: self.stat("server.parent_connections") == 0 and self.stat("http.in.downstream_cx_active") == 0)
        self.assertIn(b'"hot_restart_version": "fairlead.2"', get(self.admin, "/server_info").body)

    def test_replaced_binary(self):
        """The file as it is now is started: the program behind a link that is turned, with the same arguments."""
        p = self.start()
        program = self.lab.dir / "new-program"
        program.write_text(f'#!/bin/sh\necho "this is the new one: $*" >&2\nexec {BIN}/fairlead-proxy "$@"\n')
        program.chmod(0o755)
        self.binary.unlink()
        os.symlink(program, self.binary)
        pid = self.restart(p.process.pid)
        self.assertIn("this is the new one: -c", p.text())
        self.assertTrue(self.serves())
        await_true("the old one has left", lambda: not self.alive(p.process.pid))
        self.assertEqual(p.process.poll(), 0)
        os.kill(pid, signal.SIGTERM)
        await_true("the new one ends by SIGTERM", lambda: not self.alive(pid))

    def test_failed_starts(self):
        """A file that is gone, a program that ends, a configuration that is wrong, one that never is ready and is killed: the old process goes on."""
        p = self.start()
        keep = Client(self.port, True)
        program = self.lab.dir / "broken"
        good = os.readlink(self.binary)

        def attempt(target, line, kill=False):
            self.binary.unlink()
            if target is not None:
                os.symlink(target, self.binary)
            failures = p.text().count("this process goes on")
            os.kill(p.process.pid, signal.SIGUSR2)
            if kill:
                p.await_line(r"is about to take over")
                p.await_line(r"no answer within the initial fetch timeout: the process before goes on serving")
                os.kill(p.process.pid, signal.SIGUSR2)
                p.await_line("SIGUSR2: no hot restart: another process is about to take over")
                os.kill(int(re.findall(r"as process (\d+)", p.text())[-1]), signal.SIGKILL)
            await_true("it goes on", lambda: p.text().count("this process goes on") > failures)
            self.assertRegex(p.text(), line)
            if target is None:
                os.symlink(good, self.binary)
            self.assertTrue(self.serves())
            self.assertEqual(get(self.admin, "/ready").status, 200)

        attempt(None, "cannot start")
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
        attempt(program, "the other process has gone")
        p.await_line("has ended with code 3")
        self.lab.write("bootstrap.yaml", "static_resources: {listenerz: []}")
        attempt(good, "listenerz")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.configure(silent.getsockname()[1])
            attempt(good, "is about to take over", kill=True)
        self.configure()
        keep_before = keep.requests
        self.restart(p.process.pid)
        await_true("requests go on", lambda: keep.requests > keep_before + 20)
        keep.end()
        self.assertEqual(keep.failures, [])

    def test_old_one_dies(self):
        """The old process is killed while the next one waits for its configuration: that one goes on by itself, with the sockets."""
        p = self.start()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.configure(silent.getsockname()[1])
            os.kill(p.process.pid, signal.SIGUSR2)
            p.await_line("is about to take over")
            p.await_line("no answer within the initial fetch timeout: the process before goes on serving")
            os.kill(p.process.pid, signal.SIGKILL)
            p.process.wait()
            await_true("the next one serves", lambda: self.serves() and get(self.admin, "/ready").status == 200)
        self.assertIn("goes on without it", p.text())

    def test_sigterm_while_the_next_one_waits(self):
        """Both are to end."""
        p = self.start("--drain-time-s", "1")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.configure(silent.getsockname()[1])
            os.kill(p.process.pid, signal.SIGUSR2)
            p.await_line("is about to take over")
            os.kill(p.process.pid, signal.SIGTERM)
            await_true("both have left", lambda: not self.known())
        self.assertIn("refused: it is about to end", p.text())

    def test_shutdown_time_ends_the_old_one(self):
        """An old process whose download does not end is gone after --parent-shutdown-time-s."""
        p = self.start("--drain-time-s", "1", "--parent-shutdown-time-s", "1")
        download = Download(self.port)
        await_true("the download has begun", lambda: download.received > 0)
        self.restart(p.process.pid)
        await_true("the old one has left", lambda: not self.alive(p.process.pid), timeout=3)
        self.assertFalse(download.whole())

    def test_disabled(self):
        p = self.start("--disable-hot-restart")
        os.kill(p.process.pid, signal.SIGUSR2)
        p.await_line("no hot restart: --disable-hot-restart is given")
        self.assertEqual(get(self.admin, "/hot_restart_version").body, b"disabled")


class Datagrams(Case):
    """Restarts under a steady stream of datagrams: none is lost, and each client's go on to the same host from the same port."""

    def setUp(self):
        self.hosts = Hosts(2)
        with udp_socket() as free:
            self.udp_port = free.getsockname()[1]
        self.idle = "60s"
        super().setUp()
        self.base = ["--drain-time-s", "1"]

    def tearDown(self):
        super().tearDown()
        self.hosts.end()

    def configure(self, xds=None):
        cluster, listener = udp_bootstrap(self.udp_port, self.hosts.ports, self.idle)
        text = bootstrap(self.upstream.port, self.port, self.admin_port, xds).replace("  listeners:\n", cluster + "  listeners:\n") + listener
        self.config = self.lab.write("bootstrap.yaml", text)

    def homes(self):
        return {client: list(homes) for client, homes in list(self.hosts.homes.items())}

    def test_sessions_go_on(self):
        """Four processes by signal; clients that come later have sessions of their own; each is counted once, by whoever is there."""
        p = self.start(*self.base)
        stream = Stream(self.udp_port, 8)
        pid, generations = p.process.pid, [p.process.pid]
        try:
            for _ in range(3):
                time.sleep(0.3)
                pid = self.restart(pid)
                generations.append(pid)
                stream.add(2)
            time.sleep(0.3)
        finally:
            stream.end()
        self.assertEqual(stream.lost(), [[]] * 14)
        self.assertEqual({client: len(homes) for client, homes in self.homes().items()}, {client: 1 for client in range(14)})
        self.assertEqual(p.text().count("UDP sessions of the process before go on"), 3)
        await_true("the old ones have left", lambda: not any(self.alive(old) for old in generations[:-1]))
        await_true("all datagrams are counted", lambda: self.stat("udp.u.downstream_sess_rx_datagrams") == sum(stream.sent))
        await_true("and their answers", lambda: self.stat("udp.u.downstream_sess_tx_datagrams") == sum(stream.sent))
        await_true("sessions are counted once", lambda: self.stat("udp.u.downstream_sess_total") == 14 and self.stat("udp.u.downstream_sess_active") == 14)
        print(f"\n3 restarts, {sum(stream.sent)} datagrams and as many answers: 0 lost, 0 of 14 sessions at another host or port", flush=True)

    def test_other_numbers_of_workers(self):
        """Fewer workers share the sockets there are, and every session goes on. With more, the kernel spreads anew: some begin anew, and still nothing is lost."""
        base = [*self.base, "--socket-path", f"@fairlead-test-{os.getpid()}-{self.udp_port}", "--base-id", "1"]
        self.start(*base, workers=3)
        stream = Stream(self.udp_port, 12)
        try:
            time.sleep(0.3)
            for epoch, workers in ((1, 1), (2, 2), (3, 4)):
                after_fewer = self.homes()
                self.start(*base, "--restart-epoch", str(epoch), workers=workers).await_line("has taken over from process")
                await_true("the one before has left", lambda: self.processes[-2].process.poll() == 0)
                time.sleep(0.3)
        finally:
            stream.end()
        self.assertEqual(stream.lost(), [[]] * 12)
        self.assertEqual({client: len(homes) for client, homes in after_fewer.items()}, {client: 1 for client in range(12)})
        self.assertLessEqual(max(len(homes) for homes in self.homes().values()), 2)

    def test_route_that_changes(self):
        """A session whose host is not in the new configuration begins anew there, without the answers that were under way; the others go on."""
        p = self.start(*self.base)
        stream = Stream(self.udp_port, 8)
        try:
            await_true("both hosts have some", lambda: {homes[0][0] for homes in self.homes().values() if homes} == {0, 1} and len(self.homes()) == 8)
            before = self.homes()
            self.hosts.ports.pop(0)
            self.configure()
            self.restart(p.process.pid)
            time.sleep(0.3)
        finally:
            stream.end()
        lost = stream.lost()
        for client, homes in self.homes().items():
            moves = before[client][0][0] == 0
            self.assertEqual(len(homes), 2 if moves else 1)
            self.assertEqual(homes[-1][0], 1)
            self.assertLess(len(lost[client]), 5 if moves else 1)

    def test_a_start_that_fails(self):
        """A configuration that is wrong, and a process that is killed while it waits: the old one's sessions never notice."""
        p = self.start(*self.base)
        stream = Stream(self.udp_port, 8)
        try:
            good = self.config.read_text()
            self.config.write_text("static_resources: {listenerz: []}")
            os.kill(p.process.pid, signal.SIGUSR2)
            p.await_line("this process goes on")
            with socket.create_server(("127.0.0.1", 0)) as silent:
                self.configure(silent.getsockname()[1])
                os.kill(p.process.pid, signal.SIGUSR2)
                p.await_line("is about to take over")
                p.await_line("no answer within the initial fetch timeout: the process before goes on serving")
                os.kill(int(re.findall(r"as process (\d+)", p.text())[-1]), signal.SIGKILL)
                await_true("it goes on again", lambda: p.text().count("this process goes on") == 2)
            self.config.write_text(good)
            time.sleep(0.2)
        finally:
            stream.end()
        self.assertEqual(stream.lost(), [[]] * 8)
        self.assertEqual([len(homes) for homes in self.homes().values()], [1] * 8)

    def test_the_old_one_dies(self):
        """Its sessions die with it, unless they have been handed over; no datagram of a client is lost in the sockets, and the next one answers."""
        p = self.start(*self.base)
        stream = Stream(self.udp_port, 8, rate=100)
        try:
            await_true("each has a session", lambda: len(self.homes()) == 8)
            with socket.create_server(("127.0.0.1", 0)) as silent:
                self.configure(silent.getsockname()[1])
                os.kill(p.process.pid, signal.SIGUSR2)
                p.await_line("no answer within the initial fetch timeout: the process before goes on serving")
                os.kill(p.process.pid, signal.SIGKILL)
                p.process.wait()
                await_true("the next one serves", self.serves)
                time.sleep(0.3)
        finally:
            stream.end()
        lost = stream.lost()
        self.assertLess(max(map(len, lost)), 5, lost)  # what the dead one had read, or was to be answered to it
        self.assertEqual([len(homes) for homes in self.homes().values()], [2] * 8)

    def test_idle_sessions_end(self):
        """Also those that no datagram comes for after they have been handed over."""
        self.idle = "1.5s"
        self.configure()
        p = self.start(*self.base)
        stream = Stream(self.udp_port, 1, rate=50)
        await_true("it has sent something", lambda: stream.sent[0] > 0)
        stream.end()
        self.assertEqual(self.stat("udp.u.downstream_sess_active"), 1)
        self.restart(p.process.pid)
        await_true("it is idle for too long", lambda: self.stat("udp.u.idle_timeout") == 1)
        await_true("and ends", lambda: self.stat("udp.u.downstream_sess_active") == 0)


class ByFlags(Case):
    def setUp(self):
        super().setUp()
        self.base = ["--socket-path", f"@fairlead-test-{os.getpid()}-{self.port}", "--base-id", "1"]

    def test_epochs_and_other_numbers_of_workers(self):
        """--restart-epoch, with one, three, one and two workers: no request fails, and each old process leaves with code 0."""
        first = self.start(*self.base, "--drain-time-s", "1", workers=1)
        clients = [Client(self.port, keep) for keep in (True, False, False)]
        for epoch, workers in ((1, 3), (2, 1), (3, 2)):
            p = self.start(*self.base, "--drain-time-s", "1", "--restart-epoch", str(epoch), workers=workers)
            p.await_line("has taken over from process")
            await_true("the epoch counts", lambda: self.stat("server.hot_restart_epoch") == epoch)
            time.sleep(0.3)
        for c in clients:
            c.end()
        self.assertEqual([c.failures for c in clients], [[]] * len(clients))
        await_true("all requests are counted", lambda: self.stat("cluster.up.upstream_rq_total") == sum(c.requests for c in clients))
        for old in self.processes[:-1]:
            self.assertEqual(old.process.wait(10), 0)
        self.assertIn("has taken over; draining", first.text())

    def test_what_cannot_be(self):
        """No process before; a base id that is taken; a second successor while the first waits."""
        p = self.start(*self.base, "--restart-epoch", "1", wait=False)
        self.assertEqual(p.process.wait(10), 1)
        self.assertIn("no process waits at", p.text())
        first = self.start(*self.base, "--restart-epoch", "1", "--skip-hot-restart-on-no-parent")
        self.assertIn("starts without one", first.text())
        p = self.start(*self.base, "--restart-epoch", "1", "--skip-hot-restart-on-no-parent", wait=False)
        self.assertEqual(p.process.wait(10), 1)
        self.assertIn("another process waits at", p.text())
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.configure(silent.getsockname()[1])
            waiting = self.start(*self.base, "--restart-epoch", "2", wait=False)
            waiting.await_line("takes over from process")
            second = self.start(*self.base, "--restart-epoch", "2", wait=False)
            self.assertEqual(second.process.wait(10), 1)
            self.assertIn("refused: another process is taking over", second.text())
        self.assertTrue(self.serves())

    def test_path_and_dynamic_base_id(self):
        path = self.lab.dir / "meet"
        self.start("--socket-path", str(path), "--socket-mode", "600", "--use-dynamic-base-id", "--base-id-path", self.lab.dir / "id", "--drain-time-s", "1")
        base_id = (self.lab.dir / "id").read_text()
        there = pathlib.Path(f"{path}_fairlead_{base_id}_0")
        self.assertEqual(there.stat().st_mode & 0o777, 0o600)
        p = self.start("--socket-path", str(path), "--base-id", base_id, "--restart-epoch", "1", "--drain-time-s", "1")
        p.await_line("has taken over from process")
        await_true("its place goes with the old one", lambda: not there.exists())
        self.assertTrue(self.serves())


class ServiceManager(Case):
    def listening(self):
        """A wrapper that runs the proxy with a listening socket as systemd passes it: descriptor 3, LISTEN_PID of the process itself."""
        s = socket.create_server(("127.0.0.1", self.port), backlog=64)
        s.setblocking(False)
        wrapper = self.lab.dir / "as-systemd"
        wrapper.write_text(f'#!{sys.executable}\nimport os, sys\nos.dup2({s.fileno()}, 3)\nos.environ["LISTEN_PID"] = str(os.getpid())\nos.environ["LISTEN_FDS"] = "1"\n'
                           "os.execv(sys.argv[1], sys.argv[1:])\n")
        wrapper.chmod(0o755)
        return s, wrapper

    def launch(self, s, wrapper, env, *flags):
        p = self.lab.start(f"proxy{len(self.processes)}", [wrapper, self.binary, "-c", self.config, "--concurrency", "2", *flags], env, pass_fds=[s.fileno()])
        self.processes.append(p)
        return p

    def test_passed_sockets_and_notifications(self):
        """What connects before the start is served; READY, RELOADING, MAINPID and STOPPING are told; the socket is used through restarts, and stays with the service manager."""
        s, wrapper = self.listening()
        notify = Notify(self.lab.dir / "notify")
        early = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        early.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        env = {"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "600000"}
        p = self.launch(s, wrapper, env, "--drain-time-s", "1")
        self.assertIn(f"MAINPID={p.process.pid}\nREADY=1\n", notify.next("WATCHDOG"))
        self.assertIn(b"200 OK", early.recv(4096))
        early.close()
        self.assertIn("takes 127.0.0.1:%d from the service manager" % self.port, p.text())
        self.assertEqual(notify.next("RELOADING"), "WATCHDOG=1")
        pid = p.process.pid
        for _ in range(2):
            before, pid = pid, self.restart(pid)
            self.assertRegex(notify.next("WATCHDOG"), "RELOADING=1\nMONOTONIC_USEC=[0-9]+\n")
            self.assertIn(f"MAINPID={pid}\nREADY=1\n", notify.next("WATCHDOG"))
            await_true("the old one has left", lambda: not self.alive(before))
            self.assertTrue(self.serves())
        self.assertEqual(notify.next("STATUS"), "WATCHDOG=1")
        self.binary.unlink()
        os.kill(pid, signal.SIGUSR2)
        self.assertIn("RELOADING=1", notify.next("WATCHDOG"))
        self.assertRegex(notify.next("WATCHDOG"), "READY=1\nSTATUS=serving; the last hot restart failed: .*cannot start")
        os.kill(pid, signal.SIGTERM)
        self.assertIn("STOPPING=1", notify.next("WATCHDOG"))
        await_true("it ends", lambda: not self.alive(pid))
        waiting = socket.create_connection(("127.0.0.1", self.port), timeout=10)  # nobody is there, and nobody is refused
        os.symlink(BIN / "fairlead-proxy", self.binary)
        p = self.launch(s, wrapper, env)
        waiting.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        self.assertIn(b"200 OK", waiting.recv(4096))
        for open_one in (waiting, notify.socket, s):
            open_one.close()


class Termination(Case):
    def test_readiness_fails_first(self):
        """SIGTERM with --shutdown-delay-s: /ready fails at once, new connections are served until the drain, and then it ends with code 0."""
        p = self.start("--shutdown-delay-s", "1.5", "--drain-time-s", "5")
        self.assertTrue(self.serves())
        begin = time.monotonic()
        os.kill(p.process.pid, signal.SIGTERM)
        await_true("readiness fails", lambda: get(self.admin, "/ready").status == 503)
        self.assertLess(time.monotonic() - begin, 1)
        while time.monotonic() - begin < 1.4:
            self.assertTrue(self.serves())
        self.assertIsNone(p.process.poll())
        self.assertEqual(p.process.wait(10), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 1.5)


if __name__ == "__main__":
    if shutil.which(str(BIN / "fairlead-proxy")) is None:
        sys.exit(f"{BIN}/fairlead-proxy is missing")
    unittest.main(verbosity=2)
