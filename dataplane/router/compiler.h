// TableCompiler: turns a RouteConfiguration into a RouteTable, collecting every problem with its field path.
// Private to the room; lives for one compile on the main thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/functional/function_ref.h>
#include <absl/strings/str_cat.h>

#include "base/status.h"
#include "dataplane/router/route_table.h"

namespace envoy::config::route::v3 {
class CorsPolicy;
class DirectResponseAction;
class RateLimit;
class RedirectAction;
class RetryPolicy;
class Route;
class RouteAction;
class RouteAction_HashPolicy;
class RouteAction_RequestMirrorPolicy;
class RouteMatch;
class VirtualHost;
class WeightedCluster;
}
namespace envoy::config::core::v3 {
class TypedExtensionConfig;
}
namespace envoy::type::matcher::v3 {
class RegexMatchAndSubstitute;
}
namespace google::protobuf {
class Duration;
template <typename K, typename V>
class Map;
}

namespace fairlead::router {

class TableCompiler {
 public:
  TableCompiler(const envoy::config::route::v3::RouteConfiguration& proto, const CompileOptions& options);
  absl::StatusOr<std::shared_ptr<const RouteTable>> run();

 private:
  using Path = std::string;
  // A route's path, and those of its fields: written out only when there is something to say, or something that few routes have.
  struct RoutePlace {
    const Path& host;
    uint32_t index;
    Path operator()(std::string_view field) const { return absl::StrCat(host, ".routes[", index, "]", field); }
  };
  template <typename T>
  using Repeated = google::protobuf::RepeatedPtrField<T>;

  void virtual_host(const envoy::config::route::v3::VirtualHost& proto, const Path& path);
  void route(const envoy::config::route::v3::Route& proto, const RoutePlace& place);
  void match(const envoy::config::route::v3::RouteMatch& proto, const RoutePlace& place, Route& route);
  void conditions(const envoy::config::route::v3::RouteMatch& proto, const Path& path, RouteConditions& asked);
  const RouteExtras& extras(const envoy::config::route::v3::Route& proto, const RoutePlace& place);
  const RouteAction& forward(const envoy::config::route::v3::RouteAction& proto, const RoutePlace& place, const std::string& route_name);
  void forward(const envoy::config::route::v3::RouteAction& proto, const Path& path, const std::string& route_name, RouteAction& action);
  void rewrites(const envoy::config::route::v3::RouteAction& proto, const Path& path, RouteAction& action);
  void weighted(const envoy::config::route::v3::WeightedCluster& proto, const Path& path, const std::string& route_name, RouteAction& action);
  void redirect(const envoy::config::route::v3::RedirectAction& proto, const Path& path, RedirectAction& action);
  void direct(const envoy::config::route::v3::DirectResponseAction& proto, const Path& path, DirectResponse& action);
  RetryPolicy retry_policy(const envoy::config::route::v3::RetryPolicy& proto, const Path& path);
  void retry_hosts(const envoy::config::route::v3::RetryPolicy& proto, const Path& path, RetryPolicy& policy);
  void upgrades(const envoy::config::route::v3::RouteAction& proto, const Path& path, RouteAction& action);
  std::shared_ptr<const InternalRedirectPolicy> internal_redirects(const envoy::config::route::v3::RouteAction& proto, const Path& path);
  void redirect_predicate(const envoy::config::core::v3::TypedExtensionConfig& proto, const Path& path, InternalRedirectPolicy& policy);
  std::vector<HashMethod> hash_policy(const Repeated<envoy::config::route::v3::RouteAction_HashPolicy>& protos, const Path& path);
  std::vector<MirrorPolicy> mirrors(const Repeated<envoy::config::route::v3::RouteAction_RequestMirrorPolicy>& protos, const Path& path);
  HeaderOps header_ops(const Repeated<envoy::config::core::v3::HeaderValueOption>& add, const Repeated<std::string>& remove, const Path& path);
  std::vector<PerFilter> per_filter(const google::protobuf::Map<std::string, google::protobuf::Any>& protos, const Path& path);
  std::optional<matching::Regex> regex_rewrite(const envoy::type::matcher::v3::RegexMatchAndSubstitute& proto, const Path& path,
                                               std::string& substitution);
  RateLimitPolicies rate_limits(const Repeated<envoy::config::route::v3::RateLimit>& protos, const Path& path);
  std::shared_ptr<const CorsPolicy> cors(const envoy::config::route::v3::CorsPolicy& proto, const Path& path);
  const VirtualHostExtras& extras(const envoy::config::route::v3::VirtualHost& proto, const Path& path);
  void inherit(const envoy::config::route::v3::VirtualHost& proto, const Path& path);
  std::string_view text(std::string_view value);  // the table's own, the same for equal ones
  std::string_view cluster(std::string_view name, absl::FunctionRef<Path()> path);  // noted; the table's own text of the name
  void cluster_header(const std::string& name, const Path& path, std::string& out);
  void warn(const Path& path, std::string_view what);

  const envoy::config::route::v3::RouteConfiguration& proto_;
  const CompileOptions& options_;
  std::shared_ptr<RouteTable> table_;
  ErrorList errors_{20};
  std::vector<std::string_view> clusters_;  // each once, as met
  absl::flat_hash_set<const char*> clusters_met_;  // by where their text is
  absl::flat_hash_set<std::string_view> texts_;
  absl::flat_hash_map<std::string, const RouteAction*> actions_;  // by what they were made of
  // What the virtual host at hand and the table give to its routes that have none of their own.
  std::optional<RetryPolicy> host_retry_policy_;
  std::vector<MirrorPolicy> host_mirrors_;
  std::string host_key_;  // of both, for actions_
  std::string key_;       // of the action at hand
  bool validate_clusters_ = false;
  size_t max_direct_body_ = 4096;  // Envoy 1.40: 4096 bytes
};

milliseconds to_milliseconds(const google::protobuf::Duration& duration);

}  // namespace fairlead::router
