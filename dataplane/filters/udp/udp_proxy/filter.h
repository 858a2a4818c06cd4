// The UDP proxy on one socket of one worker: finds or makes the session of what comes, and ends sessions whose time is up or whose host or cluster
// has gone. Owned by the worker's listeners.
// Invariant: sessions_ holds exactly the sessions that count in downstream_sess_active and in their cluster's connection breaker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/accesslog/access_log.h"
#include "dataplane/filters/udp/udp_proxy/config.h"
#include "dataplane/filters/udp/udp_proxy/session.h"
#include "dataplane/format/context.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/udp_filter.h"

namespace fairlead::filters::udp::udp_proxy {

void register_filter(stream::UdpFilterRegistry& registry);

// What the filters of all workers share.
struct Shared {
  std::shared_ptr<const Config> config;
  accesslog::AccessLoggers session_logs, proxy_logs;
  stats::ScopePtr scope, listener_scope;
  stats::Block<Stat> stats;
  stats::Counter dropped;     // listener.<address>.udp.downstream_rx_datagram_dropped
  stats::Registry* registry;  // for the proxy's log, which tells of all workers together
};

class UdpProxy final : public stream::UdpFilter, private net::UdpPortEvents {
 public:
  UdpProxy(std::shared_ptr<const Shared> shared, stream::WorkerContext& worker, const net::UdpPort::Options& port);
  ~UdpProxy() override;

  bool adopt(const std::shared_ptr<const stream::UdpFilterFactory>& next, const net::UdpPort::Options& port) override;
  void clusters_changed() override;
  void pause() override;
  void resume() override;
  std::vector<stream::HandedSession> hand_over() override;
  bool take(std::string_view state, int fd) override;
  size_t sessions() const { return sessions_.size(); }

 private:
  friend class Session;
  // A datagram of the batch at hand, and the next of its session.
  struct Piece {
    std::string_view bytes;
    int32_t next = -1;
  };

  void on_datagrams(std::span<const net::DatagramMessage> messages) override;
  void on_receive_error(int error) override;
  void on_dropped(uint64_t datagrams) override;

  Session* session_for(const net::DatagramPath& path);
  Session* create(const SessionKey& key, ClusterSlot& slot, upstream::Ref<upstream::Host> host);
  upstream::Host* pick_host(const ClusterSlot& slot, const net::DatagramPath& path);
  ClusterSlot* route(const net::DatagramPath& path);
  ClusterSlot* slot_of(std::string_view cluster) const;
  void add_piece(Session& session, std::string_view bytes);
  void count_answers(Session& session, uint64_t datagrams, uint64_t bytes, uint64_t errors);
  void send_pending(Session& session);
  void end(const SessionKey& key);
  template <class Which>
  void end_all(const Which& which);

  // Sessions' side. Small answers of a turn are kept to its end and leave together: one call for many clients, whose next datagrams then come
  // together too. Before a session ends, what is kept goes.
  void answer(Session& session);  // with out_, whose bytes are the batch's
  void send_answers();
  void on_idle(Session& session);
  void log_session(const Session& session, format::LogType type) const;
  void log_facts(const SessionFacts& facts, format::LogType type) const;
  void log_proxy() const;

  stats::Cells& cells() const;
  void count(Stat stat, uint64_t n = 1) const;

  std::shared_ptr<const Shared> shared_;
  stream::WorkerContext& worker_;
  std::vector<std::unique_ptr<ClusterSlot>> slots_;  // by Config::clusters
  net::UdpPort port_;
  absl::flat_hash_map<SessionKey, std::unique_ptr<Session>> sessions_;
  std::vector<Piece> pieces_;
  std::vector<Session*> touched_;
  std::vector<net::OutDatagram> out_;
  std::unique_ptr<char[]> answer_bytes_;    // of kAnswerRoom; null until there is something
  size_t answer_size_ = 0;
  std::vector<net::OutDatagram> answers_;   // their bytes are there
  std::vector<Session*> answering_;         // whose each is
  net::LoopTask send_answers_;
  uint64_t received_ = 0, sent_ = 0;  // bytes, those without a session too
  bool paused_ = false;
  bool handed_over_ = false;          // another process has the sessions with a socket, unless this one resumes
};

}  // namespace fairlead::filters::udp::udp_proxy
