// Cluster status in text and JSON.
#include "dataplane/admin/cluster_status.h"

#include "absl/strings/str_cat.h"
#include "base/doc_proto.h"
#include "dataplane/config/address.h"
#include "envoy/admin/v3/clusters.pb.h"

namespace fairlead::admin {
namespace {

using upstream::HostStatus;

// Envoy 1.40's order.
std::string health_flags(const HostStatus& host) {
  std::string out;
  const auto add = [&](bool set, std::string_view name) {
    if (set) out += name;
  };
  const uint32_t flags = host.health_flags;
  add((flags & upstream::kFailedCheck) != 0, "/failed_active_hc");
  add((flags & upstream::kEjected) != 0, "/failed_outlier_check");
  add(host.health == upstream::Health::kUnhealthy, "/failed_eds_health");
  add((flags & upstream::kDegradedCheck) != 0, "/degraded_active_hc");
  add(host.health == upstream::Health::kDegraded, "/degraded_eds_health");
  add((flags & upstream::kPendingRemoval) != 0, "/pending_dynamic_removal");
  add((flags & upstream::kPendingCheck) != 0, "/pending_active_hc");
  add((flags & upstream::kExcludedByAnswer) != 0, "/excluded_via_immediate_hc_fail");
  add((flags & upstream::kCheckTimedOut) != 0, "/active_hc_timeout");
  return out.empty() ? "healthy" : out;
}

void breakers_text(std::string& out, const config::ClusterConfig& c, std::string_view priority, const config::CircuitBreaker& b) {
  const std::string lead = absl::StrCat(c.name, "::", priority, "_priority::");
  absl::StrAppend(&out, lead, "max_connections::", b.max_connections, "\n", lead, "max_pending_requests::", b.max_pending_requests, "\n");
  absl::StrAppend(&out, lead, "max_requests::", b.max_requests, "\n", lead, "max_retries::", b.max_retries, "\n");
}

}  // namespace

std::string clusters_text(const std::vector<ClusterRow>& rows) {
  std::string out;
  for (const ClusterRow& row : rows) {
    const config::ClusterConfig& c = *row.config;
    absl::StrAppend(&out, c.name, "::observability_name::", c.stat_name(), "\n");
    breakers_text(out, c, "default", c.breakers[0]);
    breakers_text(out, c, "high", c.breakers[1]);
    absl::StrAppend(&out, c.name, "::added_via_api::", row.added_via_api ? "true" : "false", "\n");
    if (c.discovery == config::ClusterConfig::Discovery::Eds && c.eds_service_name != c.name)
      absl::StrAppend(&out, c.name, "::eds_service_name::", c.eds_service_name, "\n");
    for (const HostStatus& h : row.hosts) {
      const std::string lead = absl::StrCat(c.name, "::", h.address, "::");
      const auto& n = h.counters;
      absl::StrAppend(&out, lead, "cx_active::", n.cx_active, "\n", lead, "cx_connect_fail::", n.cx_connect_fail, "\n", lead, "cx_total::", n.cx_total, "\n");
      absl::StrAppend(&out, lead, "rq_active::", h.rq_active, "\n", lead, "rq_error::", n.rq_error, "\n", lead, "rq_pending_active::", n.rq_pending, "\n",
                      lead, "rq_success::", n.rq_success, "\n");
      absl::StrAppend(&out, lead, "rq_timeout::", n.rq_timeout, "\n", lead, "rq_total::", n.rq_total, "\n", lead, "hostname::", h.hostname, "\n");
      absl::StrAppend(&out, lead, "health_flags::", health_flags(h), "\n", lead, "weight::", h.weight, "\n", lead, "region::", h.region, "\n");
      absl::StrAppend(&out, lead, "zone::", h.zone, "\n", lead, "sub_zone::", h.sub_zone, "\n", lead, "canary::false\n");
      absl::StrAppend(&out, lead, "priority::", h.priority, "\n", lead, "success_rate::", h.success_rate, "\n", lead, "local_origin_success_rate::", h.local_success_rate, "\n");
    }
  }
  return out;
}

std::string clusters_json(const std::vector<ClusterRow>& rows) {
  envoy::admin::v3::Clusters out;
  for (const ClusterRow& row : rows) {
    const config::ClusterConfig& c = *row.config;
    auto* status = out.add_cluster_statuses();
    status->set_name(c.name);
    status->set_added_via_api(row.added_via_api);
    status->set_observability_name(c.stat_name());
    if (c.discovery == config::ClusterConfig::Discovery::Eds && c.eds_service_name != c.name) status->set_eds_service_name(c.eds_service_name);
    for (int i = 0; i < 2; ++i) {
      auto* t = status->mutable_circuit_breakers()->add_thresholds();
      t->set_priority(i == 0 ? envoy::config::core::v3::DEFAULT : envoy::config::core::v3::HIGH);
      t->mutable_max_connections()->set_value(c.breakers[i].max_connections);
      t->mutable_max_pending_requests()->set_value(c.breakers[i].max_pending_requests);
      t->mutable_max_requests()->set_value(c.breakers[i].max_requests);
      t->mutable_max_retries()->set_value(c.breakers[i].max_retries);
    }
    for (const HostStatus& h : row.hosts) {
      auto* host = status->add_host_statuses();
      config::set_address(*host->mutable_address(), h.address);
      auto stat = [&](std::string_view name, uint64_t value, bool gauge) {
        auto* s = host->add_stats();
        s->set_name(std::string(name));
        s->set_value(value);
        s->set_type(gauge ? envoy::admin::v3::SimpleMetric::GAUGE : envoy::admin::v3::SimpleMetric::COUNTER);
      };
      stat("cx_connect_fail", h.counters.cx_connect_fail, false);
      stat("cx_total", h.counters.cx_total, false);
      stat("rq_error", h.counters.rq_error, false);
      stat("rq_success", h.counters.rq_success, false);
      stat("rq_timeout", h.counters.rq_timeout, false);
      stat("rq_total", h.counters.rq_total, false);
      stat("cx_active", h.counters.cx_active, true);
      stat("rq_active", h.rq_active, true);
      stat("rq_pending_active", h.counters.rq_pending, true);
      host->mutable_health_status()->set_eds_health_status(h.health == upstream::Health::kHealthy    ? envoy::config::core::v3::HEALTHY
                                                           : h.health == upstream::Health::kDegraded ? envoy::config::core::v3::DEGRADED
                                                                                                     : envoy::config::core::v3::UNHEALTHY);
      auto* health = host->mutable_health_status();
      health->set_failed_active_health_check((h.health_flags & upstream::kFailedCheck) != 0);
      health->set_failed_outlier_check((h.health_flags & upstream::kEjected) != 0);
      health->set_failed_active_degraded_check((h.health_flags & upstream::kDegradedCheck) != 0);
      health->set_pending_dynamic_removal((h.health_flags & upstream::kPendingRemoval) != 0);
      health->set_pending_active_hc((h.health_flags & upstream::kPendingCheck) != 0);
      health->set_excluded_via_immediate_hc_fail((h.health_flags & upstream::kExcludedByAnswer) != 0);
      health->set_active_hc_timeout((h.health_flags & upstream::kCheckTimedOut) != 0);
      if (h.success_rate >= 0) host->mutable_success_rate()->set_value(h.success_rate);
      if (h.local_success_rate >= 0) host->mutable_local_origin_success_rate()->set_value(h.local_success_rate);
      host->set_weight(h.weight);
      host->set_priority(h.priority);
      host->set_hostname(h.hostname);
      auto* locality = host->mutable_locality();
      locality->set_region(h.region);
      locality->set_zone(h.zone);
      locality->set_sub_zone(h.sub_zone);
    }
  }
  return doc::to_json(doc::from_message(out), true) + "\n";
}

}  // namespace fairlead::admin
