// RouteTable: a RouteConfiguration compiled for matching. Built on the main thread, immutable, shared by all workers of an
// epoch and pinned by the streams that use it; also linked by the CLI and the control plane for explanations.
// Invariant: match() gives exactly what a first-match scan over virtual hosts and routes in their configured order would give,
// at a cost that hardly depends on the number of exact and prefix routes, and without allocating.
#pragma once

#include <forward_list>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/router/data_source.h"
#include "dataplane/router/route.h"
#include "dataplane/router/text_pool.h"

namespace google::protobuf {
class Any;
}
namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace fairlead::router {

class HostIndex;
class PathIndex;

struct CompileOptions {
  // Parses one typed_per_filter_config value for the filter of that configured name. Unset: every entry is refused.
  std::function<absl::StatusOr<std::shared_ptr<const PerFilterConfig>>(std::string_view filter, const google::protobuf::Any&)> per_filter;
  // Given for inline routes (validate_clusters defaults to true there) and for RDS tables that ask for it.
  std::function<bool(std::string_view cluster)> knows_cluster;
  bool validate_clusters_default = false;  // Envoy 1.40: true for inline routes, false for RDS
  std::vector<std::string>* warnings = nullptr;  // what is accepted but suspicious, e.g. an unknown retry_on token
  FileReader read_file;  // unset: bodies from files and the environment are not looked at
};

// The entry of that name at one level, or null.
const PerFilter* find_per_filter(const std::vector<PerFilter>& level, std::string_view name);

// What matching needs beside the headers.
struct RequestFacts {
  std::string_view scheme = "http";   // of the downstream connection or x-forwarded-proto, as trusted by the caller
  bool internal = false;              // Envoy's notion of an internal request
  uint64_t random = 0;                // the stream's stable random number: fractions and weighted clusters
  std::string_view source_ip = {};    // the client's address without port, for weighted clusters that follow the hash policy
  const matching::Runtime* runtime = nullptr;
  // Of the client's certificate. Connections without TLS have none.
  bool certificate_presented = false, certificate_validated = false;
  const envoy::config::core::v3::Metadata* dynamic_metadata = nullptr;  // null: none
};

struct Match {
  enum class Outcome : uint8_t {
    NoVirtualHost,  // 404 NR
    NoRoute,        // 404 NR
    Route,          // see route->action
    RedirectToTls   // the virtual host requires TLS: 301 to https, same host and path
  };
  Outcome outcome = Outcome::NoVirtualHost;
  const VirtualHost* virtual_host = nullptr;
  const Route* route = nullptr;
  const WeightedCluster* weighted = nullptr;  // the entry chosen, when the route has weighted clusters
  std::string_view cluster;                   // into the table or the request's headers; empty: a cluster_header that is missing

  // The most specific per-filter entry: weighted cluster, route, virtual host (the table's is RouteTable::per_filter).
  const PerFilter* per_filter(std::string_view name) const;
};

// Told what match() decided, step by step. Explanations run through the same code as requests.
class ExplainSink {
 public:
  virtual ~ExplainSink() = default;
  virtual void virtual_host(std::string_view host, const VirtualHost* chosen, std::string_view domain) = 0;
  virtual void rejected(const Route& route, std::string_view reason) = 0;  // the path matched, something else did not
  virtual void chosen(const Route& route, const Match& match) = 0;
};

class RouteTable {
 public:
  ~RouteTable();
  RouteTable(const RouteTable&) = delete;

  // Errors collect the first problems of the table, each with its field path.
  static absl::StatusOr<std::shared_ptr<const RouteTable>> compile(const envoy::config::route::v3::RouteConfiguration& proto,
                                                                   const CompileOptions& options = {});

  Match match(const http::HeaderMap& headers, const RequestFacts& facts) const { return match(headers, facts, nullptr); }
  Match explain(const http::HeaderMap& headers, const RequestFacts& facts, ExplainSink& sink) const { return match(headers, facts, &sink); }

  // The reference implementation: a plain scan in configured order. For tests and fuzzing only.
  Match match_by_scan(const http::HeaderMap& headers, const RequestFacts& facts) const;

  const std::string& name() const { return name_; }
  uint64_t content_hash() const { return content_hash_; }
  const std::vector<VirtualHost>& virtual_hosts() const { return virtual_hosts_; }
  // Every cluster the table names (not those from headers), sorted and unique: what must be warm before it goes live.
  const std::vector<std::string>& cluster_names() const { return cluster_names_; }
  const std::vector<PerFilter>& per_filter() const { return per_filter_; }
  const PerFilter* per_filter(std::string_view name, const Match& match) const;  // all four levels
  const std::vector<std::string>& internal_only_headers() const { return internal_only_headers_; }
  bool ignores_port_in_host() const { return ignore_port_; }

  // Header operations of all levels that apply to `match`, in Envoy's order; none when no route was chosen.
  void apply_request_headers(const Match& match, http::HeaderMap& headers, const format::FormatContext& context) const;
  // Whether any level has something to apply: where none has, nobody needs the context.
  bool changes_requests(const Match& match) const {
    if (match.route == nullptr) return false;
    return !request_headers_.empty() || !match.route->extras.request_headers.empty() || !match.virtual_host->extras.request_headers.empty() || (match.weighted != nullptr && !match.weighted->request_headers.empty());
  }
  bool changes_responses(const Match& match) const {
    if (match.route == nullptr) return false;
    return !response_headers_.empty() || !match.route->extras.response_headers.empty() || !match.virtual_host->extras.response_headers.empty() || (match.weighted != nullptr && !match.weighted->response_headers.empty());
  }
  void apply_response_headers(const Match& match, http::HeaderMap& headers, const format::FormatContext& context) const;

 private:
  friend class TableCompiler;
  RouteTable();
  Match match(const http::HeaderMap& headers, const RequestFacts& facts, ExplainSink* sink) const;
  const VirtualHost* find_host(std::string_view authority, std::string_view* domain) const;

  std::string name_;
  uint64_t content_hash_ = 0;
  bool ignore_port_ = false;
  bool most_specific_wins_ = false;
  HeaderOps request_headers_, response_headers_;
  std::vector<PerFilter> per_filter_;
  std::vector<std::string> internal_only_headers_;
  std::vector<std::string> cluster_names_;
  std::vector<VirtualHost> virtual_hosts_;
  std::unique_ptr<HostIndex> hosts_;
  std::vector<std::unique_ptr<PathIndex>> paths_;  // one per virtual host; null up to PathIndex::scan_up_to routes

  // What virtual hosts and routes refer to.
  std::vector<Route> routes_;  // of all virtual hosts, one after the other
  std::vector<std::string_view> domains_;
  TextPool texts_;
  std::forward_list<RouteAction> actions_;
  std::forward_list<RouteExtras> extras_;
  std::forward_list<VirtualHostExtras> host_extras_;
  std::forward_list<RouteConditions> conditions_;
  std::forward_list<matching::Regex> regexes_;
};

}  // namespace fairlead::router
