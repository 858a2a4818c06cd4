// Wires a UDP listener for a test; see test_udp.h.
#include "tests/integration/support/test_udp.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "dataplane/accesslog/log_file.h"
#include "dataplane/config/cluster.h"
#include "dataplane/filters/udp/builtin.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/worker.h"
#include "dataplane/stream/udp_filter.h"
#include "dataplane/stream/worker_context.h"
#include "dataplane/upstream/balancing.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "tests/integration/support/wiring.h"

namespace fairlead::testing {
namespace {

using namespace std::chrono_literals;

void register_udp_filters() {
  static std::once_flag once;
  std::call_once(once, [] {
    filters::udp::register_configs(config::Registry::global());
    filters::udp::register_filters(stream::UdpFilterRegistry::global());
  });
}

}  // namespace

// --- UdpSocket ------------------------------------------------------------------------------------------------------------

UdpSocket::UdpSocket(const char* ip) : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_storage at;
  const socklen_t size = must(net::Address::from_ip(ip, 0)).to_sockaddr(at);
  if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), size) != 0) throw std::runtime_error("cannot bind a UDP socket");
  port_ = must(net::Address::local_of(fd_)).port();
}

UdpSocket::~UdpSocket() { close(); }
void UdpSocket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void UdpSocket::send(uint16_t to, std::string_view bytes) const {
  sockaddr_storage at;
  const socklen_t size = net::Address::v4_loopback(to).to_sockaddr(at);
  if (::sendto(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&at), size) != static_cast<ssize_t>(bytes.size())) throw std::runtime_error("cannot send a datagram");
}

std::string UdpSocket::receive() {
  pollfd wait{fd_, POLLIN, 0};
  if (::poll(&wait, 1, 10'000) != 1) throw std::runtime_error("no datagram came");
  std::string out(70'000, 0);
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  const ssize_t n = ::recvfrom(fd_, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (n < 0) throw std::runtime_error("cannot receive a datagram");
  out.resize(static_cast<size_t>(n));
  from_ = net::Address::from_sockaddr(reinterpret_cast<sockaddr*>(&from), size).port();
  return out;
}

bool UdpSocket::quiet_for(std::chrono::milliseconds wait) const {
  pollfd one{fd_, POLLIN, 0};
  return ::poll(&one, 1, static_cast<int>(wait.count())) == 0;
}

// --- TestUdp --------------------------------------------------------------------------------------------------------------

struct TestUdp::State {
  State() : stats(2), logs(2), shared(stats), worker(0, "worker_0") {}
  std::shared_ptr<const stream::UdpFilterFactory> factory(const std::string& fields) {
    std::string yaml = "name: f\ntyped_config:\n  \"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig\n  stat_prefix: u\n";
    for (std::string_view line : absl::StrSplit(absl::StrReplaceAll(fields, {{"LOG_FILE", folder + "/access.log"}}), '\n'))
      if (!line.empty()) absl::StrAppend(&yaml, "  ", line, "\n");
    const auto filter = read<envoy::config::listener::v3::ListenerFilter>(yaml);
    const config::ListenerFilterType* type = config::Registry::global().listener_filter(filter.typed_config().type_url());
    const auto* make = stream::UdpFilterRegistry::global().find(filter.typed_config().type_url());
    return must((*make)(must(type->parse(filter.typed_config(), "typed_config")), {stats, logs, stats.scope(stats::listener_scope("test")), "test"}));
  }

  void apply(std::shared_ptr<const config::Snapshot> next) {
    snapshot = std::move(next);
    upstream::prepare(*snapshot, shared);
    for (const auto& [name, entry] : snapshot->clusters) shared.keep(name, shared.get(entry.config));
    worker.run_and_wait([this] {
      context->apply(snapshot);
      if (filter != nullptr) filter->clusters_changed();
    });
  }

  std::string folder;
  stats::Registry stats;
  accesslog::LogFiles logs;
  upstream::SharedClusters shared;
  net::Worker worker;
  std::shared_ptr<const config::Snapshot> snapshot;
  uint64_t epoch = 0;
  std::unique_ptr<stream::WorkerContext> context;
  std::unique_ptr<net::ListenSocket> socket;
  net::UdpPort::Options port;
  std::unique_ptr<stream::UdpFilter> filter;
};

TestUdp::TestUdp(const std::string& fields, const std::vector<std::string>& clusters) : state_(std::make_unique<State>()) {
  register_udp_filters();
  State& s = *state_;
  char folder[] = "/tmp/fairlead-udp-XXXXXX";
  s.folder = ::mkdtemp(folder);
  const auto factory = s.factory(fields);
  s.socket = std::make_unique<net::ListenSocket>(must(net::ListenSocket::bind(net::Address::v4_loopback(0), {.datagrams = true})));
  if (!s.socket->listen(1).ok()) throw std::runtime_error("the proxy cannot listen");
  port_ = s.socket->local_address().port();
  s.port = {.fd = s.socket->fd(0), .local = s.socket->local_address()};
  s.worker.start();
  s.worker.run_and_wait([&] { s.context = std::make_unique<stream::WorkerContext>(s.worker.loop(), s.stats.cells(1), 1, s.shared, 42); });
  publish(clusters);
  s.worker.run_and_wait([&] { s.filter = factory->create(*s.context, s.port); });
}

void TestUdp::end() {
  state_->worker.run_and_wait([this] { state_->filter.reset(); });
}

TestUdp::~TestUdp() {
  State& s = *state_;
  end();
  s.worker.run_and_wait([&] { s.context.reset(); });
  s.worker.stop();
  std::filesystem::remove_all(s.folder);
}

void TestUdp::publish(const std::vector<std::string>& clusters) {
  State& s = *state_;
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->epoch = ++s.epoch;
  for (const std::string& yaml : clusters) {
    auto cluster = must(config::parse_cluster(read<envoy::config::cluster::v3::Cluster>(yaml)));
    snapshot->clusters[cluster->name] = {.config = cluster, .endpoints = cluster->endpoints, .warm = true};
  }
  s.apply(snapshot);
}

void TestUdp::publish_endpoints(const std::string& yaml) {
  State& s = *state_;
  auto snapshot = std::make_shared<config::Snapshot>(*s.snapshot);
  snapshot->epoch = ++s.epoch;
  const auto cluster = must(config::parse_cluster(read<envoy::config::cluster::v3::Cluster>(yaml)));
  auto entry = *snapshot->cluster(cluster->name);
  entry.endpoints = cluster->endpoints;
  snapshot->clusters[cluster->name] = entry;
  s.apply(snapshot);
}

bool TestUdp::update(const std::string& fields) {
  State& s = *state_;
  const auto factory = s.factory(fields);
  bool same = false;
  s.worker.run_and_wait([&] {
    same = s.filter->adopt(factory, s.port);
    if (same) return;
    s.filter.reset();
    s.filter = factory->create(*s.context, s.port);
  });
  return same;
}

size_t TestUdp::hand_over(const std::optional<std::string>& fields, const std::function<void()>& meanwhile) {
  State& s = *state_;
  const auto factory = fields ? s.factory(*fields) : nullptr;
  std::vector<stream::HandedSession> sessions;
  s.worker.run_and_wait([&] {
    s.filter->pause();
    sessions = s.filter->hand_over();
    for (stream::HandedSession& one : sessions) one.fd = ::dup(one.fd);
  });
  meanwhile();
  size_t taken = 0;
  s.worker.run_and_wait([&] {
    if (factory == nullptr) {
      for (const stream::HandedSession& one : sessions) ::close(one.fd);
      return s.filter->resume();
    }
    auto next = factory->create(*s.context, s.port);
    next->pause();
    for (const stream::HandedSession& one : sessions) {
      if (next->take(one.state, one.fd)) {
        ++taken;
      } else {
        ::close(one.fd);
      }
    }
    s.filter = std::move(next);
    s.filter->resume();
  });
  return taken;
}

uint64_t TestUdp::stat(const std::string& name) const { return state_->stats.find(name); }
bool TestUdp::wait_for_stat(const std::string& name, uint64_t value) const {
  return wait_until([&] { return stat(name) == value; });
}

std::vector<std::string> TestUdp::access_log(size_t lines) const { return await_lines(state_->logs, state_->folder + "/access.log", lines); }

}  // namespace fairlead::testing
