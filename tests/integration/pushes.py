#!/usr/bin/env python3
"""Fifty pushes a second for SECONDS (30) under load: each brings a new cluster, its endpoints and the route to it, and takes the last one away;
the cluster and the route are moved into place in either order. Not one request fails, on two workers.   pushes.py BIN [SECONDS] [PUSHES A SECOND]
Run on a build with ThreadSanitizer, it also fails on the first data race (configuration from files needs no gRPC, which is not instrumented)."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ["FAIRLEAD_BIN"] = sys.argv[1]
sys.path.insert(0, str(ROOT / "tests/interop"))
from lab import BIN, Lab, await_http, await_true, free_port, get, require  # noqa: E402

SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
RATE = int(sys.argv[3]) if len(sys.argv) > 3 else 50
TYPE = "type.googleapis.com/envoy"


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def response(kind, version, *resources):
    return json.dumps({"version_info": str(version), "resources": [{"@type": f"{TYPE}.config.{kind}", **r} for r in resources]})


def source(lab, name):
    return {"path_config_source": {"path": str(lab.dir / "xds" / name)}, "resource_api_version": "V3"}


def files(lab, n, upstream):
    """What push number n consists of."""
    name = f"c{n}"
    cluster = {"name": name, "type": "EDS", "connect_timeout": "2s", "eds_cluster_config": {"eds_config": source(lab, "eds.json")},
               "circuit_breakers": {"thresholds": [{"max_connections": 1000 + n % 7}]}}
    # the endpoints are there before who asks for them, and as long: a file without them means that there are none
    endpoints = [{"cluster_name": f"c{k}", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}] * (1 + k % 3)}]} for k in range(max(0, n - RATE), n + 1)]
    route = {"match": {"prefix": "/"}, "route": {"cluster": name}, "response_headers_to_add": [{"header": {"key": "x-push", "value": str(n)}}]}
    table = {"name": "table", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    late = [("cds.json", response("cluster.v3.Cluster", n, cluster)), ("rds.json", response("route.v3.RouteConfiguration", n, table))]
    return [("eds.json", response("endpoint.v3.ClusterLoadAssignment", n, *endpoints)), *(late if n % 2 else reversed(late))]


def main():
    with Lab() as lab:
        upstream, port, admin = free_port(), free_port(), free_port()
        lab.nginx({upstream: "ok"})
        manager = {"@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "main",
                   "access_log": [{"name": "file", "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "none"}}}},
                                   "typed_config": {"@type": f"{TYPE}.extensions.access_loggers.file.v3.FileAccessLog", "path": str(lab.dir / "failed.log"), "log_format": {
                                       "text_format_source": {"inline_string": "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW%\n"}}}}],
                   "rds": {"route_config_name": "table", "config_source": source(lab, "rds.json")},
                   "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"}}]}
        lab.write("xds/lds.json", response("listener.v3.Listener", 0, {"name": "main", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}))
        for name, text in files(lab, 0, upstream):
            lab.write(f"xds/{name}", text)
        bootstrap = {"node": {"id": "pushes", "cluster": "pushes"}, "admin": {"address": address(admin)},
                     "dynamic_resources": {"cds_config": source(lab, "cds.json"), "lds_config": source(lab, "lds.json")}}
        proxy = lab.start("fairlead-proxy", [BIN / "fairlead-proxy", "-c", lab.write("bootstrap.json", json.dumps(bootstrap)), "--concurrency", "2", "--drain-time-s", "2"])
        await_http(f"127.0.0.1:{admin}", "/ready", proxy)
        served = lambda: int(get(f"127.0.0.1:{port}", "/").header("x-push") or -1)
        await_true("the proxy serves", lambda: served() == 0)

        load = subprocess.Popen(["wrk", "-t1", "-c32", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
        pushes, start = 0, time.monotonic()
        while time.monotonic() < start + SECONDS - 1:
            pushes += 1
            for name, text in files(lab, pushes, upstream):
                lab.write(f"xds/{name}", text)
            time.sleep(max(0.0, start + pushes / RATE - time.monotonic()))
        rate = pushes / (time.monotonic() - start)
        report = load.communicate()[0]
        requests = int(re.search(r"(\d+) requests in", report)[1])
        bad, errors = re.search(r"Non-2xx or 3xx responses: (\d+)", report), re.search(r"Socket errors:.*", report)
        failed = (lab.dir / "failed.log").read_text()
        require(requests > 100 * SECONDS / 10, f"only {requests} requests went through")
        require(not bad, f"{bad[1] if bad else 0} of {requests} requests failed during {pushes} pushes, the first by:\n{failed[:500]}")
        require(not errors, f"{errors[0] if errors else ''} during {pushes} pushes")
        require(rate > 0.9 * RATE, f"only {rate:.1f} pushes a second")
        await_true("the last push is served", lambda: served() == pushes)
        stats = {k: int(v) for k, v in re.findall(r"^(\S+): (\d+)$", get(f"127.0.0.1:{admin}", "/stats").body.decode(), re.M)}
        require(stats["cluster_manager.active_clusters"] == 1, f"{stats['cluster_manager.active_clusters']} clusters are left over")
        taken = stats["cluster_manager.cds.update_success"]
        require(taken > pushes / 10, f"only {taken} of {pushes} cluster files were taken up")
        code = lab.stop(proxy)
        races = proxy.text().count("WARNING: ThreadSanitizer")
        require(races == 0, f"{races} data races:\n{proxy.text()[:8000]}")
        require(code == 0, f"the proxy's exit code after SIGTERM: {code}")
        print(f"{requests} requests, {pushes} pushes ({rate:.1f} a second), {taken} cluster files taken up, no error")


main()
