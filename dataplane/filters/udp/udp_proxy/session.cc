// A session's upstream socket; see session.h.
#include "dataplane/filters/udp/udp_proxy/session.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "dataplane/filters/udp/udp_proxy/filter.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::filters::udp::udp_proxy {

using stats::ClusterStat;

namespace {

constexpr int kBatchesPerTurn = 8;  // of one host's answers, then others have their turn

}  // namespace

uint64_t next_session_id() {
  static std::atomic<uint64_t> next{0};  // Envoy 1.40: from 0, over all workers
  return next.fetch_add(1, std::memory_order_relaxed);
}

Session::Session(UdpProxy& proxy, const SessionKey& key, ClusterSlot& slot, upstream::Ref<upstream::Host> host)
    : proxy_(proxy),
      key_(key),
      slot_(&slot),
      cluster_(slot.cluster),
      host_(std::move(host)),
      watch_(proxy.worker_.loop(), *this),
      again_(net::LoopTask::of<&Session::read_some>(this)),
      idle_timer_(proxy.worker_.loop().timers(), [this] { proxy_.on_idle(*this); }),
      id_(next_session_id()),
      began_(proxy.worker_.loop().wall_now()),
      began_at_(proxy.worker_.loop().now()) {
  cluster_->shared().breakers[0].connections.take();
  proxy_.count(Stat::downstream_sess_total);
  proxy_.count(Stat::downstream_sess_active);
  begin_log();
}

// It is counted where it began.
Session::Session(UdpProxy& proxy, const HandedState& from, int fd, ClusterSlot& slot, upstream::Ref<upstream::Host> host)
    : proxy_(proxy),
      key_{from.path, from.per_packet ? host.get() : nullptr},
      slot_(&slot),
      cluster_(slot.cluster),
      host_(std::move(host)),
      fd_(fd),
      watch_(proxy.worker_.loop(), *this),
      again_(net::LoopTask::of<&Session::read_some>(this)),
      idle_timer_(proxy.worker_.loop().timers(), [this] { proxy_.on_idle(*this); }),
      counts_(from.counts),
      id_(next_session_id()),
      began_(std::chrono::microseconds(from.began_us)),
      began_at_(proxy.worker_.loop().now() - std::chrono::microseconds(from.age_us)) {
  cluster_->shared().breakers[0].connections.take();
  proxy_.count(Stat::downstream_sess_active);
  net::join_datagrams(fd_, proxy_.shared_->config->join_datagrams);
  if (from.idle_us >= 0) {
    idle_at_ = proxy.worker_.loop().now() + std::chrono::microseconds(from.idle_us);
  } else if (proxy_.shared_->config->idle_timeout.count() != 0) {
    idle_at_ = proxy.worker_.loop().now() + proxy_.shared_->config->idle_timeout;
  }
  begin_log();
}

void Session::begin_log() {
  const auto& interval = proxy_.shared_->config->log_interval;
  if (interval && !proxy_.shared_->session_logs.empty()) {
    log_timer_ = std::make_unique<net::Timer>(proxy_.worker_.loop().timers(), [this, every = *interval] {
      proxy_.log_session(*this, format::LogType::UdpPeriodic);
      log_timer_->arm(every);
    });
    log_timer_->arm(*interval);
  }
}

Session::~Session() {
  cluster_->shared().breakers[0].connections.give_back();
  proxy_.cells().sub(proxy_.shared_->stats, Stat::downstream_sess_active);
  if (fd_ < 0) return;
  watch_.remove();
  ::close(fd_);
}

void Session::arm_idle() {
  if (const auto limit = proxy_.shared_->config->idle_timeout; limit.count() != 0) idle_timer_.arm(limit);
}

void Session::pause() {
  if (fd_ >= 0) watch_.remove();
  again_.cancel();
  idle_at_ = idle_timer_.armed() ? std::optional(idle_timer_.deadline()) : std::nullopt;
  idle_timer_.disarm();
  if (log_timer_ != nullptr) log_timer_->disarm();
}

void Session::resume() {
  if (fd_ >= 0) watch_.add(fd_, EPOLLIN | EPOLLET);  // adding reports what is already waiting
  if (idle_at_) idle_timer_.arm_at(*std::exchange(idle_at_, std::nullopt));
  if (log_timer_ != nullptr) log_timer_->arm(*proxy_.shared_->config->log_interval);
}

HandedState Session::hand_over() const {
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  const net::TimePoint now = proxy_.worker_.loop().now();
  HandedState out{.path = key_.path, .per_packet = key_.host != nullptr, .cluster = slot_->name, .host = host_->address_text(), .counts = counts_};
  out.began_us = duration_cast<microseconds>(began_.time_since_epoch()).count();
  out.age_us = duration_cast<microseconds>(now - began_at_).count();
  if (idle_at_) out.idle_us = std::max<int64_t>(duration_cast<microseconds>(*idle_at_ - now).count(), 0);
  return out;
}

// Connected, so that many sessions can share a port of this host.
bool Session::open() {
  if (fd_ >= 0) return true;
  fd_ = net::open_connected_udp(host_->address(), proxy_.shared_->config->join_datagrams);
  if (fd_ < 0) return false;
  watch_.add(fd_, EPOLLIN | EPOLLET);
  return true;
}

void Session::send_upstream(std::span<net::OutDatagram> datagrams) {
  uint64_t bytes = 0;
  for (const net::OutDatagram& datagram : datagrams) bytes += datagram.bytes.size();
  counts_.rx_bytes += bytes;
  counts_.rx_datagrams += datagrams.size();
  proxy_.count(Stat::downstream_sess_rx_bytes, bytes);
  proxy_.count(Stat::downstream_sess_rx_datagrams, datagrams.size());
  arm_idle();
  stats::Cells& cells = proxy_.cells();
  if (!open()) return cells.add(slot_->stats, ClusterUdpStat::sess_tx_errors, datagrams.size());
  const net::SentDatagrams sent = net::send_datagrams(fd_, datagrams, false, segment_);
  if (sent.errors != 0) cells.add(slot_->stats, ClusterUdpStat::sess_tx_errors, sent.errors);
  if (sent.datagrams == 0) return;
  cells.add(slot_->stats, ClusterUdpStat::sess_tx_datagrams, sent.datagrams);
  cells.add(cluster_->shared().stats, ClusterStat::upstream_cx_tx_bytes_total, sent.bytes);
}

void Session::read_some() {
  arm_idle();
  net::DatagramBatch& batch = proxy_.port_.batch();
  const Config& config = *proxy_.shared_->config;
  stats::Cells& cells = proxy_.cells();
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    const net::DatagramBatch::Received got = batch.receive(fd_, config.max_datagram, config.join_datagrams, nullptr);
    if (got.error != 0) cells.add(slot_->stats, ClusterUdpStat::sess_rx_errors);
    if (got.truncated != 0) cells.add(slot_->stats, ClusterUdpStat::sess_rx_datagrams_dropped, got.truncated);
    if (got.messages != 0) {
      std::vector<net::OutDatagram>& out = proxy_.out_;
      out.clear();
      uint64_t bytes = 0;
      for (const net::DatagramMessage& message : batch.messages()) {
        bytes += message.bytes.size();
        net::for_each_datagram(message, [&](std::string_view datagram) { out.push_back({.bytes = datagram}); });
      }
      cells.add(slot_->stats, ClusterUdpStat::sess_rx_datagrams, out.size());
      cells.add(cluster_->shared().stats, ClusterStat::upstream_cx_rx_bytes_total, bytes);
      proxy_.answer(*this);
    }
    if (!got.more) return;
  }
  proxy_.worker_.loop().run_soon(again_);
}

}  // namespace fairlead::filters::udp::udp_proxy
