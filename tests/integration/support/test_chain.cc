// Wires a filter chain for a test; see test_chain.h.
#include "tests/integration/support/test_chain.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "dataplane/config/cluster.h"
#include "dataplane/filters/network/builtin.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/worker.h"
#include "dataplane/stream/network_connections.h"
#include "dataplane/upstream/balancing.h"
#include "dataplane/upstream/membership.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "tests/integration/support/wiring.h"

namespace fairlead::testing {
namespace {

using namespace std::chrono_literals;

void register_chain_filters() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (config::Registry::global().network_filter("type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo") == nullptr) filters::network::register_configs(config::Registry::global());
    filters::network::register_filters(stream::NetworkFilterRegistry::global());
  });
}

}  // namespace

std::string filter_yaml(const std::string& message, const std::string& fields) {
  std::string out = absl::StrCat("name: f\ntyped_config:\n  \"@type\": type.googleapis.com/envoy.extensions.filters.network.", message, "\n");
  for (std::string_view line : absl::StrSplit(fields, '\n')) {
    if (!line.empty()) absl::StrAppend(&out, "  ", line, "\n");
  }
  return out;
}

std::string tcp_proxy_yaml(const std::string& more, const std::string& clusters) {
  return filter_yaml("tcp_proxy.v3.TcpProxy", absl::StrCat(clusters, R"(
stat_prefix: t
access_log:
- name: file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: LOG_FILE
    log_format: {text_format_source: {inline_string: "%ACCESS_LOG_TYPE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %DOWNSTREAM_DETECTED_CLOSE_TYPE%\n"}}
)", more));
}

struct TestChain::State : net::AcceptEvents {
  explicit State(Options options_in) : options(std::move(options_in)), stats(2), logs(2), shared(stats), worker(0, "worker_0") {}
  void on_accept(int fd, const net::Address& remote) override {
    net::Connection::Options how;
    how.buffer_limit = options.buffer_limit;
    net::ConnectionPtr connection = net::Connection::adopt(worker.loop(), fd, remote, how);
    std::unique_ptr<stream::ConnectionInfo> info;
    if (!options.server_name.empty()) {
      info = std::make_unique<stream::ConnectionInfo>();
      info->direct_remote = info->remote = remote;
      info->direct_local = info->local = connection->local_address();
      info->server_name = options.server_name;
    }
    connections->accept(std::move(connection), std::move(info));
  }

  const Options options;
  std::string folder;
  stats::Registry stats;
  accesslog::LogFiles logs;
  upstream::SharedClusters shared;
  net::Worker worker;
  std::shared_ptr<stream::NetworkChain> chain = std::make_shared<stream::NetworkChain>();
  std::unique_ptr<stream::WorkerContext> context;
  std::unique_ptr<stream::NetworkConnections> connections;
  std::unique_ptr<net::ListenSocket> socket;
  std::unique_ptr<net::Listener> listener;
};

TestChain::TestChain(const std::vector<std::string>& filters, const std::vector<std::string>& clusters) : TestChain(filters, clusters, Options()) {}

TestChain::TestChain(const std::vector<std::string>& filters, const std::vector<std::string>& clusters, const Options& options) : state_(std::make_unique<State>(options)) {
  register_chain_filters();
  State& s = *state_;
  char folder[] = "/tmp/fairlead-chain-XXXXXX";
  s.folder = ::mkdtemp(folder);
  const stream::NetworkFactoryContext context{s.stats, s.logs, s.stats.scope(stats::listener_scope("test")), "test", "chain"};
  for (const std::string& yaml : filters) {
    const auto filter = read<envoy::config::listener::v3::Filter>(absl::StrReplaceAll(yaml, {{"LOG_FILE", s.folder + "/access.log"}}));
    const config::NetworkFilterType* type = config::Registry::global().network_filter(filter.typed_config().type_url());
    if (type == nullptr) throw std::runtime_error("no such filter: " + filter.typed_config().type_url());
    const absl::Status added = s.chain->add(filter.name(), *type, must(type->parse(filter.typed_config(), "typed_config")), context);
    if (!added.ok()) throw std::runtime_error(std::string(added.message()));
  }
  s.socket = std::make_unique<net::ListenSocket>(must(net::ListenSocket::bind(net::Address::v4_loopback(0), {})));
  if (!s.socket->listen(1).ok()) throw std::runtime_error("the proxy cannot listen");
  port_ = s.socket->local_address().port();
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->epoch = 1;
  for (const std::string& yaml : clusters) {
    auto cluster = must(config::parse_cluster(read<envoy::config::cluster::v3::Cluster>(yaml)));
    snapshot->clusters[cluster->name] = {.config = cluster, .endpoints = cluster->endpoints, .warm = true};
  }
  upstream::prepare(*snapshot, s.shared);
  for (const auto& [name, entry] : snapshot->clusters) s.shared.keep(name, s.shared.get(entry.config));
  s.worker.start();
  s.worker.run_and_wait([&] {
    s.context = std::make_unique<stream::WorkerContext>(s.worker.loop(), s.stats.cells(1), 1, s.shared, 42);
    s.context->apply(snapshot);
    s.connections = std::make_unique<stream::NetworkConnections>(*s.context, s.chain);
    s.listener = std::make_unique<net::Listener>(s.worker.loop(), s.socket->fd(0), s);
  });
}

TestChain::~TestChain() {
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

uint64_t TestChain::stat(const std::string& name) const { return state_->stats.find(name); }
bool TestChain::wait_for_stat(const std::string& name, uint64_t value) const {
  return wait_until([&] { return stat(name) == value; });
}

std::vector<std::string> TestChain::access_log(size_t lines) const { return await_lines(state_->logs, state_->folder + "/access.log", lines); }

bool TestChain::wait_for_connections(size_t count) const {
  return wait_until([&] {
    size_t now = 0;
    state_->worker.run_and_wait([&] { now = state_->connections->size(); });
    return now == count;
  });
}

void TestChain::drain() {
  state_->worker.run_and_wait([this] { state_->connections->drain(); });
}
void TestChain::close_idle() {
  state_->worker.run_and_wait([this] { state_->connections->close_idle(); });
}
void TestChain::close_all() {
  state_->worker.run_and_wait([this] { state_->connections->close_all(net::CloseType::NoFlush); });
}

}  // namespace fairlead::testing
