"""Listeners that go, come back, move, follow each other on one address and change their route table, while connections are open:
Envoy and fairlead-proxy, in SotW and in Delta, answer alike, and no request on a connection that was there before is lost."""
import socket

from lab import RDS_LISTENER, await_true, free_port, get, require

SMOKE = True

RESOURCES = """
apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: edge}}
spec:
  nodes: {{clusters: [edge]}}
  resources:
{listeners}
{routes}
"""
TABLE = """  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: {name}
    virtual_hosts:
    - name: all
      domains: ["*"]
      routes:
      - match: {{prefix: /}}
        direct_response: {{status: 200, body: {{inline_string: {name}}}}}
"""


class Client:
    """One connection that has had one answer."""

    def __init__(self, port, body):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        answer = self.ask()
        require(answer.endswith(body), f"a new connection got {answer!r} instead of {body}")

    def ask(self):
        self.socket.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        return self.socket.recv(65536).decode()


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def run(lab):
    for kind in ("envoy", "fairlead-proxy"):
        for mode in ("--sotw", "--delta"):
            what = f"{kind} {mode}"
            here, there = free_port(), free_port()

            def configure(*listeners):
                lab.write("source/edge.yaml", RESOURCES.format(listeners="".join(RDS_LISTENER.format(name=n, port=p, table=t) for n, p, t in listeners),
                                                               routes="".join(TABLE.format(name=t) for t in sorted({t for _, _, t in listeners} | {"one"}))))

            def answers(port, body):
                return get(f"127.0.0.1:{port}", "/", timeout=1).body.decode() == body

            configure(("l", here, "one"))
            control, xds, _ = lab.control(lab.dir / "source")
            admin = f"127.0.0.1:{free_port()}"
            proxy = lab.proxy(kind, lab.bootstrap("envoy" if kind == "envoy" else "proxy", "edge", xds, admin, mode), admin)
            await_true(f"{what}: served", lambda: answers(here, "one"))

            held = Client(here, "one")
            configure(("l", here, "two"))
            await_true(f"{what}: the other table", lambda: answers(here, "two"))
            require("200 OK" in held.ask(), f"{what}: a connection lost its table with its listener's change")

            held = Client(here, "two")
            configure(("m", here, "two"))
            await_true(f"{what}: the listener under its new name", lambda: "m::" in get(admin, "/listeners").body.decode())
            for _ in range(10):
                Client(here, "two")
            require("200 OK" in held.ask(), f"{what}: a connection was lost with its listener's name")

            held = Client(here, "two")
            configure(("m", there, "two"))
            await_true(f"{what}: moved", lambda: answers(there, "two"))
            await_true(f"{what}: the old address is refused while a connection is open", lambda: refused(here))
            configure(("m", here, "two"))
            await_true(f"{what}: moved back", lambda: answers(here, "two"))
            for _ in range(10):
                Client(here, "two")

            held = Client(here, "two")
            configure()
            await_true(f"{what}: removed while a connection is open", lambda: refused(here))
            require("200 OK" in held.ask(), f"{what}: a connection was lost with its listener")
            configure(("m", here, "two"))
            await_true(f"{what}: there again", lambda: answers(here, "two"))
            for _ in range(10):
                Client(here, "two")
            lab.stop(proxy)
            lab.stop(control)
