"""The quickstart driven by fairlead-control: Envoy in SotW, Envoy in Delta and fairlead-proxy in both give the same answers.
Then a weight is edited and every one of them follows; a route that Envoy refuses is reported and costs nothing else."""
import json
import re

from lab import as_json, await_true, free_port, get, require, same, Failed
import lab as interop

SMOKE = True

REQUESTS = [
    ("GET", "/api/items", {}), ("GET", "/api", {}), ("GET", "/apix", {}), ("GET", "/old", {}), ("GET", "/old/", {}), ("GET", "/old?q=1", {}),
    ("POST", "/api/items?a=b", {}), ("HEAD", "/api/items", {}), ("GET", "/api//x", {}), ("DELETE", "/api/items/7", {"x-own": "1"}),
]
# What differs from one moment to the next, not from one proxy to the other.
VOLATILE = {"date", "x-envoy-upstream-service-time"}


def answers(port):
    out = []
    for method, path, headers in REQUESTS:
        r = get(f"127.0.0.1:{port}", path, method, {"host": "quickstart.test", **headers}, body=b"body" if method == "POST" else None)
        seen = None
        if r.header("content-type") == "application/json" and r.body:
            seen = as_json(r)
            for volatile in ("x-request-id",):
                require(volatile in seen["headers"], f"{method} {path}: upstream saw no {volatile}")
                del seen["headers"][volatile]
            if seen["service"].startswith("shop-"):
                seen["service"] = "shop"
        length = r.header("content-length") if seen is None else None
        out.append((method, path, r.status, sorted((n, v) for n, v in r.headers if n not in VOLATILE and n != "content-length"), length, seen))
    return out


def share(port, service, count=60):
    return sum(as_json(get(f"127.0.0.1:{port}", "/"))["service"] == service for _ in range(count)) / count


def run(lab):
    port, v1, v2, api = (free_port() for _ in range(4))
    source = lab.example("quickstart", {8080: port, 9001: v1, 9002: v2, 9003: api})
    lab.upstreams(shop_v1=v1, shop_v2=v2, api=api)
    _, xds, admin = lab.control(source)
    routes = (source / "routes.yaml").read_text()
    reference = None
    for kind, mode in (("envoy", "--sotw"), ("envoy", "--delta"), ("fairlead-proxy", "--sotw"), ("fairlead-proxy", "--delta")):
        what = f"{kind} {mode}"
        node_admin = f"127.0.0.1:{free_port()}"
        proxy = lab.proxy(kind, lab.bootstrap("proxy" if kind == "fairlead-proxy" else kind, "quickstart", xds, node_admin, mode), node_admin)
        await_true(f"{what} serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
        got = answers(port)
        if reference is None:
            reference = got
        for ours, theirs in zip(got, reference):
            same(f"{what}: {ours[0]} {ours[1]}", ours, theirs)
        first = share(port, "shop-v2", 200)
        require(0.02 <= first <= 0.25, f"{what}: {first:.0%} of the answers came from shop-v2, which has weight 10 of 100")

        status = json.loads(interop.subprocess.run([interop.BIN / "fairlead", "--server", admin, "status", "-o", "json"], check=True, capture_output=True, text=True).stdout)
        require("SYNCED" in json.dumps(status) and "ERROR" not in json.dumps(status), f"{what}: status is not SYNCED: {status}")

        (source / "routes.yaml").write_text(routes.replace("weight: 90", "weight: 0").replace("weight: 10}", "weight: 100}"))
        await_true(f"{what} follows the new weight", lambda: share(port, "shop-v2", 10) == 1)
        (source / "routes.yaml").write_text(routes)
        await_true(f"{what} follows the old weight", lambda: share(port, "shop-v1", 10) >= 0.5)

        code = lab.stop(proxy)
        require(code == 0, f"{what}: exit code {code} after SIGTERM:\n{proxy.text()[-2000:]}")
