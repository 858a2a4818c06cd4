"""Retries, scripted: which outcomes are tried again, what attempts look like upstream, and what the client, the log and the statistics say, in Envoy and in fairlead-proxy."""
from wire import CHUNKS, CLOSE, HEAD, OK, RESET, RESPONSE, REST, Body, Scenario as S, compare, reply, request

GET = request()
POST = request("/", "content-length: 4", method="POST", body=b"body")
WORDS = ("5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers")
INTERNAL = {"internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}, "use_remote_address": True}


def retry(words, **policy):
    return {"retry_policy": {"retry_on": words, "retry_back_off": {"base_interval": "0.01s"}, **policy}}


def status(code, *headers):
    return reply(f"{code} Because", *headers, "content-length: 2", body=b"no")


def scenarios():
    out = []
    for word in WORDS:
        route = retry(word, retriable_status_codes=[418], retriable_headers=[{"name": "x-again", "present_match": True}])
        for what, steps in {"500": [HEAD, status(500), REST], "503": [HEAD, status(503), REST], "409": [HEAD, status(409), REST], "418": [HEAD, status(418), REST], "429 ratelimited": [HEAD, status(429, "x-envoy-ratelimited: true"), REST],
                            "503 ratelimited": [HEAD, status(503, "x-envoy-ratelimited: true"), REST], "header": [HEAD, status(200, "x-again: 1"), REST],
                            "close": [HEAD, CLOSE], "reset": [HEAD, RESET], "garbage": [HEAD, b"garbage\r\n\r\n", REST]}.items():
            out.append(S(f"{word}: {what}", [GET, RESPONSE, CLOSE], [steps, [HEAD, OK, REST]], route=route))
        out.append(S(f"{word}: refused", [GET, RESPONSE, CLOSE], refused=True, route=route))
    for word, code in {"cancelled": 1, "deadline-exceeded": 4, "internal": 13, "resource-exhausted": 8, "unavailable": 14}.items():
        for other in (code, 14 if code != 14 else 13):
            out.append(S(f"{word}: grpc {other}", [request("/", "content-type: application/grpc", "content-length: 0", method="POST"), RESPONSE, CLOSE],
                         [[HEAD, reply("200 OK", "content-type: application/grpc", f"grpc-status: {other}", "content-length: 0"), REST], [HEAD, OK, REST]], route=retry(word)))
    both = {"include_request_attempt_count": True, "include_attempt_count_in_response": True}
    fail = [HEAD, status(503), REST]
    out += [
        S("three attempts, the last answer is passed on", [GET, RESPONSE, CLOSE], [fail], route=retry("5xx", num_retries=2), host=both),
        S("three attempts, then 200", [GET, RESPONSE, CLOSE], [fail, fail, [HEAD, OK, REST]], route=retry("5xx", num_retries=2), host=both),
        S("no retries allowed", [GET, RESPONSE, CLOSE], [fail], route=retry("5xx", num_retries=0), host=both),
        S("closed each time", [GET, RESPONSE, CLOSE], [[HEAD, CLOSE]], route=retry("5xx", num_retries=2), host=both),
        S("refused each time", [GET, RESPONSE, CLOSE], refused=True, route=retry("5xx", num_retries=2), host=both),
        S("a body is sent again", [POST, RESPONSE, CLOSE], [[HEAD, Body(4), status(503), REST], [HEAD, Body(4), OK, REST]], route=retry("5xx"), host=both),
        S("a chunked body is sent again", [request("/", "transfer-encoding: chunked", method="POST", body=b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"), RESPONSE, CLOSE], [[HEAD, CHUNKS, status(503), REST], [HEAD, CHUNKS, OK, REST]], route=retry("5xx"), host=both),
        S("fails before the body is whole", [request("/", "content-length: 8", method="POST", body=b"half"), 0.4, b"half", RESPONSE, CLOSE], [[HEAD, status(503), REST], [HEAD, Body(8), OK, REST]], route=retry("5xx"), host=both),
        S("closes before the body is whole", [request("/", "content-length: 8", method="POST", body=b"half"), 0.4, b"half", RESPONSE, CLOSE], [[HEAD, CLOSE], [HEAD, Body(8), OK, REST]], route=retry("5xx"), host=both),
        S("a body that is too large to keep", [request("/", "content-length: 100", method="POST", body=b"b" * 100), RESPONSE, CLOSE], [[HEAD, Body(100), status(503), REST], [HEAD, OK]], route=retry("5xx"), host={"per_request_buffer_limit_bytes": 50}),
        S("a body that is too large to keep, closed", [request("/", "content-length: 100", method="POST", body=b"b" * 100), RESPONSE, CLOSE], [[HEAD, Body(100), CLOSE], [HEAD, OK]], route=retry("5xx"), host={"per_request_buffer_limit_bytes": 50}),
        S("the retry's own reset", [GET, RESPONSE, CLOSE], [fail, [HEAD, RESET]], route=retry("5xx"), host=both, ignore=("DURATION",)),
        S("a timeout while backing off", [GET, RESPONSE, CLOSE], [fail], route={**retry("5xx", num_retries=50, retry_back_off={"base_interval": "5s", "max_interval": "5s"}), "timeout": "0.4s"}, ignore=("stat", "upstream 1", "ATTEMPT", "BYTES")),
        S("rate limited back-off in seconds", [GET, RESPONSE, CLOSE], [[HEAD, status(503, "retry-after: 1"), REST], [HEAD, OK, REST]], route=retry("5xx", rate_limited_retry_back_off={"reset_headers": [{"name": "retry-after", "format": "SECONDS"}]}), ignore=("times", "DURATION", "upstream 1", "stat")),
        S("rate limited back-off, header missing", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], route=retry("5xx", rate_limited_retry_back_off={"reset_headers": [{"name": "retry-after", "format": "SECONDS"}]})),
        S("rate limited back-off beyond the most", [GET, RESPONSE, CLOSE], [[HEAD, status(503, "retry-after: 1000"), REST], [HEAD, OK, REST]], route=retry("5xx", rate_limited_retry_back_off={"reset_headers": [{"name": "retry-after", "format": "SECONDS"}], "max_interval": "10s"})),
        S("only requests with a header are retried, without", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], route=retry("5xx", retriable_request_headers=[{"name": "x-may", "present_match": True}])),
        S("only requests with a header are retried, with", [request("/", "x-may: 1"), RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], route=retry("5xx", retriable_request_headers=[{"name": "x-may", "present_match": True}]), ignore=("upstream 1",)),
        S("the request asks for retries", [request("/", "x-envoy-retry-on: 5xx"), RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], hcm=INTERNAL),
        S("the request asks for more retries", [request("/", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3"), RESPONSE, CLOSE], [fail, fail, fail, [HEAD, OK, REST]], hcm=INTERNAL),
        S("the request asks for no retries", [request("/", "x-envoy-max-retries: 0"), RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], hcm=INTERNAL, route=retry("5xx")),
        S("the request names codes", [request("/", "x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 400,503"), RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], hcm=INTERNAL),
        S("the request names headers", [request("/", "x-envoy-retry-on: retriable-headers", "x-envoy-retriable-header-names: X-A,x-again"), RESPONSE, CLOSE], [[HEAD, status(200, "x-again: 1"), REST], [HEAD, OK, REST]], hcm=INTERNAL),
        S("the request asks for gRPC retries", [request("/", "x-envoy-retry-grpc-on: unavailable", "content-type: application/grpc", "content-length: 0", method="POST"), RESPONSE, CLOSE],
          [[HEAD, reply("200 OK", "grpc-status: 14", "content-length: 0"), REST], [HEAD, OK, REST]], hcm=INTERNAL),
        S("a stranger asks for retries", [request("/", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3"), RESPONSE, CLOSE], [fail, [HEAD, OK, REST]]),
        S("retries beyond the breaker", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], route=retry("5xx"), cluster={"circuit_breakers": {"thresholds": [{"max_retries": 0}]}}),
        S("retries within a budget", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], route=retry("5xx"), cluster={"circuit_breakers": {"thresholds": [{"retry_budget": {"budget_percent": {"value": 100}, "min_retry_concurrency": 1}}]}}),
        S("virtual host's policy", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], host={"retry_policy": {"retry_on": "5xx"}}),
        S("route's policy replaces the virtual host's", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], host={"retry_policy": {"retry_on": "5xx"}}, route=retry("connect-failure")),
        S("previous hosts are avoided, one host only", [GET, RESPONSE, CLOSE], [fail, [HEAD, OK, REST]], route=retry("5xx", retry_host_predicate=[{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}], host_selection_retry_max_attempts=3)),
        S("closes a connection that was idle, GET", [GET, RESPONSE, 0.1, GET, RESPONSE, CLOSE], [[HEAD, OK, HEAD, CLOSE], [HEAD, OK, REST]], differs="sent once more"),
        S("a retry after headers of a 200 came", [GET, REST], [[HEAD, reply("200 OK", "content-length: 10", body=b"half"), CLOSE], [HEAD, OK]], route=retry("5xx,reset")),
        S("5xx and then stall", [GET, REST], [fail, [HEAD, REST]], route={**retry("5xx"), "timeout": "0.5s"}, ignore=("upstream 1",)),
        S("a large error body is dropped", [GET, RESPONSE, CLOSE], [[HEAD, reply("503 No", "content-length: 100000", body=b"x" * 100000), REST], [HEAD, OK, REST]], route=retry("5xx"), ignore=("rx_bytes", "upstream 0")),
        S("HEAD is retried", [request("/", method="HEAD"), REST], [[HEAD, reply("503 No", "content-length: 2"), REST], [HEAD, reply("200 OK", "content-length: 2"), REST]], route=retry("5xx")),
    ]
    return out


def run(lab):
    compare(lab, scenarios())
