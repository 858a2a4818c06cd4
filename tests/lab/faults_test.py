"""What goes wrong between the control plane and a real API server, and what people do to the objects there: traffic goes on, and what is said of it is true in the end."""
import base64
import contextlib
import json
import random
import signal
import socket
import ssl
import time

import cluster
from gateway_test import Load
from space import await_answer, get, name_of, same, shop
from wire import Wire

NEEDS_DATA_PLANE = True


@contextlib.contextmanager
def behind_a_wire(lab):
    """fairlead-control, started anew with a wire to the API server."""
    command = json.loads((lab.folder / "fairlead-control.json").read_text())
    wire = Wire(lab)
    lab.kill("fairlead-control")
    try:
        lab.start("fairlead-control", *(word.replace(f"kubernetes:{lab.kubeconfig}", f"kubernetes:{wire.kubeconfig}") for word in command))
        yield wire
    finally:
        lab.kill("fairlead-control")
        wire.close()
        lab.start("fairlead-control", *command)


def mark(space, value):
    """The route of `space`, which marks its answers."""
    body = {"metadata": {}, "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}], "filters": [
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-mark", "value": value}]}}]}]}}
    answer = space.lab.ask("PATCH", f"/apis/gateway.networking.k8s.io/v1/namespaces/{space.name}/httproutes/web", body, "application/merge-patch+json")
    same("the edit", answer.status, 200)


def marked(address, value):
    return lambda: dict(get(address).headers).get("x-mark") == value


def test_watches_that_are_cut_at_random_lose_nothing(space):
    address = shop(space)
    chance = random.Random(7)
    with behind_a_wire(space.lab) as wire, Load(address) as load:
        mark(space, "first")
        cluster.await_true("the first edit", marked(address, "first"))
        ended = 0
        for i in range(20):
            mark(space, str(i))
            ended += wire.cut()
            time.sleep(chance.random() * 0.3)  # at any point of what a client does then
            wire.cut()
        same("whether there were watches to cut", ended > 20, True)
        space.route("later", "edge", "web", path="/later")
        mark(space, "last")
        wire.cut()
        cluster.await_true("the last edit", marked(address, "last"), timeout=60)
        await_answer("a route made meanwhile", address, "/later")
    same(f"failures of {load.sent} requests", load.bad, [])


def test_a_revision_that_etcd_has_compacted_is_listed_again_and_what_was_deleted_meanwhile_goes(space):
    address = shop(space)
    space.deploy("gone")
    space.service("gone")
    space.route("gone", "edge", "gone", path="/gone")
    await_answer("an answer of what will be deleted", address, "/gone")
    lab = space.lab
    with Load(address) as load:
        lab.kill("fairlead-control", signal.SIGSTOP, wait=False)
        try:
            space.kubectl("delete", "httproute/gone", "deployment/gone", "service/gone")
            mark(space, "new")
            lab.kill("kube-apiserver")  # and with it its own memory of what changed
            revision = lab.etcd("kv/range", {"key": "AA==", "limit": "1"})["header"]["revision"]
            lab.etcd("kv/compaction", {"revision": revision, "physical": True})
            lab.restart("kube-apiserver")
            lab.await_api()
        finally:
            lab.kill("fairlead-control", signal.SIGCONT, wait=False)
        cluster.await_true("the edit", marked(address, "new"), timeout=60)
        # the prefix's route is gone: what has it now is the route of everything
        cluster.await_true("the end of what was deleted", lambda: get(address, "/gone").json["pod"].startswith("web-"))
    same(f"failures of {load.sent} requests", load.bad, [])


def conditions(things, name, kind):
    return next(((c["status"], c["reason"]) for t in things if t.get("name", name) == name for c in t["conditions"] if c["type"] == kind), ("", ""))


def certificate_of(address):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection((address, 443), timeout=5), server_hostname="shop.example") as connection:
        return connection.getpeercert(binary_form=True)


def test_a_secret_that_is_replaced_by_garbage_costs_no_connection_and_is_told(space):
    space.deploy("web")
    space.service("web")
    certificate, key = space.lab.certificate("shop", "DNS:shop.example")
    space.kubectl("create", "secret", "tls", "shop", f"--cert={certificate}", f"--key={key}")
    address = space.gateway("edge", "[{name: http, port: 80, protocol: HTTP}, {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: shop}]}}]")
    space.route("web", "edge", "web")
    await_answer("an answer", address)
    good = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    cluster.await_true("the certificate", lambda: certificate_of(address) == good)

    def listener():
        return conditions(space.get("gateway/edge")["status"]["listeners"], "https", "ResolvedRefs")
    with Load(address) as load:
        put_certificate(space, b"garbage")
        cluster.await_true("word of it", lambda: listener() == ("False", "InvalidCertificateRef"))
        for _ in range(20):
            same("the certificate meanwhile", certificate_of(address), good)
        put_certificate(space, certificate.read_bytes())
        cluster.await_true("that all is well again", lambda: listener()[0] == "True")
        same("the certificate in the end", certificate_of(address), good)
    same(f"failures of {load.sent} requests", load.bad, [])


def put_certificate(space, text):
    answer = space.lab.ask("PATCH", f"/api/v1/namespaces/{space.name}/secrets/shop", {"data": {"tls.crt": base64.b64encode(text).decode()}}, "application/merge-patch+json")
    same("the edit", answer.status, 200)


def test_of_five_hundred_routes_that_all_want_the_same_the_first_has_it_and_all_are_told(space):
    address = shop(space)
    space.service("other", more="")  # without pods: who would be led here would see it
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{space.name}/httproutes"
    with Load(address) as load:
        for i in range(500):  # of the same age the first by name has it, and times are whole seconds
            answer = space.lab.ask("POST", path, {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": f"younger-{i:03}"}, "spec": {
                "parentRefs": [{"name": "edge"}], "rules": [{"matches": [{"path": {"value": "/"}}], "backendRefs": [{"name": "other", "port": 80}]}]}})
            same(f"route {i}", answer.status, 201)

        def told():
            routes = json.loads(space.lab.ask("GET", path).body)["items"]
            return [name_of(r) for r in routes if not r.get("status", {}).get("parents") or conditions(r["status"]["parents"], None, "Accepted")[0] != "True"]
        cluster.await_true("that every route is told", lambda: told() == [], timeout=90)
        cluster.await_true("that the Gateway counts them", lambda: space.get("gateway/edge")["status"]["listeners"][0]["attachedRoutes"] == 501)
    same(f"failures of {load.sent} requests", load.bad, [])


def test_a_crd_that_is_deleted_and_comes_back_costs_no_request(space):
    address = shop(space)
    lab = space.lab
    with Load(address) as load:
        lab.kubectl("delete", "crd", "httproutes.gateway.networking.k8s.io")
        sent = load.sent
        cluster.await_true("requests without it", lambda: load.sent > sent + 300)
        lab.kubectl("apply", "--server-side", "-f", cluster.LAB / "crd/standard")
        lab.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=30s")
        cluster.await_true("the kind again", lambda: lab.ask("GET", f"/apis/gateway.networking.k8s.io/v1/namespaces/{space.name}/httproutes").status == 200)
        space.route("web", "edge", "web")
        mark(space, "back")
        cluster.await_true("an edit of what came back", marked(address, "back"), timeout=60)
    same(f"failures of {load.sent} requests", load.bad, [])
