#!/usr/bin/env python3
"""tests/lab/data_planes.py --proxy fairlead-proxy|envoy: runs one proxy for each Gateway of our class, inside tests/lab/run.

Each proxy has a network namespace of its own, so that it can listen on 0.0.0.0:80 as all others do, and an address of 10.98.0.0/17 that leads
there. The agent says the address in the Gateway's annotation fairlead.io/addresses, and the control plane publishes it as the Gateway's status.
An address that spec.addresses asks for is given when it is one of ours and free. A Gateway that goes takes its proxy with it.
"""
import argparse
import http.client
import ipaddress
import json
import pathlib
import queue
import ssl
import subprocess
import sys
import threading
import time

import cluster

sys.path.insert(0, str(cluster.ROOT / "tests/interop"))

ANNOTATION = "fairlead.io/addresses"
RANGE = ipaddress.ip_network("10.98.0.0/17")
ADMIN_PORT = 19901
GROUP = "/apis/gateway.networking.k8s.io/v1"

# What runs in the new network namespace: it waits for its end of the veth, sets it up, and becomes the proxy.
INSIDE = f"""
echo made; read _
set -e
ip link set lo up; ip addr add "$1/32" dev eth0; ip link set eth0 up
ip route add {cluster.NODE} dev eth0; ip route add default via {cluster.NODE} src "$1"
shift; exec "$@" >&2
"""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class DataPlane:
    """One Gateway's proxy, namespace and address."""

    def __init__(self, agent, key, address, number):
        self.key, self.address, self.link = key, address, f"gw{number}"
        self.log = open(agent.folder / f"proxy-{key.replace('/', '-')[:200]}.log", "ab")
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", INSIDE, "sh", address, *agent.command(key, address, number)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, cwd=agent.folder)
        if self.process.stdout.readline() != b"made\n":
            raise cluster.Failed(f"{key}: no network namespace; see {self.log.name}")
        cluster.run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.process.pid)
        cluster.run("ip", "link", "set", self.link, "up")
        cluster.run("ip", "route", "add", f"{address}/32", "dev", self.link, "src", cluster.NODE)
        self.process.stdin.write(b"\n")
        self.process.stdin.close()

    def stop(self):
        """The end of the process is the end of its namespace, and with that of the veth and the route. Nobody asks a Gateway that is gone: no draining."""
        self.process.kill()
        self.process.wait()
        self.log.close()


class Watch(threading.Thread):
    """Follows one kind: puts (kind, {key: object}) into the queue whenever something changed; begins anew when the API server goes away."""

    def __init__(self, kind, path, changes):
        super().__init__(daemon=True)
        self.kind, self.path, self.changes, self.objects = kind, path, changes, {}

    def run(self):
        context = ssl._create_unverified_context()
        while True:
            try:
                connection = http.client.HTTPSConnection(cluster.NODE, 6443, context=context, timeout=330)
                headers = {"Authorization": f"Bearer {cluster.TOKEN}", "Accept": "application/json"}
                connection.request("GET", self.path, headers=headers)
                answer = connection.getresponse()
                listed = json.loads(answer.read())
                if answer.status != 200:
                    raise OSError(f"{answer.status}: {listed.get('message')}")
                self.objects = {key_of(o): o for o in listed["items"]}
                self.tell()
                connection.request("GET", f"{self.path}?watch=1&timeoutSeconds=300&resourceVersion={listed['metadata']['resourceVersion']}", headers=headers)
                answer = connection.getresponse()
                while line := answer.readline():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    if event["type"] == "DELETED":
                        self.objects.pop(key_of(event["object"]), None)
                    elif event["type"] != "BOOKMARK":
                        self.objects[key_of(event["object"])] = event["object"]
                    self.tell()
            except (OSError, http.client.HTTPException, ValueError) as error:
                say(f"{self.kind}: {error}")
                time.sleep(0.5)

    def tell(self):
        self.changes.put((self.kind, dict(self.objects)))


def key_of(o):
    m = o["metadata"]
    return f"{m['namespace']}/{m['name']}" if "namespace" in m else m["name"]


class Agent:
    def __init__(self, lab, proxy):
        self.lab, self.folder, self.proxy = lab, lab.folder, proxy
        self.planes, self.numbers, self.last = {}, 0, RANGE.network_address
        if proxy == "envoy":
            import lab as interop
            self.envoy = interop.envoy()

    def command(self, key, address, number):
        kind = "envoy" if self.proxy == "envoy" else "proxy"
        ns, name = key.split("/")
        certificate, private_key = self.lab.certificate(f"gateway-{number}", f"URI:spiffe://lab/ns/{ns}/gateway/{name}")
        text = cluster.run(cluster.BIN / "fairlead", "bootstrap", "--for", kind, "--gateway", key, "--id", f"{key.replace('/', '.')}-{address}",
                           "--xds-address", cluster.XDS, "--admin-address", f"{address}:{ADMIN_PORT}",
                           "--xds-tls-ca", self.folder / "ca.pem", "--xds-tls-server-name", cluster.XDS_NAME, "--xds-tls-cert", certificate, "--xds-tls-key", private_key)
        config = pathlib.Path(self.folder / f"bootstrap-{number}.yaml")
        config.write_text(text)
        if self.proxy == "envoy":
            return [str(self.envoy), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        return [str(cluster.BIN / "fairlead-proxy"), "-c", str(config), "--concurrency", "1"]

    def reconcile(self, classes, gateways):
        ours = {name for name, c in classes.items() if c["spec"].get("controllerName") == cluster.CONTROLLER}
        wanted = {key: g for key, g in gateways.items() if g["spec"]["gatewayClassName"] in ours and "deletionTimestamp" not in g["metadata"]}
        for key in [k for k in self.planes if k not in wanted]:
            self.drop(key)
        for key, gateway in wanted.items():
            plane = self.planes.get(key)
            if plane and plane.process.poll() is not None:
                say(f"{key}: its proxy ended with {plane.process.returncode}")
                self.drop(key)
                plane = None
            asked = [a["value"] for a in gateway["spec"].get("addresses", []) if a.get("type", "IPAddress") == "IPAddress" and a.get("value")]
            if plane and asked and plane.address not in asked:
                self.drop(key)
                plane = None
            if not plane:
                plane = self.give(key, asked)
            self.annotate(key, gateway, plane.address if plane else "")

    def give(self, key, asked):
        taken = {p.address for p in self.planes.values()}
        if asked:
            address = next((a for a in asked if usable(a) and a not in taken), None)
            if not address:
                return None
        else:
            address = self.next_free(taken)
        self.numbers += 1
        try:
            self.planes[key] = DataPlane(self, key, address, self.numbers)
        except (cluster.Failed, OSError) as error:
            say(f"{key}: {error}")
            return None
        say(f"{key}: {self.proxy} at {address}")
        return self.planes[key]

    def next_free(self, taken):
        """One address after the other, an old one as late as possible: who asks a Gateway that is gone finds nobody."""
        while True:
            self.last = self.last + 1 if self.last + 1 in RANGE else RANGE.network_address + 1
            if str(self.last) not in taken:
                return str(self.last)

    def drop(self, key):
        plane = self.planes.pop(key)
        plane.stop()
        say(f"{key}: no proxy any more")

    def annotate(self, key, gateway, addresses):
        if gateway["metadata"].get("annotations", {}).get(ANNOTATION, "") == addresses:
            return
        namespace, name = key.split("/")
        body = {"metadata": {"annotations": {ANNOTATION: addresses or None}, "uid": gateway["metadata"]["uid"]}}
        answer = self.lab.ask("PATCH", f"{GROUP}/namespaces/{namespace}/gateways/{name}", body, "application/merge-patch+json")
        if answer.status not in (200, 404, 409):  # gone, or another of that name: an event tells
            raise OSError(f"{key}: {answer.status}: {answer.body.decode(errors='replace')[:500]}")


def usable(text):
    try:
        return ipaddress.ip_address(text) in RANGE
    except ValueError:
        return False


def main():
    p = argparse.ArgumentParser(prog="tests/lab/data_planes.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--proxy", choices=("fairlead-proxy", "envoy"), default="fairlead-proxy")
    agent = Agent(cluster.Cluster.current(), p.parse_args().proxy)
    changes, known = queue.Queue(), {}
    Watch("classes", f"{GROUP}/gatewayclasses", changes).start()
    Watch("gateways", f"{GROUP}/gateways", changes).start()
    while True:
        try:
            kind, objects = changes.get(timeout=1)  # a second: to see a proxy that ended
            known[kind] = objects
            while not changes.empty():
                kind, objects = changes.get()
                known[kind] = objects
        except queue.Empty:
            pass
        if len(known) < 2:
            continue
        try:
            agent.reconcile(known["classes"], known["gateways"])
        except (cluster.Failed, OSError, http.client.HTTPException) as error:
            say(f"{error}; again in a second")


if __name__ == "__main__":
    main()
