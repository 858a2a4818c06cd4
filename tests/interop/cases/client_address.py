"""original_ip_detection_extensions: the same addresses of clients as in Envoy, the same headers upstream, the same refusals, access log lines and statistics."""
import json
import re

import lab
from echo import Echo
from lb_config import TYPE


def extension(kind, **fields):
    message = {"xff": "XffConfig", "custom_header": "CustomHeaderConfig"}[kind]
    return {"name": kind, "typed_config": {"@type": f"{TYPE}.http.original_ip_detection.{kind}.v3.{message}", **fields}}


def trusted(*ranges):
    return {"cidrs": [{"address_prefix": r.split("/")[0], "prefix_len": int(r.split("/")[1])} for r in ranges]}


WAYS = {
    "header": [extension("custom_header", header_name="X-Real")], "may-be-internal": [extension("custom_header", header_name="x-real", allow_extension_to_set_address_as_trusted=True)],
    "reject": [extension("custom_header", header_name="x-real", reject_with_status={"code": "Unauthorized"})], "reject-ok": [extension("custom_header", header_name="x-real", reject_with_status={"code": "OK"})],
    "xff": [extension("xff")], "xff-hop": [extension("xff", xff_num_trusted_hops=1)], "xff-append": [extension("xff", skip_xff_append=False)],
    "proxies": [extension("xff", xff_trusted_cidrs=trusted("127.0.0.0/8", "10.0.0.0/8"))], "proxies-append": [extension("xff", xff_trusted_cidrs=trusted("127.0.0.0/8"), skip_xff_append=False)],
    "no-proxy": [extension("xff", xff_trusted_cidrs=trusted("10.0.0.0/8"))], "no-proxies": [extension("xff", xff_trusted_cidrs={})],
    "header-then-xff": [extension("custom_header", header_name="x-real", allow_extension_to_set_address_as_trusted=True), extension("xff", skip_xff_append=False)],
    "xff-then-reject": [extension("xff"), extension("custom_header", header_name="x-real", reject_with_status={"code": "ServiceUnavailable"})],
}
MANY = ", ".join(["10.0.0.1"] * 20)
REQUESTS = [[], *([f"x-real: {value}"] for value in ("1.2.3.4", "10.0.0.9", "::1", "2001:db8::1", "1.2.3.4:80", "[::1]:80", "junk", "", "1.2.3.4, 5.6.7.8", "1.2.3", "01.2.3.4")), ["x-real: 1.2.3.4", "x-real: 5.6.7.8"],
            ["x-real: 10.1.1.1", "x-forwarded-for: 9.9.9.9"], *([f"x-forwarded-for: {value}"] for value in (
                "9.9.9.9", "9.9.9.9, 10.1.1.1", "10.2.2.2", "10.2.2.2,10.1.1.1", "junk", "9.9.9.9, junk, 10.1.1.1", MANY, f"{MANY}, 10.0.0.1", f"{MANY}, 8.8.8.8", "9.9.9.9,,10.1.1.1", ",", "9.9.9.9, 8.8.8.8, 10.1.1.1, 127.0.0.1", "",
                "10.1.1.1:80", "2001:db8::1, 10.1.1.1")), ["x-forwarded-for: 9.9.9.9", "x-forwarded-for: 10.1.1.1"]]


def config(ports, admin, echo, log):
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    manager = lambda name: {"@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name, "original_ip_detection_extensions": WAYS[name],
                            "internal_address_config": {"cidr_ranges": trusted("10.0.0.0/8")["cidrs"]}, "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]},
                            "access_log": [{"name": "file", "typed_config": {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"text_format_source": {
                                "inline_string": name + " %REQ(X-N)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\n"}}}}],
                            "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}]}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": name, "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager(name)}]}]} for name, port in ports.items()],
        "clusters": [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(echo.port)}}]}]}}]}}


def through(l, kind, echo):
    ports, admin, log, seen = lab.free_ports(WAYS), lab.free_port(), l.dir / f"access-{kind}.log", {}
    process = l.proxy(kind, l.write(f"{kind}.json", json.dumps(config(ports, admin, echo, log))), f"127.0.0.1:{admin}")
    for name, port in ports.items():
        for n, headers in enumerate(REQUESTS):
            head, _, body = lab.raw(port, "\r\n".join(["GET / HTTP/1.1", "host: a", f"x-n: {n}", *headers, "", ""]).encode())[0].partition(b"\r\n\r\n")
            lines = [line for line in head.decode().split("\r\n") if not line.startswith(("date:", "x-envoy-upstream-service-time:", "content-length:"))]
            upstream = [h for h in json.loads(body)["headers"] if h[0] != "x-request-id"] if body.startswith(b"{") else body.decode()
            seen[f"{name} {headers}"] = lines, upstream
    counted = sorted(line for line in lab.get(f"127.0.0.1:{admin}", "/stats").body.decode().splitlines() if "rejected_via_ip_detection" in line and "http.admin." not in line)
    l.stop(process)
    # the peer has another port each time
    return seen, counted, [re.sub(r" 127\.0\.0\.1:[1-9]\d*", " peer", line) for line in log.read_text().splitlines()]


def run(l):
    echo = Echo()
    (theirs, their_stats, their_log), (ours, our_stats, our_log) = through(l, "envoy", echo), through(l, "fairlead-proxy", echo)
    echo.close()
    wrong = [f"{what}:\n  fairlead {ours[what]}\n  envoy    {answer}" for what, answer in theirs.items() if answer != ours[what]]
    wrong += [f"access log:\n  fairlead {a}\n  envoy    {b}" for a, b in zip(our_log, their_log) if a != b]
    lab.require(not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:30]))
    lab.same("number of log lines", len(our_log), len(their_log))
    lab.same("statistics", our_stats, their_stats)
    print(f"        {len(theirs)} requests and log lines alike")
