"""What a test in the laboratory uses: a namespace of the cluster that is its own, objects made short, requests that say who answered."""
import http.client
import json
import re
import socket

import cluster

ECHO = "echo-basic"


class Space:
    def __init__(self, lab, name):
        self.lab, self.name = lab, re.sub("[^a-z0-9]+", "-", name.lower())[:60].strip("-")

    def __enter__(self):
        self.lab.kubectl("create", "namespace", self.name)
        cluster.await_true("the namespace's ServiceAccount", lambda: self.get("serviceaccount/default"))
        return self

    def __exit__(self, *_):
        self.lab.kubectl("delete", "namespace", self.name, "--wait=false")

    # ---- objects

    def apply(self, text):
        return self.lab.kubectl("apply", "-n", self.name, "-f", "-", text=text)

    def kubectl(self, *arguments):
        return self.lab.kubectl("-n", self.name, *arguments)

    def get(self, what):
        return self.lab.get(what, self.name)

    def deploy(self, name, replicas=1, env=None, image=ECHO, more="", wait=True):
        """A Deployment of echo servers; returns its pods once they are Ready."""
        variables = "".join(f"\n        - {{name: {k}, value: {json.dumps(v)}}}" for k, v in (env or {}).items())
        self.apply(f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: {name}
        image: {image}
        env:
        - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}{variables}
{more}""")
        return self.ready_pods(name, replicas) if wait else None

    def pods(self, name):
        return [p for p in self.get("pods")["items"] if p["metadata"]["labels"].get("app") == name and "deletionTimestamp" not in p["metadata"]]

    def ready_pods(self, name, count):
        def ready():
            pods = self.pods(name)
            return pods if len(pods) == count and all(is_ready(p) for p in pods) else None
        return cluster.await_true(f"{count} ready pods of {name}", ready)

    def service(self, name, port=80, target=3000, more=""):
        self.apply(f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: main, port: {port}, targetPort: {target}}}]
{more}""")

    def gateway(self, name, listeners="[{name: http, port: 80, protocol: HTTP}]"):
        """A Gateway of our class; returns its address once it is published and answers."""
        self.lab.apply(GATEWAY_CLASS)
        self.apply(f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{gatewayClassName: fairlead, listeners: {listeners}}}
""")
        return cluster.await_true(f"an address of Gateway {name}", lambda: self.get(f"gateway/{name}")["metadata"].get("annotations", {}).get("fairlead.io/addresses"))

    def route(self, name, gateway, service, path="/", port=80):
        self.apply(f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {gateway}}}]
  rules:
  - matches: [{{path: {{value: {path}}}}}]
    backendRefs: [{{name: {service}, port: {port}}}]
""")


GATEWAY_CLASS = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: fairlead}}
spec: {{controllerName: {cluster.CONTROLLER}}}
"""


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def address_of(pod):
    return pod["status"]["podIP"]


def name_of(thing):
    return thing["metadata"]["name"]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


def get(address, path="/", port=80, headers=None, timeout=10):
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


def await_answer(what, address, path="/", status=200, **more):
    """The first answer with the status."""
    last = None

    def asked():
        nonlocal last
        last = get(address, path, **more)
        return last if last.status == status else None
    try:
        return cluster.await_true(what, asked)
    except cluster.Failed as error:
        raise cluster.Failed(f"{error}; the last answer was {last}") from error


def refuses(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
        return False
    except ConnectionRefusedError:
        return True


def require(condition, what):
    if not condition:
        raise cluster.Failed(what)


def same(what, got, wanted):
    if got != wanted:
        raise cluster.Failed(f"{what} is {got!r}, not {wanted!r}")


def shop(space):
    """Two echo servers behind a route of a Gateway, which answers; its address."""
    space.deploy("web", replicas=2)
    space.service("web")
    address = space.gateway("edge")
    space.route("web", "edge", "web")
    await_answer("an answer", address)
    return address
