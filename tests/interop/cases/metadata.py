"""Metadata that proxy_protocol writes about a connection: the routes that fairlead-proxy chooses by it, where Envoy asks its rbac filter; which access logs hold the connection, in both."""
import json
import socket
import struct

import echo
import lab as labs

SPACE = "envoy.filters.listener.proxy_protocol"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
RULES = {"rules": [{"tlv_type": 0xe0 + i, "on_tlv_present": {"key": key}} for i, key in enumerate(("tier", "zone"))] + [{"tlv_type": 0xee, "on_tlv_present": {"metadata_namespace": "other", "key": "k"}}]}
CLIENTS = {"none": {}, "gold": {0xe0: b"gold"}, "gold in a": {0xe0: b"gold", 0xe1: b"a"}, "tin": {0xe0: b"tin"}, "empty": {0xe0: b""}, "zone alone": {0xe1: b"b"}, "other": {0xee: b"golden"}}


def matcher(key, value, space=SPACE, **more):
    return {"filter": space, "path": [{"key": k} for k in key.split(".")], "value": value, **more}


GOLD = {"string_match": {"exact": "gold"}}
CONDITIONS = {"exact": [matcher("tier", GOLD)], "two": [matcher("tier", GOLD), matcher("zone", {"string_match": {"prefix": "a"}})], "present": [matcher("tier", {"present_match": True})],
              "absent": [matcher("tier", {"present_match": False})], "inverted": [matcher("tier", GOLD, invert=True)], "regex": [matcher("k", {"string_match": {"safe_regex": {"regex": "gold.*"}}}, "other")],
              "number": [matcher("tier", {"double_match": {"range": {"start": 0, "end": 9}}})], "list": [matcher("tier", {"list_match": {"one_of": GOLD}})], "null": [matcher("tier", {"null_match": {}})],
              "or": [matcher("tier", {"or_match": {"value_matchers": [{"bool_match": True}, GOLD]}})], "deep": [matcher("tier.gold", {"present_match": True})], "deep absent": [matcher("tier.gold", {"present_match": False})]}
LOGS = {"gold": {"matcher": matcher("tier", GOLD)}, "gold-only": {"matcher": matcher("tier", GOLD), "match_if_key_not_found": False}, 
        "all": {}, "none": {"match_if_key_not_found": False}, "absent": {"matcher": matcher("tier", {"present_match": False})}}
TYPE = "type.googleapis.com/envoy.extensions."


def tlvs(values):
    body = bytes([1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187]) + b"".join(bytes([kind]) + struct.pack(">H", len(v)) + v for kind, v in values.items())
    return SIGNATURE + struct.pack(">H", len(body)) + body


class Upstream(echo.Echo):
    def serve(self, connection):
        with connection:
            connection.recv(100)
            connection.sendall(b"hello")


def at(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(name, port, *filters):
    return {"name": name, "address": at(port), "filter_chains": [{"filters": [{"name": n, "typed_config": {"@type": f"{TYPE}filters.network.{t}", **config}} for n, t, config in filters]}],
            "listener_filters": [{"name": "p", "typed_config": {"@type": TYPE + "filters.listener.proxy_protocol.v3.ProxyProtocol", **RULES}}]}


def asking_routes(port):
    """Fairlead: a path for each condition, whose first route has it."""
    routes = []
    for name, conditions in CONDITIONS.items():
        path = "/" + name.replace(" ", "-")
        routes += [{"match": {"path": path, "dynamic_metadata": conditions}, "direct_response": {"status": 200, "body": {"inline_string": "matched"}}},
                   {"match": {"path": path}, "direct_response": {"status": 200, "body": {"inline_string": "not"}}}]
    return [listener("http", port, ("h", "http_connection_manager.v3.HttpConnectionManager", {
        "stat_prefix": "h", "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}]}))]


def asking_rbac(ports):
    """Envoy: a listener for each condition, that lets through whom it matches."""
    out = []
    for name, conditions in CONDITIONS.items():
        policy = {"permissions": [{"and_rules": {"rules": [{"metadata": c} for c in conditions]}}], "principals": [{"any": True}]}
        out.append(listener(name, ports[name], ("rbac", "rbac.v3.RBAC", {"stat_prefix": "r", "rules": {"policies": {"p": policy}}}),
                            ("e", "echo.v3.Echo", {})))
    return out


def echoed(port, header):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        s.sendall(header + b"hi")
        try:
            return s.recv(10) == b"hi"
        except ConnectionResetError:
            return False


def play(lab, kind, upstream):
    ports = labs.free_ports(["http", "tcp", "admin", *CONDITIONS])
    admin = f"127.0.0.1:{ports['admin']}"
    files = {name: lab.dir / f"{kind}-{name}.log" for name in LOGS}
    logs = [{"name": "f", "filter": {"metadata_filter": LOGS[name]}, "typed_config": {"@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": str(path), "log_format": {"text_format_source": {"inline_string": f"%DYNAMIC_METADATA({SPACE})%\n"}}}}
            for name, path in files.items()]
    listeners = [*(asking_rbac(ports) if kind == "envoy" else asking_routes(ports["http"])),
                 listener("tcp", ports["tcp"], ("t", "tcp_proxy.v3.TcpProxy", {"stat_prefix": "t", "cluster": "up", "access_log": logs}))]
    cluster = {"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(upstream.port)}}]}]}}
    process = lab.proxy(kind, lab.write(f"{kind}.json", json.dumps({"admin": {"address": at(ports["admin"])}, "static_resources": {"listeners": listeners, "clusters": [cluster]}})), admin)
    seen = {}
    for client, values in CLIENTS.items():
        for name in CONDITIONS:
            if kind == "envoy":
                seen[f"{name}, client {client}"] = echoed(ports[name], tlvs(values))
                continue
            request = f"GET /{name.replace(' ', '-')} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode()
            answer = labs.raw(ports["http"], tlvs(values) + request)[0].decode()
            labs.require(answer.endswith(("matched", "not")), f"{name}: {answer}")
            seen[f"{name}, client {client}"] = answer.endswith("matched")
        labs.require(labs.raw(ports["tcp"], tlvs(values) + b"hi")[0] == b"hello", "the upstream's answer")
    lab.stop(process)  # the logs are written by then
    for name, path in files.items():
        seen[f"log {name}"] = sorted(path.read_text().splitlines()) if path.exists() else []
    return seen


def run(lab):
    upstream = Upstream()
    ours, theirs = play(lab, "fairlead", upstream), play(lab, "envoy", upstream)
    wrong = [f"{step}:\n  Envoy    {theirs[step]}\n  Fairlead {ours[step]}" for step in theirs if ours[step] != theirs[step]]
    if wrong:
        raise labs.Failed(f"{len(wrong)} of {len(theirs)} differ:\n" + "\n".join(wrong))
    labs.require({True, False} <= set(v for v in theirs.values() if isinstance(v, bool)), "conditions that match and that do not")
    print(f"  {len(theirs)} observations alike")
