#!/usr/bin/env python3
"""Starts every example by examples/run, on ports the kernel picks, asks it what its try.txt shows, and stops it by a signal.
The example with Envoy as data plane runs on fairlead-proxy here: with Envoy it is part of `make interop`."""
import collections
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
import lab  # noqa: E402

UPSTREAMS = "shop-v1:9001 shop-v2:9002 api:9003"  # of examples/run, when an example names none


class Example:
    """One example, up; `folder` is the copy it runs from."""

    def __init__(self, l, name, taken=None):
        self.lab, self.name = l, name
        ports = {old: lab.free_port() for old in (8080, 8443, 9001, 9002, 9003)}
        self.taken = {old: socket.create_server(("127.0.0.1", ports[old])) for old in taken or ()}
        self.upstream_ports = [ports[old] for old in (9001, 9002, 9003)]
        self.folder = l.example(name, ports)
        self.port, self.tls_port = ports[8080], ports[8443]
        env = self.folder / "example.env"
        given = re.search(r'^UPSTREAMS="(.*)"', env.read_text() if env.exists() else "", re.M)
        upstreams = given[1] if given else UPSTREAMS
        for old, new in ports.items():
            upstreams = upstreams.replace(f":{old}", f":{new}")
        mesh = "".join(re.findall(r"^(?:MESH|CLUSTER_IPS)=.*\n", env.read_text() if env.exists() else "", re.M))
        if mesh:  # where it listens is the control plane's to say, and all of it is in a namespace of its own
            self.port = 15001
        tls = f"TLS_PORT={self.tls_port}\n" if env.exists() and "TLS_PORT" in env.read_text() else ""
        env.write_text(f'UPSTREAMS="{upstreams}"\nPROXY_PORT={self.port}\n{tls}{mesh}')
        self.admin = f"127.0.0.1:{lab.free_port()}"
        self.proxy_admin = f"127.0.0.1:{lab.free_port()}"
        self.process = l.start(f"run-{name}", [ROOT / "examples/run", name], {
            "DIR": str(self.folder), "BIN": str(lab.BIN), "XDS_ADDRESS": f"127.0.0.1:{lab.free_port()}", "CONTROL_ADMIN": self.admin, "PROXY_ADMIN": self.proxy_admin})
        if not taken:
            self.process.await_line("Ctrl-C stops it", 60)

    def get(self, path="/", headers=None):
        return lab.get(f"127.0.0.1:{self.port}", path, headers=headers)

    def service(self, path="/", headers=None):
        r = self.get(path, headers)
        lab.require(r.status == 200, f"{self.name} {path}: {r}")
        return json.loads(r.body)["service"]

    def shares(self, n=200):
        return collections.Counter(self.service() for _ in range(n))

    def paste(self, command):
        """A command as the documents print it, at the addresses of this example."""
        for old, new in (("127.0.0.1:8080", f"127.0.0.1:{self.port}"), ("127.0.0.1/8080", f"127.0.0.1/{self.port}"), ("127.0.0.1:8443", f"127.0.0.1:{self.tls_port}"), ("127.0.0.1:9901", self.proxy_admin), ("build/release/bin", str(lab.BIN)),
                         (f"examples/{self.name}/", f"{self.folder}/")):
            command = command.replace(old, new)
        command = command.replace(f'"$(pgrep -of \'examples/run {self.name}\')"', str(self.process.process.pid))
        r = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, env={**os.environ, "FAIRLEAD_SERVER": self.admin})
        lab.require(r.returncode == 0, f"{command}: exit code {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def edit(self, old, new):
        path = self.folder / "routes.yaml"
        text = path.read_text()
        lab.require(old in text, f"{path} has no {old!r}")
        self.lab.write(path, text.replace(old, new))

    def children(self):
        """Program -> process id of what the example has started."""
        pids = pathlib.Path(f"/proc/{self.process.process.pid}/task/{self.process.process.pid}/children").read_text().split()
        names = {"python3": "upstreams"}
        found = {}
        for pid in map(int, pids):
            program = pathlib.Path(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()).name
            found[names.get(program, program)] = pid
        return found

    def stop(self, number=signal.SIGTERM):
        self.process.process.send_signal(number)
        code = self.process.process.wait(30)
        lab.require(code == 0, f"examples/run {self.name} ended with {code}:\n{self.process.text()}")
        lab.require(self.process.text().endswith("stopped\n"), self.process.text())


class Examples(unittest.TestCase):
    def run_example(self, name, check):
        with lab.Lab() as l:
            example = Example(l, name)
            for line in (ROOT / "examples" / name / "try.txt").read_text().splitlines():
                self.assertIn(line, example.process.text())
                if not line.lstrip().startswith("#"):
                    self.assertTrue(example.paste(line).stdout, line)
            check(example)
            status = subprocess.run([lab.BIN / "fairlead", "--server", example.admin, "status"], capture_output=True, text=True)
            self.assertIn("SYNCED", status.stdout)
            self.assertNotIn("error", status.stdout)
            example.stop()

    def shop(self, e):
        shares = e.shares()
        self.assertGreater(shares["shop-v1"], 150, shares)
        self.assertGreater(shares["shop-v2"], 2, shares)
        api = e.get("/api/items")
        self.assertEqual((api.status, api.header("x-served-by"), json.loads(api.body)["path"]), (200, "fairlead", "/items"))
        old = e.get("/old")
        self.assertEqual((old.status, old.header("location").endswith("/api/new")), (301, True), old)
        e.edit("weight: 90", "weight: 0")
        e.edit("weight: 10", "weight: 100")
        lab.await_true("all answers come from shop-v2", lambda: set(e.shares(20)) == {"shop-v2"})

    def test_quickstart(self):
        def check(e):
            readme, tour = ((ROOT / page).read_text() for page in ("README.md", "docs/tour.md"))
            shares = e.paste(re.search(r"^for i in .*$", readme, re.M)[0]).stdout
            self.assertRegex(shares, r'(?m)^ *[12]?\d "service": "shop-v1"$')
            shown = re.findall(r"^(?:curl|build/release/bin/fairlead) .*$", tour[:tour.index("## 2.")], re.M) + re.findall(r"`(curl [^`]*)`", tour)
            self.assertGreater(len(shown), 5)
            for command in shown:
                self.assertTrue(e.paste(command).stdout, command)
            self.shop(e)

        self.run_example("quickstart", check)

    def test_envoy_data_plane(self):
        self.run_example("envoy-data-plane", self.shop)

    @unittest.skipIf(subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True).returncode, "this machine gives nobody a network namespace")
    def test_mesh(self):
        with lab.Lab() as l:
            e = Example(l, "mesh")
            inside = ["nsenter", "-t", str(e.process.process.pid), "-U", "-n", "--preserve-credentials"]

            def ask(*more):
                r = subprocess.run([*inside, "curl", "-s", *more, "http://10.96.0.10/"], capture_output=True, text=True, check=True)
                return json.loads(r.stdout)["service"]

            for line in (ROOT / "examples/mesh/try.txt").read_text().splitlines():
                self.assertIn(line, e.process.text())
                if not line.lstrip().startswith("#"):
                    self.assertTrue(e.paste(line).stdout, line)
            self.assertEqual({ask("-H", "x-version: next") for _ in range(10)}, {"cart-next"})
            shares = collections.Counter(ask() for _ in range(100))
            self.assertGreater(shares["cart"], 70, shares)
            e.edit("weight: 90", "weight: 0")
            lab.await_true("all answers come from the next version", lambda: {ask() for _ in range(10)} == {"cart-next"})
            why = e.paste("build/release/bin/fairlead why -f examples/mesh/ --gateway mesh:edge GET http://cart.shop/").stdout
            self.assertIn("edge/steady/rule/0/match/0", why)
            self.assertIn("shop/cart/80", why)
            status = subprocess.run([*inside, lab.BIN / "fairlead", "--server", e.admin, "status"], capture_output=True, text=True).stdout
            self.assertIn("SYNCED", status)
            self.assertNotIn("error", status)
            e.stop()

    def test_canary(self):
        def check(e):
            self.assertGreater(e.shares()["stable"], 160)
            e.edit("weight: 95", "weight: 0")
            lab.await_true("all answers come from the canary", lambda: set(e.shares(20)) == {"canary"})

        self.run_example("canary", check)

    def test_blue_green(self):
        def check(e):
            self.assertEqual(set(e.shares(20)), {"blue"})
            self.assertEqual(e.service(headers={"x-preview": "green"}), "green")
            e.edit("port: 80, weight: 1}", "port: 80, weight: 2}")
            e.edit("port: 80, weight: 0}", "port: 80, weight: 1}")
            e.edit("port: 80, weight: 2}", "port: 80, weight: 0}")
            lab.await_true("all answers come from green", lambda: set(e.shares(20)) == {"green"})

        self.run_example("blue-green", check)

    def test_ab_headers(self):
        def check(e):
            self.assertEqual(e.service(), "a")
            self.assertEqual(e.service(headers={"x-group": "b"}), "b")
            self.assertEqual(e.service("/?group=b"), "b")
            self.assertEqual(e.get(headers={"x-group": "b"}).header("x-variant"), "b")
            self.assertIsNone(e.get().header("x-variant"))

        self.run_example("ab-headers", check)

    def test_https(self):
        def check(e):
            ask = "curl -sS --cacert examples/https/authority.pem --connect-to ::127.0.0.1:8443"
            self.assertEqual(e.get(headers={"host": "shop.example.com"}).header("location"), f"https://shop.example.com:{e.tls_port}/")
            for name, service in (("shop.example.com", "shop"), ("v1.api.example.com", "api")):
                self.assertEqual(json.loads(e.paste(f"{ask} https://{name}/").stdout)["service"], service)
            self.assertRaises(lab.Failed, e.paste, f"{ask} https://www.example.com/")
            secrets = e.paste("build/release/bin/fairlead config secrets").stdout
            self.assertIn("CN=shop.example.com", secrets)
            self.assertNotIn("BEGIN", secrets)
            path = e.folder / "secrets.yaml"
            text = path.read_text()
            broken = text.replace("tls.key: |\n    -----BEGIN", "tls.key: |\n    ----BEGIN")
            self.assertNotEqual(text, broken)
            e.lab.write(path, broken)
            lab.await_true("what is wrong is told", lambda: "Secret default/shop" in e.paste("build/release/bin/fairlead status").stdout)
            self.assertEqual(json.loads(e.paste(f"{ask} https://shop.example.com/").stdout)["service"], "shop")
            e.lab.write(path, text)
            lab.await_true("it is well again", lambda: "Secret default/shop" not in e.paste("build/release/bin/fairlead status").stdout)

        self.run_example("https", check)

    def test_ingress(self):
        def check(e):
            for host, path, service in (("shop.example.com", "/", "shop"), ("shop.example.com", "/api/1", "api"), ("shop.example.com", "/apis", "shop"),
                                        ("v1.api.example.com", "/", "api"), ("V1.API.example.com:8080", "/", "api"), ("a.v1.api.example.com", "/", "rest"), ("api.example.com", "/", "rest")):
                self.assertEqual(e.service(path, {"host": host}), service, (host, path))
            ask = "curl -sS --cacert examples/ingress/authority.pem --connect-to ::127.0.0.1:8443"
            self.assertEqual(json.loads(e.paste(f"{ask} https://shop.example.com/api").stdout)["service"], "api")
            self.assertRaises(lab.Failed, e.paste, f"{ask} https://v1.api.example.com/")
            path = e.folder / "ingress.yaml"
            text = path.read_text()
            e.lab.write(path, text.replace("path: /api, pathType", "path: /other, pathType"))
            lab.await_true("the edit is served", lambda: e.service("/api", {"host": "shop.example.com"}) == "shop")

        self.run_example("ingress", check)

    def test_grpc(self):
        def check(e):
            call = "printf '\\0\\0\\0\\0\\0' | curl -sD- -o /dev/null --http2-prior-knowledge -H 'content-type: application/grpc' --data-binary @- {} http://127.0.0.1:8080/grpc.health.v1.Health/{}"
            first = collections.Counter(re.search(r"x-served-by: (\S+)", e.paste(call.format("", "Check")).stdout)[1] for _ in range(40))
            self.assertGreater(first["health-v1"], 25, first)
            preview = e.paste(call.format("-H 'x-version: v2'", "Watch")).stdout
            self.assertRegex(preview, r"(?s)x-served-by: health-v2.*grpc-status: 0")
            # without a message: the answer comes before the call has ended, and curl takes that for an error
            nobody = call[call.index("curl"):].replace("--data-binary @-", "-X POST")
            self.assertIn("grpc-status: 12", e.paste(nobody.format("", "Watch")).stdout)
            e.edit("port: 80, weight: 90}", "port: 81, weight: 90}")
            lab.await_true("nine of ten calls are answered UNAVAILABLE", lambda: sum("grpc-status: 14" in e.paste(nobody.format("", "Check")).stdout for _ in range(20)) > 10)
            e.edit("port: 81, weight: 90}", "port: 80, weight: 90}")
            lab.await_true("all are answered again", lambda: not any("grpc-status: 14" in e.paste(nobody.format("", "Check")).stdout for _ in range(20)))

        self.run_example("grpc", check)

    def test_tcp_udp(self):
        def ask(kind, e):
            with socket.socket(socket.AF_INET, kind) as s:
                s.settimeout(10)
                s.connect(("127.0.0.1", e.port))
                s.sendall(b"hello\n")
                return s.recv(100).decode()

        def check(e):
            answers = collections.Counter(ask(socket.SOCK_STREAM, e) for _ in range(60))
            self.assertEqual(set(answers) - {"echo-v1: hello\n", "echo-v2: hello\n"}, set())
            self.assertGreater(answers["echo-v1: hello\n"], 35, answers)
            self.assertEqual(ask(socket.SOCK_DGRAM, e), "pong: hello\n")
            e.edit("weight: 90", "weight: 0")
            lab.await_true("all connections go to echo-v2", lambda: {ask(socket.SOCK_STREAM, e) for _ in range(20)} == {"echo-v2: hello\n"})

        self.run_example("tcp-udp", check)

    def test_raw_envoy(self):
        def check(e):
            self.assertEqual(e.service(), "app")
            self.assertEqual(e.get("/health").status, 200)

        self.run_example("raw-envoy", check)

    def test_a_terminal_that_closes_stops_everything(self):
        with lab.Lab() as l:
            example = Example(l, "quickstart")
            children = example.children()
            self.assertEqual(set(children), {"upstreams", "fairlead-control", "fairlead-proxy"})
            example.stop(signal.SIGHUP)
            for pid in children.values():
                self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_a_second_signal_does_not_wait_for_running_requests(self):
        with lab.Lab() as l:
            example = Example(l, "quickstart")
            children = example.children()
            os.kill(children["upstreams"], signal.SIGSTOP)  # the request below stays unanswered
            with socket.create_connection(("127.0.0.1", example.port)) as s:
                s.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                lab.await_true("the request is running", lambda: re.search(r"rq_active: 1", lab.get(example.proxy_admin, "/stats?filter=downstream_rq_active").body.decode()))
                example.process.process.send_signal(signal.SIGINT)
                lab.await_true("it stops accepting", lambda: lab.get(example.proxy_admin, "/ready").status == 503)
                example.stop(signal.SIGINT)
            for pid in children.values():
                self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_a_control_plane_that_dies_is_told_and_the_rest_goes_on(self):
        with lab.Lab() as l:
            example = Example(l, "quickstart")
            os.kill(example.children()["fairlead-control"], signal.SIGKILL)
            example.process.await_line("examples/run: fairlead-control ended with status 137, the rest goes on:", 20)
            example.service()
            os.kill(example.children()["fairlead-proxy"], signal.SIGKILL)
            self.assertEqual(example.process.process.wait(30), 1)
            self.assertIn("examples/run: fairlead-proxy ended with status 137:", example.process.text())
            self.assertTrue(example.process.text().endswith("stopped\n"), example.process.text())

    def test_ports_in_use_are_told_before_anything_starts(self):
        with lab.Lab() as l:
            example = Example(l, "quickstart", taken=(8080, 9002))
            self.assertEqual(example.process.process.wait(30), 2)
            self.assertEqual(example.process.text(), "".join(f"examples/run: 127.0.0.1:{port} ({use}) is in use by another program; is an example still running?\n"
                                                             for port, use in ((example.port, "quickstart itself"), (example.upstream_ports[1], "upstream shop-v2"))))
            for server in example.taken.values():
                server.close()

    def test_a_name_that_is_none_and_a_missing_binary_are_told(self):
        r = subprocess.run([ROOT / "examples/run", "nothing"], capture_output=True, text=True)
        self.assertEqual(r.returncode, 2)
        self.assertIn("no example 'nothing'; there are: ab-headers", r.stderr)
        r = subprocess.run([ROOT / "examples/run"], capture_output=True, text=True, env={**os.environ, "BIN": "/nonexistent"})
        self.assertEqual((r.returncode, r.stderr), (2, "examples/run: /nonexistent/fairlead-control is missing: run 'make build'\n"))


if __name__ == "__main__":
    unittest.main()
