// Accepting and draining on one worker.
#include "dataplane/server/worker_listeners.h"

namespace fairlead::server {

struct WorkerListeners::Accepting final : net::AcceptEvents {
  Accepting(Active& owner, net::EventLoop& loop, int fd) : owner(owner), listener(loop, fd, *this) {}
  void on_accept(int fd, const net::Address& remote) override;
  Active& owner;
  net::Listener listener;
};

struct WorkerListeners::Active {
  Active(WorkerListeners& owner, std::shared_ptr<const ServingListener> config) : owner(owner), config(std::move(config)) {}
  WorkerListeners& owner;
  std::shared_ptr<const ServingListener> config;
  std::unique_ptr<stream::HttpConnections> connections;
  std::vector<std::unique_ptr<Accepting>> accepting;
};

struct WorkerListeners::Draining {
  std::shared_ptr<const ServingListener> config;
  std::unique_ptr<stream::HttpConnections> connections;
  std::unique_ptr<net::Timer> deadline;
};

void WorkerListeners::Accepting::on_accept(int fd, const net::Address& remote) {
  WorkerListeners& listeners = owner.owner;
  listeners.worker_.cells().add(owner.config->stats, stats::ListenerStat::downstream_cx_total);
  owner.connections->accept(fd, remote);
}

WorkerListeners::WorkerListeners(stream::WorkerContext& worker, uint32_t socket_index) : worker_(worker), socket_index_(socket_index) {}

WorkerListeners::~WorkerListeners() {
  for (Draining& d : draining_) d.connections->on_empty = nullptr;
  close_all();
}

void WorkerListeners::set(std::shared_ptr<const ServingListener> listener, std::chrono::milliseconds drain_time) {
  std::unique_ptr<Active>& slot = active_[listener->name];
  const bool same_sockets = slot != nullptr && slot->config->sockets == listener->sockets;
  // before the old configuration, and with it the old sockets, may go
  if (slot != nullptr && !same_sockets) slot->accepting.clear();
  if (slot == nullptr) {
    slot = std::make_unique<Active>(*this, listener);
  } else {
    start_drain(std::move(slot->config), std::move(slot->connections), drain_time);
    slot->config = listener;
  }
  slot->connections = std::make_unique<stream::HttpConnections>(worker_, listener->manager);
  if (same_sockets) return;
  for (const auto& socket : listener->sockets)
    slot->accepting.push_back(std::make_unique<Accepting>(*slot, worker_.loop(), socket->fd(socket_index_)));
}

void WorkerListeners::remove(const std::string& name, std::chrono::milliseconds drain_time) {
  auto it = active_.find(name);
  if (it == active_.end()) return;
  it->second->accepting.clear();
  start_drain(it->second->config, std::move(it->second->connections), drain_time);
  active_.erase(it);
}

void WorkerListeners::start_drain(std::shared_ptr<const ServingListener> listener, std::unique_ptr<stream::HttpConnections> connections,
                                  std::chrono::milliseconds drain_time) {
  if (connections == nullptr) return;
  connections->keep_epoch();
  connections->drain();
  // without the sockets: whoever connects while old connections drain is to be refused, or served by the next listener of that address
  auto closed = std::make_shared<ServingListener>(*listener);
  closed->sockets.clear();
  listener.reset();
  draining_.push_back({std::move(closed), std::move(connections), nullptr});
  auto it = std::prev(draining_.end());
  it->connections->on_empty = [this, it] {
    worker_.loop().post([this, it, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) draining_.erase(it);
    });
  };
  it->deadline = std::make_unique<net::Timer>(worker_.loop().timers(), [it] { it->connections->close_all(net::CloseType::NoFlush); });
  if (it->connections->size() == 0) {
    it->connections->on_empty = nullptr;
    draining_.erase(it);
    return;
  }
  it->deadline->arm(drain_time);
}

void WorkerListeners::drain(const std::string& name) {
  if (auto it = active_.find(name); it != active_.end()) it->second->connections->drain();
}

void WorkerListeners::drain_all() {
  for (auto& [name, active] : active_) active->connections->drain();
}

void WorkerListeners::close_idle() {
  for (auto& [name, active] : active_) active->connections->close_idle();
  for (Draining& d : draining_) d.connections->close_idle();
}

void WorkerListeners::close_all() {
  for (auto& [name, active] : active_) active->connections->close_all(net::CloseType::NoFlush);
  for (Draining& d : draining_) d.connections->close_all(net::CloseType::NoFlush);
}

size_t WorkerListeners::connections() const {
  size_t n = 0;
  for (const auto& [name, active] : active_) n += active->connections->size();
  for (const Draining& d : draining_) n += d.connections->size();
  return n;
}

void WorkerListeners::refresh_gauges() {
  stats::Cells& cells = worker_.cells();
  for (const auto& [name, active] : active_) {
    uint64_t now = active->connections->size();
    for (const Draining& d : draining_)
      if (d.config->stats.base == active->config->stats.base) now += d.connections->size();
    const uint64_t total = cells.read(active->config->stats.at(stats::ListenerStat::downstream_cx_total));
    cells.set(active->config->stats, stats::ListenerStat::downstream_cx_active, now);
    cells.set(active->config->stats, stats::ListenerStat::downstream_cx_destroy, total - now);
  }
}

}  // namespace fairlead::server
