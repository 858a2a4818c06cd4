"""What tests of faults have in common: traffic that tells what did not come out well, edits that show in answers, the control plane started in other ways, a second replica of it."""
import contextlib
import json
import os
import pathlib
import struct
import threading
import time

import cluster
from space import get, same
from wire import Wire

HERE = pathlib.Path(__file__).resolve().parent
FIRST, SECOND = "fairlead-control", "fairlead-control-2"  # replicas
ADMIN_PORTS = {FIRST: int(cluster.CONTROL_ADMIN.rpartition(":")[2]), SECOND: 18003}
SECOND_XDS = f"{cluster.NODE}:18002"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes"


class Load:
    """Requests one after the other until it is stopped; counts what did not come out well."""

    def __init__(self, address):
        self.address, self.sent, self.bad, self.ended = address, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.is_set():
            self.sent += 1
            try:
                answer = get(self.address, timeout=5)
                if answer.status != 200:
                    self.bad.append(answer)
            except OSError as error:
                self.bad.append(error)
            time.sleep(0.005)

    def more(self, what, count=200):
        """Waits until it has sent that many more."""
        sent = self.sent
        cluster.await_true(f"requests {what}", lambda: self.sent > sent + count)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join()
        if kind is None:
            same(f"failures of {self.sent} requests", self.bad, [])


# ---- edits

def mark(space, value):
    """The route of `space`, which marks its answers."""
    body = {"metadata": {}, "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}], "filters": [
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-mark", "value": value}]}}]}]}}
    answer = space.lab.ask("PATCH", f"{ROUTES.format(space.name)}/web", body, "application/merge-patch+json")
    same("the edit", answer.status, 200)


def marked(address, value):
    return lambda: dict(get(address).headers).get("x-mark") == value


def conditions(things, name, kind):
    return next(((c["status"], c["reason"]) for t in things if t.get("name", name) == name for c in t["conditions"] if c["type"] == kind), ("", ""))


def routes(space):
    return json.loads(space.lab.ask("GET", ROUTES.format(space.name)).body)["items"]


def untold(space):
    """Names of the routes of which it is not said, in their newest generation, that they are accepted and in use."""
    def told(route, kind):
        return any(c["type"] == kind and c["status"] == "True" and c.get("observedGeneration") == route["metadata"]["generation"]
                   for p in route.get("status", {}).get("parents", []) for c in p["conditions"])
    return [r["metadata"]["name"] for r in routes(space) if not (told(r, "Accepted") and told(r, "Programmed"))]


# ---- the control plane

def command_of(lab, name=FIRST):
    return json.loads((lab.folder / f"{name}.json").read_text())


@contextlib.contextmanager
def started_as(lab, command):
    """fairlead-control, started anew with another command; in the end again as it was."""
    before = command_of(lab)
    lab.kill(FIRST)
    try:
        lab.start(FIRST, *command)
        yield
    finally:
        lab.kill(FIRST)
        lab.start(FIRST, *before)


@contextlib.contextmanager
def behind_a_wire(lab, kubeconfig=None, before=()):
    """fairlead-control, started anew with a wire to the API server."""
    wire = Wire(lab, kubeconfig or lab.kubeconfig)
    try:
        with started_as(lab, [*before, *(word.replace(f"kubernetes:{lab.kubeconfig}", f"kubernetes:{wire.kubeconfig}") for word in command_of(lab))]):
            yield wire
    finally:
        wire.close()


@contextlib.contextmanager
def second_replica(lab, before=()):
    """Another fairlead-control, which no proxy asks."""
    admin = f"127.0.0.1:{ADMIN_PORTS[SECOND]}"
    lab.start(SECOND, *before, *(word.replace(cluster.XDS, SECOND_XDS).replace(cluster.CONTROL_ADMIN, admin) for word in command_of(lab)))
    try:
        cluster.await_true("the second replica", lambda: get("127.0.0.1", "/readyz", port=ADMIN_PORTS[SECOND]).status == 200)
        yield
    finally:
        lab.kill(SECOND)


def leads(name):
    """Whether that replica writes status, as it says itself."""
    text = get("127.0.0.1", "/metrics", port=ADMIN_PORTS[name]).body.decode()
    return "\nfairlead_control_leader 1\n" in text


def lease(lab):
    answer = lab.ask("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/fairlead-control")
    return json.loads(answer.body)["spec"] if answer.status == 200 else {}


def lost(name=FIRST):
    """What keeps it from reading the API server; empty: nothing."""
    sources = json.loads(get("127.0.0.1", "/debug/sources", port=ADMIN_PORTS[name]).body)["sources"]
    return sources[0].get("lost", "") if sources else "not started"


class Clock:
    """A clock of the day that can be set, for programs whose command begins with `before`."""

    def __init__(self, lab, hours=0):
        shim = lab.folder / "clock.so"
        if not shim.exists():
            cluster.run(os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", shim, HERE / "clock.c")
        self.file = lab.folder / f"clock-{time.monotonic_ns()}"
        self.set(hours)
        self.before = ("env", f"LD_PRELOAD={shim}", f"LAB_CLOCK={self.file}")

    def set(self, hours):
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:  # in place: it is mapped
            file.write(struct.pack("=q", int(hours * 3600)))
