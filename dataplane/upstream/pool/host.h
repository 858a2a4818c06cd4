// One endpoint of a cluster as a worker sees it: address, health, weight, what is in flight, and its connection pools (made on first use).
// Kept by the worker's Cluster while the endpoint is configured and by every request on it (Ref); after removal it drains and is deleted
// with its last request. One worker.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/net/address.h"
#include "dataplane/http/codec.h"
#include "dataplane/upstream/lb/host.h"
#include "dataplane/upstream/pool/connection_pool.h"
#include "dataplane/upstream/pool/load.h"
#include "dataplane/upstream/pool/proxy_header.h"
#include "dataplane/upstream/pool/ref.h"

namespace fairlead::net {
class EventLoop;
}

namespace fairlead::upstream {

class Random;

// What the upstream rooms need of a worker. Outlives everything in them.
struct WorkerEnv {
  net::EventLoop& loop;
  stats::Cells& cells;
  Random& random;
};

// Counted by the worker alone; /clusters sums them over workers.
struct HostCounters {
  uint64_t cx_total = 0, cx_active = 0, cx_connect_fail = 0;
  uint64_t rq_pending = 0;  // wait for a connection now
  uint64_t rq_total = 0, rq_success = 0, rq_error = 0, rq_timeout = 0;
};

class Host final : public LbHost, public Counted {
 public:
  Host(WorkerEnv& env, std::shared_ptr<SharedCluster> cluster, const config::Endpoint& endpoint, net::Address address);
  ~Host() override;

  // Health, weight, hostname and metadata from a newer EndpointSet; the address never changes.
  void update(const config::Endpoint& endpoint);
  // The endpoint has left: pools drain.
  void remove();
  // Every connection closes at once; for shutdown.
  void close_all();

  // Attaches, queues or fails the request, in the pool of that priority and of the protocol that the cluster asks for.
  // `came_as`: the protocol of the request, for clusters that follow it.
  // `whom`: what the connection must have been made for; null: any will do.
  // `tcp`: without HTTP, for a request that ends here and whose bytes go on.
  void acquire(PoolRequest& request, bool high, http::Protocol came_as, const MadeFor* whom = nullptr, bool tcp = false);
  // Whether it has a connection, or requests that wait for one.
  bool in_use() const;
  // Connections go as soon as they are free; new requests get new ones.
  void retire_connections();
  const net::Address& address() const { return address_; }
  // Every address of an endpoint that has several, in the order in which connects to them are raced; null for nearly every host.
  const std::vector<net::Address>* race() const { return race_.get(); }
  const std::string& address_text() const { return address_text_; }  // "10.0.0.1:80"
  const std::string& hostname() const { return hostname_; }          // may be empty
  const std::shared_ptr<const envoy::config::core::v3::Metadata>& metadata() const { return metadata_; }
  SharedCluster& cluster() const { return *cluster_; }
  WorkerEnv& env() const { return env_; }
  bool removed() const { return removed_; }
  Health said_health() const { return said_; }  // by the control plane
  // Null in clusters without health checks and outlier detection.
  HostHealth* shared_health() const { return shared_health_.get(); }
  // Takes over what the checks and outlier detection say now, beside the control plane's word. True when that changed what traffic the host gets.
  bool refresh_health();
  // What an attempt has shown; for outlier detection.
  void report_status(uint32_t status) const {
    if (shared_health_) cluster_->health->on_status(*shared_health_, status);
  }
  void report_local(LocalResult result) const {
    if (shared_health_) cluster_->health->on_local(*shared_health_, result);
  }
  void report_immediate_fail() const {
    if (shared_health_) cluster_->health->on_immediate_fail(*shared_health_);
  }
  HostCounters counters;

  // Load reports, where they are made: where the host stands from now on, and what it has done since the last call of take_load().
  void stand_at(std::shared_ptr<const LoadPlace> place);
  const LoadPlace* place() const { return load_ ? load_->place.get() : nullptr; }
  HostLoad take_load();
  // What an answer said of the endpoint's load.
  void add_metric(std::string_view name, double value);

 private:
  WorkerEnv& env_;
  std::shared_ptr<SharedCluster> cluster_;
  net::Address address_;
  std::string address_text_;
  std::string hostname_;
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata_;
  std::shared_ptr<HostHealth> shared_health_;
  Health said_ = Health::kHealthy;                      // by the control plane
  HostStatusCode said_status_ = HostStatusCode::kUnknown;
  uint32_t flags_ = 0;                                  // of shared_health_, as last seen
  // Pools of connections that are for some requests alone. Those that nothing uses any more go when their number has doubled.
  struct OwnPools {
    absl::flat_hash_map<std::string, std::unique_ptr<ConnectionPool>> pools;
    size_t sweep_at = 16;
  };
  // Of `counters`, what reports have had; and what is not among these.
  struct Reported {
    std::shared_ptr<const LoadPlace> place;
    uint64_t succeeded = 0, failed = 0, issued = 0;
    LoadMetrics metrics;
  };
  void leave_load();
  void choose_race(const config::Endpoint& endpoint);
  ConnectionPool* own_pool(PoolProtocol protocol, bool high, const MadeFor& whom);
  void sweep_own_pools();
  template <class F>
  void for_each_pool(F&& f) const;

  bool removed_ = false;
  std::unique_ptr<Reported> load_;  // null: nobody asks
  std::unique_ptr<std::vector<net::Address>> race_;  // all addresses of the endpoint, where there are several
  std::unique_ptr<OwnPools> own_pools_;
  std::array<std::unique_ptr<ConnectionPool>, 2 * kPoolProtocols> pools_;  // by PoolProtocol, of priority DEFAULT, then HIGH
};

}  // namespace fairlead::upstream
