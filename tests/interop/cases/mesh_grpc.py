"""gRPC clients of the mesh, in Go and in Node: routes at a Service by its names, those of the client's namespace before the Service's own, Services without routes, and the first and the last route."""
import importlib.util
import pathlib
import subprocess

from lab import BIN, PEERS, await_true, build_go_peers, require

_spec = importlib.util.spec_from_file_location("grpc_node_case", pathlib.Path(__file__).with_name("grpc_node.py"))
grpc_node = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(grpc_node)

SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{clusterIP: {ip}, ports: [{{name: grpc, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: grpc, port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""
GRANT = """---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: edge, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: edge}]
  to: [{group: "", kind: Service}]
"""
# {kind}: of a route; {to}: its only backend
ROUTE = """---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {ns}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: cart, namespace: shop}}]
  rules:
  - matches: [{match}]
    backendRefs: [{{name: {to}, namespace: shop, port: 80}}{more}]
"""
METHOD = "{method: {service: grpc.health.v1.Health, method: Check}}"


def run(lab):
    build_go_peers()
    node = grpc_node.node_client()
    services = {}
    for i, name in enumerate(("cart", "cart-v2", "plain")):
        backend = lab.start(f"backend-{name}", [PEERS / "backend", "--name", name])
        services[name] = SERVICE.format(name=name, ip=f"10.96.0.{i + 1}", port=backend.await_line(r"listening 127\.0\.0\.1:(\d+)")[1])
    path = lab.write("source/services.yaml", "".join(services.values()) + GRANT)
    _, xds, admin = lab.control(path.parent)
    bootstraps = {ns: lab.write(f"grpc-{ns}.json", subprocess.run([BIN / "fairlead", "bootstrap", "--for", "grpc", "--mesh", ns, "--id", f"client-{ns}", "--xds-address", xds], check=True, capture_output=True, text=True).stdout)
                  for ns in ("edge", "shop")}

    def answers(ns, target, count=20, client="go"):
        command = [PEERS / "xdsclient", "--target", f"xds:///{target}", "--count", str(count)] if client == "go" else ["node", node, f"xds:///{target}", str(count)]
        done = subprocess.run(command, env={"GRPC_XDS_BOOTSTRAP": str(bootstraps[ns]), "PATH": "/usr/local/bin:/usr/bin:/bin"}, capture_output=True, text=True)
        return {name: int(n) for name, n in (line.split() for line in done.stdout.splitlines())} if done.returncode == 0 else f"failed: {done.stderr}"

    def expect(what, ns, target, wanted, client="go"):
        got = answers(ns, target, client=client)
        require(got == wanted, f"{what}: {client} in {ns} at {target}: {got} instead of {wanted}")

    # No route at all: on to the Service's own endpoints, by any of its names.
    for target in ("cart.shop.svc.cluster.local:80", "cart.shop.svc:80", "cart.shop:80"):
        expect("without a route", "edge", target, {"cart": 20})
    expect("without a route", "shop", "cart.shop:80", {"cart": 20}, "node")

    # A route of the Service's namespace: for all. Its prefix is of a kind that gRPC clients refuse, but for what is made of it.
    lab.write("source/producer.yaml", ROUTE.format(kind="HTTPRoute", name="producer", ns="shop", match="{path: {value: /grpc.health.v1.Health}, method: POST}", to="cart-v2", more=""))
    await_true("the producer's route is in use", lambda: answers("edge", "cart.shop:80") == {"cart-v2": 20})
    for client in ("go", "node"):
        expect("with a producer's route", "shop", "cart.shop.svc.cluster.local:80", {"cart-v2": 20}, client)

    # One of the client's own namespace comes before it there, and only there.
    lab.write("source/consumer.yaml", ROUTE.format(kind="GRPCRoute", name="consumer", ns="edge", match=METHOD, to="plain", more=""))
    await_true("the consumer's route is in use", lambda: answers("edge", "cart.shop:80") == {"plain": 20})
    for client in ("go", "node"):
        expect("with a consumer's route", "edge", "cart.shop.svc.cluster.local:80", {"plain": 20}, client)
        expect("with another's consumer route", "shop", "cart.shop.svc.cluster.local:80", {"cart-v2": 20}, client)
        expect("a Service without a route", "edge", "plain.shop:80", {"plain": 20}, client)

    # A share that leads nowhere costs its calls and no other's: clients do not wait for a cluster that there is none of.
    lab.write("source/consumer.yaml", ROUTE.format(kind="GRPCRoute", name="consumer", ns="edge", match=METHOD, to="cart-v2, weight: 1000000", more=", {name: none, namespace: shop, port: 80, weight: 1}"))
    await_true("with a share of nothing", lambda: answers("edge", "cart.shop:80") == {"cart-v2": 20})
    # What matches no rule is nobody's.
    lab.write("source/consumer.yaml", ROUTE.format(kind="GRPCRoute", name="consumer", ns="edge", match="{method: {service: another.Service}}", to="plain", more=""))

    def refused():
        done = subprocess.run([PEERS / "xdsclient", "--target", "xds:///cart.shop:80", "--count", "1", "--timeout", "3s"], env={"GRPC_XDS_BOOTSTRAP": str(bootstraps["edge"])}, capture_output=True, text=True)
        return done.returncode != 0

    await_true("a call that no rule matches fails", refused)

    # And the Service itself again, once all routes are gone.
    for name in ("consumer", "producer"):
        (path.parent / f"{name}.yaml").unlink()
    await_true("without routes", lambda: answers("edge", "cart.shop:80") == {"cart": 20})
    expect("without routes", "shop", "cart.shop.svc.cluster.local:80", {"cart": 20}, "node")

    nacks = subprocess.run([BIN / "fairlead", "--server", admin, "nacks"], check=True, capture_output=True, text=True).stdout
    require("client-" not in nacks, f"a client refused something: {nacks}")
