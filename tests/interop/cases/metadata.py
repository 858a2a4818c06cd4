"""Metadata that proxy_protocol writes about a connection: which route its requests take and which access logs hold them, in Envoy and in fairlead-proxy."""
import json
import struct

import lab as labs

SPACE = "envoy.filters.listener.proxy_protocol"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
RULES = {"rules": [{"tlv_type": 0xe0 + i, "on_tlv_present": {"key": key}} for i, key in enumerate(("tier", "zone"))] + [{"tlv_type": 0xee, "on_tlv_present": {"metadata_namespace": "other", "key": "k"}}]}
CLIENTS = {"none": {}, "gold": {0xe0: b"gold"}, "gold in a": {0xe0: b"gold", 0xe1: b"a"}, "tin": {0xe0: b"tin"}, "empty": {0xe0: b""}, "zone alone": {0xe1: b"b"}, "other": {0xee: b"golden"}}


def matcher(key, value, space=SPACE, **more):
    return {"filter": space, "path": [{"key": k} for k in key.split(".")], "value": value, **more}


GOLD = {"string_match": {"exact": "gold"}}
# path: the conditions of the route that answers with its index, the first that matches
CONDITIONS = {"exact": [matcher("tier", GOLD)], "two": [matcher("tier", GOLD), matcher("zone", {"string_match": {"prefix": "a"}})], "present": [matcher("tier", {"present_match": True})],
              "absent": [matcher("tier", {"present_match": False})], "inverted": [matcher("tier", GOLD, invert=True)], "regex": [matcher("k", {"string_match": {"safe_regex": {"regex": "gold.*"}}}, "other")],
              "number": [matcher("tier", {"double_match": {"range": {"start": 0, "end": 9}}})], "list": [matcher("tier", {"list_match": {"one_of": GOLD}})], "null": [matcher("tier", {"null_match": {}})],
              "or": [matcher("tier", {"or_match": {"value_matchers": [{"bool_match": True}, GOLD]}})], "deep": [matcher("tier.gold", {"present_match": True})], "deep absent": [matcher("tier.gold", {"present_match": False})]}
LOGS = {"gold": {"matcher": matcher("tier", GOLD)}, "gold-only": {"matcher": matcher("tier", GOLD), "match_if_key_not_found": False}, "not-gold": {"matcher": matcher("tier", GOLD, invert=True), "match_if_key_not_found": False},
        "all": {}, "none": {"match_if_key_not_found": False}, "absent": {"matcher": matcher("tier", {"present_match": False})}}
TYPE = "type.googleapis.com/envoy.extensions."


def tlvs(values):
    body = bytes([1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187]) + b"".join(bytes([kind]) + struct.pack(">H", len(v)) + v for kind, v in values.items())
    return SIGNATURE + struct.pack(">H", len(body)) + body


def play(lab, kind):
    ports = labs.free_ports(["http", "admin"])
    admin = f"127.0.0.1:{ports['admin']}"
    routes = []
    for name, conditions in CONDITIONS.items():
        path = "/" + name.replace(" ", "-")
        routes += [{"match": {"path": path, "dynamic_metadata": conditions}, "direct_response": {"status": 200, "body": {"inline_string": "matched"}}},
                   {"match": {"path": path}, "direct_response": {"status": 200, "body": {"inline_string": "not"}}}]
    files = {name: lab.dir / f"{kind}-{name}.log" for name in LOGS}
    logs = [{"name": "f", "filter": {"metadata_filter": LOGS[name]}, "typed_config": {"@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": str(path), "log_format": {"text_format_source": {"inline_string": "%REQ(x-client)% %REQ(:path)%\n"}}}}
            for name, path in files.items()]
    hcm = {"@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "h", "access_log": logs, "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
           "http_filters": [{"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}]}
    at = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}  # noqa: E731
    listener = {"name": "l", "address": at(ports["http"]), "listener_filters": [{"name": "p", "typed_config": {"@type": TYPE + "filters.listener.proxy_protocol.v3.ProxyProtocol", **RULES}}],
                "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}]}
    process = lab.proxy(kind, lab.write(f"{kind}.json", json.dumps({"admin": {"address": at(ports["admin"])}, "static_resources": {"listeners": [listener]}})), admin)
    seen = {}
    for client, values in CLIENTS.items():
        for name in CONDITIONS:
            request = f"GET /{name.replace(' ', '-')} HTTP/1.1\r\nhost: a\r\nx-client: {client}\r\nconnection: close\r\n\r\n".encode()
            seen[f"{name}, client {client}"] = labs.raw(ports["http"], tlvs(values) + request).rsplit(b"\r\n", 1)[-1].decode()
    lab.stop(process)  # the logs are written by then
    for name, path in files.items():
        seen[f"log {name}"] = sorted(path.read_text().splitlines()) if path.exists() else []
    return seen


def run(lab):
    ours, theirs = play(lab, "fairlead"), play(lab, "envoy")
    wrong = [f"{step}:\n  Envoy    {theirs[step]}\n  Fairlead {ours[step]}" for step in theirs if ours[step] != theirs[step]]
    if wrong:
        raise labs.Failed(f"{len(wrong)} of {len(theirs)} differ:\n" + "\n".join(wrong))
    labs.require({"matched", "not"} <= set(v for v in theirs.values() if isinstance(v, str)), "routes of both kinds answered")
    print(f"  {len(theirs)} observations alike")
