"""What goes wrong between the control plane and a real API server: watches that are cut, revisions that are gone, clocks and leaders apart."""
import contextlib
import json
import random
import signal
import time

import cluster
from gateway_test import Load
from space import await_answer, get, same
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


def shop(space):
    space.deploy("web", replicas=2)
    space.service("web")
    address = space.gateway("edge")
    space.route("web", "edge", "web")
    await_answer("an answer", address)
    return address


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
