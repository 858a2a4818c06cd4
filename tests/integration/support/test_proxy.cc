// Wires the data plane's rooms for a test; see test_proxy.h.
#include "tests/integration/support/test_proxy.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "dataplane/config/cluster.h"
#include "dataplane/config/listener.h"
#include "dataplane/config/route.h"
#include "dataplane/filters/http/builtin.h"
#include "dataplane/filters/network/builtin.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/worker.h"
#include "dataplane/stream/chain_transport.h"
#include "dataplane/stream/http_connection.h"
#include "dataplane/stream/network_filter.h"
#include "dataplane/upstream/balancing.h"
#include "dataplane/upstream/membership.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/integration/support/wiring.h"

namespace fairlead::testing {
namespace {

using namespace std::chrono_literals;

std::string indent(const std::string& text, size_t spaces) {
  std::string out;
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    if (!line.empty()) absl::StrAppend(&out, std::string(spaces, ' '), line, "\n");
  }
  return out;
}

void register_proxy_filters() {
  static std::once_flag once;
  std::call_once(once, [] {
    filters::register_configs(config::Registry::global());
    filters::register_filters(stream::FilterRegistry::global());
    filters::network::register_configs(config::Registry::global());
    filters::network::register_filters(stream::NetworkFilterRegistry::global());
  });
}

}  // namespace

std::string cluster_yaml(const std::string& name, const std::vector<uint16_t>& ports, const std::string& more) {
  std::string out = absl::StrCat("name: ", name, "\ntype: STATIC\n", more.empty() ? "" : more + "\n", "load_assignment:\n  cluster_name: ", name, "\n  endpoints:\n  - lb_endpoints:\n");
  for (const uint16_t port : ports) absl::StrAppend(&out, "    - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", port, "}}}\n");
  return out;
}

std::string listener_yaml(const std::string& routes, const std::string& more, const std::string& virtual_host_more) {
  std::string out = R"(name: test
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: test
      access_log:
      - name: file
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
          path: ACCESS_LOG
          log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}
      http_filters:
      - name: envoy.filters.http.router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
)";
  absl::StrAppend(&out, indent(more, 6));
  if (!routes.empty()) {
    absl::StrAppend(&out, "      route_config:\n        name: inline\n        validate_clusters: false\n        virtual_hosts:\n        - name: all\n          domains: ['*']\n", indent(virtual_host_more, 10), "          routes:\n", indent(routes, 10));
  }
  return out;
}

struct TestProxy::State : net::AcceptEvents {
  State() : stats(2), logs(2), shared(stats), worker(0, "worker_0") {}
  void on_accept(int fd, const net::Address& remote) override {
    net::Connection::Options options;
    options.buffer_limit = listener_config->per_connection_buffer_limit;
    options.delayed_close = manager->config().delayed_close_timeout;
    connections->accept(transport ? transport->adopt(worker.loop(), fd, remote, options, context->cells()) : net::Connection::adopt(worker.loop(), fd, remote, options), nullptr);
  }

  std::string folder;
  stats::Registry stats;
  accesslog::LogFiles logs;
  upstream::SharedClusters shared;
  net::Worker worker;
  std::shared_ptr<const config::ListenerConfig> listener_config;
  std::shared_ptr<const stream::ConnectionManager> manager;
  stats::ScopePtr listener_scope;
  std::unique_ptr<const stream::ChainTransport> transport;  // null: plain
  std::unique_ptr<stream::WorkerContext> context;
  std::unique_ptr<stream::HttpConnections> connections;
  std::unique_ptr<net::ListenSocket> socket;
  std::unique_ptr<net::Listener> listener;
  uint64_t epoch = 0;
};

TestProxy::TestProxy(const std::string& listener, const std::vector<std::string>& clusters) : state_(std::make_unique<State>()) {
  register_proxy_filters();
  State& s = *state_;
  char folder[] = "/tmp/fairlead-proxy-XXXXXX";
  s.folder = ::mkdtemp(folder);
  const std::string yaml = absl::StrReplaceAll(listener, {{"ACCESS_LOG", s.folder + "/access.log"}});
  s.listener_config = must(config::parse_listener(read<envoy::config::listener::v3::Listener>(yaml)));
  s.socket = std::make_unique<net::ListenSocket>(must(net::ListenSocket::bind(net::Address::v4_loopback(0), {})));
  if (!s.socket->listen(1).ok()) throw std::runtime_error("the proxy cannot listen");
  port_ = s.socket->local_address().port();
  s.manager = must(stream::ConnectionManager::create(s.listener_config, s.listener_config->chain(0), {.stats = &s.stats, .logs = &s.logs, .listener_address = absl::StrCat("127.0.0.1:", port_)}));
  if (const auto& chain = *s.listener_config->chain(0); chain.tls != nullptr) {
    s.listener_scope = s.stats.scope(stats::listener_scope(absl::StrCat("127.0.0.1:", port_)));
    s.transport = std::make_unique<const stream::ChainTransport>(chain.tls, chain.transport_socket_connect_timeout, s.listener_scope,
                                                                 s.listener_scope->block<stats::ListenerStat>(stats::kListenerStats), s.stats.cells(0));
  }
  s.worker.start();
  s.worker.run_and_wait([&] {
    s.context = std::make_unique<stream::WorkerContext>(s.worker.loop(), s.stats.cells(1), 1, s.shared, 42);
    s.connections = std::make_unique<stream::HttpConnections>(*s.context, s.manager);
  });
  publish(clusters);
  s.worker.run_and_wait([&] { s.listener = std::make_unique<net::Listener>(s.worker.loop(), s.socket->fd(0), s); });
}

TestProxy::~TestProxy() {
  State& s = *state_;
  s.worker.run_and_wait([&] {
    s.listener.reset();
    s.connections.reset();
    s.context->clusters().close_all();
  });
  s.worker.run_and_wait([&] { s.context.reset(); });
  s.worker.stop();
  std::filesystem::remove_all(s.folder);
}

void TestProxy::publish(const std::vector<std::string>& clusters, const std::vector<std::string>& route_tables) {
  State& s = *state_;
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->epoch = ++s.epoch;
  snapshot->listeners.emplace(s.listener_config->name, s.listener_config);
  for (const std::string& yaml : clusters) {
    auto cluster = must(config::parse_cluster(read<envoy::config::cluster::v3::Cluster>(yaml)));
    snapshot->clusters[cluster->name] = {.config = cluster, .endpoints = cluster->endpoints, .warm = true};
  }
  for (const std::string& yaml : route_tables) {
    auto table = must(router::RouteTable::compile(read<envoy::config::route::v3::RouteConfiguration>(yaml)));
    snapshot->routes[table->name()] = table;
  }
  upstream::prepare(*snapshot, s.shared);
  for (const auto& [name, entry] : snapshot->clusters) {
    s.shared.keep(name, s.shared.get(entry.config));
    upstream::tell_membership({}, entry, s.shared, s.shared.get(entry.config)->stats, s.stats.cells(0));
  }
  s.worker.run_and_wait([&] { s.context->apply(snapshot); });
}

RawResponse TestProxy::get(const std::string& path, const std::string& headers, const std::string& method, const std::string& body) const {
  RawSocket socket = connect();
  socket.send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: test\r\n", headers, body.empty() ? "" : absl::StrCat("content-length: ", body.size(), "\r\n"), "\r\n", body));
  return socket.read_response(method == "HEAD");
}

uint64_t TestProxy::stat(const std::string& name) const { return state_->stats.find(name); }
bool TestProxy::wait_for_stat(const std::string& name, uint64_t value) const {
  return wait_until([&] { return stat(name) == value; });
}

std::vector<std::string> TestProxy::access_log(size_t lines) const { return await_lines(state_->logs, state_->folder + "/access.log", lines); }

void TestProxy::drain() {
  state_->worker.run_and_wait([this] { state_->connections->drain(); });
}

}  // namespace fairlead::testing
