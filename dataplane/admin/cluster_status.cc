// Cluster status in text and JSON.
#include "dataplane/admin/cluster_status.h"

#include "absl/strings/str_cat.h"
#include "base/doc_proto.h"
#include "dataplane/net/address.h"
#include "envoy/admin/v3/clusters.pb.h"

namespace fairlead::admin {
namespace {

using upstream::HostStatus;

std::string_view health_flags(const HostStatus& host) {
  switch (host.health) {
    case upstream::Health::kHealthy: return "healthy";
    case upstream::Health::kDegraded: return "/degraded_eds_health";
    default: return "/failed_eds_health";
  }
}

void breakers_text(std::string& out, const config::ClusterConfig& c, std::string_view priority, const config::CircuitBreaker& b) {
  const std::string lead = absl::StrCat(c.name, "::", priority, "_priority::");
  absl::StrAppend(&out, lead, "max_connections::", b.max_connections, "\n", lead, "max_pending_requests::", b.max_pending_requests, "\n");
  absl::StrAppend(&out, lead, "max_requests::", b.max_requests, "\n", lead, "max_retries::", b.max_retries, "\n");
}

void set_address(envoy::config::core::v3::Address* out, const std::string& text) {
  const auto address = net::Address::parse(text);
  if (address.ok() && address->is_ip()) {
    out->mutable_socket_address()->set_address(address->ip_string());
    out->mutable_socket_address()->set_port_value(address->port());
  } else {
    out->mutable_pipe()->set_path(text);
  }
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
      absl::StrAppend(&out, lead, "priority::", h.priority, "\n", lead, "success_rate::-1\n", lead, "local_origin_success_rate::-1\n");
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
      set_address(host->mutable_address(), h.address);
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
