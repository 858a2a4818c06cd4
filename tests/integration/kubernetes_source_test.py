#!/usr/bin/env python3
"""fairlead-control on an API server: objects in, requests through a proxy out; endpoints that move, a server that goes away, kinds that come late, and a cluster of
1,000 services. Prints what it measured. Binaries in FAIRLEAD_BIN."""
import json
import pathlib
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fake_kubernetes import FakeKubernetes  # noqa: E402
from lab import BIN, Lab, await_http, await_true, free_port, get  # noqa: E402

SLOW = 20  # seconds that something may take on a busy machine; what it did take is printed


def thing(api, kind, name, namespace="default", labels=None, **rest):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **({"labels": labels} if labels else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def service(name):
    return thing("v1", "Service", name, spec={"ports": [{"name": "http", "port": 80}]})


def endpoints(name, port, addresses=("127.0.0.1",)):
    return thing("discovery.k8s.io/v1", "EndpointSlice", f"{name}-1", labels={"kubernetes.io/service-name": name}, addressType="IPv4",
                 ports=[{"name": "http", "port": port}], endpoints=[{"addresses": [a], "conditions": {"ready": True}} for a in addresses])


def gateway(port):
    return (thing("gateway.networking.k8s.io/v1", "GatewayClass", "fairlead", namespace=None, spec={"controllerName": "fairlead.io/gateway-controller"}),
            thing("gateway.networking.k8s.io/v1", "Gateway", "edge", spec={"gatewayClassName": "fairlead", "listeners": [{"name": "http", "protocol": "HTTP", "port": port}]}))


def route(name, backend, path="/"):
    return thing("gateway.networking.k8s.io/v1", "HTTPRoute", name, spec={
        "parentRefs": [{"name": "edge"}],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [{"name": backend, "port": 80}]}]})


class Cluster:
    """The API server, fairlead-control on it and, once started, a proxy."""

    def __init__(self, lab, api, *flags):
        self.lab, self.api = lab, api
        lab.write("config", api.kubeconfig())
        self.source = f"kubernetes:{lab.dir}/config"
        self.xds, self.admin, self.edge = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.port = free_port()
        self.process = lab.start("fairlead-control", [BIN / "fairlead-control", "--source", self.source, "--xds-address", self.xds, "--admin-address", self.admin, *flags])

    def ready(self):
        await_http(self.admin, "/readyz", self.process)

    def sources(self):
        """What is said of the one source; nothing before it has started."""
        return (json.loads(get(self.admin, "/debug/sources").body)["sources"] or [{}])[0]

    def proxy(self):
        self.ready()
        return self.lab.proxy("fairlead", self.lab.bootstrap("proxy", "edge", self.xds, self.edge), self.edge)

    def who(self, path="/"):
        """The service that answers, or the status."""
        reply = get(f"127.0.0.1:{self.port}", path, headers={"host": "example.com"})
        return json.loads(reply.body)["service"] if reply.status == 200 else reply.status


class Source(unittest.TestCase):
    def cluster(self, *flags, crds=True):
        lab = self.enterContext(Lab())
        api = FakeKubernetes(crds)
        self.addCleanup(api.down)
        return Cluster(lab, api, *flags)

    def test_objects_become_answers_and_endpoints_that_move_are_followed(self):
        c = self.cluster()
        one, two = free_port(), free_port()
        c.lab.upstreams(one=one, two=two)
        c.api.put(*gateway(c.port), service("app"), endpoints("app", one), route("app", "app"))
        c.proxy()
        await_true("the first answer", lambda: c.who() == "one")
        times = []
        for n in range(40):
            port, name = ((two, "two"), (one, "one"))[n % 2]
            began = time.monotonic()
            c.api.put(endpoints("app", port))
            while c.who() != name:
                self.assertLess(time.monotonic() - began, SLOW)
            times.append((time.monotonic() - began) * 1000)
        times.sort()
        print(f"an endpoint flip in the API to the proxy's use of it: median {times[len(times) // 2]:.1f} ms, p95 {times[int(len(times) * 0.95)]:.1f} ms, longest {times[-1]:.1f} ms", flush=True)
        began = time.monotonic()
        c.api.put(service("other"), endpoints("other", two), route("app", "other"))
        await_true("the route's new backend", lambda: c.who() == "two", SLOW)
        print(f"a route edit to traffic: {(time.monotonic() - began) * 1000:.1f} ms", flush=True)
        lists = [r for r in c.api.requests if "limit=" in r]
        self.assertEqual(len(lists), len(set(lists)), "each kind is listed once")

    def test_a_server_that_goes_away_costs_nothing_but_freshness(self):
        c = self.cluster()
        one, two = free_port(), free_port()
        c.lab.upstreams(one=one, two=two)
        c.api.put(*gateway(c.port), service("app"), endpoints("app", one), route("app", "app"), service("gone"), endpoints("gone", two), route("gone", "gone", "/gone"))
        c.proxy()
        await_true("the answers", lambda: c.who() == "one" and c.who("/gone") == "two")
        self.assertNotIn("lost", c.sources())
        c.api.down()
        await_true("the loss", lambda: "lost" in c.sources())
        lost = c.sources()["lost"]
        self.assertRegex(lost, rf"^http://127.0.0.1:{c.api.port}: cannot connect: Connection refused \(since 20\d\d-.*Z\)$|^http://127.0.0.1:{c.api.port}: the connection ended")
        self.assertLess(c.sources()["age_s"], SLOW)
        self.assertEqual((c.who(), c.who("/gone")), ("one", "two"))
        c.api.delete("HTTPRoute", "default", "gone")
        c.api.put(endpoints("app", two))
        c.api.compact()
        c.api.up()
        await_true("what changed meanwhile", lambda: c.who() == "two" and c.who("/gone") == "two" and "lost" not in c.sources(), SLOW)
        for _ in range(5):
            c.api.cut()
            c.api.put(endpoints("app", one))
            await_true("an endpoint after a cut", lambda: c.who() == "one", SLOW)
            c.api.put(endpoints("app", two))
            await_true("another", lambda: c.who() == "two", SLOW)

    def test_kinds_that_come_late_are_found(self):
        c = self.cluster(crds=False)
        one = free_port()
        c.lab.upstreams(one=one)
        c.api.put(service("app"), endpoints("app", one))
        c.ready()
        self.assertTrue(c.sources()["synced"])
        for kind in ("GatewayClass", "Gateway", "HTTPRoute"):
            c.api.serve(kind, True)
        c.api.put(*gateway(c.port), route("app", "app"))
        c.proxy()
        await_true("the answer", lambda: c.who() == "one", SLOW)

    def test_only_secrets_for_tls_are_asked_for(self):
        c = self.cluster()
        c.api.put(thing("v1", "Secret", "password", type="Opaque", data={"password": "c2VjcmV0"}))
        c.ready()
        asked = [r for r in c.api.requests if "/secrets" in r]
        self.assertTrue(asked and all("fieldSelector=type%3Dkubernetes.io%2Ftls" in r for r in asked), asked)
        self.assertEqual(c.sources()["objects"], 0)

    def test_credentials_that_do_not_do_are_told(self):
        c = self.cluster()
        c.lab.stop(c.process)
        c.lab.write("config", c.api.kubeconfig().replace(FakeKubernetes.TOKEN, "another"))
        refused = Cluster.__new__(Cluster)
        refused.__dict__.update(c.__dict__)
        refused.process = c.lab.start("fairlead-control-2", [BIN / "fairlead-control", "--source", c.source, "--xds-address", c.xds, "--admin-address", c.admin])
        await_true("the refusal", lambda: "401: Unauthorized" in refused.sources().get("lost", ""))
        self.assertNotEqual(get(c.admin, "/readyz").status, 200)
        c.lab.write("config", '{"contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}], "current-context": "a", "clusters": [{"name": "c", "cluster": {"server": "https://x"}}],\n'
                    '"users": [{"name": "u", "user": {"exec": {"command": "aws"}}}]}')
        p = c.lab.start("fairlead-control-3", [BIN / "fairlead-control", "--source", c.source, "--xds-address", f"127.0.0.1:{c.port}", "--admin-address", c.edge])
        p.await_line(r"config:2: users\[0\]\.user\.exec: plug-ins are not run \(aws\)")

    def test_a_cluster_of_a_thousand_services(self):
        c = self.cluster()
        c.lab.stop(c.process)
        one = free_port()
        c.lab.upstreams(one=one)
        c.api.put(*gateway(c.port), service("app"), endpoints("app", one), route("app", "app"))
        for n in range(1000):
            addresses = [f"10.{n // 250}.{n % 250}.{i}" for i in range(1, 11)]
            c.api.put(service(f"s{n}"), endpoints(f"s{n}", 8080, addresses), route(f"r{n}", f"s{n}", f"/r{n}"))
        began = time.monotonic()
        c.process = c.lab.start("fairlead-control-big", [BIN / "fairlead-control", "--source", c.source, "--xds-address", c.xds, "--admin-address", c.admin])
        c.ready()
        ready = time.monotonic() - began
        self.assertEqual(c.sources()["objects"], 3 * 1001 + 2)

        def memory(key):
            lines = pathlib.Path(f"/proc/{c.process.process.pid}/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith(key)).split()[1]) // 1024
        print(f"1,000 services, 10,000 endpoints, 1,000 routes: ready after {ready:.2f} s, {memory('VmRSS:')} MB resident, {memory('VmHWM:')} MB at most", flush=True)
        self.assertLess(ready, SLOW)
        c.proxy()
        await_true("the answer", lambda: c.who() == "one", SLOW)
        print(f"served after {time.monotonic() - began:.2f} s with the proxy's start, {memory('VmRSS:')} MB resident, {memory('VmHWM:')} MB at most", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
