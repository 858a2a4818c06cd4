#!/usr/bin/env python3
"""Two replicas of fairlead-control on an API server: statuses and Events of what they serve, one Lease, a proxy at the replica that does not lead, a leader that is
killed, and a steady state in which nothing is written but the Lease. Binaries in FAIRLEAD_BIN."""
import json
import pathlib
import re
import signal
import sys
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fake_kubernetes import FakeKubernetes  # noqa: E402
from kubernetes_source_test import endpoints, gateway, route, service  # noqa: E402
from lab import BIN, Lab, await_http, await_true, free_port, get  # noqa: E402

SLOW = 40
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
GATEWAY_API, OURS = "/apis/gateway.networking.k8s.io/v1", "/apis/fairlead.io/v1alpha1"
WITH_STATUS = rf"({GATEWAY_API}|{OURS}|/apis/networking.k8s.io/v1)/(?:namespaces/([\w-]+)/)?(\w+)/([\w-]+)"


class WritableKubernetes(FakeKubernetes):
    """With Leases, Events and server-side apply of a status as a whole, which is what it does to the lists of routes."""

    def __init__(self):
        self.lease, self.happened, self.writes = None, [], []
        super().__init__()

    def up(self):
        super().up()
        handler, fake = self.server.RequestHandlerClass, self

        def write(h):
            body = json.loads(h.rfile.read(int(h.headers.get("content-length", 0))))
            with fake.changed:
                fake.writes.append((time.monotonic(), h.command, h.path))
                status, answer = fake.write(h.command, urllib.parse.urlsplit(h.path).path, body)
            fake.reply(h, status, answer)

        for verb in ("POST", "PUT", "PATCH"):
            setattr(handler, f"do_{verb}", write)

    def answer(self, h):
        if h.path == f"{LEASE}/fairlead-control":
            with self.changed:
                return self.reply(h, 200, self.lease) if self.lease else self.reply(h, 404, {"kind": "Status", "message": "not found"})
        parts = re.fullmatch(WITH_STATUS, h.path)
        if parts and not h.path.endswith(f"/namespaces/{parts[2]}"):
            with self.changed:
                found = self.objects.get(f"{parts[1]}/{parts[3]}", {}).get((parts[2] or "", parts[4]))
            return self.reply(h, 200 if found else 404, found or {"kind": "Status", "message": "not found"})
        return super().answer(h)

    def write(self, verb, path, body):
        conflict = 409, {"kind": "Status", "message": "the object has been modified"}
        self.revision += 1
        if path.startswith(LEASE):
            seen = body["metadata"].get("resourceVersion")
            if (verb == "POST") != (self.lease is None) or (self.lease and seen != self.lease["metadata"]["resourceVersion"]):
                return conflict
            self.lease = body
            self.lease["metadata"]["resourceVersion"] = str(self.revision)
            return 200, self.lease
        if path.endswith("/events"):
            self.happened.append(body)
            return 201, body
        parts = re.fullmatch(f"{WITH_STATUS}/status", path)
        there = self.objects.get(f"{parts[1]}/{parts[3]}", {}) if parts else {}
        key = (parts[2] or "", parts[4]) if parts else None
        if key not in there:
            return 404, {"kind": "Status", "message": "not found"}
        stored = json.loads(json.dumps(there[key]))
        if body["metadata"].get("resourceVersion", stored["metadata"]["resourceVersion"]) != stored["metadata"]["resourceVersion"] or body["metadata"]["uid"] != stored["metadata"]["uid"]:
            return conflict
        stored["status"] = body["status"]
        stored["metadata"]["resourceVersion"] = str(self.revision)
        there[key] = stored
        self.record("MODIFIED", f"{parts[1]}/{parts[3]}", stored)
        return 200, stored

    def status(self, kind, name, namespace="default", group=GATEWAY_API):
        with self.changed:
            return self.objects[f"{group}/{kind}"][(namespace, name)].get("status", {})


def condition(conditions, kind):
    """ "True@2": status and generation."""
    return next((f"{c['status']}@{c.get('observedGeneration')}" for c in conditions if c["type"] == kind), None)


def message(conditions, kind):
    return next((c["message"] for c in conditions if c["type"] == kind), "")


def ours(kind, name, spec):
    return {"apiVersion": "fairlead.io/v1alpha1", "kind": kind, "metadata": {"namespace": "default", "name": name}, "spec": spec}


def cluster(name, **more):
    return {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": {"cluster_name": name}, **more}


class Replica:
    def __init__(self, lab, name):
        self.xds, self.admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.process = lab.start(name, [BIN / "fairlead-control", "--source", f"kubernetes:{lab.dir}/config", "--xds-address", self.xds, "--admin-address", self.admin,
                                        "--gateway-address", "192.0.2.1", "--drain-time-s", "0"], env={"POD_NAME": name})
        await_http(self.admin, "/readyz", self.process)

    def status(self):
        return json.loads(get(self.admin, "/debug/sources").body)["status"][0]

    def writes(self):
        return self.status()["writes"]


class Status(unittest.TestCase):
    def setUp(self):
        self.lab = self.enterContext(Lab())
        self.api = WritableKubernetes()
        self.addCleanup(self.api.down)
        self.lab.write("config", self.api.kubeconfig())
        self.port, upstream = free_port(), free_port()
        self.lab.upstreams(one=upstream)
        self.api.put(*gateway(self.port), service("app"), endpoints("app", upstream), route("app", "app"))

    def programmed(self):
        return condition(self.api.status("gateways", "edge").get("conditions", []), "Programmed")

    def of_route(self, name, kind):
        parents = self.api.status("httproutes", name).get("parents", [])
        return condition(parents[0]["conditions"], kind) if parents else None

    def proxy(self, replica):
        admin = f"127.0.0.1:{free_port()}"
        return self.lab.proxy("fairlead", self.lab.bootstrap("proxy", "edge", replica.xds, admin), admin)

    def test_one_replica_speaks_for_both_and_the_other_goes_on_when_it_is_killed(self):
        first = Replica(self.lab, "one")
        await_true("a leader", first.writes, SLOW)
        second = Replica(self.lab, "two")
        await_true("the status of a Gateway without proxies and of its route", lambda: self.programmed() == "Unknown@1" and self.of_route("app", "Accepted") == "True@1", SLOW)
        self.proxy(second)
        await_true("what the proxy said to the other replica", lambda: self.programmed() == "True@1" and self.of_route("app", "Programmed") == "True@1", SLOW)
        edge = self.api.status("gateways", "edge")
        self.assertEqual(edge["addresses"], [{"type": "IPAddress", "value": "192.0.2.1"}])
        self.assertEqual([(x["name"], x["attachedRoutes"]) for x in edge["listeners"]], [("http", 1)])
        features = [f["name"] for f in self.api.status("gatewayclasses", "fairlead", "")["supportedFeatures"]]
        self.assertEqual(features, sorted(features))
        self.assertFalse(second.writes())
        self.assertTrue(second.status()["leader"].startswith("one_"))
        self.assertIn("fairlead_control_leader 0", get(second.admin, "/metrics").body.decode())

        # steady: the Lease, by whichever replica, and nothing else; nothing is listed
        requests, began = len(self.api.requests), time.monotonic()
        time.sleep(12)  # a period of watching, not a wait for something
        self.assertEqual({path.split("?")[0] for at, verb, path in self.api.writes if at > began}, {f"{LEASE}/fairlead-control"})
        self.assertEqual([r for r in self.api.requests[requests:] if "limit=" in r], [])

        # an object that fails its check, and is put right
        bad = route("app", "app")
        bad["spec"]["hostnames"] = ["1.2.3.4"]
        self.api.put(bad)
        await_true("the mistake", lambda: self.of_route("app", "Accepted") == "False@2", SLOW)
        message = next(c["message"] for c in self.api.status("httproutes", "app")["parents"][0]["conditions"] if c["type"] == "Accepted")
        self.assertIn("spec.hostnames", message)
        self.assertIn("its last good version stays in use", message)
        self.assertEqual(get(f"127.0.0.1:{self.port}", "/", headers={"host": "example.com"}).status, 200)
        await_true("the Event about it", lambda: [e for e in self.api.happened if e["regarding"]["name"] == "app" and e["type"] == "Warning"], SLOW)

        first.process.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        self.api.put(route("app", "app"))
        await_true("the other replica", second.writes, SLOW)
        print(f"a leader killed to another writing: {time.monotonic() - killed:.1f} s", flush=True)
        await_true("what happened meanwhile", lambda: self.of_route("app", "Accepted") == "True@3" and self.of_route("app", "Programmed") == "True@3", SLOW)
        self.assertEqual(self.api.lease["spec"]["leaseTransitions"], 1)
        self.assertEqual(sum(e["reason"] == "LeaderElected" for e in self.api.happened), 2)
        self.assertEqual(self.lab.stop(second.process), 0)
        self.assertEqual(self.api.lease["spec"]["holderIdentity"], "")

    def test_what_others_write_and_wipe(self):
        one = Replica(self.lab, "one")
        self.proxy(one)
        await_true("the status", lambda: self.of_route("app", "Programmed") == "True@1", SLOW)
        entry = {"parentRef": {"name": "other"}, "controllerName": "example.com/other", "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": "2019-01-01T00:00:00Z"}]}
        with self.api.changed:
            stored = json.loads(json.dumps(self.api.objects[f"{GATEWAY_API}/httproutes"][("default", "app")]))
            stored["status"] = {"parents": [entry]}
            self.api.revision += 1
            stored["metadata"]["resourceVersion"] = str(self.api.revision)
            self.api.objects[f"{GATEWAY_API}/httproutes"][("default", "app")] = stored
            self.api.record("MODIFIED", f"{GATEWAY_API}/httproutes", stored)
        await_true("our entry again", lambda: len(self.api.status("httproutes", "app")["parents"]) == 2, SLOW)
        parents = self.api.status("httproutes", "app")["parents"]
        self.assertEqual(parents[0], entry)
        self.assertEqual(parents[1]["controllerName"], "fairlead.io/gateway-controller")

    def test_raw_resources_and_parameters_have_conditions_of_their_own(self):
        one = Replica(self.lab, "one")
        self.proxy(one)
        await_true("the route's status", lambda: self.of_route("app", "Programmed") == "True@1", SLOW)
        raw = lambda *resources: self.api.put(ours("EnvoyResources", "extra", {"nodes": {"clusters": ["edge"]}, "resources": list(resources)}))
        conditions = lambda kind="envoyresources", name="extra": self.api.status(kind, name, group=OURS).get("conditions", [])
        said = lambda kind: condition(conditions(), kind)

        raw(cluster("mine"))
        await_true("resources that the proxy has", lambda: (said("Accepted"), said("Programmed")) == ("True@1", "True@1"), SLOW)
        raw(cluster("mine", conect_timeout="1s"))
        await_true("a field that nobody knows", lambda: said("Accepted") == "False@2", SLOW)
        self.assertIn("spec.resources[0].conect_timeout: unknown field", message(conditions(), "Accepted"))
        raw(cluster("mine"), cluster("unfit", lb_subset_config={"fallback_policy": "ANY_ENDPOINT"}))
        await_true("what the proxy would refuse", lambda: (said("Accepted"), said("Programmed")) == ("True@3", "False@3"), SLOW)
        self.assertIn("spec.resources[1]: cds \"unfit\" is not sent to clients of class fairlead-proxy/", message(conditions(), "Programmed"))
        await_true("an Event about it", lambda: [e for e in self.api.happened if (e["regarding"]["kind"], e["reason"]) == ("EnvoyResources", "NotSent")], SLOW)
        raw(cluster("default/app/80"))  # the route's own
        await_true("a name that is taken", lambda: (said("Accepted"), said("Programmed")) == ("True@4", "False@4"), SLOW)
        self.assertIn("spec.resources[0]: cds \"default/app/80\" is also made by HTTPRoute default/app", message(conditions(), "Programmed"))
        self.assertEqual(self.of_route("app", "Programmed"), "True@1")  # whose it stays
        await_true("the route's author hears of it", lambda: "EnvoyResources default/extra" in message(self.api.status("httproutes", "app")["parents"][0]["conditions"], "Programmed"), SLOW)
        raw(cluster("mine"))
        await_true("all is well again", lambda: (said("Accepted"), said("Programmed")) == ("True@5", "True@5"), SLOW)
        self.api.put(ours("EnvoyResources", "nobodys", {"nodes": {"ids": ["nobody"]}, "resources": [cluster("a")]}), ours("EnvoyResources", "shapeless", {"nodes": {}, "resources": []}))
        await_true("resources for proxies that are not there", lambda: condition(conditions(name="nobodys"), "Programmed") == "Unknown@1", SLOW)
        self.assertEqual(message(conditions(name="nobodys"), "Programmed"), "no proxy that it is for is connected")
        await_true("an object of the wrong shape", lambda: condition(conditions(name="shapeless"), "Accepted") == "False@1", SLOW)
        self.assertIn("spec.nodes: names no proxy", message(conditions(name="shapeless"), "Accepted"))

        self.api.put(ours("GatewayParameters", "p", {"replicas": 3}))
        await_true("valid parameters", lambda: condition(conditions("gatewayparameters", "p"), "Accepted") == "True@1", SLOW)
        self.api.put(ours("GatewayParameters", "p", {"replicas": "many"}))
        await_true("parameters that are not", lambda: condition(conditions("gatewayparameters", "p"), "Accepted") == "False@2", SLOW)
        self.assertIn("spec.replicas: ", message(conditions("gatewayparameters", "p"), "Accepted"))
        self.assertIn("its last good version stays in use", message(conditions("gatewayparameters", "p"), "Accepted"))

    def test_what_is_wrong_with_an_ingress_is_told_by_events(self):
        ingress = lambda **spec: self.api.put({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "default", "name": "shop"}, "spec": {"ingressClassName": "fairlead", **spec}})
        rules = lambda service, path="/": [{"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]
        events = lambda reason: [e for e in self.api.happened if (e["regarding"]["kind"], e["regarding"]["name"], e["reason"]) == ("Ingress", "shop", reason)]
        self.api.put({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "fairlead"}, "spec": {"controller": "fairlead.io/ingress-controller"}})
        ingress(rules=rules("ap"))
        Replica(self.lab, "one")
        told = await_true("a backend that is not there", lambda: events("BackendNotFound"), SLOW)[0]
        self.assertEqual((told["type"], told["note"]), ("Warning", "spec.rules[0].http.paths[0].backend: Service default/ap does not exist or is not valid; did you mean 'app'?"))
        await_true("its address", lambda: self.api.status("ingresses", "shop", group="/apis/networking.k8s.io/v1") == {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, SLOW)
        ingress(rules=rules("app"))
        await_true("it is put right", lambda: [e for e in events("ResolvedRefs") if e["type"] == "Normal"], SLOW)
        ingress(rules=rules("app", "shop"))  # no path
        invalid = await_true("an object that fails its check", lambda: events("Invalid"), SLOW)[0]
        self.assertIn("spec.rules[0].http.paths[0].path: ", invalid["note"])
        self.assertIn("its last good version stays in use", invalid["note"])

    def test_a_replica_that_is_to_write_nothing_asks_for_no_lease(self):
        xds, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        process = self.lab.start("silent", [BIN / "fairlead-control", "--source", f"kubernetes:{self.lab.dir}/config", "--xds-address", xds, "--admin-address", admin, "--write-status=false"])
        await_http(admin, "/readyz", process)
        self.assertNotIn("status", json.loads(get(admin, "/debug/sources").body))
        self.assertEqual(self.api.writes, [])
        self.assertFalse([r for r in self.api.requests if "leases" in r])


if __name__ == "__main__":
    unittest.main()
