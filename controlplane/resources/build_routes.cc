// Route tables: Gateway API's matches and filters in Envoy's words, chosen so that a stock Envoy does what the
// specification says. Where the two differ there is a comment.
#include "controlplane/resources/messages.h"

#include <algorithm>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <re2/re2.h>

#include "base/serialize.h"
#include "base/wire.h"

namespace fairlead::resources {
namespace {

namespace route_v3 = envoy::config::route::v3;
using envoy::config::core::v3::HeaderValueOption;
using google::protobuf::RepeatedPtrField;

// "/foo/" and "/foo" are one prefix; "/" is the empty one.
std::string_view trim_slash(std::string_view prefix) {
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  return prefix;
}

// Envoy refuses programs beyond 100 instructions, and with one expression the whole table, unless the matcher raises the limit itself.
constexpr int kEnvoyProgramSize = 100;   // Envoy 1.40: re2.max_program_size.error_level
constexpr uint32_t kAnyProgramSize = 1'000'000;  // RE2's own budget of memory, 8 MiB, ends below

// gRPC clients refuse a table that has a path_separated_prefix. Their paths are /service/method.
void fill_grpc_prefix(const std::string& prefix, route_v3::RouteMatch& to) {
  if (prefix.rfind('/') == 0) {
    to.set_prefix(prefix + "/");
  } else {
    set_regex(*to.mutable_safe_regex(), absl::StrCat(RE2::QuoteMeta(prefix), "(?:/.*)?"));
  }
}

void fill_match(const intent::Match& from, bool grpc, route_v3::RouteMatch& to) {
  switch (from.path.type) {
    case intent::PathMatchType::kExact: to.set_path(from.path.value); break;
    case intent::PathMatchType::kRegex: set_regex(*to.mutable_safe_regex(), from.path.value); break;
    case intent::PathMatchType::kPrefix: {
      // path_separated_prefix refuses a trailing slash, and "/" altogether
      const std::string_view prefix = trim_slash(from.path.value);
      if (prefix.empty()) {
        to.set_prefix("/");
      } else if (grpc) {
        fill_grpc_prefix(std::string(prefix), to);
      } else {
        to.set_path_separated_prefix(std::string(prefix));
      }
      break;
    }
  }
  if (!from.method.empty() && !(grpc && from.method == "POST")) {  // all their calls are, and they do not look at it
    auto* h = to.add_headers();
    h->set_name(":method");
    h->mutable_string_match()->set_exact(from.method);
  }
  for (const intent::ValueMatch& m : from.headers) {
    auto* h = to.add_headers();
    h->set_name(m.name);
    if (m.type == intent::ValueMatchType::kExact) {
      h->mutable_string_match()->set_exact(m.value);
    } else {
      set_regex(*h->mutable_string_match()->mutable_safe_regex(), m.value);
    }
  }
  for (const intent::ValueMatch& m : from.query) {
    auto* q = to.add_query_parameters();
    q->set_name(m.name);
    if (m.type == intent::ValueMatchType::kExact) {
      q->mutable_string_match()->set_exact(m.value);
    } else {
      set_regex(*q->mutable_string_match()->mutable_safe_regex(), m.value);
    }
  }
}

void add_headers(const std::vector<intent::HeaderValue>& from, HeaderValueOption::HeaderAppendAction action,
                 RepeatedPtrField<HeaderValueOption>& to) {
  for (const intent::HeaderValue& h : from) {
    HeaderValueOption* option = to.Add();
    option->mutable_header()->set_key(h.name);
    // '%' begins a command of Envoy's formatter
    option->mutable_header()->set_value(absl::StrReplaceAll(h.value, {{"%", "%%"}}));
    option->set_append_action(action);
    // an empty value is a value: Envoy would otherwise leave the header out
    if (h.value.empty()) option->set_keep_empty_value(true);
  }
}

template <typename Message>
void request_modifier(const intent::HeaderModifier& from, Message& to) {
  add_headers(from.set, HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD, *to.mutable_request_headers_to_add());
  add_headers(from.add, HeaderValueOption::APPEND_IF_EXISTS_OR_ADD, *to.mutable_request_headers_to_add());
  for (const std::string& name : from.remove) to.add_request_headers_to_remove(name);
}

template <typename Message>
void response_modifier(const intent::HeaderModifier& from, Message& to) {
  add_headers(from.set, HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD, *to.mutable_response_headers_to_add());
  add_headers(from.add, HeaderValueOption::APPEND_IF_EXISTS_OR_ADD, *to.mutable_response_headers_to_add());
  for (const std::string& name : from.remove) to.add_response_headers_to_remove(name);
}

// Backslashes mean groups in a substitution.
std::string substitution(std::string_view literal) { return absl::StrReplaceAll(literal, {{"\\", "\\\\"}}); }

// RouteAction and RedirectAction have the same two fields for a prefix. Envoy puts the replacement where the matched text
// was, as it stands: cutting a prefix off must not leave "//", and replacing "/" must not swallow the separator.
template <typename Action>
void replace_prefix(const intent::PathMatch& match, const std::string& value, Action& to) {
  const std::string_view prefix = trim_slash(match.value);
  const std::string_view replacement = trim_slash(value);
  if (prefix.empty()) {
    if (!replacement.empty()) to.set_prefix_rewrite(absl::StrCat(replacement, "/"));
  } else if (replacement.empty()) {
    auto* regex = to.mutable_regex_rewrite();
    set_regex(*regex->mutable_pattern(), absl::StrCat("^", RE2::QuoteMeta(re2::StringPiece(prefix.data(), prefix.size())), "/*"));
    regex->set_substitution("/");
  } else {
    to.set_prefix_rewrite(std::string(replacement));
  }
}

void fill_redirect(const intent::Route& from, const std::string& domain, const plan::RouteTable& table, route_v3::RedirectAction& to) {
  const intent::Redirect& r = *from.redirect;
  if (!r.scheme.empty()) to.set_scheme_redirect(r.scheme);
  if (!r.hostname.empty()) to.set_host_redirect(r.hostname);
  const uint16_t well_known = r.scheme == "https" ? 443 : r.scheme == "http" ? 80 : 0;
  const uint16_t port = r.port ? *r.port : well_known ? well_known : table.listener_port;
  // Without a scheme the answer has that of the listener. A port that its scheme implies is left out.
  const bool implied = port == (!r.scheme.empty() ? well_known : table.https ? 443 : 80);
  if (!implied) {
    to.set_port_redirect(port);
  } else if (r.hostname.empty() && table.listener_port != port) {
    // Envoy would keep the port of the request's Host: name the host where it is known, else the port.
    if (domain.find('*') == std::string::npos) {
      to.set_host_redirect(domain);
    } else {
      to.set_port_redirect(port);
    }
  }
  if (r.path) {
    if (r.path->type == intent::PathRewriteType::kFull) {
      to.set_path_redirect(r.path->value);
    } else {
      replace_prefix(from.match.path, r.path->value, to);
    }
  }
  switch (r.status) {
    case 301: to.set_response_code(route_v3::RedirectAction::MOVED_PERMANENTLY); break;
    case 303: to.set_response_code(route_v3::RedirectAction::SEE_OTHER); break;
    case 307: to.set_response_code(route_v3::RedirectAction::TEMPORARY_REDIRECT); break;
    case 308: to.set_response_code(route_v3::RedirectAction::PERMANENT_REDIRECT); break;
    default: to.set_response_code(route_v3::RedirectAction::FOUND); break;
  }
}

void fill_mirror(const intent::Mirror& m, route_v3::RouteAction::RequestMirrorPolicy& to) {
  to.set_cluster(plan::cluster_name(m.backend));
  if (m.numerator >= m.denominator) return;
  auto* percent = to.mutable_runtime_fraction()->mutable_default_value();
  // FractionalPercent knows three denominators; the finest serves all others
  if (m.denominator == 100) {
    percent->set_numerator(m.numerator);
    percent->set_denominator(envoy::type::v3::FractionalPercent::HUNDRED);
  } else {
    percent->set_numerator(static_cast<uint32_t>(uint64_t{m.numerator} * 1'000'000 / m.denominator));
    percent->set_denominator(envoy::type::v3::FractionalPercent::MILLION);
  }
}

// Tries share the time that the request has.
void fill_timeouts(const intent::Route& from, bool grpc, route_v3::RouteAction& to) {
  if (grpc) {  // the only limit that they know; how a proxy tries again means nothing to them, and some of it they refuse
    const std::optional<std::chrono::milliseconds>& limit = from.request_timeout ? from.request_timeout : from.backend_timeout;
    if (limit && limit->count() > 0) set_duration(to.mutable_max_stream_duration()->mutable_max_stream_duration(), *limit);
    return;
  }
  if (from.retry) {
    auto* retry = to.mutable_retry_policy();
    retry->set_retry_on(from.retry->statuses.empty() ? "connect-failure,refused-stream,reset" : "connect-failure,refused-stream,reset,retriable-status-codes");
    for (int status : from.retry->statuses) retry->add_retriable_status_codes(static_cast<uint32_t>(status));
    retry->mutable_num_retries()->set_value(from.retry->attempts);
    if (from.retry->backoff) set_duration(retry->mutable_retry_back_off()->mutable_base_interval(), *from.retry->backoff);
  }
  if (from.request_timeout) set_duration(to.mutable_timeout(), *from.request_timeout);
  if (!from.backend_timeout || from.backend_timeout->count() == 0) return;
  if (from.retry) {
    set_duration(to.mutable_retry_policy()->mutable_per_try_timeout(), *from.backend_timeout);
    if (!from.request_timeout) set_duration(to.mutable_timeout(), std::chrono::milliseconds(0));  // so many tries of so long each are the limit
  } else if (!from.request_timeout) {
    set_duration(to.mutable_timeout(), *from.backend_timeout);  // one try is the whole request
  } else if (from.request_timeout->count() == 0 || *from.backend_timeout < *from.request_timeout) {
    set_duration(to.mutable_retry_policy()->mutable_per_try_timeout(), *from.backend_timeout);
  }
}

void fill_backends(const intent::Route& from, const std::vector<const intent::WeightedBackend*>& used, bool grpc, route_v3::RouteAction& to) {
  auto name = [](const intent::WeightedBackend& b) { return b.backend ? plan::cluster_name(*b.backend) : plan::kInvalidBackend; };
  bool invalid = false;
  for (const auto* b : used) invalid |= !b->backend;
  if (used.size() == 1 && used[0]->request_headers.empty() && used[0]->response_headers.empty()) {
    to.set_cluster(name(*used[0]));
  } else {
    for (const intent::WeightedBackend* b : used) {
      auto* share = to.mutable_weighted_clusters()->add_clusters();
      share->set_name(name(*b));
      share->mutable_weight()->set_value(b->weight);
      request_modifier(b->request_headers, *share);
      response_modifier(b->response_headers, *share);
    }
  }
  // What a share answers whose reference does not resolve; Envoy's default for a missing cluster is 503.
  if (invalid && from.without_backend == 500) to.set_cluster_not_found_response_code(route_v3::RouteAction::INTERNAL_SERVER_ERROR);
  for (const intent::Mirror& m : from.mirrors) fill_mirror(m, *to.add_request_mirror_policies());
  if (from.rewrite) {
    if (!from.rewrite->hostname.empty()) to.set_host_rewrite_literal(from.rewrite->hostname);
    if (from.rewrite->path && from.rewrite->path->type == intent::PathRewriteType::kPrefix) {
      replace_prefix(from.match.path, from.rewrite->path->value, to);
    } else if (from.rewrite->path) {
      auto* regex = to.mutable_regex_rewrite();
      set_regex(*regex->mutable_pattern(), "^/.*$");
      regex->set_substitution(substitution(from.rewrite->path->value));
    }
  }
  fill_timeouts(from, grpc, to);
}

void fill_direct_response(int status, const std::string& body, route_v3::DirectResponseAction& to) {
  to.set_status(status);
  if (!body.empty()) to.mutable_body()->set_inline_string(body);
}

void fill_route(const intent::Route& from, const std::string& domain, const plan::RouteTable& table, route_v3::Route& to) {
  to.set_name(from.name);
  fill_match(from.match, table.grpc, *to.mutable_match());
  request_modifier(from.request_headers, to);
  response_modifier(from.response_headers, to);
  if (from.cors && !table.grpc) fill_cors(*from.cors, to);  // a gRPC client refuses what is for filters that it does not know
  if (from.redirect) return fill_redirect(from, domain, table, *to.mutable_redirect());
  if (from.direct_response) {
    return fill_direct_response(from.direct_response->status, from.direct_response->body, *to.mutable_direct_response());
  }
  std::vector<const intent::WeightedBackend*> used;
  bool any_valid = false;
  for (const intent::WeightedBackend& b : from.backends) {
    if (b.weight == 0) continue;
    used.push_back(&b);
    any_valid |= b.backend.has_value();
  }
  // Nothing to send to: an error, as Gateway API asks, without a cluster that does not exist
  if (!any_valid) return fill_direct_response(from.without_backend, "", *to.mutable_direct_response());
  if (from.session && !table.grpc) fill_session(*from.session, to);
  fill_backends(from, used, table.grpc, *to.mutable_route());
}

}  // namespace

void set_duration(google::protobuf::Duration* d, std::chrono::milliseconds ms) {
  d->set_seconds(ms.count() / 1000);
  d->set_nanos(static_cast<int32_t>(ms.count() % 1000) * 1'000'000);
}

void set_regex(envoy::type::matcher::v3::RegexMatcher& to, const std::string& regex) {
  to.set_regex(regex);
  const RE2 compiled(regex, RE2::Quiet);
  // Envoy's RE2 may count a few more than ours.
  if (compiled.ok() && compiled.ProgramSize() <= kEnvoyProgramSize / 2) return;
  to.mutable_google_re2()->mutable_max_program_size()->set_value(kAnyProgramSize);
}

namespace {

void note_cluster(const std::string& name, std::vector<std::string>& out) {
  if (!name.empty() && name != plan::kInvalidBackend) out.push_back(name);
}

// What the walk over all fields (references.cc) would find.
void note_clusters(const route_v3::Route& route, std::vector<std::string>& out) {
  if (!route.has_route()) return;
  note_cluster(route.route().cluster(), out);
  for (const auto& share : route.route().weighted_clusters().clusters()) note_cluster(share.name(), out);
  for (const auto& mirror : route.route().request_mirror_policies()) note_cluster(mirror.cluster(), out);
}

void sort_out(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

}  // namespace

// One route: its field in the virtual host, with that of what answers preflight requests before it.
struct EncodedTable::Route {
  std::string fields;
  std::vector<std::string> clusters;
};

struct EncodedTable::Host {
  Shared<plan::VirtualHost> from;
  std::vector<std::shared_ptr<const Route>> routes;  // as in `from`
  PartPtr part;
  std::vector<std::string> clusters;  // sorted, each once
};

EncodedTable::EncodedTable() = default;
EncodedTable::~EncodedTable() = default;

std::shared_ptr<const EncodedTable::Route> EncodedTable::encode(const intent::Route& r, const plan::VirtualHost& host, const plan::RouteTable& table, Scratch& message) {
  auto out = std::make_shared<Route>();
  message.Clear();
  if (!table.grpc && wants_preflight_route(r)) {
    message.set_name(absl::StrCat(r.name, "/preflight"));
    fill_match(r.match, false, *message.mutable_match());
    fill_preflight(*r.cors, message);
    wire::put_bytes(out->fields, route_v3::VirtualHost::kRoutesFieldNumber, serialize(message));
    note_clusters(message, out->clusters);
    message.Clear();
  }
  fill_route(r, host.domain, table, message);
  wire::put_bytes(out->fields, route_v3::VirtualHost::kRoutesFieldNumber, serialize(message));
  note_clusters(message, out->clusters);
  return out;
}

// `before`: the virtual host of that domain as it was, or null.
EncodedTable::HostPtr EncodedTable::encode(const Shared<plan::VirtualHost>& v, const plan::RouteTable& table, const Host* before, Scratch& scratch) {
  auto host = std::make_shared<Host>(Host{v, {}, nullptr, {}});
  absl::flat_hash_map<const intent::Route*, size_t> kept;
  if (before) {
    for (size_t i = 0; i < before->routes.size(); ++i) kept.emplace(before->from->routes[i].get(), i);
  }
  std::string bytes;
  wire::put_bytes(bytes, route_v3::VirtualHost::kNameFieldNumber, v->name);
  wire::put_bytes(bytes, route_v3::VirtualHost::kDomainsFieldNumber, v->domain);
  host->routes.reserve(v->routes.size());
  for (const Shared<intent::Route>& r : v->routes) {
    const auto at = kept.find(r.get());
    host->routes.push_back(at != kept.end() ? before->routes[at->second] : encode(*r, *v, table, scratch));
    const Route& route = *host->routes.back();
    bytes.append(route.fields);
    host->clusters.insert(host->clusters.end(), route.clusters.begin(), route.clusters.end());
  }
  sort_out(host->clusters);
  auto part = std::make_shared<Part>();
  part->hash = content_hash(bytes);
  part->bytes = std::move(bytes);
  host->part = std::move(part);
  return host;
}

void EncodedTable::use(const Host& host, int by) {
  for (const std::string& cluster : host.clusters) {
    const auto at = clusters_.try_emplace(cluster, 0).first;
    at->second += by;
    if (at->second == 0) clusters_.erase(at);
  }
}

ResourcePtr EncodedTable::build(const plan::RouteTable& table) {
  if (table.listener_port != port_ || table.https != https_) {  // redirects go by them
    hosts_.clear();
    clusters_.clear();
    port_ = table.listener_port;
    https_ = table.https;
  }
  std::vector<HostPtr> now;
  std::vector<PartPtr> parts;
  Scratch scratch;
  now.reserve(table.virtual_hosts.size());
  parts.reserve(table.virtual_hosts.size());
  auto before = hosts_.begin();  // both are sorted by domain
  for (const Shared<plan::VirtualHost>& v : table.virtual_hosts) {
    if (before != hosts_.end() && (*before)->from.get() == v.get()) {  // as most are after a change
      parts.push_back((*before)->part);
      now.push_back(*before++);
      continue;
    }
    for (; before != hosts_.end() && (*before)->from->domain < v->domain; ++before) use(**before, -1);
    const bool there = before != hosts_.end() && (*before)->from->domain == v->domain;
    if (there && (*before)->from.get() == v.get()) {
      now.push_back(*before++);
    } else {
      now.push_back(encode(v, table, there ? before->get() : nullptr, scratch));
      use(*now.back(), 1);
      if (there) use(**before++, -1);
    }
    parts.push_back(now.back()->part);
  }
  for (; before != hosts_.end(); ++before) use(**before, -1);
  hosts_ = std::move(now);
  std::string head, tail;
  wire::put_bytes(head, route_v3::RouteConfiguration::kNameFieldNumber, table.name);
  // A Gateway's hostnames say nothing about ports, and a Host header may carry one.
  wire::put_number(tail, route_v3::RouteConfiguration::kIgnorePortInHostMatchingFieldNumber, 1);
  std::vector<Reference> references;
  references.reserve(clusters_.size());
  for (const auto& [name, count] : clusters_) references.push_back({Type::kCluster, name});
  return make_resource_of_parts(Type::kRoute, table.name, head, route_v3::RouteConfiguration::kVirtualHostsFieldNumber, std::move(parts), tail, table.origins, std::move(references));
}

}  // namespace fairlead::resources
