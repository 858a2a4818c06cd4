"""An edge proxy's configuration in Envoy and in fairlead-proxy: forwarded headers, path normalisation, mapped local replies, HTTP/1.0, JSON access log."""
from parity import compare, get, raw_request

SMOKE = True


def requests():
    out = []
    for path in ("/up", "/up/../up", "/up//a///b", "/up/./x", "/up/%2e%2e/direct", "/up%2fx", "/up%5cx", "/up/%41", "/up/a%20b", "/up\\x", "/../direct", "/direct/..", "/up?a=//b/../c", "/up#f", "/direct",
                 "/teapot", "/missing", "/nowhere", "/nocluster", "/level", "/rewrite/x?y", "/refused", "/%zz", "/up/%c3%a9", "//up", "/up/%2F%2F", "/up%2f..%2fdirect"):
        out.append(get(path))
    for host in ("any.test:80", "any.test.", "any.test.:8080", "[::1]:80", "[::1]", "1.2.3.4:5", "any.test:", "tls.test", "tls.test:443", "TEN.test.", "ten.test:1"):
        out.append(get("/direct", host))
        out.append(get("/up", host))
    for headers in ({}, {"x_forwarded_for": "9.9.9.9"}, {"x_forwarded_for": "9.9.9.9, 8.8.8.8"}, {"x_forwarded_for": "10.0.0.1"}, {"x_forwarded_for": "junk"}, {"x_forwarded_for": "9.9.9.9,"}, {"x_forwarded_for": "2001:db8::1"},
                    {"x_forwarded_proto": "https"}, {"x_forwarded_proto": "ftp"}, {"x_forwarded_port": "1"}, {"x_request_id": "mine"}, {"x_envoy_internal": "true"}, {"x_internal": "1"}, {"x_drop": "1"},
                    {"x_envoy_retry_on": "5xx"}, {"x_envoy_external_address": "1.1.1.1"}, {"x_envoy_upstream_rq_timeout_ms": "5"}, {"via": "1.1 a"}, {"x_level": "client"}, {"x_envoy_peer_metadata": "x"},
                    {"x_envoy_ip_tags": "a"}, {"x_envoy_force_trace": "1"}, {"x_client_trace_id": "1"}, {"x_envoy_original_host": "h"}, {"user_agent": "agent/1.0"}):
        out += [get("/up", **headers), get("/level", "tls.test" if "x_forwarded_proto" in headers else "any.test", **headers)]
    for path in ("/teapot", "/missing", "/nowhere", "/nocluster", "/refused", "/timeout"):
        out += [get(path, x_json="1", x_test_delay="1"), get(path, method="HEAD", x_test_delay="1"), get(path, method="POST", body="", content_type="application/grpc", x_test_delay="1")]
    out += [raw_request("GET /direct HTTP/1.0"), raw_request("GET /up HTTP/1.0"), raw_request("GET /up HTTP/1.0", "host: any.test"), raw_request("GET /up HTTP/1.0", "connection: keep-alive", "host: any.test"),
            raw_request("GET /direct HTTP/1.0", "connection: keep-alive"), raw_request("GET /up HTTP/1.0", "host: any.test", "x-test-chunked: 1"), raw_request("HEAD /direct HTTP/1.0"),
            raw_request("GET /up HTTP/1.1", "host: any.test", "x_bad: 1"), raw_request("GET /up HTTP/1.1", "host: any.test", *[f"x-{i}: 1" for i in range(31)]),
            raw_request("GET /up HTTP/1.1", "host: any.test", "x-big: " + "b" * 8200), raw_request("GET /up HTTP/1.1", "host: any.test", "x-big: " + "b" * 7900)]
    for status in ("200", "404", "500", "503"):
        out += [get("/up", x_test_status=status), get("/retry", x_test_status=status), get("/up", x_test_header="server=mine", x_test_status=status)]
    out += [get("/retry", x_test_close="1", method="POST", body="x"), get("/up", x_test_header="via=1.0 up"), get("/up", x_test_header="x-request-id=up"), get("/level", x_test_header="x-level=up"),
            get("/level", x_test_header="x-absent=up"), get("/up", x_test_header="x-envoy-upstream-service-time=5"), get("/up", x_test_header="x-envoy-attempt-count=7")]
    return out


# (pattern on the request or on the line of our access log, why it differs): each stands in docs/differences.md.
MEANT = [('"details":"http1.(unexpected_underscore|too_many_headers)"', "the request line of what header lines spoil is logged")]


def run(lab):
    compare(lab, "edge_config.yaml", requests(), MEANT)
