"""Timeouts, scripted: idle connections, slow heads and bodies, stalled upstreams, per-try and back-off, in Envoy and in fairlead-proxy."""
from wire import CLOSE, HALF, HEAD, OK, REST, RESPONSE, Body, Scenario as S, compare, reply, request

POST = request("/", "content-length: 4", method="POST", body=b"body")
HALF_POST = request("/", "content-length: 8", method="POST", body=b"half")
STALL = [[HEAD, REST]]
CUT = [[HEAD, reply("200 OK", "content-length: 10", body=b"half"), REST]]


def common(**options):
    return {"common_http_protocol_options": options}


def retry(**policy):
    return {"retry_policy": policy}


def scenarios():
    get = request()
    return [
        S("an idle connection that never said anything", [REST], hcm=common(idle_timeout="0.4s")),
        S("an idle connection after a request", [get, RESPONSE, REST], hcm=common(idle_timeout="0.4s")),
        S("idle timeout does not count while a request runs", [get, RESPONSE, REST], [[HEAD, 0.9, OK]], hcm=common(idle_timeout="0.4s")),
        S("idle timeout counts with half a head", [b"GET / HT", REST], hcm=common(idle_timeout="0.4s")),
        S("max connection duration, idle", [get, RESPONSE, REST], hcm=common(max_connection_duration="0.4s")),
        S("max connection duration, busy", [get, RESPONSE, REST], [[HEAD, 0.8, OK]], hcm=common(max_connection_duration="0.4s"), differs="the response says that the connection ends"),
        S("max connection duration, next request", [get, RESPONSE, 0.2, get, RESPONSE, REST], [[HEAD, 0.1, OK, HEAD, 0.5, OK]], hcm=common(max_connection_duration="0.5s"), differs="the response says that the connection ends"),
        S("max connection duration, safe", [get, RESPONSE, 0.6, get, RESPONSE, REST], hcm={**common(max_connection_duration="0.4s"), "http1_safe_max_connection_duration": True}),
        S("max stream duration, request incomplete", [HALF_POST, REST], STALL, hcm=common(max_stream_duration="0.4s")),
        S("max stream duration, no response", [get, REST], STALL, hcm=common(max_stream_duration="0.4s")),
        S("max stream duration, response begun", [get, REST], CUT, hcm=common(max_stream_duration="0.4s")),
        S("max stream duration of the route", [get, REST], STALL, route={"max_stream_duration": {"max_stream_duration": "0.4s"}}),
        S("max stream duration of the route lifts the manager's", [get, RESPONSE, REST], [[HEAD, 0.7, OK]], hcm=common(max_stream_duration="0.4s"), route={"max_stream_duration": {"max_stream_duration": "0s"}}),
        S("max stream duration of the cluster", [get, REST], STALL, cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "common_http_protocol_options": {"max_stream_duration": "0.4s"}, "explicit_http_config": {"http_protocol_options": {}}}}}, ignore=("upstream_rq_",)),
        S("max stream duration of the cluster, response begun", [get, REST], CUT, cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "common_http_protocol_options": {"max_stream_duration": "0.4s"}, "explicit_http_config": {"http_protocol_options": {}}}}}),
        S("grpc-timeout header", [request("/", "content-type: application/grpc", "grpc-timeout: 400m", "content-length: 0", method="POST"), REST], STALL,
          route={"max_stream_duration": {"grpc_timeout_header_max": "0s"}}),
        S("grpc-timeout header, limited", [request("/", "content-type: application/grpc", "grpc-timeout: 9S", "content-length: 0", method="POST"), REST], STALL,
          route={"max_stream_duration": {"grpc_timeout_header_max": "0.4s"}}),
        S("grpc-timeout header, offset beyond it", [request("/", "content-type: application/grpc", "grpc-timeout: 400m", "content-length: 0", method="POST"), REST], STALL,
          route={"max_stream_duration": {"grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "1s"}}),
        S("request headers timeout", [b"GET / HTTP/1.1\r\nhost: a\r\n", REST], hcm={"request_headers_timeout": "0.4s"}),
        S("request headers timeout, one byte at a time", [b"GET / ", 0.2, b"HTTP/1.1\r\n", 0.15, b"host: a\r\n", REST], hcm={"request_headers_timeout": "0.4s"}),
        S("request headers timeout, second request", [get, RESPONSE, b"GET / HTTP/1.1\r\n", REST], hcm={"request_headers_timeout": "0.4s"}),
        S("request headers timeout does not count an idle connection", [0.6, get, RESPONSE, 0.6, get, RESPONSE, CLOSE], hcm={"request_headers_timeout": "0.4s"}),
        S("request timeout, head", [b"GET / HTTP/1.1\r\nhost: a\r\n", REST], hcm={"request_timeout": "0.4s"}),
        S("request timeout, body", [HALF_POST, REST], STALL, hcm={"request_timeout": "0.4s"}),
        S("request timeout, body, gRPC", [request("/", "content-length: 8", "content-type: application/grpc", method="POST", body=b"half"), REST], STALL, hcm={"request_timeout": "0.4s"}),
        S("request timeout ends with the request", [get, RESPONSE, CLOSE], [[HEAD, 0.7, OK]], hcm={"request_timeout": "0.4s"}),
        S("request timeout ends when the response begins", [HALF_POST, 1.0, b"half", RESPONSE, REST], [[HEAD, OK, REST]], hcm={"request_timeout": "0.4s"}),
        S("stream idle, request incomplete", [HALF_POST, REST], STALL, hcm={"stream_idle_timeout": "0.4s"}),
        S("stream idle, no response", [get, REST], STALL, hcm={"stream_idle_timeout": "0.4s"}),
        S("stream idle, no response, post", [POST, REST], STALL, hcm={"stream_idle_timeout": "0.4s"}),
        S("stream idle, response begun", [get, REST], CUT, hcm={"stream_idle_timeout": "0.4s"}),
        S("stream idle, chunked response begun", [get, REST], [[HEAD, reply("200 OK", "transfer-encoding: chunked", body=b"4\r\nhalf\r\n"), REST]], hcm={"stream_idle_timeout": "0.4s"}),
        S("stream idle, response trickles", [get, RESPONSE, CLOSE], [[HEAD, reply("200 OK", "content-length: 4"), 0.3, b"a", 0.3, b"b", 0.3, b"c", 0.3, b"d", REST]], hcm={"stream_idle_timeout": "0.6s"}),
        S("stream idle, interim responses count", [get, RESPONSE, REST], [[HEAD, 0.3, reply("103 Early Hints"), 0.3, reply("103 Early Hints"), 0.3, OK, REST]], hcm={"stream_idle_timeout": "0.5s"}),
        S("stream idle of the route", [get, REST], STALL, route={"idle_timeout": "0.4s"}, hcm={"stream_idle_timeout": "5s"}),
        S("stream idle of the route is off", [get, RESPONSE, CLOSE], [[HEAD, 0.8, OK]], route={"idle_timeout": "0s"}, hcm={"stream_idle_timeout": "0.4s"}),
        S("stream idle, websocket", [request("/", "connection: upgrade", "upgrade: websocket"), REST],
          [[HEAD, reply("101 Switching Protocols", "connection: upgrade", "upgrade: websocket"), REST]], hcm={"stream_idle_timeout": "0.4s", "upgrade_configs": [{"upgrade_type": "websocket"}]}, ignore=("stat",)),
        S("stream idle, client does not read", [get, 1.0, REST], [[HEAD, reply("200 OK", "content-length: 100", body=b"x" * 50), REST]], hcm={"stream_idle_timeout": "0.5s"}),
        S("route timeout", [get, REST], STALL, route={"timeout": "0.4s"}),
        S("route timeout, post", [POST, REST], STALL, route={"timeout": "0.4s"}),
        S("route timeout does not count before the request is complete", [HALF_POST, 0.8, b"half", RESPONSE, CLOSE], [[HEAD, Body(8), 0.2, OK]], route={"timeout": "0.5s"}),
        S("route timeout, response begun", [get, REST], CUT, route={"timeout": "0.4s"}),
        S("route timeout, chunked response begun", [get, REST], [[HEAD, reply("200 OK", "transfer-encoding: chunked", body=b"4\r\nhalf\r\n"), REST]], route={"timeout": "0.4s"}),
        S("route timeout, response until close begun", [get, REST], [[HEAD, reply("200 OK", body=b"half"), REST]], route={"timeout": "0.4s"}),
        S("route timeout, upstream closes then", [get, RESPONSE, get, RESPONSE, CLOSE], [[HEAD, REST], [HEAD, OK, REST]], route={"timeout": "0.4s"}),
        S("route timeout by header", [request("/", "x-envoy-upstream-rq-timeout-ms: 400"), REST], STALL,
          hcm={"internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}, "use_remote_address": True}),
        S("timeouts by header, alternative answer", [request("/", "x-envoy-upstream-rq-timeout-ms: 400", "x-envoy-upstream-rq-timeout-alt-response: 204"), REST], STALL,
          hcm={"internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}, "use_remote_address": True}),
        S("per try timeout by header", [request("/", "x-envoy-upstream-rq-per-try-timeout-ms: 300", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 2"), REST], STALL,
          hcm={"internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}, "use_remote_address": True}),
        S("per try, exhausted", [get, REST], STALL, route=retry(retry_on="5xx", num_retries=1, per_try_timeout="0.3s")),
        S("per try, then an answer", [get, RESPONSE, REST], [[HEAD, REST], [HEAD, OK, REST]], route=retry(retry_on="5xx", num_retries=1, per_try_timeout="0.3s")),
        S("per try, not retriable", [get, REST], STALL, route=retry(retry_on="retriable-4xx", num_retries=1, per_try_timeout="0.3s")),
        S("per try, connect-failure only", [get, REST], STALL, route=retry(retry_on="connect-failure", num_retries=1, per_try_timeout="0.3s")),
        S("per try, reset", [get, REST], STALL, route=retry(retry_on="reset", num_retries=1, per_try_timeout="0.3s")),
        S("per try, reset-before-request", [get, REST], STALL, route=retry(retry_on="reset-before-request", num_retries=1, per_try_timeout="0.3s")),
        S("per try, gateway-error", [get, REST], STALL, route=retry(retry_on="gateway-error", num_retries=1, per_try_timeout="0.3s")),
        S("per try, then the global one", [get, REST], STALL, route={**retry(retry_on="5xx", num_retries=5, per_try_timeout="0.3s"), "timeout": "0.7s"}, ignore=("upstream 2",)),
        S("per try, equal to the global one", [get, REST], STALL, route={**retry(retry_on="5xx", num_retries=5, per_try_timeout="0.4s"), "timeout": "0.4s"}),
        S("per try, response begun", [get, REST], CUT, route=retry(retry_on="5xx", num_retries=1, per_try_timeout="0.3s")),
        S("per try, without retries", [get, REST], STALL, route=retry(per_try_timeout="0.3s")),
        S("per try, request incomplete", [HALF_POST, 0.8, b"half", RESPONSE, REST], [[HEAD, Body(8), OK, REST]], route=retry(retry_on="5xx", per_try_timeout="0.3s")),
        S("per try idle", [get, REST], STALL, route=retry(retry_on="5xx", num_retries=1, per_try_idle_timeout="0.3s")),
        S("per try idle, response begun", [get, REST], CUT, route=retry(retry_on="5xx", num_retries=1, per_try_idle_timeout="0.3s")),
        S("per try idle, response trickles", [get, RESPONSE, CLOSE], [[HEAD, 0.2, reply("200 OK", "content-length: 3"), 0.2, b"a", 0.2, b"b", 0.2, b"c", REST]],
          route=retry(retry_on="5xx", per_try_idle_timeout="0.4s")),
        S("attempt after a timeout says so", [get, REST], STALL, route=retry(retry_on="5xx", num_retries=1, per_try_timeout="0.3s"),
          host={"include_is_timeout_retry_header": True, "include_request_attempt_count": True, "include_attempt_count_in_response": True}),
        S("upstream idle timeout", [get, RESPONSE, 0.8, get, RESPONSE, CLOSE], cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "common_http_protocol_options": {"idle_timeout": "0.4s"}, "explicit_http_config": {"http_protocol_options": {}}}}}),
        S("upstream max connection duration", [get, RESPONSE, 0.8, get, RESPONSE, CLOSE], cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "common_http_protocol_options": {"max_connection_duration": "0.4s"}, "explicit_http_config": {"http_protocol_options": {}}}}}),
        S("upstream max requests per connection", [get, RESPONSE, get, RESPONSE, get, RESPONSE, CLOSE], cluster={"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "common_http_protocol_options": {"max_requests_per_connection": 2}, "explicit_http_config": {"http_protocol_options": {}}}}}),
        S("downstream max requests per connection", [get, RESPONSE, get, RESPONSE, REST], hcm=common(max_requests_per_connection=2)),
        S("delayed close waits for the client", [b"bad\r\n\r\n", REST], hcm={"delayed_close_timeout": "0.5s"}, differs="says the end at once"),
        S("delayed close ends with the client's end", [b"bad\r\n\r\n", RESPONSE, HALF, REST], hcm={"delayed_close_timeout": "1s"}, differs="says the end at once"),
        S("no delayed close", [b"bad\r\n\r\n", REST], hcm={"delayed_close_timeout": "0s"}),
        S("delayed close after connection: close", [request("/", "connection: close"), REST], hcm={"delayed_close_timeout": "0.5s"}),
        S("client ends after half a request", [HALF_POST, HALF, REST], STALL),
        S("client ends after a request", [get, HALF, REST], [[HEAD, 0.3, OK, REST]], ignore=("upstream", "UPSTREAM", "stat", "DURATION")),
        S("client goes while the upstream works", [get, 0.2, CLOSE], STALL),
        S("client goes during the response", [get, 0.3, CLOSE], CUT),
    ]


def run(lab):
    compare(lab, scenarios())
