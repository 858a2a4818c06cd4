// A session of the UDP proxy: what one client's address and port exchange with one host, over an upstream socket of their own.
// On its filter's worker; owned by its filter. Its socket is made with it, so a host's answers find no other session.
#pragma once

#include <memory>
#include <optional>

#include "dataplane/filters/udp/udp_proxy/config.h"
#include "dataplane/filters/udp/udp_proxy/handed.h"
#include "dataplane/net/datagrams.h"
#include "dataplane/net/timer.h"
#include "dataplane/upstream/pool/host.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::udp::udp_proxy {

class UdpProxy;
uint64_t next_session_id();

// A cluster that routes name, as the worker has it now.
struct ClusterSlot {
  std::string name;
  upstream::Ref<upstream::Cluster> cluster;  // null: there is none
  std::shared_ptr<const config::EndpointSet> endpoints;
  stats::Block<ClusterUdpStat> stats;
};

struct SessionKey {
  net::DatagramPath path;
  const upstream::Host* host = nullptr;  // with a host for each datagram; else null
  friend bool operator==(const SessionKey&, const SessionKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SessionKey& k) {
    return H::combine(std::move(h), k.path, k.host);
  }
};

class Session final : private net::FdHandler {
 public:
  Session(UdpProxy& proxy, const SessionKey& key, ClusterSlot& slot, upstream::Ref<upstream::Host> host);
  // One of the process before, with its socket. Of sessions that began here it is none.
  Session(UdpProxy& proxy, const HandedState& from, int fd, ClusterSlot& slot, upstream::Ref<upstream::Host> host);
  ~Session() override;

  const SessionKey& key() const { return key_; }
  const ClusterSlot& slot() const { return *slot_; }
  upstream::Host& host() const { return *host_; }
  const upstream::Cluster& cluster() const { return *cluster_; }

  // The client's datagrams, sent by send_pending(): several of a batch may leave together. `first`: the number of the first in the batch's list.
  bool pending() const { return first_ >= 0; }
  void send_upstream(std::span<net::OutDatagram> datagrams);

 private:
  friend class UdpProxy;
  void on_fd_ready(uint32_t) override { read_some(); }
  void read_some();
  bool open();
  void arm_idle();
  void begin_log();
  void pause();
  void resume();
  HandedState hand_over() const;  // of one that pauses

  UdpProxy& proxy_;
  const SessionKey key_;
  ClusterSlot* slot_;
  upstream::Ref<upstream::Cluster> cluster_;  // whose breakers count it: not always the slot's any more
  upstream::Ref<upstream::Host> host_;
  int fd_ = -1;
  bool segment_ = true;
  int32_t first_ = -1, last_ = -1;  // of the batch at hand: see UdpProxy::Piece
  net::FdWatch watch_;
  net::LoopTask again_;
  net::Timer idle_timer_;
  std::unique_ptr<net::Timer> log_timer_;
  std::optional<net::TimePoint> idle_at_;  // while it pauses
  SessionCounts counts_;
  const uint64_t id_;
  const std::chrono::system_clock::time_point began_;
  const net::TimePoint began_at_;
};

// What is logged of a session, or of one that could not be.
struct SessionFacts {
  const net::DatagramPath& path;
  const std::string& cluster;
  uint64_t id;
  std::chrono::system_clock::time_point began;
  net::TimePoint began_at;
  SessionCounts counts = {};
  const upstream::Host* host = nullptr;
  int fd = -1;  // its upstream socket
  bool overflow = false;
};

}  // namespace fairlead::filters::udp::udp_proxy
