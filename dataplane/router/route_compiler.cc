// Route, its matcher and its actions → router::Route; see compiler.h.
#include <algorithm>
#include <limits>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/io/coded_stream.h>

#include "dataplane/router/compiler.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::router {
namespace v3 = envoy::config::route::v3;
namespace {

template <typename T>
std::shared_ptr<const T> shared(const T& proto) {
  return std::make_shared<const T>(proto);
}

}  // namespace

void TableCompiler::route(const v3::Route& proto, const RoutePlace& place) {
  const RouteAction& action = proto.has_route() ? forward(proto.route(), place, proto.name()) : RouteAction::none();
  Route& route = table_->routes_.emplace_back(action, extras(proto, place));
  route.name = text(proto.name());
  route.index = place.index;
  match(proto.match(), place, route);
  switch (proto.action_case()) {
    case v3::Route::kRoute:
      route.action = Route::Action::Forward;
      if (proto.route().cluster_specifier_case() == v3::RouteAction::kCluster) route.cluster = cluster(proto.route().cluster(), [&] { return place(".route.cluster"); });
      break;
    case v3::Route::kRedirect: route.action = Route::Action::Redirect; break;
    case v3::Route::kDirectResponse: route.action = Route::Action::Direct; break;
    case v3::Route::kNonForwardingAction: route.action = Route::Action::NonForwarding; break;
    case v3::Route::kFilterAction: errors_.add(place(".filter_action"), "filter actions are not supported"); break;
    case v3::Route::ACTION_NOT_SET: errors_.add(place(".action"), "one of route, redirect, direct_response must be set"); break;
  }
}

const RouteExtras& TableCompiler::extras(const v3::Route& proto, const RoutePlace& place) {
  const bool some = proto.request_headers_to_add_size() + proto.request_headers_to_remove_size() + proto.response_headers_to_add_size() +
                        proto.response_headers_to_remove_size() != 0 ||
                    !proto.typed_per_filter_config().empty() || proto.has_metadata() || proto.has_request_body_buffer_limit() ||
                    proto.has_per_request_buffer_limit_bytes() || proto.has_redirect() || proto.has_direct_response();
  if (!some) return RouteExtras::none();
  const Path path = place("");
  RouteExtras& extras = table_->extras_.emplace_front();
  if (proto.has_redirect()) redirect(proto.redirect(), path + ".redirect", extras.redirect);
  if (proto.has_direct_response()) direct(proto.direct_response(), path + ".direct_response", extras.direct);
  extras.request_headers = header_ops(proto.request_headers_to_add(), proto.request_headers_to_remove(), path + ".request_headers");
  extras.response_headers = header_ops(proto.response_headers_to_add(), proto.response_headers_to_remove(), path + ".response_headers");
  extras.per_filter = per_filter(proto.typed_per_filter_config(), path + ".typed_per_filter_config");
  if (proto.has_metadata()) extras.metadata = shared(proto.metadata());
  if (proto.has_request_body_buffer_limit()) {
    extras.retry_buffer_limit = proto.request_body_buffer_limit().value();
  } else if (proto.has_per_request_buffer_limit_bytes()) {
    extras.retry_buffer_limit = proto.per_request_buffer_limit_bytes().value();
  }
  return extras;
}

void TableCompiler::match(const v3::RouteMatch& proto, const RoutePlace& place, Route& route) {
  PathMatch& out = route.path;
  out.case_sensitive = !proto.has_case_sensitive() || proto.case_sensitive().value();
  switch (proto.path_specifier_case()) {
    case v3::RouteMatch::kPrefix:
      out.kind = PathMatch::Kind::Prefix;
      out.text = text(proto.prefix());
      break;
    case v3::RouteMatch::kPath:
      out.kind = PathMatch::Kind::Exact;
      out.text = text(proto.path());
      break;
    case v3::RouteMatch::kPathSeparatedPrefix:
      out.kind = PathMatch::Kind::SeparatedPrefix;
      out.text = text(proto.path_separated_prefix());
      break;
    case v3::RouteMatch::kSafeRegex: {
      out.kind = PathMatch::Kind::Regex;
      out.text = text(proto.safe_regex().regex());
      out.case_sensitive = true;  // the flag does not apply to regexes
      auto regex = matching::Regex::compile(proto.safe_regex());
      if (regex.ok()) {
        out.regex = &table_->regexes_.emplace_front(std::move(*regex));
      } else {
        errors_.add(place(".match.safe_regex.regex"), absl::StrCat(regex.status().message(), " (\"", out.text, "\")"));
      }
      break;
    }
    case v3::RouteMatch::kConnectMatcher: out.kind = PathMatch::Kind::Connect; break;
    case v3::RouteMatch::kPathMatchPolicy: errors_.add(place(".match.path_match_policy"), "path match extensions are not supported"); break;
    case v3::RouteMatch::PATH_SPECIFIER_NOT_SET:
      errors_.add(place(".match.path_specifier"), "one of prefix, path, safe_regex, path_separated_prefix, connect_matcher must be set");
      break;
  }
  if (proto.headers_size() + proto.query_parameters_size() + proto.cookies_size() + proto.dynamic_metadata_size() == 0 && !proto.has_tls_context() && !proto.has_grpc() &&
      !proto.has_runtime_fraction()) {
    return;
  }
  RouteConditions& asked = table_->conditions_.emplace_front();
  route.conditions = &asked;
  conditions(proto, place(".match"), asked);
}

void TableCompiler::conditions(const v3::RouteMatch& proto, const Path& path, RouteConditions& asked) {
  for (int i = 0; i < proto.headers_size(); ++i) {
    auto matcher = matching::HeaderMatcher::compile(proto.headers(i));
    if (matcher.ok()) {
      asked.headers.push_back(std::move(*matcher));
    } else {
      errors_.add(prefix(absl::StrCat(path, ".headers[", i, "]"), matcher.status()));
    }
  }
  for (int i = 0; i < proto.query_parameters_size(); ++i) {
    auto matcher = matching::QueryMatcher::compile(proto.query_parameters(i));
    if (matcher.ok()) {
      asked.query.push_back(std::move(*matcher));
    } else {
      errors_.add(prefix(absl::StrCat(path, ".query_parameters[", i, "]"), matcher.status()));
    }
  }
  for (int i = 0; i < proto.cookies_size(); ++i) {
    auto matcher = matching::CookieMatcher::compile(proto.cookies(i));
    if (matcher.ok()) {
      asked.cookies.push_back(std::move(*matcher));
    } else {
      errors_.add(prefix(absl::StrCat(path, ".cookies[", i, "]"), matcher.status()));
    }
  }
  for (int i = 0; i < proto.dynamic_metadata_size(); ++i) {
    auto matcher = matching::MetadataMatcher::compile(proto.dynamic_metadata(i), absl::StrCat(path, ".dynamic_metadata[", i, "]"));
    if (matcher.ok()) {
      asked.metadata.push_back(std::move(*matcher));
    } else {
      errors_.add(matcher.status());
    }
  }
  if (proto.tls_context().has_presented()) asked.client_certificate_presented = proto.tls_context().presented().value();
  if (proto.tls_context().has_validated()) asked.client_certificate_validated = proto.tls_context().validated().value();
  asked.grpc = proto.has_grpc();
  if (proto.has_runtime_fraction()) {
    auto fraction = matching::Fraction::compile(proto.runtime_fraction());
    if (fraction.ok()) {
      asked.fraction = *fraction;
    } else {
      errors_.add(prefix(path + ".runtime_fraction", fraction.status()));
    }
  }
}

// One for all routes that have the same configuration but for the cluster, unless there was something to say about it.
const RouteAction& TableCompiler::forward(const v3::RouteAction& proto, const RoutePlace& place, const std::string& route_name) {
  std::string& key = key_;
  key.clear();
  absl::StrAppend(&key, static_cast<int>(proto.cluster_specifier_case()), " ", host_key_.size(), " ", host_key_);
  const size_t bytes = key.size();
  proto.AppendToString(&key);
  if (proto.cluster_specifier_case() == v3::RouteAction::kCluster) {  // field 1, so it comes first
    const size_t size = 1 + google::protobuf::io::CodedOutputStream::VarintSize32(static_cast<uint32_t>(proto.cluster().size())) + proto.cluster().size();
    if (std::string_view(key).substr(bytes, size).ends_with(proto.cluster())) key.erase(bytes, size);
  }
  const auto it = actions_.find(key);
  if (it != actions_.end()) return *it->second;
  const auto said = [&] { return errors_.count() + (options_.warnings != nullptr ? options_.warnings->size() : 0); };
  const size_t before = said();
  RouteAction& action = table_->actions_.emplace_front();
  forward(proto, place(".route"), route_name, action);
  if (!action.retry_policy) action.retry_policy = host_retry_policy_;
  if (action.mirrors.empty()) action.mirrors = host_mirrors_;
  // A filter's configuration may hold what is of one place alone, such as a bucket of tokens.
  const bool own = std::any_of(action.weighted.begin(), action.weighted.end(), [](const WeightedCluster& cluster) { return !cluster.per_filter.empty(); });
  if (said() == before && !own) actions_.emplace(key, &action);
  return action;
}

void TableCompiler::forward(const v3::RouteAction& proto, const Path& path, const std::string& route_name, RouteAction& action) {
  switch (proto.cluster_specifier_case()) {
    case v3::RouteAction::kCluster: break;
    case v3::RouteAction::kClusterHeader: cluster_header(proto.cluster_header(), path + ".cluster_header", action.cluster_header); break;
    case v3::RouteAction::kWeightedClusters: weighted(proto.weighted_clusters(), path + ".weighted_clusters", route_name, action); break;
    default: errors_.add(path + ".cluster_specifier", "one of cluster, cluster_header, weighted_clusters must be set");
  }
  switch (proto.cluster_not_found_response_code()) {
    case v3::RouteAction::NOT_FOUND: action.cluster_not_found_code = 404; break;
    case v3::RouteAction::INTERNAL_SERVER_ERROR: action.cluster_not_found_code = 500; break;
    default: action.cluster_not_found_code = 503;
  }
  rewrites(proto, path, action);
  if (proto.has_timeout()) action.timeout = to_milliseconds(proto.timeout());
  action.rate_limits = rate_limits(proto.rate_limits(), path + ".rate_limits");
  if (proto.has_cors()) action.cors = cors(proto.cors(), path + ".cors");
  if (proto.has_idle_timeout()) action.idle_timeout = to_milliseconds(proto.idle_timeout());
  if (proto.has_max_stream_duration()) {
    const auto& limits = proto.max_stream_duration();
    if (limits.has_max_stream_duration()) action.max_stream_duration.max_stream_duration = to_milliseconds(limits.max_stream_duration());
    if (limits.has_grpc_timeout_header_max()) {
      action.max_stream_duration.grpc_timeout_header_max = to_milliseconds(limits.grpc_timeout_header_max());
    }
    if (limits.has_grpc_timeout_header_offset()) {
      action.max_stream_duration.grpc_timeout_header_offset = to_milliseconds(limits.grpc_timeout_header_offset());
    }
  }
  if (proto.has_retry_policy()) action.retry_policy = retry_policy(proto.retry_policy(), path + ".retry_policy");
  action.mirrors = mirrors(proto.request_mirror_policies(), path + ".request_mirror_policies");
  upgrades(proto, path, action);
  action.internal_redirects = internal_redirects(proto, path);
  action.high_priority = proto.priority() == envoy::config::core::v3::HIGH;
  action.hash_policy = hash_policy(proto.hash_policy(), path + ".hash_policy");
}

std::optional<matching::Regex> TableCompiler::regex_rewrite(const envoy::type::matcher::v3::RegexMatchAndSubstitute& proto, const Path& path,
                                                            std::string& substitution) {
  auto regex = matching::Regex::compile(proto.pattern());
  if (!regex.ok()) {
    errors_.add(path + ".pattern.regex", absl::StrCat(regex.status().message(), " (\"", proto.pattern().regex(), "\")"));
    return std::nullopt;
  }
  std::string error;
  if (!regex->check_substitution(proto.substitution(), &error)) {
    errors_.add(path + ".substitution", absl::StrCat(error, " (\"", proto.substitution(), "\")"));
    return std::nullopt;
  }
  substitution = proto.substitution();
  return std::move(*regex);
}

void TableCompiler::rewrites(const v3::RouteAction& proto, const Path& path, RouteAction& action) {
  if (!proto.prefix_rewrite().empty() && proto.has_regex_rewrite()) {
    errors_.add(path, "Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy");
  }
  if (proto.has_regex_rewrite()) {
    action.path_rewrite.kind = PathRewrite::Kind::Regex;
    action.path_rewrite.regex = regex_rewrite(proto.regex_rewrite(), path + ".regex_rewrite", action.path_rewrite.substitution);
  } else if (!proto.prefix_rewrite().empty()) {
    action.path_rewrite.kind = PathRewrite::Kind::Prefix;
    action.path_rewrite.prefix = proto.prefix_rewrite();
  }
  HostRewrite& host = action.host_rewrite;
  host.append_x_forwarded_host = proto.append_x_forwarded_host();
  switch (proto.host_rewrite_specifier_case()) {
    case v3::RouteAction::kHostRewriteLiteral:
      host.kind = HostRewrite::Kind::Literal;
      host.text = proto.host_rewrite_literal();
      break;
    case v3::RouteAction::kAutoHostRewrite:
      if (proto.auto_host_rewrite().value()) host.kind = HostRewrite::Kind::Auto;
      break;
    case v3::RouteAction::kHostRewriteHeader:
      host.kind = HostRewrite::Kind::Header;
      host.text = absl::AsciiStrToLower(proto.host_rewrite_header());
      break;
    case v3::RouteAction::kHostRewritePathRegex:
      host.kind = HostRewrite::Kind::PathRegex;
      host.regex = regex_rewrite(proto.host_rewrite_path_regex(), path + ".host_rewrite_path_regex", host.substitution);
      break;
    default: break;
  }
}

void TableCompiler::weighted(const v3::WeightedCluster& proto, const Path& path, const std::string& route_name, RouteAction& action) {
  if (proto.random_value_specifier_case() == v3::WeightedCluster::kHeaderName) {
    action.weighted_random_header = absl::AsciiStrToLower(proto.header_name());
  }
  action.weighted_by_hash = proto.random_value_specifier_case() == v3::WeightedCluster::kUseHashPolicy && proto.use_hash_policy().value();
  for (int i = 0; i < proto.clusters_size(); ++i) {
    const auto& entry = proto.clusters(i);
    const Path place = absl::StrCat(path, ".clusters[", i, "]");
    WeightedCluster weighted;
    weighted.weight = entry.weight().value();
    action.total_weight += weighted.weight;
    weighted.cumulative = action.total_weight;
    if (entry.name().empty() == entry.cluster_header().empty()) {
      errors_.add(place, entry.name().empty() ? "At least one of name or cluster_header need to be specified"
                                              : "Only one of name or cluster_header can be specified");
    } else if (!entry.name().empty()) {
      weighted.name = entry.name();
      cluster(weighted.name, [&] { return place + ".name"; });
    } else {
      cluster_header(entry.cluster_header(), place + ".cluster_header", weighted.cluster_header);
    }
    weighted.request_headers = header_ops(entry.request_headers_to_add(), entry.request_headers_to_remove(), place + ".request_headers");
    weighted.response_headers = header_ops(entry.response_headers_to_add(), entry.response_headers_to_remove(), place + ".response_headers");
    weighted.host_rewrite_literal = entry.host_rewrite_literal();
    weighted.per_filter = per_filter(entry.typed_per_filter_config(), place + ".typed_per_filter_config");
    action.weighted.push_back(std::move(weighted));
  }
  if (action.total_weight == 0) errors_.add(path, "Sum of weights in the weighted_cluster must be greater than 0.");
  constexpr uint64_t most = std::numeric_limits<uint32_t>::max();
  if (action.total_weight > most) {
    errors_.add(path, absl::StrCat("The sum of weights of all weighted clusters of route ", route_name, " exceeds ", most));
  }
}

void TableCompiler::redirect(const v3::RedirectAction& proto, const Path& path, RedirectAction& action) {
  switch (proto.response_code()) {
    case v3::RedirectAction::FOUND: action.code = 302; break;
    case v3::RedirectAction::SEE_OTHER: action.code = 303; break;
    case v3::RedirectAction::TEMPORARY_REDIRECT: action.code = 307; break;
    case v3::RedirectAction::PERMANENT_REDIRECT: action.code = 308; break;
    default: action.code = 301;
  }
  action.https = proto.https_redirect();
  action.scheme = proto.scheme_redirect();
  action.host = proto.host_redirect();
  action.port = proto.port_redirect();
  action.strip_query = proto.strip_query();
  switch (proto.path_rewrite_specifier_case()) {
    case v3::RedirectAction::kPathRedirect:
      action.path_kind = proto.path_redirect().empty() ? RedirectAction::Path::Keep : RedirectAction::Path::Replace;
      action.path = proto.path_redirect();
      break;
    case v3::RedirectAction::kPrefixRewrite:
      action.path_kind = RedirectAction::Path::Prefix;
      action.path = proto.prefix_rewrite();
      break;
    case v3::RedirectAction::kRegexRewrite:
      action.path_kind = RedirectAction::Path::Regex;
      action.regex = regex_rewrite(proto.regex_rewrite(), path + ".regex_rewrite", action.substitution);
      break;
    default: break;
  }
}

void TableCompiler::direct(const v3::DirectResponseAction& proto, const Path& path, DirectResponse& action) {
  action.status = proto.status();
  auto body = read_data_source(proto.body(), options_.read_file, path + ".body");
  if (!errors_.check(body)) return;
  action.body = std::move(*body);
  if (max_direct_body_ != 0 && action.body.size() > max_direct_body_) {  // Envoy 1.40: 0 is no limit
    errors_.add(path + ".body", absl::StrCat("response body size is ", action.body.size(), " bytes; maximum is ", max_direct_body_));
  }
}

RetryPolicy TableCompiler::retry_policy(const v3::RetryPolicy& proto, const Path& path) {
  RetryPolicy policy;
  std::vector<std::string> unknown;
  policy.retry_on = parse_retry_on(proto.retry_on(), &unknown);
  if (!unknown.empty()) warn(path + ".retry_on", absl::StrCat("unknown condition '", absl::StrJoin(unknown, "', '"), "' has no effect"));
  if (proto.has_num_retries()) policy.num_retries = proto.num_retries().value();
  if (proto.has_per_try_timeout()) policy.per_try_timeout = to_milliseconds(proto.per_try_timeout());
  if (proto.has_per_try_idle_timeout()) policy.per_try_idle_timeout = to_milliseconds(proto.per_try_idle_timeout());
  if (proto.has_retry_back_off()) {
    const auto& back_off = proto.retry_back_off();
    policy.base_interval = std::max(to_milliseconds(back_off.base_interval()), milliseconds(1));  // Envoy 1.40: below 1 ms counts as 1 ms
    policy.max_interval = back_off.has_max_interval() ? std::max(to_milliseconds(back_off.max_interval()), milliseconds(1)) : policy.base_interval * 10;
    if (policy.max_interval < policy.base_interval) {
      errors_.add(path + ".retry_back_off", "retry_policy.max_interval must greater than or equal to the base_interval");
    }
  }
  for (uint32_t code : proto.retriable_status_codes()) policy.retriable_status_codes.push_back(code);
  const auto headers = [&](const Repeated<v3::HeaderMatcher>& protos, std::string_view field, std::vector<matching::HeaderMatcher>& out) {
    for (int i = 0; i < protos.size(); ++i) {
      auto matcher = matching::HeaderMatcher::compile(protos[i]);
      if (matcher.ok()) {
        out.push_back(std::move(*matcher));
      } else {
        errors_.add(prefix(absl::StrCat(path, ".", field, "[", i, "]"), matcher.status()));
      }
    }
  };
  headers(proto.retriable_headers(), "retriable_headers", policy.retriable_headers);
  headers(proto.retriable_request_headers(), "retriable_request_headers", policy.retriable_request_headers);
  retry_hosts(proto, path, policy);
  if (proto.has_rate_limited_retry_back_off()) {
    RateLimitedBackOff back_off;
    for (const auto& header : proto.rate_limited_retry_back_off().reset_headers()) {
      back_off.reset_headers.push_back({absl::AsciiStrToLower(header.name()), header.format() == v3::RetryPolicy::UNIX_TIMESTAMP});
    }
    if (proto.rate_limited_retry_back_off().has_max_interval()) {
      back_off.max_interval = to_milliseconds(proto.rate_limited_retry_back_off().max_interval());
    }
    policy.rate_limited_back_off = std::move(back_off);
  }
  return policy;
}

std::vector<MirrorPolicy> TableCompiler::mirrors(const Repeated<v3::RouteAction_RequestMirrorPolicy>& protos, const Path& path) {
  std::vector<MirrorPolicy> policies;
  for (int i = 0; i < protos.size(); ++i) {
    const auto& proto = protos[i];
    const Path place = absl::StrCat(path, "[", i, "]");
    MirrorPolicy policy;
    if (proto.cluster().empty() == proto.cluster_header().empty()) {
      errors_.add(place, proto.cluster().empty() ? "Exactly one of cluster or cluster_header need to be specified"
                                                 : "Only one of cluster or cluster_header can be specified in request mirror policy");
    } else if (!proto.cluster().empty()) {
      policy.cluster = proto.cluster();
      cluster(policy.cluster, [&] { return place + ".cluster"; });
    } else {
      cluster_header(proto.cluster_header(), place + ".cluster_header", policy.cluster_header);
    }
    if (proto.has_runtime_fraction()) {
      auto fraction = matching::Fraction::compile(proto.runtime_fraction());
      if (fraction.ok()) {
        policy.fraction = *fraction;
      } else {
        errors_.add(prefix(place + ".runtime_fraction", fraction.status()));
      }
    }
    policy.disable_shadow_host_suffix = proto.disable_shadow_host_suffix_append();
    policy.host_rewrite_literal = proto.host_rewrite_literal();
    policies.push_back(std::move(policy));
  }
  return policies;
}

}  // namespace fairlead::router
