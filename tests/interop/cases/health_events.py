"""Event logs of health checks and outlier detection against Envoy: which events, with which fields, in which order; reopened for rotation."""
import collections
import itertools
import json
import time

import lab
from echo import get_server
from lb_config import proxy

SINK = "type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"
PACE = {"timeout": "0.3s", "interval": "0.15s", "no_traffic_interval": "0.15s", "healthy_threshold": 2, "unhealthy_threshold": 2}
HTTP = {**PACE, "http_health_check": {"path": "/health"}}
OUT = {"interval": "60s", "base_ejection_time": "1s", "max_ejection_percent": 50}
RUNTIME = {"outlier_detection": {"interval_ms": 500, "success_rate_stdev_factor": 500, "failure_percentage_request_volume": 3}}  # before what clusters say
REQUESTS = 12  # six for each of two hosts
PHASES = 4

# What each host answers in each phase: (path is /health, phase) -> (status, headers, delay).
HOSTS = {
    "good": lambda check, phase: (200, {}, 0),
    "bad": lambda check, phase: (500 if check else 200, {}, 0),
    "slow": lambda check, phase: (200, {}, 1 if check else 0),
    "degraded": lambda check, phase: (200, {"x-envoy-degraded": ""} if phase % 2 == 0 else {}, 0),
    "turning": lambda check, phase: (200 if phase % 2 == 0 or not check else 503, {}, 0),
    "flaky": lambda check, phase: (200 if check or phase % 2 else 503, {}, 0),
    "leaving": lambda check, phase: (200, {} if check else {"x-envoy-immediate-health-check-fail": "1"}, 0),
}


def clusters(at):
    sink = lambda name: [{"name": "file", "typed_config": {"@type": SINK, "event_log_path": at(name)}}]
    return {  # name: hosts, fields
        "http": (("good", "bad", "slow", "degraded", "turning", "gone"), {"health_checks": [{**HTTP, "event_log_path": at("http")}]}),
        "sink": (("good", "bad"), {"health_checks": [{**HTTP, "event_logger": sink("sink")}]}),
        "both-forms": (("good", "bad"), {"health_checks": [{**HTTP, "event_log_path": at("path"), "event_logger": sink("logger")}]}),
        "always": (("good", "bad", "turning"), {"alt_stat_name": "other", "health_checks": [{**HTTP, "event_logger": sink("always"), "always_log_health_check_failures": True, "always_log_health_check_success": True}]}),
        "tcp": (("good", "gone"), {"health_checks": [{**PACE, "tcp_health_check": {}, "event_log_path": at("tcp")}]}),
        "grpc": (("good", "gone"), {"http2_protocol_options": {}, "health_checks": [{**PACE, "grpc_health_check": {}, "event_log_path": at("grpc")}]}),
        "passive": (("good", "leaving"), {"health_checks": [{**HTTP, "interval": "60s", "event_log_path": at("passive")}]}),
        "consecutive": (("good", "flaky"), {"alt_stat_name": "another", "outlier_detection": {**OUT, "consecutive_5xx": 3}}),
        "gateway": (("good", "flaky"), {"outlier_detection": {**OUT, "consecutive_5xx": 100, "consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100}}),
        "not-enforced": (("good", "flaky"), {"outlier_detection": {**OUT, "consecutive_5xx": 3, "enforcing_consecutive_5xx": 0}}),
        "overflow": (("good", "flaky"), {"outlier_detection": {**OUT, "consecutive_5xx": 3, "max_ejection_percent": 10}}),
        "local": (("good", "gone"), {"outlier_detection": {**OUT, "base_ejection_time": "60s", "split_external_local_origin_errors": True, "consecutive_local_origin_failure": 3}}),
        "percentage": (("good", "flaky"), {"outlier_detection": {**OUT, "consecutive_5xx": 1000, "consecutive_gateway_failure": 1000, "enforcing_failure_percentage": 100, "enforcing_success_rate": 0,
                                                                 "failure_percentage_minimum_hosts": 2}}),
        "rate": (("good", "flaky"), {"outlier_detection": {**OUT, "consecutive_5xx": 1000, "consecutive_gateway_failure": 1000, "success_rate_minimum_hosts": 2, "success_rate_request_volume": 3}}),
        "checked": (("good", "flaky"), {"health_checks": [HTTP], "outlier_detection": {**OUT, "base_ejection_time": "60s", "consecutive_5xx": 3}}),
    }


def upstream(answer, phase):
    def now(request):
        status, headers, delay = answer(request.path == "/health", phase[0])
        time.sleep(delay)
        return status, headers

    return get_server(now)


def through(l, kind):
    phase = [0]
    servers = {name: upstream(answer, phase) for name, answer in HOSTS.items()}
    ports = {**{name: s.server_port for name, s in servers.items()}, "gone": lab.free_port()}
    names = {p: n for n, p in ports.items()}
    folder = l.dir / f"events-{kind}"
    folder.mkdir()
    wanted = clusters(lambda name: str(folder / name))
    port, admin = lab.free_port(), lab.free_port()
    endpoint = lambda p: {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": p}}}, "metadata": {"filter_metadata": {"a": {"b": 1.5}}}}
    config = proxy(port, admin, [{"name": name, "type": "STATIC", "connect_timeout": "1s", **more, "load_assignment": {"cluster_name": name, "endpoints": [
        {"locality": {"region": "r", "zone": "z"}, "lb_endpoints": [endpoint(ports[h]) for h in hosts]}]}} for name, (hosts, more) in wanted.items()],
        more={"cluster_manager": {"outlier_detection": {"event_log_path": str(folder / "outlier")}}, "layered_runtime": {"layers": [{"name": "static", "static_layer": RUNTIME}]}})
    process = l.proxy(kind, l.write(f"events-{kind}.json", json.dumps(config)), f"127.0.0.1:{admin}", "--file-flush-interval-msec", "50")
    try:
        for phase[0] in range(PHASES):
            time.sleep(0.7)  # checks have had their rounds
            for name in wanted:
                for _ in range(REQUESTS):
                    lab.get(f"127.0.0.1:{port}", f"/{name}")
            time.sleep(1.1 if phase[0] < 2 else 2.2)  # ejections end; the second lasts twice as long
            if phase[0] == 1:
                time.sleep(0.2)
                for path in list(folder.iterdir()):
                    path.rename(path.with_suffix(".old"))
                lab.get(f"127.0.0.1:{admin}", "/reopen_logs", "POST")
        time.sleep(0.2)
    finally:
        l.stop(process)
        for server in servers.values():
            server.shutdown()
            server.server_close()

    def read(path):
        for line in path.read_text().splitlines() if path.exists() else ():
            event = json.loads(line)
            event["timestamp"] = len(event["timestamp"]) >= len("2026-01-01T00:00:00Z")
            if "upstream_url" in event:  # how long ago depends on timers
                event["upstream_url"] = names[int(event["upstream_url"].split(":")[1])]
                event["secs_since_last_action"] = "secs_since_last_action" in event
                yield (event["cluster_name"], event["upstream_url"]), event
            else:
                host = names[event["host"]["socket_address"].pop("port_value")]
                yield (event["cluster_name"], host), event

    out = collections.defaultdict(list)
    for name in sorted({p.stem for p in folder.iterdir()}):
        for suffix in (".old", ""):
            for key, event in read(folder / (name + suffix)):
                out[name, *key].append(json.dumps(event))
    # How many checks there were depends on timers.
    return {key: [event for event, _ in itertools.groupby(events)] if key[0] != "outlier" else events for key, events in out.items()}


def run(l):
    envoy, fairlead = through(l, "envoy"), through(l, "fairlead")
    lab.require(("outlier", "consecutive", "flaky") in envoy and ("http", "http", "slow") in envoy, f"Envoy logged events: {sorted(envoy)}")
    for key in sorted({*envoy, *fairlead}):
        lab.same(f"events of {key[2]} of cluster {key[1]} in {key[0]}", "\n".join(fairlead.get(key, ())), "\n".join(envoy.get(key, ())))
