// Statistics of gRPC methods under the cluster they go to: cluster.<name>.<stem>.[<service>.<method>.]<leaf>. Made when first met, by a worker
// for itself, so counting takes no lock; how many a filter may make is bounded, since clients choose the names.
// One MethodCounters per filter and worker.
#pragma once

#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>

#include "dataplane/grpc/frames.h"
#include "dataplane/stats/registry.h"

namespace fairlead::grpc {

struct MethodStats {
  stats::ScopePtr scope;
  std::string prefix;  // "grpc.pkg.Service.Method."
  stats::Counter total, success, failure, request_messages, response_messages;
  stats::Histogram upstream_time;  // only when asked for
  absl::flat_hash_map<std::string, stats::Counter> by_status;

  // `status`: the grpc-status as text.
  void charge(stats::Cells& cells, std::string_view status);
};

class MethodCounters {
 public:
  static constexpr size_t kMaxMethods = 4096;
  // `stem`: "grpc" or "grpc-web". `times`: with the histogram upstream_rq_time. `replace_dots`: of the service's name, by '_'.
  MethodCounters(stats::Registry& registry, std::string stem, bool times, bool replace_dots) : registry_(registry), stem_(std::move(stem)), times_(times), replace_dots_(replace_dots) {}

  // `method` invalid: the counters without a method. Null when there are too many.
  MethodStats* find(std::string_view cluster, const Method& method);

 private:
  using ByMethod = absl::flat_hash_map<std::string, std::unique_ptr<MethodStats>>;
  std::unique_ptr<MethodStats> make(std::string_view cluster, const Method& method);

  stats::Registry& registry_;
  std::string stem_;
  bool times_, replace_dots_;
  absl::flat_hash_map<std::string, ByMethod> clusters_;
  size_t made_ = 0;
};

}  // namespace fairlead::grpc
