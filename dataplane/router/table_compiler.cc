// RouteConfiguration and VirtualHost → RouteTable; see compiler.h.
#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "base/hash.h"
#include "base/serialize.h"
#include "dataplane/router/compiler.h"
#include "dataplane/router/cors.h"
#include "dataplane/router/host_index.h"
#include "dataplane/router/path_index.h"
#include "dataplane/router/rate_limit.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::router {
namespace {

uint64_t hash_of(const google::protobuf::Message& message) { return xx_hash64(serialize(message)); }

}  // namespace

milliseconds to_milliseconds(const google::protobuf::Duration& duration) {
  return milliseconds(duration.seconds() * 1000 + duration.nanos() / 1'000'000);
}

TableCompiler::TableCompiler(const envoy::config::route::v3::RouteConfiguration& proto, const CompileOptions& options)
    : proto_(proto), options_(options), table_(new RouteTable) {}

absl::StatusOr<std::shared_ptr<const RouteTable>> TableCompiler::run() {
  RouteTable& table = *table_;
  table.name_ = proto_.name();
  table.content_hash_ = hash_of(proto_);
  table.ignore_port_ = proto_.ignore_port_in_host_matching();
  table.most_specific_wins_ = proto_.most_specific_header_mutations_wins();
  validate_clusters_ = proto_.has_validate_clusters() ? proto_.validate_clusters().value() : options_.validate_clusters_default;
  if (proto_.has_max_direct_response_body_size_bytes()) max_direct_body_ = proto_.max_direct_response_body_size_bytes().value();
  table.request_headers_ = header_ops(proto_.request_headers_to_add(), proto_.request_headers_to_remove(), "request_headers");
  table.response_headers_ = header_ops(proto_.response_headers_to_add(), proto_.response_headers_to_remove(), "response_headers");
  table.per_filter_ = per_filter(proto_.typed_per_filter_config(), "typed_per_filter_config");
  for (const std::string& name : proto_.internal_only_headers()) table.internal_only_headers_.push_back(absl::AsciiStrToLower(name));

  // Reserved as a whole, as virtual hosts refer to their parts of it.
  size_t routes = 0, domains = 0;
  for (const auto& host : proto_.virtual_hosts()) {
    routes += static_cast<size_t>(host.routes_size());
    domains += static_cast<size_t>(host.domains_size());
  }
  table.routes_.reserve(routes);
  table.domains_.reserve(domains);
  table.virtual_hosts_.reserve(static_cast<size_t>(proto_.virtual_hosts_size()));
  texts_.reserve(2 * routes + domains + table.virtual_hosts_.capacity());  // paths and clusters, domains, names of virtual hosts
  clusters_met_.reserve(routes);
  for (int i = 0; i < proto_.virtual_hosts_size(); ++i) {
    const auto& host = proto_.virtual_hosts(i);
    const Path path = absl::StrCat("virtual_hosts[", i, "]");  // names may repeat, as in Envoy 1.40
    virtual_host(host, path);
  }
  table.hosts_->finish();
  if (!errors_.empty()) return prefix(absl::StrCat("route configuration '", proto_.name(), "'"), errors_.status());
  table.paths_.reserve(table.virtual_hosts_.size());
  for (const VirtualHost& host : table.virtual_hosts_) {
    table.paths_.push_back(host.routes.size() > PathIndex::scan_up_to ? std::make_unique<PathIndex>(host.routes) : nullptr);
  }
  if (!std::is_sorted(clusters_.begin(), clusters_.end())) std::sort(clusters_.begin(), clusters_.end());
  table.cluster_names_.assign(clusters_.begin(), clusters_.end());
  return table_;
}

void TableCompiler::virtual_host(const envoy::config::route::v3::VirtualHost& proto, const Path& path) {
  const auto index = static_cast<uint32_t>(table_->virtual_hosts_.size());
  VirtualHost& host = table_->virtual_hosts_.emplace_back(extras(proto, path));
  host.name = text(proto.name());
  const size_t first_domain = table_->domains_.size(), first_route = table_->routes_.size();
  for (int i = 0; i < proto.domains_size(); ++i) {
    table_->domains_.push_back(text(proto.domains(i)));
    if (absl::Status added = table_->hosts_->add(proto.domains(i), index, proto_.name()); !added.ok()) errors_.add(prefix(absl::StrCat(path, ".domains[", i, "]"), added));
  }
  host.domains = std::span(table_->domains_).subspan(first_domain);
  for (int i = 0; i < proto.virtual_clusters_size(); ++i) {
    if (proto.virtual_clusters(i).headers().empty()) {
      errors_.add(absl::StrCat(path, ".virtual_clusters[", i, "].headers"), "virtual clusters must define 'headers'");
    }
    for (int k = 0; k < proto.virtual_clusters(i).headers_size(); ++k) {  // ignored, but a wrong expression is wrong all the same
      errors_.add(prefix(absl::StrCat(path, ".virtual_clusters[", i, "].headers[", k, "]"), matching::HeaderMatcher::compile(proto.virtual_clusters(i).headers(k)).status()));
    }
  }
  switch (proto.require_tls()) {
    case envoy::config::route::v3::VirtualHost::EXTERNAL_ONLY: host.require_tls = TlsRequirement::ExternalOnly; break;
    case envoy::config::route::v3::VirtualHost::ALL: host.require_tls = TlsRequirement::All; break;
    default: host.require_tls = TlsRequirement::None;
  }
  host.include_request_attempt_count = proto.include_request_attempt_count();
  host.include_attempt_count_in_response = proto.include_attempt_count_in_response();
  host.include_is_timeout_retry_header = proto.include_is_timeout_retry_header();
  inherit(proto, path);
  for (int i = 0; i < proto.routes_size(); ++i) route(proto.routes(i), {path, static_cast<uint32_t>(i)});
  host.routes = std::span(table_->routes_).subspan(first_route);
}

const VirtualHostExtras& TableCompiler::extras(const envoy::config::route::v3::VirtualHost& proto, const Path& path) {
  const bool some = proto.request_headers_to_add_size() + proto.request_headers_to_remove_size() + proto.response_headers_to_add_size() +
                        proto.response_headers_to_remove_size() + proto.rate_limits_size() != 0 ||
                    !proto.typed_per_filter_config().empty() || proto.has_request_body_buffer_limit() || proto.has_per_request_buffer_limit_bytes() ||
                    proto.has_cors() || proto.has_metadata();
  if (!some) return VirtualHostExtras::none();
  VirtualHostExtras& extras = table_->host_extras_.emplace_front();
  extras.request_headers = header_ops(proto.request_headers_to_add(), proto.request_headers_to_remove(), path + ".request_headers");
  extras.response_headers = header_ops(proto.response_headers_to_add(), proto.response_headers_to_remove(), path + ".response_headers");
  extras.per_filter = per_filter(proto.typed_per_filter_config(), path + ".typed_per_filter_config");
  if (proto.has_request_body_buffer_limit()) {
    extras.retry_buffer_limit = proto.request_body_buffer_limit().value();
  } else if (proto.has_per_request_buffer_limit_bytes()) {
    extras.retry_buffer_limit = proto.per_request_buffer_limit_bytes().value();
  }
  extras.rate_limits = rate_limits(proto.rate_limits(), path + ".rate_limits");
  if (proto.has_cors()) extras.cors = cors(proto.cors(), path + ".cors");
  if (proto.has_metadata()) extras.metadata = std::make_shared<const envoy::config::core::v3::Metadata>(proto.metadata());
  return extras;
}

// Levels do not merge: a route without a policy takes its virtual host's, and without mirrors the first level that has some.
void TableCompiler::inherit(const envoy::config::route::v3::VirtualHost& proto, const Path& path) {
  host_retry_policy_.reset();
  host_key_.clear();
  if (proto.has_retry_policy()) {
    host_retry_policy_ = retry_policy(proto.retry_policy(), path + ".retry_policy");
    host_key_ = absl::StrCat("retry ", proto.retry_policy().ByteSizeLong(), " ", proto.retry_policy().SerializeAsString());
  }
  host_mirrors_.clear();
  if (!proto.request_mirror_policies().empty()) host_mirrors_ = mirrors(proto.request_mirror_policies(), path + ".request_mirror_policies");
  for (const auto& policy : proto.request_mirror_policies()) absl::StrAppend(&host_key_, "mirror ", policy.ByteSizeLong(), " ", policy.SerializeAsString());
  if (host_mirrors_.empty()) host_mirrors_ = mirrors(proto_.request_mirror_policies(), "request_mirror_policies");
}

RateLimitPolicies TableCompiler::rate_limits(const Repeated<envoy::config::route::v3::RateLimit>& protos, const Path& path) {
  if (protos.empty()) return nullptr;
  auto policies = RateLimitPolicy::compile(protos, path);
  if (policies.ok()) return std::make_shared<const std::vector<RateLimitPolicy>>(std::move(*policies));
  errors_.add(policies.status());
  return nullptr;
}

std::shared_ptr<const CorsPolicy> TableCompiler::cors(const envoy::config::route::v3::CorsPolicy& proto, const Path& path) {
  auto policy = CorsPolicy::compile(proto);
  if (policy.ok()) return std::move(*policy);
  errors_.add(prefix(path, policy.status()));
  return nullptr;
}

HeaderOps TableCompiler::header_ops(const Repeated<envoy::config::core::v3::HeaderValueOption>& add, const Repeated<std::string>& remove,
                                    const Path& path) {
  auto ops = HeaderOps::compile(add, remove, path);
  if (!errors_.check(ops)) return {};
  return std::move(*ops);
}

std::vector<PerFilter> TableCompiler::per_filter(const google::protobuf::Map<std::string, google::protobuf::Any>& protos, const Path& path) {
  std::vector<PerFilter> entries;
  for (const auto& [name, any] : protos) {
    PerFilter entry;
    entry.name = name;
    const Path place = absl::StrCat(path, "[\"", name, "\"]");
    google::protobuf::Any inner = any;
    bool is_optional = false;
    if (any.Is<envoy::config::route::v3::FilterConfig>()) {
      envoy::config::route::v3::FilterConfig wrapper;
      if (!any.UnpackTo(&wrapper)) {
        errors_.add(place, "not a valid envoy.config.route.v3.FilterConfig");
        continue;
      }
      entry.disabled = wrapper.disabled();
      is_optional = wrapper.is_optional();
      inner = wrapper.config();
      if (!wrapper.has_config() && !wrapper.disabled()) {
        errors_.add(place, absl::StrCat("Empty route/virtual host per filter configuration for ", name, " filter"));
        continue;
      }
    } else if (any.type_url().empty()) {
      errors_.add(place, absl::StrCat("Didn't find a registered implementation for '", name, "' with type URL: ''"));
      continue;
    }
    if (!inner.type_url().empty()) {
      if (!options_.per_filter) {
        errors_.add(place, absl::StrCat("no filter is known that takes ", inner.type_url()));
        continue;
      }
      auto config = options_.per_filter(name, inner);
      if (config.ok()) {
        entry.config = std::move(*config);
      } else if (!is_optional) {
        errors_.add(prefix(place, config.status()));
        continue;
      }
    }
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const PerFilter& a, const PerFilter& b) { return a.name < b.name; });
  return entries;
}

std::string_view TableCompiler::text(std::string_view value) {
  if (value.empty()) return {};
  return *texts_.lazy_emplace(value, [&](const auto& make) { make(table_->texts_.add(value)); });
}

std::string_view TableCompiler::cluster(std::string_view name, absl::FunctionRef<Path()> path) {
  const std::string_view own = text(name);
  if (clusters_met_.insert(own.data()).second) clusters_.push_back(own);
  if (validate_clusters_ && options_.knows_cluster && !options_.knows_cluster(name)) {
    errors_.add(path(), absl::StrCat("route: unknown cluster '", name, "'"));
  }
  return own;
}

void TableCompiler::cluster_header(const std::string& name, const Path& path, std::string& out) {
  out = absl::AsciiStrToLower(name);
  if (out.empty()) errors_.add(path, "must not be empty");
}

void TableCompiler::warn(const Path& path, std::string_view what) {
  if (options_.warnings != nullptr) {
    options_.warnings->push_back(absl::StrCat("route configuration '", proto_.name(), "': ", path, ": ", what));
  }
}

}  // namespace fairlead::router
