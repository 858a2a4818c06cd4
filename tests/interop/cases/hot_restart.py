"""Hot restart by Envoy's flags, Envoy and fairlead-proxy alike: what /server_info, /hot_restart_version and the statistics of the server show in each
epoch, counters that go on, a keep-alive connection that the old process still answers, its end, and command lines that are wrong."""
import json
import re
import socket

import lab as labs

CONFIG = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {{virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, direct_response: {{status: 200, body: {{inline_string: ok}}}}}}]}}]}}
          http_filters: [{{name: r, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
"""
STATS = ["server.hot_restart_epoch", "server.hot_restart_generation", "server.live", "server.state", "server.parent_connections", "server.total_connections", "http.in.downstream_rq_2xx",
         "http.in.downstream_cx_active", "listener_manager.total_listeners_active", "cluster_manager.active_clusters"]
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


# Envoy looks at its connections every 5 s, and loses what its old process counts at the very end.
NOT_COMPARED = {("epoch 0", "server.total_connections"): "1", ("epoch 1, alone", "http.in.downstream_rq_2xx"): "3"}


def command(kind, config, base_id, *more):
    program = labs.envoy() if kind == "envoy" else labs.BIN / "fairlead-proxy"
    return [program, "-c", config, "--concurrency", "1", "--base-id", str(base_id), "-l", "warning", "--drain-time-s", "4", "--parent-shutdown-time-s", "5", *more]


def figures(admin):
    stats = dict(re.findall(r"^(\S+): (\d+)$", labs.get(admin, "/stats").body.decode(), re.M))
    info = labs.as_json(labs.get(admin, "/server_info"))
    flags = info["command_line_options"]
    return {**{name: stats.get(name) for name in STATS},
            "state": info["state"], "initializing": info["hot_restart_initializing"], "older": info["uptime_all_epochs"] != info["uptime_current_epoch"],
            **{f: flags[f] for f in ("restart_epoch", "disable_hot_restart", "socket_path", "use_dynamic_base_id", "skip_hot_restart_on_no_parent", "skip_hot_restart_parent_stats")},
            "version is the flag's": info["hot_restart_version"] == labs.get(admin, "/hot_restart_version").body.decode().strip()}


def observe(lab, kind):
    port, admin_port, base_id = labs.free_port(), labs.free_port(), labs.free_port()
    admin = f"127.0.0.1:{admin_port}"
    config = lab.write(f"{kind}.yaml", CONFIG.format(admin=admin_port, port=port))
    seen = {}
    first = lab.start(f"{kind}-0", command(kind, config, base_id))
    labs.await_http(admin, "/ready", first)
    keep = socket.create_connection(("127.0.0.1", port), timeout=10)
    keep.sendall(REQUEST)
    labs.require(keep.recv(4096).startswith(b"HTTP/1.1 200"), f"{kind}: the first request")
    labs.await_true("a second has passed", lambda: labs.as_json(labs.get(admin, "/server_info"))["uptime_current_epoch"] >= "2s")
    seen["epoch 0"] = figures(admin)
    second = lab.start(f"{kind}-1", command(kind, config, base_id, "--restart-epoch", "1"))
    labs.await_true("epoch 1", lambda: b"hot_restart_epoch: 1" in labs.get(admin, "/stats?filter=hot_restart_epoch").body and labs.get(admin, "/ready").status == 200)
    labs.await_true("the old connection is counted", lambda: b": 1" in labs.get(admin, "/stats?filter=server.parent_connections").body)
    seen["epoch 1, the old one drains"] = figures(admin)
    keep.sendall(REQUEST)
    seen["the old one answers"] = keep.recv(4096)[:15]
    keep.close()
    labs.await_true("the old one has left", lambda: first.process.poll() is not None)
    seen["its exit code"] = first.process.returncode
    labs.require(labs.get(f"127.0.0.1:{port}", "/").status == 200, f"{kind}: the new process serves")
    # what the old one has counted is told by it once it has, and by Envoy's whenever statistics are merged
    labs.await_true("it has been told", lambda: b"total_connections: 0" in labs.get(admin, "/stats?filter=server.total_connections").body)
    labs.await_true("the request's connection is gone", lambda: b": 0" in labs.get(admin, "/stats?filter=http.in.downstream_cx_active").body)
    seen["epoch 1, alone"] = figures(admin)
    seen["epoch 1 again"] = lab.start(f"{kind}-again", command(kind, config, base_id, "--restart-epoch", "1")).process.wait(20) != 0
    seen["no such base id"] = lab.start(f"{kind}-none", command(kind, config, base_id + 1, "--restart-epoch", "1")).process.wait(20) != 0
    wrong = lab.start(f"{kind}-wrong", command(kind, config, base_id, "--restart-epoch", "1", "--use-dynamic-base-id"))
    seen["dynamic base id and an epoch"] = (wrong.process.wait(20) != 0, "cannot use --restart-epoch=1 with --use-dynamic-base-id" in wrong.text())
    alone = lab.start(f"{kind}-alone", command(kind, config, base_id + 2, "--restart-epoch", "1", "--skip-hot-restart-on-no-parent"))
    labs.require(second.process.poll() is None, f"{kind}: the new process lives")
    lab.stop(alone)
    lab.stop(second)
    return seen


def run(lab):
    theirs, ours = observe(lab, "envoy"), observe(lab, "fairlead-proxy")
    wrong = [f"{step}, {k}: {ours[step][k]!r} in place of {v!r}" for (step, k), v in NOT_COMPARED.items() if ours[step][k] != v]
    for step, value in theirs.items():
        if value == ours[step]:
            continue
        if isinstance(value, dict):
            wrong += [f"{step}, {k}: Envoy {v!r}, Fairlead {ours[step][k]!r}" for k, v in value.items() if v != ours[step][k] and (step, k) not in NOT_COMPARED]
        else:
            wrong.append(f"{step}: Envoy {value!r}, Fairlead {ours[step]!r}")
    if wrong:
        raise labs.Failed("\n".join(wrong))
    print(f"  {sum(len(v) if isinstance(v, dict) else 1 for v in theirs.values())} figures alike: {json.dumps(list(theirs))}")
