// One host's checks on the wire: a connection that is kept between checks where it may be, one exchange at a time. What a result means is
// HostChecker's business, and so is the timeout.
// Main thread. Between begin() and its result, cancel() or the end of the probe nothing else may be called.
#pragma once

#include <memory>
#include <string>

#include "dataplane/config/cluster.h"
#include "dataplane/config/health.h"
#include "dataplane/net/address.h"
#include "dataplane/net/connection.h"

namespace fairlead::stats {
class Cells;
}

namespace fairlead::upstream {

class TlsStats;

struct ProbeResult {
  enum class Kind : uint8_t { Success, Degraded, Failed, Retriable, Network, NotMade };  // NotMade: there was no descriptor for it
  Kind kind = Kind::Success;
  bool exclude = false;         // the answer said x-envoy-immediate-health-check-fail
  bool verified_name = false;   // service_name_matcher was asked
  uint32_t status = 0;          // of HTTP
};

class ProbeEvents {
 public:
  virtual ~ProbeEvents() = default;
  virtual void on_probe(const ProbeResult& result) = 0;
};

struct ProbeTarget {
  net::EventLoop& loop;
  std::shared_ptr<const config::ClusterConfig> cluster;
  std::shared_ptr<const config::HealthCheck> check;
  net::Address address;
  std::string host;  // host header
  std::string hostname;  // the endpoint's, for TLS; may be empty
  std::shared_ptr<const config::UpstreamTls> tls;  // null: plain
  std::shared_ptr<const TlsStats> tls_stats;  // null: not counted
  stats::Cells* cells = nullptr;              // with tls_stats
};

class Probe {
 public:
  virtual ~Probe() = default;
  // Ends in one on_probe(), never before this returns.
  virtual void begin() = 0;
  // The time is up: the connection goes, no result follows.
  virtual void cancel() = 0;
};

std::unique_ptr<Probe> make_probe(ProbeTarget target, ProbeEvents& events);
std::unique_ptr<Probe> make_http_probe(ProbeTarget target, ProbeEvents& events);  // gRPC too
std::unique_ptr<Probe> make_tcp_probe(ProbeTarget target, ProbeEvents& events);
net::ConnectionPtr connect_probe(const ProbeTarget& target);  // Envoy 1.40: to the one address, whatever others the endpoint has

// Whether `bytes` hold all of `blocks`, in this order and with anything between.
bool holds_in_order(std::string_view bytes, const std::vector<std::string>& blocks);
// The gRPC frame of a grpc.health.v1.HealthCheckRequest, and whether a body is one whole HealthCheckResponse that says SERVING.
std::string grpc_health_request(std::string_view service);
bool grpc_health_serving(std::string_view body);

}  // namespace fairlead::upstream
