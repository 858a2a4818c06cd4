"""More configurations, after cases.py: places where a reader is easily too strict or too mild. Nested extensions, unknown fields
at depth, names given twice, durations and shares at their edges, what stands beside what."""
from cases import (ADS, DYNAMIC, EDS, FILE_LOG, H2, MISSING, NODE, REGEX, ROUTER, STATUS_500, TYPE, access_log, action, add_header, address, assignment,
                   bootstrap, case, change, cluster, clusters, dynamic, endpoint, field_table, hcm, hcm_filter, host, listener, listeners,
                   local_reply, localities, match, one_cluster, one_endpoint, one_listener, route, route_table, routes, table, virtual_host)

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PREVIOUS_HOSTS = {"name": "p", "typed_config": {"@type": TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}

# --- route matchers -----------------------------------------------------------------------------------------------

field_table("mean-match", match, {
    "headers": [[{"name": "a", "range_match": {"start": 5, "end": 5}}], [{"name": "a", "range_match": {}}],
                [{"name": "a", "range_match": {"start": "-9223372036854775808", "end": "9223372036854775807"}}],
                [{"name": "a", "range_match": {"start": "9223372036854775808"}}], [{"name": "a", "exact_match": ""}], [{"name": "a", "suffix_match": ""}],
                [{"name": "a", "contains_match": ""}], [{"name": "a", "safe_regex_match": {"regex": ""}}], [{"name": "a", "safe_regex_match": {}}],
                [{"name": "a", "string_match": {"exact": ""}}], [{"name": "a", "string_match": {"safe_regex": {"regex": "a"}, "ignore_case": True}}],
                [{"name": "a", "string_match": {"exact": "b", "prefix": "c"}}], [{"name": "a", "exact_match": "b", "present_match": True}],
                [{"name": "a", "treat_missing_header_as_empty": True}], [{"name": "a\n", "present_match": True}], [{"name": "A", "present_match": False}],
                [{"name": "a", "string_match": {"custom": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.S"}}}}], [{"name": "host", "exact_match": "h"}],
                [{"name": "a", "present_match": True}] * 2, [{"name": "a", "invert_match": True}], [{"name": "a", "string_match": None}], [None]],
    "query_parameters": [[{"name": "a", "string_match": {"safe_regex": {"regex": "("}}}], [{"name": "a", "string_match": {}}], [{"name": "x" * 1024}],
                         [{"name": "a", "present_match": False}], [{"name": "a", "string_match": {"prefix": ""}}], [{"name": "a"}, {"name": "a"}],
                         [{"name": "a", "string_match": {"exact": "b"}, "present_match": True}]],
    "runtime_fraction": [{"default_value": {"numerator": -1}}, {"default_value": {"denominator": "MILLION"}}, {"default_value": {"numerator": 4294967295}},
                         {"runtime_key": "k"}, {"default_value": None, "runtime_key": ""}],
    "safe_regex": [REGEX],
})
for name, m in {
        "regex-program-small": {"safe_regex": {"google_re2": {"max_program_size": 1}, "regex": "/abc[a-z]+"}},
        "regex-program-large": {"safe_regex": {"google_re2": {"max_program_size": 1000}, "regex": "/abc[a-z]+"}},
        "regex-program-0": {"safe_regex": {"google_re2": {"max_program_size": 0}, "regex": "/a"}},
        "regex-huge": {"safe_regex": {"regex": "((a{100}){100}){100}"}}, "regex-repeat-1001": {"safe_regex": {"regex": "a{1001}"}},
        "regex-backreference": {"safe_regex": {"regex": "(a)\\1"}}, "regex-bytes": {"safe_regex": {"regex": "\\C"}}, "regex-newline": {"safe_regex": {"regex": "a\n"}},
        "regex-nul": {"safe_regex": {"regex": "a\u0000b"}}, "regex-no-field": {"safe_regex": {}}, "prefix-newline": {"prefix": "/a\n"}, "path-query": {"path": "/a?b"},
        "path-fragment": {"path": "/a#b"}, "path-relative": {"path": "a"}, "prefix-nul": {"prefix": "/\u0000"}, "separated-fragment": {"path_separated_prefix": "/a#b"},
        "separated-empty": {"path_separated_prefix": ""}, "separated-insensitive": {"path_separated_prefix": "/A", "case_sensitive": False},
        "connect-unknown-field": {"connect_matcher": {"x": 1}}, "connect-and-prefix": {"connect_matcher": {}, "prefix": "/"},
        "regex-insensitive": {"safe_regex": REGEX, "case_sensitive": False}, "grpc-unknown-field": {"prefix": "/", "grpc": {"a": 1}}}.items():
    case(f"mean-match/{name}", routes(route(match=m)))

# --- weighted clusters ----------------------------------------------------------------------------------------------

for name, weighted in {
        "header-name": {"clusters": [{"name": "a", "weight": 1}], "header_name": "x-random"}, "header-name-empty": {"clusters": [{"name": "a", "weight": 1}], "header_name": ""},
        "header-name-newline": {"clusters": [{"name": "a", "weight": 1}], "header_name": "x\n"}, "hash-policy-false": {"clusters": [{"name": "a", "weight": 1}], "use_hash_policy": False},
        "both-random": {"clusters": [{"name": "a", "weight": 1}], "use_hash_policy": True, "header_name": "x"}, "runtime-empty": {"clusters": [{"name": "a", "weight": 1}], "runtime_key_prefix": ""},
        "total-0": {"clusters": [{"name": "a", "weight": 1}], "total_weight": 0}, "weight-negative": {"clusters": [{"name": "a", "weight": -1}]},
        "weight-max": {"clusters": [{"name": "a", "weight": 4294967295}]}, "weight-max-and-0": {"clusters": [{"name": "a", "weight": 4294967295}, {"name": "a", "weight": 0}]},
        "one-0-one-1": {"clusters": [{"name": "a", "weight": 0}, {"name": "a", "weight": 1}]}, "neither": {"clusters": [{"weight": 1}]},
        "header-newline": {"clusters": [{"cluster_header": "x\n", "weight": 1}]}, "host-rewrite-newline": {"clusters": [{"name": "a", "weight": 1, "host_rewrite_literal": "h\n"}]},
        "host-rewrite-empty": {"clusters": [{"name": "a", "weight": 1, "host_rewrite_literal": ""}]},
        "remove-host": {"clusters": [{"name": "a", "weight": 1, "request_headers_to_remove": ["Host"]}]},
        "add-protected": {"clusters": [{"name": "a", "weight": 1, "response_headers_to_add": [{"header": {"key": ":status", "value": "1"}}]}]},
        "per-filter-unknown": {"clusters": [{"name": "a", "weight": 1, "typed_per_filter_config": {"x": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}}}]},
        "unknown-field": {"clusters": [{"name": "a", "weight": 1, "wait": 1}]}, "unknown-cluster-weight-0": {"clusters": [{"name": "a", "weight": 1}, {"name": "b", "weight": 0}]},
        "metadata-match-empty": {"clusters": [{"name": "a", "weight": 1, "metadata_match": {}}]}}.items():
    case(f"mean-weighted/{name}", action(cluster=MISSING, weighted_clusters=weighted))
case("mean-weighted/beside-cluster", action(weighted_clusters={"clusters": [{"name": "a", "weight": 1}]}))

# --- retries, timeouts, mirrors, rewrites -----------------------------------------------------------------------------

field_table("mean-route", action, {
    "retry_policy": [{"retry_on": ""}, {"retry_on": " 5xx , reset "}, {"retry_on": "5XX"}, {"num_retries": 0}, {"per_try_idle_timeout": "0s"}, {"per_try_idle_timeout": "-0.1s"},
                     {"retry_back_off": {"base_interval": "0.0001s"}}, {"retry_back_off": {"base_interval": "0.0001s", "max_interval": "0.0005s"}},
                     {"retry_back_off": {"base_interval": "1s", "max_interval": "1s"}}, {"retry_back_off": {"max_interval": "1s"}}, {"retry_back_off": {"base_interval": "1s", "max_interval": "0s"}},
                     {"retry_back_off": {"base_interval": "1.0005s", "max_interval": "1.0004s"}}, {"retriable_status_codes": [0, 9999]}, {"retriable_status_codes": [-1]},
                     {"retriable_status_codes": ["503"]}, {"host_selection_retry_max_attempts": -1}, {"host_selection_retry_max_attempts": "3"},
                     {"retry_host_predicate": [PREVIOUS_HOSTS, PREVIOUS_HOSTS]}, {"retry_host_predicate": [{"name": "", "typed_config": PREVIOUS_HOSTS["typed_config"]}]},
                     {"retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts"}]}, {"retry_host_predicate": [{"name": "x", "typed_config": ROUTER["typed_config"]}]},
                     {"rate_limited_retry_back_off": {"reset_headers": [{"name": "a"}], "max_interval": "0s"}}, {"rate_limited_retry_back_off": {"reset_headers": [{"name": ""}]}},
                     {"rate_limited_retry_back_off": {"reset_headers": [{"name": "a", "format": 9}]}}, {"rate_limited_retry_back_off": {"reset_headers": [{"name": "a\n"}]}},
                     {"rate_limited_retry_back_off": {"reset_headers": [{"name": "a", "format": "UNIX_TIMESTAMP"}], "max_interval": "-1s"}},
                     {"retriable_headers": [{"name": ""}]}, {"retriable_request_headers": [{"name": "a", "string_match": {"safe_regex": {"regex": "("}}}]},
                     {"retriable_headers": [{"name": "a", "range_match": {"start": 1, "end": 2}}]}, {"retry_on": "5xx", "nonsense": {}}],
    "timeout": ["0.0000001s", "315576000000s", "315576000001s", {}, None, "-0s", "-0.5s"],
    "idle_timeout": ["-1s", "0.0001s"],
    "max_stream_duration": [{}, {"max_stream_duration": "-1s"}, {"grpc_timeout_header_max": "-1s"}, {"grpc_timeout_header_offset": "5s"}, {"grpc_timeout_header_offset": "-5s"}],
    "request_mirror_policies": [[{"cluster": "a", "runtime_fraction": {}}], [{"cluster": "a", "runtime_fraction": {"default_value": {"numerator": 1, "denominator": 7}}}],
                                [{"cluster": "a", "trace_sampled": True}], [{"cluster": "a", "host_rewrite_literal": "h\n"}], [{"cluster": "a", "disable_shadow_host_suffix_append": True}],
                                [{"cluster_header": ":path"}], [{"cluster_header": "x\n"}], [{"cluster": "a"}, {"cluster": "a"}]],
    "upgrade_configs": [[{}], [{"upgrade_type": "websocket", "enabled": False}], [{"upgrade_type": "a b"}], [{"upgrade_type": "CONNECT"}]],
    "host_rewrite_path_regex": [{}, {"pattern": {"regex": "("}, "substitution": "h"}, {"pattern": REGEX, "substitution": "\\9"}, {"pattern": REGEX, "substitution": "\\0"}],
    "auto_host_rewrite": [False, None],
    "prefix_rewrite": ["x" * 5000, "a?b", "/a#b"],
    "host_rewrite_header": ["", "a b"],
    "cluster_header": ["x"],
    "path_rewrite_policy": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.R"}}],
    "early_data_policy": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.E"}}],
    "regex_rewrite": [{"pattern": {"regex": ""}, "substitution": "x"}, {"pattern": {}, "substitution": "x"}, {"pattern": REGEX}, {"pattern": REGEX, "substitution": "\\"}],
    "internal_redirect_action": ["HANDLE_INTERNAL_REDIRECT", "PASS_THROUGH_INTERNAL_REDIRECT"],
})
for name, redirect in {"code-text": {"path_redirect": "/", "response_code": "302"}, "code-number": {"path_redirect": "/", "response_code": 1}, "https-false": {"https_redirect": False},
                       "scheme-empty": {"scheme_redirect": ""}, "scheme-odd": {"scheme_redirect": "gopher"}, "path-empty": {"path_redirect": ""}, "path-no-slash": {"path_redirect": "b"},
                       "prefix-newline": {"prefix_rewrite": "/b\r"}, "regex-bad": {"regex_rewrite": {"pattern": {"regex": "["}, "substitution": ""}},
                       "regex-group": {"regex_rewrite": {"pattern": REGEX, "substitution": "\\3"}}, "port-0": {"port_redirect": 0}, "port-negative": {"port_redirect": -1},
                       "host-port": {"host_redirect": "h:80", "port_redirect": 81}}.items():
    case(f"mean-redirect/{name}", routes({"match": {"prefix": "/"}, "redirect": redirect}))
for name, direct in {"filename": {"status": 200, "body": {"filename": "/dev/null"}}, "environment": {"status": 200, "body": {"environment_variable": "PATH"}},
                     "environment-unset": {"status": 200, "body": {"environment_variable": "NO_SUCH_VARIABLE_HERE"}}, "environment-empty-name": {"status": 200, "body": {"environment_variable": ""}},
                     "filename-empty": {"status": 200, "body": {"filename": ""}}, "filename-folder": {"status": 200, "body": {"filename": "/mnt"}},
                     "watched": {"status": 200, "body": {"filename": "/dev/null", "watched_directory": {"path": "/tmp"}}}, "two": {"status": 200, "body": {"inline_string": "a", "inline_bytes": "YQ=="}},
                     "status-text": {"status": "200"}, "status-200.5": {"status": 200.5}, "status-204-body": {"status": 204, "body": {"inline_string": "x"}}, "status-100": {"status": 100},
                     "body-url-base64": {"status": 200, "body": {"inline_bytes": "_-8"}}, "body-unpadded": {"status": 200, "body": {"inline_bytes": "YQ"}},
                     "status-0": {"status": 0}, "status-101": {"status": 101}, "status-304": {"status": 304}}.items():
    case(f"mean-direct/{name}", routes({"match": {"prefix": "/"}, "direct_response": direct}))
case("mean-direct/file", hcm(route_config=route_table(host({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"filename": "/etc/passwd"}}}),
                                                      max_direct_response_body_size_bytes=1000000)))
case("mean-direct/limit-0", hcm(route_config=route_table(host({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "x"}}}), max_direct_response_body_size_bytes=0)))
case("mean-direct/limit-large", hcm(route_config=route_table(host({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "x" * 9000}}}),
                                                             max_direct_response_body_size_bytes=10000)))
case("mean-direct/file-over-limit", hcm(route_config=route_table(host({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"filename": "/etc/passwd"}}}),
                                                                 max_direct_response_body_size_bytes=3)))

# --- header mutations ---------------------------------------------------------------------------------------------------

field_table("mean-header", add_header, {
    "header": [{"key": "a", "value": v} for v in (
        "%", "%%%", "%%%%", "%REQ()%", "%REQ(a):0%", "%REQ(a):-1%", "%REQ(a):4294967296%", "%REQ(:METHOD?)%", "%REQ(?a)%", "%RESP(a)%", "%TRAILER(a)%", "%START_TIME()%", "%START_TIME(%s.%3f)%",
        "%START_TIME(%9f)%", "%START_TIME(%E)%", "%ENVIRONMENT(PATH)%", "%ENVIRONMENT(PATH):3%", "%ENVIRONMENT()%", "%ENVIRONMENT%", "%HOSTNAME%", "%CEL(request.path)%",
        "%FILTER_STATE(a)%", "%FILTER_STATE(a:PLAIN)%", "%FILTER_STATE(a:ODD)%", "%FILTER_STATE%", "%DYNAMIC_METADATA(a)%", "%DYNAMIC_METADATA()%", "%DYNAMIC_METADATA%", "%METADATA(ROUTE:a:b)%",
        "%METADATA(NOWHERE:a:b)%", "%METADATA(ROUTE)%", "%UPSTREAM_METADATA(a:b)%", "%QUERY_PARAM(a)%", "%QUERY_PARAM(a):5%", "%QUERY_PARAM()%", "%QUERY_PARAMS%", "%PATH%", "%PATH(WQ)%",
        "%PATH(XX)%", "%PATH(NQ:ORIG)%", "%DOWNSTREAM_PEER_SUBJECT%", "%VIRTUAL_CLUSTER_NAME%", "%protocol%", "%PROTOCOL %", "%PROTOCOL:3%", "%PROTOCOL()%", "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:ms)%",
        "%COMMON_DURATION(A:B:ms)%", "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:days)%", "%UNIQUE_ID%", "%TRACE_ID%", "%REQ(b)%%REQ(c)%", "%REQ(b)% %", "a\tb", "a\u0000b", "\u00e9", "%COALESCE({})%",
        "%REQUEST_HEADER(a)%", "%RESPONSE_HEADER(a)%", "%ROUTE_NAME%", "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(MASK_PREFIX_LEN=24)%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)%",
        "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "%RESPONSE_CODE_DETAILS(x)%", "%TLS_JA3_FINGERPRINT%", "%FILE_CONTENT(/dev/null)%", "%FILE_CONTENT(/nonexistent)%")],
    "append_action": ["ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", 0],
    "append": [True, None],
})
for name, one in {"append-and-action": {"append": False, "append_action": "OVERWRITE_IF_EXISTS"}, "append-and-default-action": {"append": True, "append_action": "APPEND_IF_EXISTS_OR_ADD"},
                  "value-and-raw": {"header": {"key": "a", "value": "b", "raw_value": "Yg=="}}, "raw-newline": {"header": {"key": "a", "raw_value": "YQpi"}},
                  "raw-percent": {"header": {"key": "a", "raw_value": "JU5PUEUl"}}, "key-colon": {"header": {"key": "a:b", "value": "c"}}, "key-tab": {"header": {"key": "a\t", "value": "c"}},
                  "key-upper-host": {"header": {"key": "HOST", "value": "c"}}, "key-te": {"header": {"key": "transfer-encoding", "value": "chunked"}},
                  "key-length": {"header": {"key": "content-length", "value": "5"}}, "key-connection": {"header": {"key": "Connection", "value": "close"}}}.items():
    case(f"mean-header/{name}", add_header(**one))
case("mean-header/twice", routes(route(request_headers_to_add=[{"header": {"key": "a", "value": "b"}}] * 2)))
case("mean-header/remove-1001", routes(route(request_headers_to_remove=[f"h{n}" for n in range(1001)])))
case("mean-header/remove-space", routes(route(response_headers_to_remove=["a b"])))
case("mean-header/remove-newline", routes(route(response_headers_to_remove=["a\n"])))
case("mean-header/remove-authority", routes(route(request_headers_to_remove=[":authority"])))

# --- access logs and their filters ----------------------------------------------------------------------------------------

STATUS = {"op": "GE", "value": {"default_value": 500, "runtime_key": "k"}}
NOT_HC = {"not_health_check_filter": {}}
table("mean-log", access_log, {
    "formatters-req": {"log_format": {"text_format_source": {"inline_string": "%REQ_WITHOUT_QUERY(:path)%"}, "formatters": [
        {"name": "f", "typed_config": {"@type": TYPE + "extensions.formatter.req_without_query.v3.ReqWithoutQuery"}}]}},
    "formatters-unknown": {"log_format": {"text_format_source": {"inline_string": "a"}, "formatters": [{"name": "f", "typed_config": {"@type": "type.googleapis.com/acme.F"}}]}},
    "formatters-not-one": {"log_format": {"text_format_source": {"inline_string": "a"}, "formatters": [{"name": "f", "typed_config": ROUTER["typed_config"]}]}},
    "formatters-no-config": {"log_format": {"text_format_source": {"inline_string": "a"}, "formatters": [{"name": "envoy.formatter.req_without_query"}]}},
    "text-format": {"log_format": {"text_format": "%PROTOCOL%"}}, "text-file": {"log_format": {"text_format_source": {"filename": "/dev/null"}}},
    "text-file-missing": {"log_format": {"text_format_source": {"filename": "/nonexistent"}}}, "text-source-empty": {"log_format": {"text_format_source": {}}},
    "text-file-there": {"log_format": {"text_format_source": {"filename": "/etc/hostname"}}}, "text-environment": {"log_format": {"text_format_source": {"environment_variable": "HOME"}}},
    "omit-empty": {"log_format": {"json_format": {"a": "%REQ(x)%"}, "omit_empty_values": True}}, "json-empty": {"log_format": {"json_format": {}}},
    "json-options": {"log_format": {"json_format": {"a": "b"}, "json_format_options": {"sort_properties": True}}},
    "json-deep": {"log_format": {"json_format": {"a": {"b": {"c": [{"d": "%NOPE%"}]}}}}}, "json-key-operator": {"log_format": {"json_format": {"%NOPE%": "a"}}},
    "json-number": {"log_format": {"json_format": {"a": 1.5, "b": [], "c": {}}}}, "content-type-newline": {"log_format": {"text_format_source": {"inline_string": "a"}, "content_type": "a\n"}},
    "both-formats": {"log_format": {"text_format_source": {"inline_string": "a"}}, "format": "b"}, "path-folder": {"path": "/tmp"},
    "filter-status-op-9": {"filter": {"status_code_filter": {"comparison": change(STATUS, {"op": 9})}}}, "filter-status-no-value": {"filter": {"status_code_filter": {"comparison": {"op": "EQ"}}}},
    "filter-status-ne": {"filter": {"status_code_filter": {"comparison": change(STATUS, {"op": "NE"})}}},
    "filter-duration": {"filter": {"duration_filter": {"comparison": STATUS}}}, "filter-duration-empty": {"filter": {"duration_filter": {}}},
    "filter-or-none": {"filter": {"or_filter": {}}}, "filter-or-one": {"filter": {"or_filter": {"filters": [NOT_HC]}}}, "filter-or-empty-child": {"filter": {"or_filter": {"filters": [NOT_HC, {}]}}},
    "filter-nested": {"filter": {"and_filter": {"filters": [NOT_HC, {"or_filter": {"filters": [NOT_HC, {"and_filter": {"filters": [NOT_HC, NOT_HC]}}]}}]}}},
    "filter-nested-bad": {"filter": {"and_filter": {"filters": [NOT_HC, {"or_filter": {"filters": [NOT_HC, {"response_flag_filter": {"flags": ["nope"]}}]}}]}}},
    "filter-two": {"filter": {"not_health_check_filter": {}, "traceable_filter": {}}}, "filter-flags-none": {"filter": {"response_flag_filter": {}}},
    "filter-flags-lower": {"filter": {"response_flag_filter": {"flags": ["uf"]}}},
    "filter-runtime-denominator": {"filter": {"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": 5, "denominator": 4}}}},
    "filter-runtime-no-percent": {"filter": {"runtime_filter": {"runtime_key": "k"}}}, "filter-grpc-none": {"filter": {"grpc_status_filter": {}}},
    "filter-grpc-99": {"filter": {"grpc_status_filter": {"statuses": [99]}}}, "filter-log-type": {"filter": {"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}}},
    "filter-log-type-99": {"filter": {"log_type_filter": {"types": [99]}}}, "filter-log-type-none": {"filter": {"log_type_filter": {}}},
    "filter-header-bad-regex": {"filter": {"header_filter": {"header": {"name": "a", "string_match": {"safe_regex": {"regex": "("}}}}}},
    "filter-extension-unknown": {"filter": {"extension_filter": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.F"}}}},
    "filter-extension-not-one": {"filter": {"extension_filter": {"name": "x", "typed_config": ROUTER["typed_config"]}}},
})
LOG = {"name": "f", "typed_config": {"@type": FILE_LOG, "path": "/dev/null"}}
field_table("mean-hcm-log", hcm, {
    "access_log": [[LOG, LOG], [dict(LOG, name="")], [{"typed_config": LOG["typed_config"]}], [{"name": "envoy.access_loggers.file"}], [{}], [dict(LOG, nonsense=1)]],
    "access_log_options": [{}, {"access_log_flush_interval": "0s"}, {"access_log_flush_interval": "0.001s"}, {"flush_access_log_on_new_request": True}, {"access_log_flush_interval": "0.0005s"}],
    "access_log_flush_interval": ["1s", "0s"],
    "flush_access_log_on_new_request": [True],
})
case("mean-hcm-log/flush-twice", hcm(access_log_flush_interval="1s", access_log_options={"access_log_flush_interval": "1s"}))
case("mean-hcm-log/new-request-twice", hcm(flush_access_log_on_new_request=True, access_log_options={"flush_access_log_on_new_request": True}))
table("mean-local-reply", local_reply, {
    "mapper-body-file": {"mappers": [{"filter": STATUS_500, "body": {"filename": "/dev/null"}}]}, "mapper-body-file-missing": {"mappers": [{"filter": STATUS_500, "body": {"filename": "/nonexistent"}}]},
    "mapper-body-empty": {"mappers": [{"filter": STATUS_500, "body": {}}]}, "mapper-header-protected": {"mappers": [{"filter": STATUS_500, "headers_to_add": [{"header": {"key": ":status", "value": "1"}}]}]},
    "mapper-1001-headers": {"mappers": [{"filter": STATUS_500, "headers_to_add": [{"header": {"key": f"h{n}", "value": "v"}} for n in range(1001)]}]},
    "mapper-empty-filter": {"mappers": [{"filter": {}}]}, "mapper-twice": {"mappers": [{"filter": STATUS_500}, {"filter": STATUS_500}]},
    "format-empty": {"body_format": {}}, "format-json": {"body_format": {"json_format": {"a": "%LOCAL_REPLY_BODY%"}, "content_type": "application/problem+json"}},
    "status-200": {"mappers": [{"filter": STATUS_500, "status_code": 200}]}, "status-599": {"mappers": [{"filter": STATUS_500, "status_code": 599}]},
})

# --- connection manager ----------------------------------------------------------------------------------------------------

field_table("mean-hcm", hcm, {
    "codec_type": ["http1", 1, "HTTP3"], "server_name": ["", "x" * 1000], "via": [""], "max_request_headers_kb": [-1, "60", 60.0, 8192.5], "xff_num_trusted_hops": [-1, 4294967295],
    "stream_idle_timeout": ["0.0001s", "400000000000s"], "request_headers_timeout": ["10s"], "delayed_close_timeout": ["-1s", "5s"], "drain_timeout": ["-1s", "0.5s"],
    "scheme_header_transformation": [{}, {"scheme_to_overwrite": ""}, {"scheme_to_overwrite": "HTTP"}, {"match_upstream": True}],
    "common_http_protocol_options": [{"idle_timeout": "-1s"}, {"max_connection_duration": "0s"}, {"max_requests_per_connection": 0}, {"max_response_headers_kb": 0},
                                     {"max_response_headers_kb": 8192}, {"max_response_headers_kb": 8193}, {"max_headers_count": 4294967295}, {"max_stream_duration": "0s"},
                                     {"max_connection_duration_jitter": {"value": 50}}, {"max_connection_duration_jitter": {"value": 101}}],
    "http_protocol_options": [{"allow_chunked_length": True}, {"enable_trailers": True}, {"allow_absolute_url": False}, {"allow_absolute_url": None}, {"send_fully_qualified_url": False},
                              {"use_balsa_parser": False}, {"allow_custom_methods": False}, {"default_host_for_http_10": "h\n"}, {"ignore_http_11_upgrade": []},
                              {"override_stream_error_on_invalid_http_message": True}],
    "internal_address_config": [{"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 33}]}, {"cidr_ranges": [{"address_prefix": "10.0.0.0"}]}, {"cidr_ranges": [{"address_prefix": ""}]},
                                {"cidr_ranges": [{"address_prefix": "::", "prefix_len": 0}]}, {"cidr_ranges": [{"address_prefix": "10.1.2.3", "prefix_len": 8}]},
                                {"cidr_ranges": [{"address_prefix": "10.0.0.0/8"}]}, {"cidr_ranges": [{"address_prefix": "::ffff:10.0.0.0", "prefix_len": 104}]}],
    "upgrade_configs": [[{"upgrade_type": "websocket", "enabled": False}], [{"upgrade_type": ""}], [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]],
    "tracing": [{"overall_sampling": {"value": -1}}, {"custom_tags": [{"tag": "a", "literal": {"value": "b"}}]}, {"custom_tags": [{"tag": "a"}]}, {"custom_tags": [{"tag": ""}]},
                {"provider": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.T"}}}, {"provider": {"name": "x", "typed_config": ROUTER["typed_config"]}}],
    "request_id_extension": [{}, {"typed_config": {"@type": TYPE + "extensions.request_id.uuid.v3.UuidRequestIdConfig"}},
                             {"typed_config": {"@type": TYPE + "extensions.request_id.uuid.v3.UuidRequestIdConfig", "pack_trace_reason": False}},
                             {"typed_config": {"@type": "type.googleapis.com/acme.Id"}}, {"typed_config": ROUTER["typed_config"]}],
    "proxy_status_config": [{}, {"use_node_id": True}, {"literal_proxy_name": "p"}, {"use_node_id": True, "literal_proxy_name": "p"}],
    "set_current_client_cert_details": [{}, {"subject": True}], "forward_client_cert_details": ["FORWARD_ONLY"],
    "path_normalization_options": [{}], "strip_any_host_port": [True], "append_x_forwarded_port": [True], "proxy_100_continue": [True], "stream_flush_timeout": ["1s", "-1s"],
    "normalize_path": [None, False], "use_remote_address": [None, False], "add_user_agent": [True], "http1_safe_max_connection_duration": [True],
    "early_header_mutation_extensions": [[{"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.M"}}], []],
    "http3_protocol_options": [{}], "route_config": [{"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a"}, "x": {"y": 1}}]}]}],
    "http_filters": [[dict(ROUTER, name="anything")], [dict(ROUTER, name="a"), dict(ROUTER, name="a")], [dict(ROUTER, typed_config=change(ROUTER["typed_config"], {"nonsense": 1}))],
                     [dict(ROUTER, typed_config=change(ROUTER["typed_config"], {"strict_check_headers": ["x-envoy-max-retries"]}))],
                     [dict(ROUTER, typed_config=change(ROUTER["typed_config"], {"strict_check_headers": ["x-other"]}))],
                     [dict(ROUTER, typed_config=change(ROUTER["typed_config"], {"upstream_http_filters": [{"name": "envoy.filters.http.upstream_codec", "typed_config": {
                         "@type": TYPE + "extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}]}))],
                     [dict(ROUTER, typed_config=change(ROUTER["typed_config"], {"dynamic_stats": False, "suppress_envoy_headers": True}))],
                     [{"name": "r", "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": ROUTER["typed_config"]["@type"], "value": {"suppress_envoy_headers": True}}}],
                     [{"name": "r", "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": ROUTER["typed_config"]["@type"], "value": {"nonsense": True}}}],
                     [{"name": "r", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {}}}],
                     [{"name": "r", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Any", "value": {"@type": ROUTER["typed_config"]["@type"]}}}],
                     [{"name": "r", "typed_config": {"@type": TYPE + "config.core.v3.TypedExtensionConfig", "name": "x", "typed_config": ROUTER["typed_config"]}}],
                     [dict(ROUTER, typed_config={"@type": "/" + ROUTER["typed_config"]["@type"].split("/")[1]})],
                     [dict(ROUTER, typed_config={"@type": "example.com/any/" + ROUTER["typed_config"]["@type"].split("/")[1]})],
                     [dict(ROUTER, typed_config={"@type": ROUTER["typed_config"]["@type"] + "x"})], [dict(ROUTER, is_optional=True)], [dict(ROUTER, config_discovery={"config_source": {"ads": {}}})]],
})
case("mean-hcm/rds-and-route-config", hcm(rds={"route_config_name": "r", "config_source": {"path_config_source": {"path": "/dev/null"}}}))
case("mean-hcm/two-connection-managers", listeners(listener(hcm_filter(), hcm_filter())))
case("mean-hcm/any-deep-unknown-field", hcm(access_log=[{"name": "f", "typed_config": {"@type": FILE_LOG, "path": "/dev/null", "log_format": {"text_format_source": {"inline_text": "x"}}}}]))

# --- clusters ----------------------------------------------------------------------------------------------------------------

field_table("mean-cluster", one_cluster, {
    "connect_timeout": ["0.5ms", "0.000000000s", "0.0005s", "5m"], "lb_policy": ["", 7, "ORIGINAL_DST_LB"], "per_connection_buffer_limit_bytes": [2147483648],
    "circuit_breakers": [{"thresholds": [{"max_connections": 4294967295}]}, {"thresholds": [{"priority": "DEFAULT"}, {"priority": "DEFAULT", "max_requests": 1}]}, {"thresholds": [{}, {}]},
                         {"thresholds": [{"retry_budget": {}}]}, {"thresholds": [{"retry_budget": {"budget_percent": {"value": -1}}}]}, {"thresholds": [{"retry_budget": {"min_retry_concurrency": 0}}]},
                         {"thresholds": [{"max_connection_pools": 0}]}, {"per_host_thresholds": [{"max_connections": 5}]}, {"per_host_thresholds": [{"max_requests": 5}]}, {"threshold": []}],
    "common_lb_config": [{"healthy_panic_threshold": {"value": -1}}, {"healthy_panic_threshold": {}}, {"zone_aware_lb_config": {}, "locality_weighted_lb_config": {}},
                         {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}, {"zone_aware_lb_config": {"routing_enabled": {"value": 101}}}, {"update_merge_window": "0s"},
                         {"close_connections_on_host_set_change": True}, {"override_host_status": {"statuses": [77]}}],
    "least_request_lb_config": [{"choice_count": 0}, {"choice_count": 4294967295}, {}, {"active_request_bias": {"default_value": -1.0, "runtime_key": "k"}}, {"active_request_bias": {"runtime_key": ""}}],
    "dns_jitter": ["0s", "1s", "-1s"], "dns_refresh_rate": ["1ns", "0.0009s"], "dns_failure_refresh_rate": [{"base_interval": "0.0001s"}, {"base_interval": "1s", "max_interval": "1s"}, {"max_interval": "5s"}],
    "max_requests_per_connection": [0, 5], "upstream_connection_options": [{"tcp_keepalive": {"keepalive_probes": 0}}, {"tcp_keepalive": {"keepalive_time": -1}}, {"happy_eyeballs_config": {}},
                                                                          {"happy_eyeballs_config": {"first_address_family_count": 0}}],
    "upstream_bind_config": [{"source_address": {"address": "::1", "port_value": 0}}, {"source_address": {"address": "", "port_value": 0}}, {"source_address": {"address": "127.0.0.1"}},
                             {"source_address": {"address": "127.0.0.1", "port_value": 65536}}, {"freebind": True}],
    "typed_extension_protocol_options": [{HTTP_OPTIONS: {}}, {HTTP_OPTIONS: {"@type": "type.googleapis.com/acme.O"}}, {HTTP_OPTIONS: ROUTER["typed_config"]}, {"": {"@type": TYPE + HTTP_OPTIONS[6:]}},
                                         {HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS[6:], "nonsense": 1}},
                                         {HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS[6:], "explicit_http_config": {"http_protocol_options": {"nonsense": 1}}}}],
    "load_balancing_policy": [{"policies": [{"typed_extension_config": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.P"}}},
                                            {"typed_extension_config": {"name": "y", "typed_config": {"@type": TYPE + "extensions.load_balancing_policies.random.v3.Random"}}}]},
                              {"policies": [{"typed_extension_config": {"name": "", "typed_config": {"@type": TYPE + "extensions.load_balancing_policies.random.v3.Random"}}}]},
                              {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {"@type": TYPE + "extensions.load_balancing_policies.random.v3.Random", "x": 1}}}]},
                              {"policies": [{"typed_extension_config": {"name": "x", "typed_config": ROUTER["typed_config"]}}]},
                              {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {"@type": TYPE + "extensions.load_balancing_policies.round_robin.v3.RoundRobin", "locality_lb_config": {}}}}]},
                              {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {"@type": TYPE + "extensions.load_balancing_policies.round_robin.v3.RoundRobin",
                                                                                                    "locality_lb_config": {"locality_weighted_lb_config": {}, "zone_aware_lb_config": {}}}}}]}],
    "transport_socket": [{"name": "raw", "typed_config": {"@type": TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer", "x": 1}}, {}, {"name": "envoy.transport_sockets.raw_buffer"}],
    "eds_cluster_config": [{}, {"service_name": "x"}], "preconnect_policy": [{}, {"predictive_preconnect_ratio": 0.5}], "lrs_report_endpoint_metrics": [["a"]], "lrs_server": [{"self": {}}, {"ads": {}}, {}, {"self": {"x": 1}}],
    "transport_socket_matches": [[], [{"name": "m", "match": {}, "transport_socket": {"name": "raw"}}]], "protocol_selection": ["USE_DOWNSTREAM_PROTOCOL", "USE_CONFIGURED_PROTOCOL"],
    "typed_dns_resolver_config": [{"name": "c", "typed_config": {"@type": TYPE + "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"}}, {"name": "c"},
                                  {"name": "c", "typed_config": {"@type": "type.googleapis.com/acme.D"}}, {"name": "", "typed_config": {
                                      "@type": TYPE + "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"}}, {"name": "c", "typed_config": ROUTER["typed_config"]}],
    "http_protocol_options": [{"enable_trailers": True}, {"x": 1}], "common_http_protocol_options": [{"idle_timeout": "1s"}, {"max_headers_count": 0}],
})
case("mean-cluster/deprecated-and-typed-options", one_cluster(common_http_protocol_options={"idle_timeout": "1s"}, typed_extension_protocol_options={
    HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS[6:], "explicit_http_config": {"http_protocol_options": {}}}}))
case("mean-cluster/many", clusters(*[cluster(f"c{n}") for n in range(300)]))
case("mean-cluster/strict-dns-ip", one_cluster(type="STRICT_DNS"))
case("mean-cluster/logical-dns-none", one_cluster(type="LOGICAL_DNS", load_assignment=assignment(endpoints=[])))
case("mean-cluster/logical-dns-two-localities", one_cluster(type="LOGICAL_DNS", load_assignment={"cluster_name": "a", "endpoints": [{"lb_endpoints": [endpoint(80, "localhost")]}, {"lb_endpoints": []}]}))
case("mean-cluster/logical-dns-weight", one_cluster(type="LOGICAL_DNS", load_assignment=assignment(endpoint(80, "localhost", load_balancing_weight=7))))
case("mean-cluster/strict-dns-pipe", one_cluster(type="STRICT_DNS", load_assignment=assignment({"endpoint": {"address": {"pipe": {"path": "/tmp/x"}}}})))
case("mean-cluster/logical-dns-pipe", one_cluster(type="LOGICAL_DNS", load_assignment=assignment({"endpoint": {"address": {"pipe": {"path": "/tmp/x"}}}})))
case("mean-cluster/eds-slash-name", one_cluster(**EDS, eds_cluster_config={"service_name": "xdstp://a/b", "eds_config": {"path_config_source": {"path": "/dev/null"}}}))
case("mean-cluster/eds-empty-source", one_cluster(**EDS, eds_cluster_config={"eds_config": {}}))
case("mean-cluster/eds-self", one_cluster(**EDS, eds_cluster_config={"eds_config": {"self": {}}}))
case("mean-cluster/eds-path-missing", one_cluster(**EDS, eds_cluster_config={"eds_config": {"path": "/nonexistent"}}))
case("mean-cluster/eds-path-v2", one_cluster(**EDS, eds_cluster_config={"eds_config": {"path_config_source": {"path": "/dev/null"}, "resource_api_version": "V2"}}))

# --- endpoints -----------------------------------------------------------------------------------------------------------------

field_table("mean-endpoint", one_endpoint, {
    "health_status": ["UNHEALTHY", "TIMEOUT", "DEGRADED", "UNKNOWN", 0, 3, "healthy", None], "load_balancing_weight": [-1, "5", 4294967296, None],
    "host": ["::", "fe80::1%lo", "[::1]", "127.0.0.1:80", " 127.0.0.1", "127.1", "2130706433", "0x7f.1", "\u0661.0.0.1", "256.1.1.1", "255.255.255.255", "224.0.0.1"],
    "endpoint": [{"address": address(), "hostname": ""}, {"address": address(), "hostname": "a b"}, {"address": address(), "health_check_config": {"hostname": "x", "port_value": 1}},
                 {"address": address(), "health_check_config": {"address": address(0, "nowhere")}}, {"address": {"pipe": {"path": "@abstract"}}}, {"address": {"pipe": {"path": "x" * 107}}},
                 {"address": {"pipe": {"path": "x" * 108}}}, {"address": {"pipe": {"path": "/tmp/x", "mode": 511}}}, {"address": {"pipe": {"path": "/tmp/x", "mode": 512}}},
                 {"address": address(), "additional_addresses": []}, {"address": address(resolver_name="x")}, {"address": address(), "observability_name": "o"}, {"address": None},
                 {"address": {"socket_address": {"port_value": 80}}}, {"address": {"socket_address": None}}],
    "endpoint_name": ["e"],
    "metadata": [{}, {"filter_metadata": {"": {}}}, {"typed_filter_metadata": {"a": ROUTER["typed_config"]}}, {"typed_filter_metadata": {"a": {"@type": "type.googleapis.com/acme.M"}}}],
})
PLACE = {"lb_endpoints": [endpoint()]}
for name, items in {"priority-127-alone": [dict(PLACE, priority=127)], "priority-negative": [dict(PLACE, priority=-1)], "priority-text": [dict(PLACE, priority="1")],
                    "weights-sum": [dict(PLACE, load_balancing_weight=4294967295, locality={"zone": "a"}), dict(PLACE, load_balancing_weight=1, locality={"zone": "b"})],
                    "same-locality-other-priority": [dict(PLACE, locality={"zone": "z"}), dict(PLACE, locality={"zone": "z"}, priority=1)], "no-endpoints": [{"locality": {"zone": "z"}}],
                    "same-endpoint-twice": [{"lb_endpoints": [endpoint(), endpoint()]}], "same-endpoint-two-priorities": [PLACE, dict(PLACE, priority=1)],
                    "proximity": [dict(PLACE, proximity=5)], "metadata": [dict(PLACE, metadata={"filter_metadata": {"a": {}}})],
                    "leds": [{"leds_cluster_locality_config": {"leds_config": {"ads": {}}, "leds_collection_name": "x"}}], "load-balancer-endpoints": [{"load_balancer_endpoints": {"lb_endpoints": [endpoint()]}}],
                    "unknown-field": [{"lb_endpoints": [dict(endpoint(), port=5)]}], "null": [None]}.items():
    case(f"mean-locality/{name}", localities(*items))
for name, policy in {"overprovisioning-max": {"overprovisioning_factor": 4294967295}, "overprovisioning-1": {"overprovisioning_factor": 1}, "stale-0": {"endpoint_stale_after": "0s"},
                     "weighted-health": {"weighted_priority_health": True}, "empty": {}, "deprecated": {"disable_overprovisioning": True}, "drop-empty": {"drop_overloads": []},
                     "stale": {"endpoint_stale_after": "5s"}}.items():
    case(f"mean-assignment/{name}", one_cluster(load_assignment=assignment(policy=policy)))

# --- listeners, bootstrap, sources ------------------------------------------------------------------------------------------------

CHAIN = {"filters": [hcm_filter()]}
field_table("mean-listener", one_listener, {
    "name": ["a/b", "x" * 500], "stat_prefix": ["", "a b"], "tcp_backlog_size": [0, 4294967295, -1], "tcp_fast_open_queue_length": [0, 5], "per_connection_buffer_limit_bytes": [-1, "1024"],
    "address": [address(0, "::", ipv4_compat=True), address(0, "::1", ipv4_compat=True), address(0, protocol="UDP"), {"pipe": {"path": "/tmp/never.sock", "mode": 384}}, address(port_value=MISSING),
                address(0, "0.0.0.0"), address(0, "127.0.0.1", resolver_name="x"), {"socket_address": {"address": "127.0.0.1", "named_port": "http"}}],
    "additional_addresses": [[{"address": address(0, "localhost")}], [{"address": address(18)}, {"address": address(18)}], [{"address": address(0, protocol="UDP")}],
                             [{"address": address(0), "socket_options": {"socket_options": []}}], [{"address": address(0), "tcp_keepalive": {}}]],
    "socket_options": [[], [{}], [{"level": 6, "name": 1, "buf_value": "AQAAAA=="}], [{"level": 6, "name": 1, "int_value": 1, "buf_value": "AQ=="}], [{"level": "6", "name": "1", "int_value": "1"}],
                       [{"level": 6, "name": 1, "int_value": 99999999999}], [{"level": 6, "name": 1, "int_value": 1, "type": {"datagram": {}}}], [{"level": 6, "name": 1, "buf_value": ""}]],
    "listener_filters": [[]], "use_original_dst": [False], "tcp_keepalive": [{}], "enable_mptcp": [False], "api_listener": [{"api_listener": hcm_filter()["typed_config"]}],
    "connection_balance_config": [{"extend_balance": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.B"}}}, {"extend_balance": {"name": "x", "typed_config": ROUTER["typed_config"]}}],
    "filter_chains": [[CHAIN, CHAIN], [dict(CHAIN, name="a"), dict(CHAIN, name="a")], [dict(CHAIN, filter_chain_match={})], [dict(CHAIN, transport_socket_connect_timeout="1s")],
                      [dict(CHAIN, transport_socket_connect_timeout="0s")], [dict(CHAIN, use_proxy_proto=False)], [dict(CHAIN, metadata={"filter_metadata": {"a": {}}})], [dict(CHAIN, nonsense=1)],
                      [dict(CHAIN, transport_socket={"name": "raw", "typed_config": {"@type": TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer"}})],
                      [dict(CHAIN, transport_socket={"name": "nobody"})], [dict(CHAIN, transport_socket={"name": "x", "typed_config": ROUTER["typed_config"]})]],
    "default_filter_chain": [CHAIN, dict(CHAIN, filter_chain_match={"destination_port": 5})], "access_log": [[LOG], []], "reuse_port": [True, False], "deprecated_v1": [{"bind_to_port": False}],
    "bind_to_port": [None, "x"], "continue_on_listener_filters_timeout": [True], "drain_type": ["DEFAULT", "MODIFY"], "nonsense": [1],
})
case("mean-listener/unnamed-twice", listeners(listener(hcm_filter(), name=""), listener(hcm_filter(), name="")))
case("mean-listener/same-name-other-address", listeners(listener(hcm_filter()), listener(hcm_filter(), address=address(19))))
case("mean-listener/same-port-any", listeners(listener(hcm_filter(), name="a", address=address(18, "0.0.0.0")), listener(hcm_filter(), name="b", address=address(18))))
case("mean-listener/same-pipe", listeners(listener(hcm_filter(), name="a", address={"pipe": {"path": "@fl-x"}}), listener(hcm_filter(), name="b", address={"pipe": {"path": "@fl-x"}})))
case("mean-listener/default-chain-only", listeners(listener(filter_chains=MISSING, default_filter_chain=CHAIN)))
case("mean-listener/additional-equals-main", listeners(listener(hcm_filter(), address=address(18), additional_addresses=[{"address": address(18)}])))
table("mean-bootstrap", bootstrap, {
    "node-empty": {"node": {}}, "node-unknown-field": {"node": {"id": "a", "name": "b"}}, "node-metadata-list": {"node": {"metadata": []}}, "node-params": {"node": {"dynamic_parameters": {"a": {"params": {"b": "c"}}}}},
    "node-listening": {"node": {"listening_addresses": [address(0)]}}, "node-extensions": {"node": {"extensions": [{"name": "x", "category": "y"}]}},
    "node-version": {"node": {"user_agent_version": "1", "user_agent_build_version": {"version": {"major_number": 1}}}},
    "node-version-twice": {"node": {"user_agent_build_version": {"version": {"major_number": 1}}}},
    "admin-null": {"admin": None}, "admin-pipe": {"admin": {"address": {"pipe": {"path": "@fl-admin"}}}}, "admin-access-log-path": {"admin": {"access_log_path": "/dev/null", "address": address(0)}},
    "admin-profile": {"admin": {"address": address(0), "profile_path": "/tmp/x"}}, "admin-unknown": {"admin": {"adress": address(0)}}, "admin-log-unwritable": {"admin": {"address": address(0), "access_log": [
        {"name": "f", "typed_config": {"@type": FILE_LOG, "path": "/nonexistent/x"}}]}},
    "admin-ignore-limit": {"admin": {"address": address(0), "ignore_global_conn_limit": True}}, "admin-allow-paths": {"admin": {"address": address(0), "allow_paths": [{"exact": "/ready"}]}},
    "runtime-null": {"layered_runtime": {"layers": [{"name": "a", "static_layer": None}]}}, "runtime-list": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {"k": [1]}}]}},
    "runtime-key-null": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {"k": None}}]}}, "runtime-text": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {"k": "text"}}]}},
    "runtime-fraction": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {"k": {"numerator": 1, "denominator": "NOPE"}}}]}}, "runtime-deep": {"layered_runtime": {"layers": [
        {"name": "a", "static_layer": {"k": {"b": {"c": {"d": 1}}}}}]}},
    "runtime-unknown-reloadable": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {"envoy.reloadable_features.no_such_thing": True}}]}},
    "runtime-reloadable-text": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {"envoy.reloadable_features.no_such_thing": "maybe"}}]}},
    "runtime-empty": {"layered_runtime": {}}, "runtime-unknown-field": {"layered_runtime": {"layers": [{"name": "a", "static_layer": {}, "x": 1}]}},
    "watchdog-action-unknown": {"watchdogs": {"main_thread_watchdog": {"actions": [{"config": {"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.A"}}, "event": "KILL"}]}}},
    "watchdog-action-not-one": {"watchdogs": {"main_thread_watchdog": {"actions": [{"config": {"name": "x", "typed_config": ROUTER["typed_config"]}, "event": "KILL"}]}}},
    "watchdog-both": {"watchdog": {}, "watchdogs": {}}, "watchdog-zero": {"watchdogs": {"main_thread_watchdog": {"miss_timeout": "0s"}}},
    "stats-tag-twice": {"stats_config": {"stats_tags": [{"tag_name": "t", "regex": "a(.)"}, {"tag_name": "t", "regex": "b(.)"}]}}, "stats-tag-empty": {"stats_config": {"stats_tags": [{}]}},
    "stats-tag-default-name": {"stats_config": {"stats_tags": [{"tag_name": "envoy.cluster_name", "regex": "^a((.))"}]}}, "stats-tag-unknown-default": {"stats_config": {"stats_tags": [{"tag_name": "my.tag"}]}},
    "memory": {"memory_allocator_manager": {"bytes_to_release": 5}}, "memory-interval": {"memory_allocator_manager": {"bytes_to_release": 5, "memory_release_interval": "0s"}},
    "log-format": {"application_log_config": {"log_format": {"text_format": "%v"}}}, "log-format-json": {"application_log_config": {"log_format": {"json_format": {"a": "%v"}}}},
    "log-format-bad": {"application_log_config": {"log_format": {"text_format": "%_ %v"}}}, "grpc-manager": {"grpc_async_client_manager_config": {"max_cached_entry_idle_duration": "5s"}},
    "grpc-manager-1s": {"grpc_async_client_manager_config": {"max_cached_entry_idle_duration": "1s"}}, "deferred-stats": {"deferred_stat_options": {"enable_deferred_creation_stats": True}},
    "dns-resolver": {"typed_dns_resolver_config": {"name": "c", "typed_config": {"@type": TYPE + "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", "query_timeout_seconds": 5}}},
    "dns-resolver-tries-0": {"typed_dns_resolver_config": {"name": "c", "typed_config": {"@type": TYPE + "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", "query_tries": 0}}},
    "dns-resolver-edns": {"typed_dns_resolver_config": {"name": "c", "typed_config": {"@type": TYPE + "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", "edns0_max_payload_size": 100}}},
    "tcp-dns": {"use_tcp_for_dns_lookups": False}, "null": {"static_resources": None}, "hidden-version": {"stats_server_version_override": 5}, "affinity": {"enable_worker_cpu_affinity": False},
    "header-prefix-same": {"header_prefix": "x-envoy"}, "cluster-manager-empty": {"cluster_manager": {}}, "cluster-manager-outlier": {"cluster_manager": {"outlier_detection": {"event_log_path": "/dev/null"}}},
    "cluster-manager-bind": {"cluster_manager": {"upstream_bind_config": {"source_address": {"address": "127.0.0.1", "port_value": 0}}}},
    "cluster-manager-deferred": {"cluster_manager": {"enable_deferred_cluster_creation": True}}, "stats-eviction": {"stats_eviction_interval": "5s"}, "stats-eviction-0": {"stats_eviction_interval": "0s"},
})
table("mean-dynamic", dynamic, {
    "initial-metadata": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "initial_metadata": [{"key": "k", "value": "%ENVIRONMENT(PATH)%"}]}]})},
    "initial-metadata-raw": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "initial_metadata": [{"key": "k", "raw_value": "Yg=="}]}]})},
    "initial-metadata-bad-operator": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "initial_metadata": [{"key": "k", "value": "%NOPE%"}]}]})},
    "initial-metadata-protected": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "initial_metadata": [{"key": ":path", "value": "x"}]}]})},
    "initial-metadata-no-key": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "initial_metadata": [{"value": "x"}]}]})},
    "grpc-timeout": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "timeout": "5s"}]})},
    "two-services": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}}] * 2})},
    "authority-newline": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a", "authority": "a\n"}}]})},
    "authority": {"ads_config": change(ADS, {"grpc_services": [{"envoy_grpc": {"cluster_name": "a", "authority": "a.example"}}]})},
    "google-grpc": {"ads_config": change(ADS, {"grpc_services": [{"google_grpc": {"target_uri": "127.0.0.1:1", "stat_prefix": "x"}}]})},
    "cluster-names-with-grpc": {"ads_config": change(ADS, {"cluster_names": ["a"]})}, "aggregated": {"ads_config": change(ADS, {"api_type": "AGGREGATED_GRPC"})},
    "cds-aggregated": {"cds_config": {"api_config_source": change(ADS, {"api_type": "AGGREGATED_GRPC"})}}, "lds-delta": {"lds_config": {"api_config_source": change(ADS, {"api_type": "DELTA_GRPC"})}},
    "fetch-timeout-0": {"lds_config": {"ads": {}, "initial_fetch_timeout": "0s"}, "ads_config": ADS},
    "resource-v2": {"lds_config": {"ads": {}, "resource_api_version": "V2"}, "ads_config": ADS}, "request-timeout": {"ads_config": change(ADS, {"request_timeout": "1s"})},
    "unknown-field": {"ads_config": change(ADS, {"grpc_service": []})}, "validators-unknown": {"ads_config": change(ADS, {"config_validators": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/acme.V"}}]})},
    "locator": {"cds_resources_locator": "xdstp://a/b"},
})


def load_stats(**changes):
    return change(DYNAMIC, {"cluster_manager": {"load_stats_config": change(ADS, changes)}})


table("mean-load-stats", load_stats, {
    "plain": {}, "delta": {"api_type": "DELTA_GRPC"}, "rest": {"api_type": "REST", "grpc_services": MISSING, "cluster_names": ["a"]}, "api-type-missing": {"api_type": MISSING},
    "aggregated": {"api_type": "AGGREGATED_GRPC"}, "transport-auto": {"transport_api_version": MISSING}, "transport-v2": {"transport_api_version": "V2"},
    "unknown-cluster": {"grpc_services": [{"envoy_grpc": {"cluster_name": "b"}}]}, "no-services": {"grpc_services": MISSING}, "empty-service": {"grpc_services": [{}]},
    "no-cluster-name": {"grpc_services": [{"envoy_grpc": {}}]}, "two-services": {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}}] * 2}, "cluster-names-with-grpc": {"cluster_names": ["a"]},
    "initial-metadata": {"grpc_services": [{"envoy_grpc": {"cluster_name": "a"}, "initial_metadata": [{"key": "k", "value": "v"}]}]},
    "google-grpc": {"grpc_services": [{"google_grpc": {"target_uri": "127.0.0.1:1", "stat_prefix": "x"}}]},
})
case("mean-load-stats/no-node", change(load_stats(), {"node": MISSING}))
case("mean-load-stats/null", bootstrap(cluster_manager={"load_stats_config": None}))
case("mean-load-stats/empty", bootstrap(cluster_manager={"load_stats_config": {}}))
for name, source in {"self": {"self": {}}, "two-kinds": {"ads": {}, "path": "/dev/null"}, "path": {"path": "/dev/null"}, "path-missing": {"path": "/nonexistent"}, "empty": {},
                     "watched": {"path_config_source": {"path": "/dev/null", "watched_directory": {"path": "/tmp"}}},
                     "watched-missing": {"path_config_source": {"path": "/dev/null", "watched_directory": {"path": "/nonexistent"}}},
                     "watched-empty": {"path_config_source": {"path": "/dev/null", "watched_directory": {}}}}.items():
    case(f"mean-cds/{name}", bootstrap(dynamic_resources={"cds_config": source}))
case("mean-dynamic/lds-self", bootstrap(dynamic_resources={"lds_config": {"self": {}}}))
case("mean-dynamic/empty", bootstrap(dynamic_resources={}))
for name, changes in {"plain-http1": {"typed_extension_protocol_options": MISSING}, "eds": change(EDS, {"eds_cluster_config": {"eds_config": {"path_config_source": {"path": "/dev/null"}}}}),
                      "no-endpoints": {"load_assignment": MISSING}, "ring-hash": {"lb_policy": "RING_HASH"}, "maglev": {"lb_policy": "MAGLEV"}, "deprecated-http2": {"http2_protocol_options": {},
                      "typed_extension_protocol_options": MISSING}, "breakers": {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}, "strict-dns": {"type": "STRICT_DNS"},
                      "health-check": {"health_checks": [{"timeout": "1s", "interval": "1s", "unhealthy_threshold": 2, "healthy_threshold": 2, "grpc_health_check": {}}]},
                      "unhealthy-endpoint": {"load_assignment": assignment(endpoint(health_status="UNHEALTHY"))}, "tls-no-ca": {"transport_socket": {"name": "tls", "typed_config": {
                          "@type": TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext"}}}, "tls-ca-missing": {"transport_socket": {"name": "tls", "typed_config": {
                              "@type": TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {"validation_context": {"trusted_ca": {"filename": "/nonexistent.pem"}}}}}},
                      "tls-ca-garbage": {"transport_socket": {"name": "tls", "typed_config": {"@type": TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                          "common_tls_context": {"validation_context": {"trusted_ca": {"inline_string": "x"}}}}}},
                      "http2-windows": {"typed_extension_protocol_options": {HTTP_OPTIONS: change(H2[HTTP_OPTIONS], {"explicit_http_config": {"http2_protocol_options": {
                          "initial_stream_window_size": 65536, "initial_connection_window_size": 65536, "max_concurrent_streams": 100}}})}},
                      "http2-keepalive": {"typed_extension_protocol_options": {HTTP_OPTIONS: change(H2[HTTP_OPTIONS], {"explicit_http_config": {"http2_protocol_options": {
                          "connection_keepalive": {"interval": "30s", "timeout": "5s"}}}})}}, "common-options": {"typed_extension_protocol_options": {HTTP_OPTIONS: change(H2[HTTP_OPTIONS], {
                              "common_http_protocol_options": {"idle_timeout": "1s"}})}}}.items():
    case(f"mean-stream-cluster/{name}", {"node": NODE, "static_resources": {"clusters": [cluster(**change({"typed_extension_protocol_options": H2}, changes))]}, "dynamic_resources": {"ads_config": ADS}})
case("mean-dynamic/lds-path-no-node", {"static_resources": {"clusters": [cluster()]}, "dynamic_resources": {"lds_config": {"path_config_source": {"path": "/dev/null"}}}})
case("mean-dynamic/rds-grpc-no-node", change(hcm(route_config=MISSING, rds={"route_config_name": "r", "config_source": {"api_config_source": ADS}}), {"node": MISSING}))
case("mean-dynamic/rds-path-no-node", change(hcm(route_config=MISSING, rds={"route_config_name": "r", "config_source": {"path_config_source": {"path": "/dev/null"}}}), {"node": MISSING}))
case("mean-dynamic/stream-cluster-in-route", {"node": NODE, "static_resources": {"listeners": [listener(hcm_filter())], "clusters": [cluster(typed_extension_protocol_options=H2)]}, "dynamic_resources": {"ads_config": ADS}})

# --- virtual hosts -----------------------------------------------------------------------------------------------------------------

field_table("mean-virtual-host", virtual_host, {
    "domains": [["*a"], ["a*"], ["**"], ["*.*"], ["."], ["*", "a"], ["[::1]"], ["a b"], ["\u00e9.example"], ["x" * 300], [" "], ["a.example."], ["*:80"], [None], [5]],
    "require_tls": ["EXTERNAL_ONLY", 2], "retry_policy": [{"retry_back_off": {"base_interval": "0s"}}, {"nonsense": 1}],
    "include_attempt_count_in_response": [True], "include_is_timeout_retry_header": [True], "request_mirror_policies": [[{"cluster": "unknown"}], [{"cluster": "a"}]],
    "per_request_buffer_limit_bytes": [0, -1], "request_body_buffer_limit": [5, "5", -1, "18446744073709551615"],
    "typed_per_filter_config": [{"x": {"@type": TYPE + "config.route.v3.FilterConfig", "disabled": True}}, {"x": {"@type": TYPE + "config.route.v3.FilterConfig", "is_optional": True}},
                                {"x": {"@type": TYPE + "config.route.v3.FilterConfig"}}, {"x": {"@type": TYPE + "config.route.v3.FilterConfig", "config": ROUTER["typed_config"]}},
                                {"x": {"@type": TYPE + "config.route.v3.FilterConfig", "is_optional": True, "config": {"@type": "type.googleapis.com/acme.P"}}},
                                {"envoy.filters.http.router": ROUTER["typed_config"]}, {"x": {}}, {"x": None}],
    "virtual_clusters": [[{"name": "v", "headers": [{"name": ""}]}], [{"name": "v", "headers": [{"name": "a", "string_match": {"safe_regex": {"regex": "("}}}]}], [{"headers": [{"name": "a"}]}]],
    "metadata": [{}], "cors": [{}], "matcher": [{}],
})
case("mean-virtual-host/limits-twice", virtual_host(per_request_buffer_limit_bytes=1, request_body_buffer_limit=2))
case("mean-virtual-host/wildcard-suffix-twice", hcm(route_config=route_table(host(domains=["*.a"]), host(name="w", domains=["*.A"]))))
case("mean-virtual-host/prefix-and-suffix", hcm(route_config=route_table(host(domains=["a.*"]), host(name="w", domains=["*.a"]))))
case("mean-virtual-host/star-twice", hcm(route_config=route_table(host(), host(name="w"), host(name="u"))))
case("mean-virtual-host/route-name-twice", routes(route(name="n"), route(name="n")))
case("mean-virtual-host/unreachable-route", routes(route(), route(match={"prefix": "/a"})))
case("mean-virtual-host/1000-routes", routes(*[route(match={"path": f"/{n}"}) for n in range(1000)]))
case("mean-virtual-host/no-action", routes({"match": {"prefix": "/"}}))
case("mean-virtual-host/filter-action", routes({"match": {"prefix": "/"}, "filter_action": {"action": {"@type": "type.googleapis.com/acme.A"}}}))
case("mean-virtual-host/per-filter-on-route", routes(route(typed_per_filter_config={"x": {"@type": TYPE + "config.route.v3.FilterConfig", "disabled": True}})))
for field, values in {"internal_only_headers": [[""], ["a b"], ["Host"]], "most_specific_header_mutations_wins": [False], "ignore_path_parameters_in_path_matching": [True, False],
                      "request_headers_to_remove": [["host"], ["a"]], "max_direct_response_body_size_bytes": [0, -1], "validate_clusters": [None, "x"], "vhost_header": ["x"],
                      "typed_per_filter_config": [{"x": {"@type": TYPE + "config.route.v3.FilterConfig", "disabled": True}}], "metadata": [{"filter_metadata": {"a": {}}}], "nonsense": [1]}.items():
    field_table("mean-table", lambda **changes: hcm(route_config=route_table(**changes)), {field: values})

# --- texts ------------------------------------------------------------------------------------------------------------------------

DEEP = "{a: " * 150 + "1" + "}" * 150
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8))
case("mean-yaml/depth", "node: {metadata: " + DEEP + "}\n")
case("mean-yaml/alias-bomb", BOMB)
case("mean-yaml/self-alias", "node: &a {metadata: *a}\n")
case("mean-yaml/nul", "node: {id: \"a\0b\"}\n")
case("mean-yaml/control", "node: {id: a\u0001b}\n")
case("mean-yaml/unclosed-quote", "node: {id: \"a}\n")
case("mean-yaml/wrong-indent", "node:\n  id: a\n cluster: b\n")
case("mean-yaml/key-list", "? [a]\n: b\n")
case("mean-yaml/key-number", "5: {}\n")
case("mean-yaml/key-empty", "\"\": {}\n")
case("mean-yaml/json-trailing-comma", "{\"node\": {\"id\": \"a\",}}\n")
case("mean-yaml/json-comment", "{\"node\": {}} # x\n")
case("mean-yaml/flow-and-text", "{node: {}} x\n")
case("mean-yaml/any-type-twice", "static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: e, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \"@type\": x}}]}]}]}\n")
case("mean-yaml/timestamp", "node: {id: 2001-12-14t21:59:43.10-05:00}\n")
case("mean-yaml/binary-tag", "node: {id: !!binary YQ==}\n")
case("mean-yaml/set-tag", "node: !!set {id}\n")
case("mean-yaml/multiline", "node:\n  id: a\n    b\n")
case("mean-yaml/percent-directive", "%YAML 1.1\n---\nnode: {id: yes}\n")
case("mean-yaml/at-sign", "node: {id: @a}\n")
