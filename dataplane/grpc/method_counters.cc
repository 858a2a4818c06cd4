// See method_counters.h.
#include "dataplane/grpc/method_counters.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

namespace fairlead::grpc {

void MethodStats::charge(stats::Cells& cells, std::string_view status) {
  uint32_t code;
  const bool known = absl::SimpleAtoi(status, &code) && code <= 16;
  if (!known) code = 2;  // whatever else was said, once
  auto it = by_status.find(status.substr(0, 2));
  if (!known || it == by_status.end()) {
    const std::string name = known ? absl::StrCat(code) : "InvalidCode";
    it = by_status.try_emplace(name, scope->counter_on_use(absl::StrCat(prefix, name))).first;
  }
  cells.add(it->second);
  cells.add(known && code == 0 ? success : failure);
  cells.add(total);
}

MethodStats* MethodCounters::find(std::string_view cluster, const Method& method) {
  auto of_cluster = clusters_.find(cluster);
  if (of_cluster != clusters_.end()) {
    const auto it = of_cluster->second.find(method.both);
    if (it != of_cluster->second.end()) return it->second.get();
  }
  if (made_ >= kMaxMethods) return method.valid() ? find(cluster, {}) : nullptr;
  ++made_;
  return clusters_[std::string(cluster)].emplace(std::string(method.both), make(cluster, method)).first->second.get();
}

std::unique_ptr<MethodStats> MethodCounters::make(std::string_view cluster, const Method& method) {
  auto out = std::make_unique<MethodStats>();
  out->scope = registry_.scope(stats::cluster_scope(cluster));
  const std::string service = replace_dots_ ? absl::StrReplaceAll(method.service, {{".", "_"}}) : std::string(method.service);
  out->prefix = method.valid() ? absl::StrCat(stem_, ".", service, ".", method.name, ".") : stem_ + ".";
  stats::Scope& scope = *out->scope;
  out->total = scope.counter_on_use(out->prefix + "total");
  out->success = scope.counter_on_use(out->prefix + "success");
  out->failure = scope.counter_on_use(out->prefix + "failure");
  out->request_messages = scope.counter_on_use(out->prefix + "request_message_count");
  out->response_messages = scope.counter_on_use(out->prefix + "response_message_count");
  if (times_) out->upstream_time = scope.histogram(out->prefix + "upstream_rq_time");
  return out;
}

}  // namespace fairlead::grpc
