"""Early header mutation: what a request looks like upstream and in the access log is the same as in Envoy, whichever header changes before the connection manager looks."""
import json

import lab
from echo import Echo
from lb_config import TYPE


def put(name, value, action="OVERWRITE_IF_EXISTS_OR_ADD"):
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


CHANGES = {
    "xff": [put("x-forwarded-for", "9.9.9.9")], "xff-append": [put("x-forwarded-for", "8.8.8.8", "APPEND_IF_EXISTS_OR_ADD")], "id": [put("x-request-id", "mine")], "internal": [put("x-envoy-internal", "true")],
    "control": [put("x-envoy-retry-on", "5xx"), put("x-envoy-upstream-rq-timeout-ms", "77")], "remove": [{"remove": "x-a"}, {"remove": "X-B"}, {"remove": "x-none"}], "proto": [put("x-forwarded-proto", "https")],
    "format": [put("x-a", "%REQ(x-b)% %REQ(:path)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %PROTOCOL% %ROUTE_NAME%")], "route": [put("x-go", "1")], "underscore": [put("x_under", "1")],
    "order": [put("x-a", "1", "APPEND_IF_EXISTS_OR_ADD"), {"remove": "x-b"}, put("x-c", "%REQ(x-a)%"), {"remove_on_match": {"key_matcher": {"prefix": "x-d"}}}, put("x-d9", "late", "ADD_IF_ABSENT")],
    "upgrade": [put("connection", "upgrade"), put("upgrade", "websocket")], "grpc": [put("content-type", "application/grpc")], "agent": [put("user-agent", "early/1")], "te": [put("te", "trailers, gzip")],
    "cookie": [put("cookie", "a=b", "APPEND_IF_EXISTS_OR_ADD")], "absent": [put("x-a", "no", "ADD_IF_ABSENT"), put("x-e", "no", "OVERWRITE_IF_EXISTS"), put("x-f", "yes", "ADD_IF_ABSENT")],
}
REQUESTS = [["GET /p?q HTTP/1.1"], ["GET /p HTTP/1.1", "x-forwarded-for: 10.0.0.1", "cookie: c=d", "x-request-id: theirs"], ["HEAD /p HTTP/1.1"], ["GET /missing HTTP/1.1", "content-type: text/plain"]]


def config(ports, admin, echo, log):
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    # each half of the changes an extension of its own: they follow one another
    extension = lambda mutations: {"name": "e", "typed_config": {"@type": f"{TYPE}.http.early_header_mutation.header_mutation.v3.HeaderMutation", "mutations": mutations}}
    halves = lambda m: [extension(part) for part in (m[:len(m) // 2], m[len(m) // 2:]) if part]
    routes = [{"match": {"prefix": "/", "headers": [{"name": "x-go"}]}, "direct_response": {"status": 201}}, {"match": {"prefix": "/p"}, "name": "to-echo", "route": {"cluster": "up"}}]
    manager = lambda name, edge: {"@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name, "early_header_mutation_extensions": halves(CHANGES[name]), "use_remote_address": edge,
                                  "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}, "internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]},
                                  "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
                                  "access_log": [{"name": "file", "typed_config": {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"text_format_source": {
                                      "inline_string": f"{name} {edge} %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(X-A)% %REQ(:PATH)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n"}}}}],
                                  "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}]}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": f"{name}-{edge}", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager(name, edge)}]}]} for (name, edge), port in ports.items()],
        "clusters": [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(echo.port)}}]}]}}]}}


def through(l, kind, echo):
    ports, admin, log, seen = lab.free_ports([(name, edge) for name in CHANGES for edge in (False, True)]), lab.free_port(), l.dir / f"access-{kind}.log", {}
    process = l.proxy(kind, l.write(f"{kind}.json", json.dumps(config(ports, admin, echo, log))), f"127.0.0.1:{admin}")
    for where, port in ports.items():
        for request, *headers in REQUESTS:
            head, _, body = lab.raw(port, "\r\n".join([request, "host: a", "x-a: old", "x-b: bee", "x-d1: d", "x-d2: d", *headers, "", ""]).encode())[0].partition(b"\r\n\r\n")
            lines = [line for line in head.decode().split("\r\n") if not line.startswith(("date:", "x-envoy-upstream-service-time:", "content-length:"))]
            upstream = [[n, "*" if n == "x-request-id" and v not in ("mine", "theirs") else v] for n, v in json.loads(body)["headers"]] if body.startswith(b"{") else body.decode()
            seen[f"{where} {request} {headers}"] = lines, upstream
    l.stop(process)
    return seen, log.read_text().splitlines()


def run(l):
    echo = Echo()
    (theirs, their_log), (ours, our_log) = through(l, "envoy", echo), through(l, "fairlead-proxy", echo)
    echo.close()
    wrong = [f"{what}:\n  fairlead {ours[what]}\n  envoy    {answer}" for what, answer in theirs.items() if answer != ours[what]]
    wrong += [f"access log:\n  fairlead {a}\n  envoy    {b}" for a, b in zip(our_log, their_log) if a != b]
    lab.require(not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:30]))
    lab.same("number of log lines", len(our_log), len(their_log))
    print(f"        {len(theirs)} requests and log lines alike")
