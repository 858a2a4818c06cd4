"""Load reports (LRS) of fairlead-proxy and Envoy under the same traffic hold the same numbers: by locality and by endpoint what was issued, succeeded, failed and
was in progress, requests dropped by category, and what endpoints say of themselves. A server that goes is tried again by both."""
import collections
import http.server
import json
import threading
import time
import urllib.parse

import lab
from lb_config import proxy, zone

ALL = {"send_all_clusters": True, "load_reporting_interval": "0.5s", "report_endpoint_granularity": True}
RETRY = {"retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"}}
METRICS = ["cpu_utilization", "mem_utilization", "named_metrics.*", "utilization.disk", "request_cost.absent", "request_cost.c", "request_cost.*", "application_utilization", "eps", "rps_fractional", "rps", "other"]
ROUTES = {  # by cluster: fields of the route, of the cluster, of its assignment
    "plain": ({}, {"lrs_report_endpoint_metrics": METRICS, "lrs_server": {"self": {}}}, {}),
    "closed": ({}, {}, {}),
    "retried": ({"retry_policy": RETRY}, {}, {}),
    "slow": ({"timeout": "0.2s"}, {}, {}),
    "tried": ({"timeout": "2s", "retry_policy": {**RETRY, "per_try_timeout": "0.2s"}}, {}, {}),
    "drop": ({}, {}, {"policy": {"drop_overloads": [{"category": "c", "drop_percentage": {"numerator": 100}}]}}),
    "full": ({}, {"circuit_breakers": {"thresholds": [{"max_pending_requests": 0}]}}, {}),
    "full-retried": ({"retry_policy": {**RETRY, "retry_on": "reset,5xx"}}, {"circuit_breakers": {"thresholds": [{"max_pending_requests": 0}]}}, {}),
    "dead": ({}, {}, {}),
    "copied": ({"request_mirror_policies": [{"cluster": "copy"}]}, {}, {}),
    "copy": ({}, {}, {}),
}
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
REPORTS = ["TEXT cpu_utilization=0.5,named_metrics.q=3,mem_utilization:0.25", 'JSON {"utilization": {"disk": 0.5, "net": 1}, "named_metrics": {"r": 1}}', "TEXT cpu_utilization=0.5,cpu_utilization=1",
           "TEXT utilization.disk=1", "nonsense", "BIN !", "TEXT cpu_utilization=nan", "TEXT named_metrics.q=1,rps_fractional=5",
           "TEXT request_cost.c=2,eps=1", "TEXT rps=5", "TEXT other=1", "TEXT named_metrics.=1,application_utilization=3", "TEXT", 'JSON {"rps_fractional": "0.5", "requestCost": {"c": 3}}', 'JSON {"other": 1}',
           "TEXT eps=-1", "JSON {}", "TEXT eps", "text eps=1", "BIN CQAAAAAAAOA/"]


class Upstream(http.server.BaseHTTPRequestHandler):
    """Does what the query says: status=N, close, sleep=S, grpc=N, report=INDEX."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))
        if "close" in asked:
            self.close_connection = True
            return
        if "sleep" in asked:
            time.sleep(float(asked["sleep"]))
        try:
            self.send_response(int(asked.get("status", "200")))
            self.send_header("content-length", "0")
            if "grpc" in asked:
                self.send_header("content-type", "application/grpc")
                if asked["grpc"]:
                    self.send_header("grpc-status", asked["grpc"])
            if "report" in asked:
                self.send_header("endpoint-load-metrics", REPORTS[int(asked["report"])])
            self.end_headers()
        except OSError:
            pass  # whoever asked has gone

    do_POST = do_GET

    def log_message(self, *_):
        pass


# Three of each: one for each endpoint.
TRAFFIC = [f"/{what}" for what in (
    "plain", "plain?status=404", "plain?status=500", "plain?status=503", "plain?report=0", "plain?report=1", "plain?report=2", "plain?report=3", "plain?report=4",
    "plain?report=5", "plain?report=6", "plain?report=7", *[f"plain?report={n}" for n in range(8, 20)], "plain?status=500&report=0", "plain?grpc=0", "plain?grpc=5", "plain?grpc=13", "plain?grpc=14", "plain?grpc=1", "plain?grpc=",
    "slow?sleep=0.4", "drop", "full", "full-retried", "dead", "copied", "copied?status=500")]
RETRIED = [f"/{what}" for what in ("closed", "closed?close", "retried", "retried?status=500", "retried?status=404", "tried?sleep=0.4")]  # in sums over endpoints, which a retry picks at random


def numbers(stats):
    return collections.Counter({what: int(stats.get(f"total_{what}", 0)) for what in ("successful_requests", "error_requests", "issued_requests")})


def add_up(reports):
    """By cluster, locality and priority, and endpoint: all that reports say."""
    out = {}
    for report in reports:
        for c in report["request"].get("cluster_stats", []):
            sums = out.setdefault((c["cluster_name"], c.get("cluster_service_name", "")), {"dropped": 0, "by": collections.Counter(), "places": {}})
            sums["dropped"] += int(c.get("total_dropped_requests", 0))
            for d in c.get("dropped_requests", []):
                sums["by"][d["category"]] += int(d["dropped_count"])
            for s in c.get("upstream_locality_stats", []):
                key = (*[s.get("locality", {}).get(part, "") for part in ("region", "zone", "sub_zone")], s.get("priority", 0))
                place = sums["places"].setdefault(key, {"numbers": collections.Counter(), "metrics": collections.Counter(), "endpoints": {}})
                place["numbers"] += numbers(s)
                for m in s.get("load_metric_stats", []):
                    place["metrics"][m["metric_name"], "requests"] += int(m.get("num_requests_finished_with_metric", 0))
                    place["metrics"][m["metric_name"], "sum"] += m.get("total_metric_value", 0)
                for e in s.get("upstream_endpoint_stats", []):
                    at = e["address"]["socket_address"]["address"]
                    place["endpoints"].setdefault(at, collections.Counter())
                    place["endpoints"][at] += numbers(e)
    return out


def reports_of(server):
    whole = server.text().rpartition("\n")[0]  # the last line may still be on its way
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


def through(l, kind, upstream, dead):
    server = l.start(f"lrs-{kind}", [lab.PEERS / "lrs", "--response", json.dumps(ALL)])
    lrs = int(server.await_line(r"listening 127\.0\.0\.1:(\d+)")[1])
    port, admin = lab.free_port(), lab.free_port()

    def endpoints(name):
        at = [{"endpoint": {"address": {"socket_address": {"address": host, "port_value": dead if name == "dead" else upstream}}}} for host in HOSTS]
        return [zone("x", None, 0, *at[:2]), zone("y", None, 0, at[2])]

    clusters = [{"name": name, "type": "STATIC", "connect_timeout": "1s", **more, "load_assignment": {"cluster_name": name, "endpoints": endpoints(name), **assignment}}
                for name, (_, more, assignment) in ROUTES.items()]
    config = proxy(port, admin, clusters, more={"node": {"id": "n", "cluster": "c"}, "cluster_manager": {
        "load_stats_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "lrs"}}]}}})
    hosts = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    for route in hosts[0]["routes"]:
        route["route"].update(ROUTES[route["route"]["cluster"]][0])
    clusters.append({"name": "lrs", "type": "STATIC", "http2_protocol_options": {}, "load_assignment": {
        "cluster_name": "lrs", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": lrs}}}}]}]}})
    node_admin = f"127.0.0.1:{admin}"
    l.proxy(kind, l.write(f"{kind}.json", json.dumps(config)), node_admin)
    lab.await_true(f"{kind} reports", lambda: len(reports_of(server)) >= 2)
    known = {(c["cluster_name"], c.get("cluster_service_name", "")) for c in reports_of(server)[1]["request"]["cluster_stats"]}

    def ask(path):
        headers = {"content-type": "application/grpc"} if "grpc" in path else {}
        try:
            return lab.get(f"127.0.0.1:{port}", path, method="POST" if headers else "GET", headers=headers).status
        except OSError as error:
            return type(error).__name__

    answers = {path: [ask(path) for _ in HOSTS] for path in TRAFFIC + RETRIED}
    before = len(reports_of(server))
    busy = threading.Thread(target=ask, args=("/plain?sleep=1.4",))
    busy.start()

    def in_progress():
        return any(s.get("total_requests_in_progress") == "1" for r in reports_of(server)[before:] for c in r["request"].get("cluster_stats", []) if c["cluster_name"] == "plain"
                   for s in c.get("upstream_locality_stats", []))

    lab.await_true(f"{kind} tells of a request in progress", in_progress)
    busy.join()
    seen = len(reports_of(server))
    lab.await_true(f"{kind} goes on", lambda: len(reports_of(server)) >= seen + 3)
    reports = reports_of(server)
    sums = add_up(reports)
    for (name, _), c in sums.items():
        if name in ("closed", "retried", "tried"):
            for place in c["places"].values():
                place["endpoints"] = None
            c["places"] = sum((place["numbers"] for place in c["places"].values()), collections.Counter())
    sums["closed", ""]["places"].pop("issued_requests")  # fairlead-proxy asks again where an idle connection was lost (docs/differences.md)
    for place in sums["plain", ""]["places"].values():  # one of them had one request more
        place["numbers"].pop("issued_requests"), place["numbers"].pop("successful_requests"), place.pop("endpoints")
    sums.pop(("lrs", ""), None)  # of fairlead-proxy no cluster
    intervals = [float(c["load_report_interval"].rstrip("s")) for c in reports[-1]["request"]["cluster_stats"]]
    lab.require(all(0.4 < i < 2 for i in intervals), f"{kind}: intervals {intervals}")
    stats = dict(line.split(": ") for line in lab.get(node_admin, "/stats?filter=load_reporter").body.decode().splitlines())
    first = reports[0]["request"]
    return {"known": known - {("lrs", "")}, "answers": answers, "sums": sums, "idle": [sorted(c) for c in reports[-1]["request"]["cluster_stats"] if c["cluster_name"] == "plain"],
            "stats": sorted(stats), "no errors": stats["load_reporter.errors"], "asked": stats["load_reporter.requests"],
            "told": int(stats["load_reporter.responses"]) - len(reports_of(server)) in (-1, 0, 1), "who": (first["node"]["id"], first["node"]["client_features"]), "first": first.get("cluster_stats")}


def comes_back(l, kind):
    """How often a proxy whose streams are ended after their first report has come back, and that each stream says who it is."""
    server = l.start(f"ending-{kind}", [lab.PEERS / "lrs", "--response", json.dumps(ALL), "--end-after", "2"])
    lrs = int(server.await_line(r"listening 127\.0\.0\.1:(\d+)")[1])
    admin = lab.free_port()
    config = proxy(lab.free_port(), admin, [], more={"node": {"id": "n", "cluster": "c"}, "cluster_manager": {
        "load_stats_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "lrs"}}]}}})
    config["static_resources"]["clusters"].append({"name": "lrs", "type": "STATIC", "http2_protocol_options": {}, "load_assignment": {
        "cluster_name": "lrs", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": lrs}}}}]}]}})
    l.proxy(kind, l.write(f"{kind}-ending.json", json.dumps(config)), f"127.0.0.1:{admin}")
    lab.await_true(f"{kind} comes back", lambda: max((r["stream"] for r in reports_of(server)), default=0) >= 2, timeout=30)
    begins = {}
    for report in reports_of(server):
        begins.setdefault(report["stream"], report["request"])
    return {"each stream says who": all("node" in first for first in begins.values())}


def run(l):
    lab.build_go_peers()
    servers = []
    upstream = lab.free_port()
    for host in HOSTS:
        servers.append(http.server.ThreadingHTTPServer((host, upstream), Upstream))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
    dead = lab.free_port()
    try:
        envoy, fairlead = through(l, "envoy", upstream, dead), through(l, "fairlead", upstream, dead)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
    for what in envoy:
        if what != "sums":
            lab.same(what, fairlead[what], envoy[what])
    lab.same("clusters", sorted(fairlead["sums"]), sorted(envoy["sums"]))
    differ = [f"{cluster[0]}:\n  fairlead: {fairlead['sums'][cluster]}\n  peer:     {envoy['sums'][cluster]}" for cluster in envoy["sums"] if fairlead["sums"][cluster] != envoy["sums"][cluster]]
    lab.require(not differ, "loads differ:\n" + "\n".join(differ))
    lab.same("a server that goes", comes_back(l, "fairlead"), comes_back(l, "envoy"))
