#!/usr/bin/env python3
"""Soak: control plane and proxy under load for SECONDS (60) while routes, weights and endpoints change ten times a second.
Not one failed request, both processes alive, memory bounded, no stream out of sync at the end.   soak.py BIN [SECONDS]"""
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ["FAIRLEAD_BIN"] = sys.argv[1]
sys.path.insert(0, str(ROOT / "tests/interop"))
from lab import Lab, as_json, await_true, free_port, get, require  # noqa: E402

SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 60


def rss(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.process.pid}/status").read_text())[1])


with Lab() as lab:
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    upstreams = {name: free_port() for name in ("v1", "v2", "api", "spare")}
    lab.nginx({p: name for name, p in upstreams.items()})
    source = lab.example("quickstart", {8080: port, 9001: upstreams["v1"], 9002: upstreams["v2"], 9003: upstreams["api"]})
    control, xds, control_admin = lab.control(source)
    proxy = lab.proxy("fairlead-proxy", lab.bootstrap("proxy", "quickstart", xds, admin), admin)
    await_true("the proxy serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)
    routes, backends = (source / "routes.yaml").read_text(), (source / "backends.yaml").read_text()

    wrk = subprocess.Popen(["wrk", "-t1", "-c32", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
    memory, changes, end = [], 0, time.monotonic() + SECONDS
    while time.monotonic() < end - 1:
        changes += 1
        weight = changes % 101
        fresh = routes.replace("weight: 90", f"weight: {weight}").replace("weight: 10}", f"weight: {101 - weight}}}").replace("value: fairlead", f"value: change-{changes}")
        lab.write(f"{source.name}/routes.yaml", fresh)
        if changes % 3 == 0:  # an endpoint comes and goes
            lab.write(f"{source.name}/backends.yaml", backends.replace(f"port: {upstreams['v1']}", f"port: {upstreams['spare']}") if changes % 2 else backends)
        if changes % 7 == 0:  # a cluster comes and goes
            lab.write(f"{source.name}/routes.yaml", fresh.replace("name: shop-v2, port: 80", "name: api, port: 80"))
        if changes % 20 == 0:
            memory.append((rss(proxy), rss(control)))
        time.sleep(0.1)
    report = wrk.communicate()[0]
    print(report)
    requests = int(re.search(r"(\d+) requests in", report)[1])
    errors = re.search(r"Socket errors:.*", report)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    require(requests > 1000, f"only {requests} requests went through")
    require(not bad, f"{bad[1] if bad else 0} requests failed during {changes} changes")
    require(not errors, f"{errors[0] if errors else ''} during {changes} changes")

    lab.write(f"{source.name}/routes.yaml", routes.replace("value: fairlead", "value: the-end"))
    await_true("the last change is served", lambda: get(f"127.0.0.1:{port}", "/api/x").header("x-served-by") == "the-end")
    status = as_json(get(control_admin, "/debug/status"))
    states = {t["state"] for p in status["proxies"] for t in p["types"].values()}
    require(states == {"SYNCED"}, f"after it all: {states}")
    for name, before, after in (("fairlead-proxy", memory[0][0], memory[-1][0]), ("fairlead-control", memory[0][1], memory[-1][1])):
        require(after < before * 1.5 + 8192, f"{name} grew from {before} to {after} KB in {changes} changes")
    require(lab.stop(proxy) == 0, "the proxy's exit code after SIGTERM")
    print(f"{requests} requests, {changes} changes, no error; memory of proxy and control plane {memory[0]} -> {memory[-1]} KB")
