"""The overload manager under the same pressure, written into a file: what Envoy and fairlead-proxy answer, close, count and refuse; limits of connections;
the watchdog's statistics."""
import json
import os
import subprocess
import time
import urllib.parse

import lab as labs

FILE = "envoy.resource_monitors.injected_resource"
GLOBAL = "envoy.resource_monitors.global_downstream_max_connections"
ACTION = "envoy.overload_actions."
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
TYPES = "type.googleapis.com/envoy.extensions.resource_monitors."


def at(value):
    return [{"name": FILE, "threshold": {"value": value}}]


def between(low, high):
    return [{"name": FILE, "scaled": {"scaling_threshold": low, "saturation_threshold": high}}]


def timers(*factors):
    return {"@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig", "timer_scale_factors": list(factors)}


CASES = {
    "requests": [{"name": ACTION + "stop_accepting_requests", "triggers": at(0.5)}],
    "keep-alive": [{"name": ACTION + "disable_http_keepalive", "triggers": at(0.5)}],
    "connections": [{"name": ACTION + "stop_accepting_connections", "triggers": at(0.5)}],
    "reject": [{"name": ACTION + "reject_incoming_connections", "triggers": at(0.5)}],
    "scaled": [{"name": ACTION + "stop_accepting_connections", "triggers": between(0.5, 0.75)}, {"name": ACTION + "shrink_heap", "triggers": between(0.25, 0.75)}],
    "timeouts": [{"name": ACTION + "reduce_timeouts", "triggers": at(0.5), "typed_config": timers({"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "0.05s"})}],
}
SHED = "envoy.load_shed_points."
POINTS = ("tcp_listener_accept", "hcm_ondata_creating_codec", "http_connection_manager_decode_headers", "http1_server_abort_dispatch", "http2_server_go_away_on_dispatch")
PRESSURES = ("0.25", "0.625", "1", "0")


def bootstrap(admin, port, actions=(), monitors=(), refresh="0.05s", shed=(), **more):
    text = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in", "append_local_overload": True,
            "drain_timeout": "0.05s", "delayed_close_timeout": "0.05s", "common_http_protocol_options": {"idle_timeout": "300s"},
            "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "fine"}}}]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
    listeners = [{"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": at_port}}, "stat_prefix": name,
                  "filter_chains": [{"filters": [{"name": "hcm", "typed_config": text}]}], **extra}
                 for name, at_port, extra in [("l", port["l"], {}), ("free", port["free"], {"ignore_global_conn_limit": True, "bypass_overload_manager": True})]]
    out = {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}, "ignore_global_conn_limit": True}, "static_resources": {"listeners": listeners}, **more}
    if actions or monitors:
        out["overload_manager"] = {"refresh_interval": refresh, "resource_monitors": list(monitors), "actions": list(actions), "loadshed_points": list(shed)}
    return out


def injected(path):
    return {"name": FILE, "typed_config": {"@type": TYPES + "injected_resource.v3.InjectedResourceConfig", "filename": str(path)}}


def press(path, value):
    fresh = path.with_suffix(".next")
    fresh.write_text(value)
    os.rename(fresh, path)


class Client:
    """A connection that is kept: what a request on it gets."""

    def __init__(self, port):
        self.socket = labs.socket.create_connection(("127.0.0.1", port), timeout=5)

    def ask(self, patience=5):
        try:
            self.socket.settimeout(patience)
            self.socket.sendall(REQUEST)
            data = b""
            while not labs.complete(data):
                part = self.socket.recv(65536)
                if not part:
                    return self.shown(data) + ("closed",)
                data += part
            return self.shown(data) + ("open",)
        except TimeoutError:
            return ("waits",)
        except (ConnectionResetError, BrokenPipeError):
            return (None, b"", "", "", "closed")  # whether by FIN or RST depends on who was faster

    @staticmethod
    def shown(data):
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        return (lines[0][9:12] or None, body, fields.get("connection", ""), fields.get("x-envoy-local-overloaded", ""))

    def ends(self, patience):
        self.socket.settimeout(patience)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()


def over_http2(port):
    """What comes back for two requests, one after the other, on one connection: frames by type and stream, whole GOAWAYs, and its end."""
    request = bytes([0x82, 0x86, 0x84, 0x41, 1]) + b"a"  # GET http / of a
    frame = lambda kind, flags, stream, payload=b"": len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    seen = []
    with labs.socket.create_connection(("127.0.0.1", port), timeout=1) as s:
        data = b""

        def read_until(done):
            nonlocal data
            while not done():
                while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                    size, kind, stream = int.from_bytes(data[:3], "big"), data[3], int.from_bytes(data[5:9], "big")
                    if kind in (0, 1, 3, 7):
                        seen.append((kind, stream, data[9:17].hex() if kind == 7 else ""))
                    data = data[9 + size:]
                if done():
                    return
                try:
                    part = s.recv(65536)
                except TimeoutError:
                    return seen.append("waits")
                except ConnectionResetError:
                    part = b""
                if not part:
                    return seen.append("closed")
                data += part

        try:
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, request))
            read_until(lambda: "closed" in seen or any(f[1] == 1 and f[0] == 0 for f in seen))
            if "closed" not in seen:
                s.sendall(frame(1, 5, 3, request))
                read_until(lambda: "closed" in seen or "waits" in seen or any(f[1] == 3 and f[0] == 0 for f in seen))
        except BrokenPipeError:
            seen.append("closed")
    return seen


def statistics(address, expression):
    lines = labs.get(address, f"/stats?filter={urllib.parse.quote(expression)}").body.decode().splitlines()
    return sorted(line for line in lines if "refresh_interval_delay" not in line and "shrink_count" not in line)


def observe(lab, kind, name, actions):
    port, admin = labs.free_ports(["l", "free"]), labs.free_port()
    address, path = f"127.0.0.1:{admin}", lab.dir / f"{kind}-{name}.pressure"
    press(path, "0")
    config = lab.write(f"{kind}-{name}.json", json.dumps(bootstrap(admin, port, actions, [injected(path)])))
    process = lab.proxy(kind, config, address)
    seen = {}
    for pressure in PRESSURES:
        held = Client(port["l"])  # while the pressure of before is in force
        percent = int(float(pressure) * 100)
        press(path, pressure)
        labs.await_true(f"{kind}: pressure {percent}", lambda: labs.get(address, f"/stats?filter=overload.{FILE}.pressure").body.decode().strip().endswith(f": {percent}"))
        time.sleep(0.3)  # for workers to hear of it: nothing tells
        fresh, spared = Client(port["l"]), Client(port["free"])
        seen[pressure] = {"held": held.ask(1), "fresh": fresh.ask(1), "spared": spared.ask(1), "statistics": statistics(address, "^overload")}
        if name == "timeouts":
            seen[pressure]["idle ends"] = fresh.ends(1)
        for client in (held, fresh, spared):
            client.close()
    seen["counters"] = statistics(address, "^(overload|envoy.overload|http.in|listener.(l|free)).*(overload_(close|disable|reject)|global_cx|downstream_cx_overflow|scale_percent)")
    press(path, "7")
    labs.await_true(f"{kind}: a failure", lambda: not labs.get(address, f"/stats?filter=overload.{FILE}.failed_updates").body.decode().strip().endswith(": 0"))
    seen["after a failure"] = [line for line in statistics(address, "^overload") if "failed_updates" not in line]
    lab.stop(process)
    return seen


def shedding(lab, kind, point):
    """A load shed point at no pressure and at full: who connects, asks over HTTP/1 and over HTTP/2, or has been there before."""
    port, admin = labs.free_ports(["l", "free"]), labs.free_port()
    address, path = f"127.0.0.1:{admin}", lab.dir / f"{kind}-{point}.pressure"
    press(path, "0")
    points = [{"name": SHED + point, "triggers": at(0.5)}]
    config = lab.write(f"{kind}-{point}.json", json.dumps(bootstrap(admin, port, (), [injected(path)], shed=points)))
    process = lab.proxy(kind, config, address)
    seen = {}
    for pressure in ("0", "1", "0"):
        held = Client(port["l"])
        first = held.ask(1)
        press(path, pressure)
        labs.await_true(f"{kind}: pressure", lambda: labs.get(address, f"/stats?filter=overload.{FILE}.pressure").body.decode().strip().endswith(f": {float(pressure) * 100:.0f}"))
        time.sleep(0.3)
        fresh, spared = Client(port["l"]), Client(port["free"])
        seen[f"{len(seen)}: {pressure}"] = {"first": first, "held": held.ask(1), "fresh": fresh.ask(1), "spared": spared.ask(1), "http2": over_http2(port["l"]), "http2 spared": over_http2(port["free"]),
                                            "gauges": statistics(address, "^overload.*(scale_percent|active)")}
        for client in (held, fresh, spared):
            client.close()
    seen["counters"] = statistics(address, "^(overload|http.in|listener.(l|free)).*(overload_(close|disable|reject)|global_cx|downstream_cx_overflow|shed_load_count|downstream_cx_protocol_error)")
    lab.stop(process)
    return seen


def limits(lab, kind, name, monitors, runtime):
    """Two connections to a listener, then a third; one goes, and a fourth comes."""
    port, admin = labs.free_ports(["l", "free"]), labs.free_port()
    address = f"127.0.0.1:{admin}"
    more = {"layered_runtime": {"layers": [{"name": "static", "static_layer": runtime}, {"name": "admin", "admin_layer": {}}]}}
    process = lab.proxy(kind, lab.write(f"{kind}-{name}.json", json.dumps(bootstrap(admin, port, (), monitors, **more))), address)
    time.sleep(0.3)  # Envoy's own administration counts for as long as its connections live
    clients = [Client(port["l"]) for _ in range(2)]
    seen = {"first two": [c.ask(1) for c in clients]}
    third = Client(port["l"])
    seen["third"] = third.ask(1)
    free = Client(port["free"])
    seen["of a listener that ignores it"] = free.ask(1)
    third.close()
    free.close()
    clients.pop().close()
    labs.await_true(f"{kind}: one has gone", lambda: labs.get(address, "/stats?filter=^listener.l.downstream_cx_active").body.decode().strip().endswith(": 1"))
    time.sleep(0.3)
    fourth = Client(port["l"])
    seen["fourth"] = fourth.ask(1)
    seen["counters"] = statistics(address, "^listener.(l|free).downstream_(global_)?cx_(overflow|overload)|^overload.*failed_updates")  # without a monitor beside it, Envoy does not show its pressure
    lab.stop(process)
    return seen


LIMITS = {
    "listener": ((), {"envoy.resource_limits.listener.l.connection_limit": 2}),
    "runtime": ((), {"overload.global_downstream_max_connections": 2}),
    "monitor": (({"name": GLOBAL, "typed_config": {"@type": TYPES + "downstream_connections.v3.DownstreamConnectionsConfig", "max_active_downstream_connections": 2}},), {}),
    "monitor and runtime": (({"name": GLOBAL, "typed_config": {"@type": TYPES + "downstream_connections.v3.DownstreamConnectionsConfig", "max_active_downstream_connections": 2}},),
                            {"overload.global_downstream_max_connections": 1}),
}


def verdicts(lab):
    """Configurations that are good, or not, by --mode validate."""
    heap = {"name": "heap", "typed_config": {"@type": TYPES + "fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": 1 << 40}}
    shrink = {"name": ACTION + "shrink_heap", "triggers": [{"name": "heap", "threshold": {"value": 0.5}}]}
    reset = {"name": ACTION + "reset_high_memory_stream", "triggers": [{"name": "heap", "threshold": {"value": 0.5}}]}
    reduce = {"name": ACTION + "reduce_timeouts", "triggers": [{"name": "heap", "threshold": {"value": 0.5}}]}
    shed = {"name": SHED + POINTS[0], "triggers": [{"name": "heap", "threshold": {"value": 0.5}}]}
    idle = {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "1s"}
    managers = {
        "good": {"resource_monitors": [heap], "actions": [shrink]},
        "monitor twice": {"resource_monitors": [heap, heap], "actions": [shrink]},
        "monitor unknown": {"resource_monitors": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}}]},
        "no limit": {"resource_monitors": [{"name": "heap", "typed_config": {"@type": TYPES + "fixed_heap.v3.FixedHeapConfig"}}]},
        "connections under another name": {"resource_monitors": [{"name": "x", "typed_config": {"@type": TYPES + "downstream_connections.v3.DownstreamConnectionsConfig", "max_active_downstream_connections": 2}}]},
        "connections of none": {"resource_monitors": [{"name": GLOBAL, "typed_config": {"@type": TYPES + "downstream_connections.v3.DownstreamConnectionsConfig"}}]},
        "action twice": {"resource_monitors": [heap], "actions": [shrink, shrink]},
        "action unknown": {"resource_monitors": [heap], "actions": [{**shrink, "name": ACTION + "dance"}]},
        "no trigger": {"resource_monitors": [heap], "actions": [{**shrink, "triggers": []}]},
        "trigger twice": {"resource_monitors": [heap], "actions": [{**shrink, "triggers": shrink["triggers"] * 2}]},
        "trigger unknown": {"resource_monitors": [heap], "actions": [{**shrink, "triggers": [{"name": "disk", "threshold": {"value": 0.5}}]}]},
        "threshold above 1": {"resource_monitors": [heap], "actions": [{**shrink, "triggers": [{"name": "heap", "threshold": {"value": 1.5}}]}]},
        "scale upside down": {"resource_monitors": [heap], "actions": [{**shrink, "triggers": [{"name": "heap", "scaled": {"scaling_threshold": 0.7, "saturation_threshold": 0.6}}]}]},
        "scale of no width": {"resource_monitors": [heap], "actions": [{**shrink, "triggers": [{"name": "heap", "scaled": {"scaling_threshold": 0.6, "saturation_threshold": 0.6}}]}]},
        "reset without accounts": {"resource_monitors": [heap], "actions": [reset]},
        "reset": {"resource_monitors": [heap], "actions": [reset], "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20}},
        "accounts too small": {"resource_monitors": [heap], "actions": [reset], "buffer_factory_config": {"minimum_account_to_track_power_of_two": 3}},
        "reduce without timers": {"resource_monitors": [heap], "actions": [reduce]},
        "reduce nothing": {"resource_monitors": [heap], "actions": [{**reduce, "typed_config": timers()}]},
        "reduce": {"resource_monitors": [heap], "actions": [{**reduce, "typed_config": timers(idle)}]},
        "reduce one twice": {"resource_monitors": [heap], "actions": [{**reduce, "typed_config": timers(idle, idle)}]},
        "timers of another action": {"resource_monitors": [heap], "actions": [{**shrink, "typed_config": timers(idle)}]},
        "timers of stop": {"resource_monitors": [heap], "actions": [{**shrink, "name": ACTION + "stop_accepting_requests", "typed_config": timers(idle)}]},
        "no refresh": {"refresh_interval": "0s", "resource_monitors": [heap], "actions": [shrink]},
        "shed": {"resource_monitors": [heap], "loadshed_points": [shed]},
        "shed twice": {"resource_monitors": [heap], "loadshed_points": [shed, shed]},
        "shed, no trigger": {"resource_monitors": [heap], "loadshed_points": [{**shed, "triggers": []}]},
        "shed, trigger twice": {"resource_monitors": [heap], "loadshed_points": [{**shed, "triggers": shed["triggers"] * 2}]},
        "shed, trigger unknown": {"resource_monitors": [heap], "loadshed_points": [{**shed, "triggers": [{"name": "disk", "threshold": {"value": 0.5}}]}]},
        "shed, no name": {"resource_monitors": [heap], "loadshed_points": [{**shed, "name": ""}]},
        "nothing": {},
    }
    seen = {"envoy": {}, "fairlead": {}}
    for name, manager in managers.items():
        path = lab.write("verdict.json", json.dumps({"overload_manager": manager}))
        for kind, program in (("envoy", labs.envoy()), ("fairlead", labs.BIN / "fairlead-proxy")):
            ran = subprocess.run([program, "--mode", "validate", "-c", path, *(["--base-id", str(labs.free_port())] if kind == "envoy" else [])], capture_output=True, text=True)
            seen[kind][name] = ran.returncode == 0
    return seen["envoy"], seen["fairlead"]


def watchdogs(lab, kind):
    port, admin = labs.free_ports(["l", "free"]), labs.free_port()
    address = f"127.0.0.1:{admin}"
    process = lab.proxy(kind, lab.write(f"{kind}-watchdogs.json", json.dumps(bootstrap(admin, port))), address)
    names = sorted(line.split(":")[0] for line in statistics(address, "watchdog"))
    lab.stop(process)
    return {"names": names}


def run(lab):
    wrong, steps = [], 0

    def compare(name, theirs, ours):
        nonlocal steps, wrong
        for step in theirs:
            parts = theirs[step].items() if isinstance(theirs[step], dict) else [("", theirs[step])]
            for part, value in parts:
                steps += 1
                mine = ours[step][part] if part else ours[step]
                if mine != value:
                    wrong.append(f"{name}, {step} {part}:\n  Envoy    {value}\n  Fairlead {mine}")

    for name, actions in CASES.items():
        compare(name, observe(lab, "envoy", name, actions), observe(lab, "fairlead", name, actions))
    for point in POINTS:
        compare(point, shedding(lab, "envoy", point), shedding(lab, "fairlead", point))
    for name, (monitors, runtime) in LIMITS.items():
        compare(name, limits(lab, "envoy", name.replace(" ", "-"), monitors, runtime), limits(lab, "fairlead", name.replace(" ", "-"), monitors, runtime))
    compare("validate", *verdicts(lab))
    compare("watchdogs", watchdogs(lab, "envoy"), watchdogs(lab, "fairlead"))
    if wrong:
        raise labs.Failed(f"{len(wrong)} of {steps} differ:\n" + "\n".join(wrong))
    print(f"  {steps} observations alike")
