// In-memory connection pairs (simulated.h).
#include "dataplane/net/simulated.h"

#include <algorithm>
#include <cerrno>

#include "dataplane/net/transport.h"

namespace fairlead::net {

namespace {
enum End { kA = 0, kB = 1 };
}

// One direction is what `from` has written and the other end has not read yet.
struct SimulatedPair::Wire {
  explicit Wire(EventLoop& loop) : loop(loop) {}

  struct Side {
    Connection* connection = nullptr;
    Buffer sent;                          // by this side, unread by the peer
    size_t allowance = Buffer::npos;      // bytes this side may still write
    bool ended = false;                   // sends no more
    bool closed = false;
    bool reset = false;                   // sees ECONNRESET
    uint32_t ready = 0;                   // epoll events to report
  };

  void notify(End end, uint32_t events) {
    sides[end].ready |= events;
    loop.run_soon(task);
  }
  void deliver() {
    for (End end : {kA, kB}) {
      uint32_t ready = sides[end].ready;
      sides[end].ready = 0;
      if (ready != 0 && sides[end].connection != nullptr) sides[end].connection->on_fd_ready(ready);
    }
  }
  void allow(End end, size_t bytes) {
    sides[end].allowance = bytes;
    if (bytes != 0) notify(end, EPOLLOUT);
  }

  EventLoop& loop;
  Side sides[2];
  size_t read_limit = Buffer::npos;
  LoopTask task = LoopTask::of<&Wire::deliver>(this);
};

namespace {

class SimulatedTransport final : public Transport {
 public:
  SimulatedTransport(std::shared_ptr<SimulatedPair::Wire> wire, End end) : wire_(std::move(wire)), end_(end) {}
  ~SimulatedTransport() override { close(false); }

  IoResult read(Buffer& into, size_t limit) override {
    auto& peer = wire_->sides[1 - end_];
    if (wire_->sides[end_].reset) return {IoResult::Next::Error, 0, ECONNRESET};
    size_t n = std::min({peer.sent.size(), limit, wire_->read_limit});
    peer.sent.move_to(into, n);
    if (!peer.sent.empty()) return {IoResult::Next::Again, n, 0};
    if (n == 0 && peer.ended) return {IoResult::Next::Closed, 0, 0};
    return {peer.ended ? IoResult::Next::Again : IoResult::Next::Done, n, 0};
  }

  IoResult write(Buffer& from) override {
    auto& self = wire_->sides[end_];
    if (self.reset) return {IoResult::Next::Error, 0, ECONNRESET};
    if (wire_->sides[1 - end_].closed) return {IoResult::Next::Error, 0, EPIPE};
    size_t n = std::min(from.size(), self.allowance);
    self.sent.append(Buffer(std::string_view(from.linearize(n))));
    from.drain(n);
    if (self.allowance != Buffer::npos) self.allowance -= n;
    if (n != 0) wire_->notify(other(), EPOLLIN);
    return {IoResult::Next::Done, n, 0};
  }

  void shutdown_write() override {
    if (wire_->sides[end_].ended) return;
    wire_->sides[end_].ended = true;
    wire_->notify(other(), EPOLLIN | EPOLLRDHUP);
  }

  void close(bool reset) override {
    auto& self = wire_->sides[end_];
    if (self.closed) return;
    self.closed = true;
    self.connection = nullptr;
    if (reset) {
      wire_->sides[1 - end_].reset = true;
      wire_->notify(other(), EPOLLIN | EPOLLERR | EPOLLHUP);
    } else {
      shutdown_write();
    }
  }

 private:
  End other() const { return end_ == kA ? kB : kA; }
  std::shared_ptr<SimulatedPair::Wire> wire_;
  End end_;
};

}  // namespace

SimulatedPair::SimulatedPair(EventLoop& loop, const Connection::Options& options) : wire_(std::make_shared<Wire>(loop)) {
  Address a = *Address::parse("192.0.2.1:1");
  Address b = *Address::parse("192.0.2.2:2");
  a_ = Connection::over(loop, std::make_unique<SimulatedTransport>(wire_, kA), a, b, options);
  b_ = Connection::over(loop, std::make_unique<SimulatedTransport>(wire_, kB), b, a, options);
  wire_->sides[kA].connection = a_.get();
  wire_->sides[kB].connection = b_.get();
}

SimulatedPair::~SimulatedPair() = default;
ConnectionPtr SimulatedPair::take_a() { return std::move(a_); }
ConnectionPtr SimulatedPair::take_b() { return std::move(b_); }
void SimulatedPair::allow_writes_of_a(size_t bytes) { wire_->allow(kA, bytes); }
void SimulatedPair::allow_writes_of_b(size_t bytes) { wire_->allow(kB, bytes); }
void SimulatedPair::limit_reads(size_t bytes) { wire_->read_limit = bytes; }

void SimulatedPair::cut() {
  for (End end : {kA, kB}) {
    wire_->sides[end].reset = true;
    wire_->notify(end, EPOLLIN | EPOLLERR | EPOLLHUP);
  }
}

}  // namespace fairlead::net
