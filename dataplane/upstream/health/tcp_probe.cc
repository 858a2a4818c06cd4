// Checks over TCP: a connection alone, or bytes sent and awaited.
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/health/probe.h"
#include "dataplane/upstream/pool/reset_reason.h"
#include "dataplane/upstream/pool/proxy_header.h"
#include "dataplane/upstream/pool/tls.h"

namespace fairlead::upstream {
namespace {

class TcpProbe final : public Probe {
 public:
  TcpProbe(ProbeTarget target, ProbeEvents& events) : target_(std::move(target)), events_(events) {}
  ~TcpProbe() override { drop(); }
  void begin() override;
  void cancel() override {
    waiting_ = false;
    drop();
  }

 private:
  // Outlives the probe by a turn: the connection may still report.
  struct Wire final : public net::Deferred, public net::ConnectionEvents {
    explicit Wire(TcpProbe* owner_in) : owner(owner_in) {}
    void on_connected() override {
      if (owner != nullptr) owner->on_connected();
    }
    void on_data(net::Buffer& data, bool) override {
      if (owner != nullptr) {
        owner->on_data(data);
      } else {
        data.clear();
      }
    }
    void on_closed(net::CloseReason) override {
      if (owner != nullptr) owner->on_closed();
    }
    TcpProbe* owner;
    net::ConnectionPtr connection;
  };

  void on_connected();
  void on_data(net::Buffer& data);
  void on_closed();
  void finish(ProbeResult::Kind kind);
  void drop();

  ProbeTarget target_;
  ProbeEvents& events_;
  net::DeferredPtr<Wire> wire_;
  bool waiting_ = false;
  std::string received_;
};

void TcpProbe::begin() {
  waiting_ = true;
  received_.clear();
  if (wire_ && wire_->connection->open()) {
    wire_->connection->write(target_.check->send);
    return;
  }
  drop();
  wire_.reset(new Wire(this));
  wire_->connection = connect_probe(target_);
  wire_->connection->set_events(wire_.get());
}

void TcpProbe::on_connected() {
  if (!waiting_) return;
  if (target_.check->receive.empty()) {  // Envoy 1.40: being connected is all that is asked; nothing is sent
    drop();
    return finish(ProbeResult::Kind::Success);
  }
  wire_->connection->write(target_.check->send);
}

void TcpProbe::on_data(net::Buffer& data) {
  if (!waiting_) return data.clear();
  received_ += data.to_string();
  data.clear();
  if (!holds_in_order(received_, target_.check->receive)) {
    if (received_.size() > 64 * 1024) {  // Envoy keeps all of it; no answer to a check is that long
      drop();
      finish(ProbeResult::Kind::Network);
    }
    return;
  }
  if (!target_.check->reuse_connection) drop();
  finish(ProbeResult::Kind::Success);
}

void TcpProbe::on_closed() {
  const bool not_made = own_want(wire_->connection->last_error());
  drop();
  if (waiting_) finish(not_made ? ProbeResult::Kind::NotMade : ProbeResult::Kind::Network);
}

void TcpProbe::finish(ProbeResult::Kind kind) {
  waiting_ = false;
  events_.on_probe({.kind = kind});
}

void TcpProbe::drop() {
  if (!wire_) return;
  wire_->owner = nullptr;
  wire_->connection->close(net::CloseType::NoFlush);
  wire_.reset();
}

}  // namespace

std::unique_ptr<Probe> make_tcp_probe(ProbeTarget target, ProbeEvents& events) { return std::make_unique<TcpProbe>(std::move(target), events); }

std::unique_ptr<Probe> make_probe(ProbeTarget target, ProbeEvents& events) {
  return target.check->kind == config::HealthCheck::Kind::Tcp ? make_tcp_probe(std::move(target), events) : make_http_probe(std::move(target), events);
}

net::ConnectionPtr connect_probe(const ProbeTarget& target) {
  const config::ClusterConfig& cluster = *target.cluster;
  net::Connection::Options options;
  options.connect_timeout = cluster.connect_timeout;
  if (cluster.bind && cluster.bind->source_address && cluster.bind->source_address->is_ip()) {
    auto source = net::Address::from_ip(cluster.bind->source_address->host, cluster.bind->source_address->port);
    if (source.ok()) options.bind_to = *std::move(source);
  }
  net::Dial dial;
  if (cluster.proxy_protocol) {
    dial.preamble = [protocol = cluster.proxy_protocol](const net::Address& local, const net::Address& remote) { return proxy_header(*protocol, nullptr, local, remote); };
  }
  if (target.tls != nullptr && target.cells != nullptr) {
    const bool http = target.check->kind != config::HealthCheck::Kind::Tcp;
    add_tls(dial, target.tls, {target.hostname}, !http ? std::string_view() : target.check->http2 || target.check->kind == config::HealthCheck::Kind::Grpc ? kAlpnHttp2 : kAlpnHttp1, target.tls_stats, *target.cells);
  }
  return net::Connection::connect(target.loop, target.address, options, std::move(dial));
}

bool holds_in_order(std::string_view bytes, const std::vector<std::string>& blocks) {
  size_t from = 0;
  for (const std::string& block : blocks) {
    const size_t at = bytes.find(block, from);
    if (at == std::string_view::npos) return false;
    from = at + block.size();
  }
  return true;
}

}  // namespace fairlead::upstream
