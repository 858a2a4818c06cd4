// Clients, hosts and configurations of udp_proxy in any order, sessions handed over as in a hot restart, over real sockets on one loop: nobody ever
// gets another client's datagram, none arrives changed, and when the proxy goes no session counts as active.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/accesslog/log_file.h"
#include "dataplane/config/cluster.h"
#include "dataplane/filters/udp/builtin.h"
#include "dataplane/filters/udp/udp_proxy/config.h"
#include "dataplane/net/listener.h"
#include "dataplane/stream/udp_filter.h"
#include "dataplane/stream/worker_context.h"
#include "dataplane/upstream/balancing.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/filters/udp/udp_proxy/v3/udp_proxy.pb.h"

using namespace fairlead;

namespace {

constexpr size_t kClients = 3, kHosts = 3;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Socket {
  Socket() : fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_storage at;
    const socklen_t size = net::Address::v4_loopback(0).to_sockaddr(at);
    require(bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0);
    port = net::Address::local_of(fd)->port();
  }
  ~Socket() { close(fd); }
  void send(uint16_t to, std::string_view bytes) const {
    sockaddr_storage at;
    const socklen_t size = net::Address::v4_loopback(to).to_sockaddr(at);
    sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&at), size);
  }
  // False: there is none.
  bool receive(std::string& out, uint16_t& from) const {
    out.resize(4096);
    sockaddr_in at{};
    socklen_t size = sizeof at;
    const ssize_t n = recvfrom(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&at), &size);
    if (n < 0) return false;
    out.resize(static_cast<size_t>(n));
    from = ntohs(at.sin_port);
    return true;
  }
  int fd;
  uint16_t port;
};

// The client's number, and filling that follows from the length.
std::string datagram(size_t client, size_t size) {
  std::string out(1 + size, static_cast<char>('a' + size % 26));
  out[0] = static_cast<char>('0' + client);
  return out;
}
void check(const std::string& bytes, size_t client) { require(bytes == datagram(client, bytes.size() - 1)); }

class World {
 public:
  World() : stats_(2), logs_(2), shared_(stats_), loop_("fuzz") {
    static const bool registered = (filters::udp::register_configs(config::Registry::global()), filters::udp::register_filters(stream::UdpFilterRegistry::global()), true);
    require(registered);
    context_ = std::make_unique<stream::WorkerContext>(loop_, stats_.cells(1), 1, shared_, 42);
    auto bound = net::ListenSocket::bind(net::Address::v4_loopback(0), {.datagrams = true});
    require(bound.ok());
    listener_ = std::make_unique<net::ListenSocket>(*std::move(bound));
    port_ = {.fd = listener_->fd(0), .local = listener_->local_address()};
    publish(7);
  }
  ~World() {
    filter_.reset();
    require(stats_.find("udp.f.downstream_sess_active") == 0);
    turn();
  }

  void configure(uint8_t how) {
    envoy::extensions::filters::udp::udp_proxy::v3::UdpProxyConfig proto;
    proto.set_stat_prefix("f");
    proto.set_cluster("up");
    proto.set_use_per_packet_load_balancing((how & 1) != 0);
    if ((how & 2) != 0) proto.add_hash_policies()->set_source_ip(true);
    proto.mutable_upstream_socket_config()->mutable_prefer_gro()->set_value((how & 4) != 0);
    google::protobuf::Any any;
    any.PackFrom(proto);
    auto parsed = config::Registry::global().listener_filter(any.type_url())->parse(any, "f");
    require(parsed.ok());
    auto factory = (*stream::UdpFilterRegistry::global().find(any.type_url()))(*parsed, {stats_, logs_, stats_.scope(stats::listener_scope("test")), "test"});
    require(factory.ok());
    if (filter_ != nullptr && (how & 8) != 0) return hand_over(**factory, (how & 16) != 0);
    if (filter_ != nullptr && filter_->adopt(*factory, port_)) return;
    filter_.reset();
    filter_ = (*factory)->create(*context_, port_);
  }
  // As to another process, which may fail.
  void hand_over(const stream::UdpFilterFactory& next, bool fails) {
    filter_->pause();
    const auto sessions = filter_->hand_over();
    if (fails) return filter_->resume();
    auto other = next.create(*context_, port_);
    other->pause();
    for (const stream::HandedSession& one : sessions) {
      const int copy = dup(one.fd);
      require(copy >= 0);
      if (!other->take(one.state, copy)) close(copy);
    }
    filter_ = std::move(other);
    filter_->resume();
  }
  // The hosts of these bits.
  void publish(uint8_t which) {
    envoy::config::cluster::v3::Cluster proto;
    proto.set_name("up");
    proto.mutable_load_assignment()->set_cluster_name("up");
    auto* endpoints = proto.mutable_load_assignment()->add_endpoints();
    for (size_t i = 0; i < kHosts; ++i) {
      if ((which >> i & 1) == 0) continue;
      auto* address = endpoints->add_lb_endpoints()->mutable_endpoint()->mutable_address()->mutable_socket_address();
      address->set_address("127.0.0.1");
      address->set_port_value(hosts[i].port);
    }
    const auto cluster = config::parse_cluster(proto);
    require(cluster.ok());
    if (cluster_ == nullptr) cluster_ = *cluster;
    auto snapshot = std::make_shared<config::Snapshot>();
    snapshot->epoch = ++epoch_;
    if ((which & 8) == 0) snapshot->clusters["up"] = {.config = cluster_, .endpoints = (*cluster)->endpoints, .warm = true};
    upstream::prepare(*snapshot, shared_);
    context_->apply(snapshot);
    if (filter_ != nullptr) filter_->clusters_changed();
  }
  void turn() {
    loop_.post([] {});
    loop_.run_until([n = 0]() mutable { return n++ > 0; }, std::chrono::seconds(1));
  }
  uint16_t port() const { return listener_->local_address().port(); }

  std::array<Socket, kClients> clients;
  std::array<Socket, kHosts> hosts;

 private:
  stats::Registry stats_;
  accesslog::LogFiles logs_;
  upstream::SharedClusters shared_;
  net::EventLoop loop_;
  std::unique_ptr<stream::WorkerContext> context_;
  std::unique_ptr<net::ListenSocket> listener_;
  net::UdpPort::Options port_;
  std::shared_ptr<const config::ClusterConfig> cluster_;
  std::unique_ptr<stream::UdpFilter> filter_;
  uint64_t epoch_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  World world;
  world.configure(data[0]);
  std::array<std::string, kHosts> last;            // what each host got last
  std::array<uint16_t, kHosts> from{};
  for (size_t at = 1; at + 1 < std::min<size_t>(size, 200); at += 2) {
    const uint8_t what = data[at], how = data[at + 1];
    const size_t who = what / 8 % kClients;
    if (what % 8 <= 2) {
      for (int i = 0; i <= what / 32; ++i) world.clients[who].send(world.port(), datagram(who, static_cast<size_t>(how) * 7));
    } else if (what % 8 <= 4) {
      if (from[who] != 0) world.hosts[who].send(from[who], datagram(static_cast<size_t>(last[who][0] - '0'), static_cast<size_t>(how) * 7));
    } else if (what % 8 == 5) {
      world.publish(how);
      from.fill(0);  // a session that has ended leaves its port to any other
    } else if (what % 8 == 6) {
      world.configure(how);
      from.fill(0);
    } else {
      world.turn();
    }
    std::string got;
    uint16_t sender = 0;
    for (size_t i = 0; i < kHosts; ++i) {
      while (world.hosts[i].receive(got, sender)) {
        require(!got.empty() && got[0] >= '0' && got[0] < static_cast<char>('0' + kClients));
        check(got, static_cast<size_t>(got[0] - '0'));
        last[i] = got;
        from[i] = sender;
      }
    }
    for (size_t i = 0; i < kClients; ++i) {
      while (world.clients[i].receive(got, sender)) {
        require(sender == world.port());
        check(got, i);
      }
    }
  }
  return 0;
}
