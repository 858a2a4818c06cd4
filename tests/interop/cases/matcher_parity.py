"""Route conditions, access-log filters and runtime keys: the same configuration, some nine hundred requests, the same answers and log lines."""
import json
import socket

from lab import await_true, free_port, require

TYPE = "type.googleapis.com/envoy."


def header(**how):
    return {"prefix": "/", "headers": [dict(name="a", **how)]}


def query(**how):
    return {"prefix": "/", "query_parameters": [dict(name="a", **how)]}


def cookies(*matchers):
    return {"prefix": "/", "cookies": [dict(name=name, **how) for name, how in matchers]}


def certificate(**how):
    return {"prefix": "/", "tls_context": how}


def fraction(numerator, key=None):
    return {"prefix": "/", "runtime_fraction": {"default_value": {"numerator": numerator}, **({"runtime_key": key} if key else {})}}


# One virtual host for each: a route with this match, and one for the rest.
MATCHES = {
    "exact": header(exact_match="1"), "string-exact": header(string_match={"exact": "1"}), "joined": header(string_match={"exact": "1,2"}),
    "joined-blank": header(string_match={"exact": "1, 2"}), "prefix": header(string_match={"prefix": "2"}), "suffix": header(string_match={"suffix": "2"}),
    "range": header(range_match={"start": 1, "end": 3}), "range-not": header(range_match={"start": 1, "end": 3}, invert_match=True),
    "regex": header(string_match={"safe_regex": {"regex": "1"}}), "present": header(present_match=True), "absent": header(present_match=False),
    "present-not": header(present_match=True, invert_match=True), "absent-not": header(present_match=False, invert_match=True),
    "missing-exact-not": header(string_match={"exact": "x"}, treat_missing_header_as_empty=True, invert_match=True), "exact-not": header(string_match={"exact": "x"}, invert_match=True),
    "missing-range": header(range_match={"start": 0, "end": 3}, treat_missing_header_as_empty=True),
    "missing-present": header(present_match=True, treat_missing_header_as_empty=True), "missing-absent": header(present_match=False, treat_missing_header_as_empty=True),
    "missing-empty": header(string_match={"exact": ""}, treat_missing_header_as_empty=True), "name-only": header(), "name-only-not": header(invert_match=True),
    "any-case": header(string_match={"exact": "AbC", "ignore_case": True}), "any-case-contains": header(string_match={"contains": "BC", "ignore_case": True}),
    "query-present": query(present_match=True), "query-absent": query(present_match=False), "query-exact": query(string_match={"exact": "b"}),
    "query-empty": query(string_match={"exact": ""}), "query-name": query(), "query-blank": query(string_match={"exact": "a b"}),
    "cookie": cookies(("a", {"string_match": {"exact": "1"}})), "cookie-not": cookies(("a", {"string_match": {"exact": "1"}, "invert_match": True})),
    "cookie-empty": cookies(("a", {"string_match": {"exact": ""}})), "cookie-regex": cookies(("a", {"string_match": {"safe_regex": {"regex": "[0-9]+"}}})),
    "cookie-case": cookies(("A", {"string_match": {"contains": "1"}})), "cookies": cookies(("a", {"string_match": {"prefix": "1"}}), ("b", {"string_match": {"suffix": "x"}})),
    "certificate": certificate(presented=True), "certificate-not": certificate(presented=False), "valid": certificate(validated=True), "valid-not": certificate(validated=False), "certificate-any": certificate(),
    "prefix-any-case": {"prefix": "/AbC", "case_sensitive": False}, "path-any-case": {"path": "/AbC", "case_sensitive": False},
    "separated-any-case": {"path_separated_prefix": "/AbC", "case_sensitive": False}, "separated": {"path_separated_prefix": "/abc"}, "path-regex": {"safe_regex": {"regex": "/a.c"}},
    "path-regex-any-case": {"safe_regex": {"regex": "/abc"}, "case_sensitive": False}, "grpc": {"prefix": "/", "grpc": {}}, "fraction-0": fraction(0), "fraction-100": fraction(100),
    "runtime-number": fraction(0, "share.number"), "runtime-fraction": fraction(0, "share.fraction"), "runtime-text": fraction(0, "share.text"),
    "runtime-hundred": fraction(0, "share.hundred"), "runtime-negative": fraction(100, "share.negative"),
}
RUNTIME = {"share": {"number": 100, "fraction": {"numerator": 1000000, "denominator": "MILLION"}, "text": "100", "hundred": {"numerator": 100}, "negative": -1}, "status": {"limit": 600}}


def status(op, value, key="none"):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": key}}}}


def duration(op, value):
    return {"duration_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "none"}}}}


FILTERS = {
    "type-none": {"log_type_filter": {}}, "type-none-but": {"log_type_filter": {"exclude": True}}, "type-end": {"log_type_filter": {"types": ["DownstreamEnd"]}},
    "type-end-but": {"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}}, "type-start": {"log_type_filter": {"types": ["DownstreamStart"]}},
    "no-health-check": {"not_health_check_filter": {}}, "traceable": {"traceable_filter": {}}, "status": status("GE", 400), "status-runtime": status("GE", 400, "status.limit"),
    "status-not": status("NE", 200), "duration": duration("GE", 0), "duration-most": duration("LE", 60000), "flags": {"response_flag_filter": {}},
    "flags-nr": {"response_flag_filter": {"flags": ["NR"]}}, "header": {"header_filter": {"header": {"name": "x-id", "string_match": {"prefix": "q"}}}},
    "grpc-none": {"grpc_status_filter": {}}, "grpc-ok": {"grpc_status_filter": {"statuses": ["OK"]}}, "grpc-unimplemented": {"grpc_status_filter": {"statuses": ["UNIMPLEMENTED"]}},
    "grpc-but": {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}}, "grpc-unknown": {"grpc_status_filter": {"statuses": ["UNKNOWN"]}},
    "runtime-0": {"runtime_filter": {"runtime_key": "none", "percent_sampled": {"numerator": 0}}}, "runtime-100": {"runtime_filter": {"runtime_key": "none", "percent_sampled": {"numerator": 100}}},
    "runtime-unset": {"runtime_filter": {"runtime_key": "none"}}, "runtime-key": {"runtime_filter": {"runtime_key": "share.number"}},
}
HEADERS = [[], ["a: 1"], ["a: 1", "a: 2"], ["a: 2"], ["a: "], ["a: abc"], ["a: xABCx"], ["content-type: application/grpc"]]
COOKIES = [["cookie: " + line for line in lines] for lines in (
    ["a=1"], ["a=2"], ["a="], ["a"], ["a=1; a=2"], ["a=2; a=1"], ["a=1", "a=2"], ["a=2", "a=1"], ['a="1"'], ["b=x;a=1"], ["A=1"], ["a =1"], ["a= 1"], [" a=1"], ["a=1 "], ["x; a=1;"], ["a=1=1"], ["=1"], ["a=;a=1"],
    ['a="'], ['a=""'], ['a="1'], [""], ["a=1,a=2"], ["a=10"], ["ab=1"], ["a=1; b=yx; a=2; b=z"])]
PATHS = ["/?a", "/?a=", "/?a=b", "/?a=c&a=b", "/?x=1", "/?a=a%20b", "/?A=b", "/abc", "/ABC", "/AbC/x", "/abcd", "/abc?x=/", "/abc/"]
LOGGED = [("q500", "/500", []), ("w200", "/200", []), ("q404", "/nope", []), ("grpc200", "/200", ["content-type: application/grpc"]), ("grpc404", "/nope", ["content-type: application/grpc"]),
          ("checked", "/200", ["user-agent: Envoy/HC"]), ("grpc500", "/500", ["content-type: application/grpc"])]


def bootstrap(port, admin, logs):
    def answer(text, match, code=200):
        return {"match": match, "direct_response": {"status": code, "body": {"inline_string": text}}}

    hosts = [{"name": name, "domains": [name], "routes": [answer("yes", match), answer("no", {"prefix": "/"})]} for name, match in MATCHES.items()]
    hosts.append({"name": "logged", "domains": ["logged"], "routes": [answer("", {"path": "/500"}, 500), answer("", {"path": "/200"})]})
    manager = {"@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "h",
               "access_log_options": {"flush_access_log_on_new_request": True},
               "access_log": [{"name": name, "filter": {"and_filter": {"filters": [what, {"header_filter": {"header": {"name": "x-id", "present_match": True}}}]}}, "typed_config": {
                   "@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog", "path": f"{logs}/{name}",
                   "log_format": {"text_format_source": {"inline_string": "%REQ(x-id)% %ACCESS_LOG_TYPE%\n"}}}} for name, what in FILTERS.items()],
               "route_config": {"name": "r", "virtual_hosts": hosts}, "http_filters": [{"name": "router", "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}}]}
    return {"node": {"id": "n", "cluster": "c"}, "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": int(admin.split(":")[1])}}},
            "layered_runtime": {"layers": [{"name": "s", "static_layer": RUNTIME}]},
            "static_resources": {"listeners": [{"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                                                "filter_chains": [{"filters": [{"name": "h", "typed_config": manager}]}]}]}}


def ask(connection, stream, host, path, headers):
    connection.sendall((f"GET {path} HTTP/1.1\r\nhost: {host}\r\n" + "".join(h + "\r\n" for h in headers) + "\r\n").encode())
    head = []
    while line := stream.readline().decode().strip():
        head.append(line.lower())
    length = sum(int(h.split(":")[1]) for h in head if h.startswith("content-length:"))
    return head[0] if head else "closed", stream.read(length).decode(), [h for h in head if h.startswith("grpc-")]


def run(lab):
    found = {}
    for kind in ("envoy", "fairlead-proxy"):
        port, admin, logs = free_port(), f"127.0.0.1:{free_port()}", lab.dir / kind
        logs.mkdir()
        process = lab.proxy(kind, lab.write(f"{kind}.json", json.dumps(bootstrap(port, admin, logs))), admin, "--file-flush-interval-msec", "50")
        seen = {}
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as stream:
            for host in MATCHES:
                for path, headers in [("/", h) for h in HEADERS + (COOKIES if host.startswith("cookie") else [])] + [(p, []) for p in PATHS]:
                    seen[f"{host} {path} {headers}"] = ask(connection, stream, host, path, headers)
            for name, path, headers in LOGGED:
                seen[f"logged {name}"] = ask(connection, stream, "logged", path, headers + [f"x-id: {name}"])
        await_true(f"{kind}: the last line of a log without conditions", lambda: f"{LOGGED[-1][0]} DownstreamEnd" in (logs / "runtime-100").read_text())
        lab.stop(process)  # writes what the other logs still hold
        for name in FILTERS:
            seen[f"log {name}"] = (logs / name).read_text().splitlines()
        found[kind] = seen
    wrong = [f"{what}: Envoy {answer}, fairlead-proxy {found['fairlead-proxy'][what]}" for what, answer in found["envoy"].items() if answer != found["fairlead-proxy"][what]]
    require(not wrong, f"{len(wrong)} of {len(found['envoy'])} answers and logs differ:\n" + "\n".join(wrong[:40]))
    print(f"        {len(found['envoy'])} answers and logs, no difference")
