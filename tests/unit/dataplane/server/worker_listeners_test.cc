// A worker's listeners over real sockets: which chain and which listener a connection comes to, and what a new form of a listener does to those open.
#include "dataplane/server/worker_listeners.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <fstream>
#include <sstream>
#include <thread>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/file.h"
#include "dataplane/accesslog/log_file.h"
#include "dataplane/config/runtime.h"
#include "dataplane/net/worker.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"

namespace worker_listeners_test {

using namespace fairlead;
using namespace fairlead::server;
using namespace std::chrono_literals;
using stats::ListenerStat;

namespace {

// Says its name and waits for the client to go.
struct Greeter final : stream::TerminalFilter, net::ConnectionEvents {
  explicit Greeter(std::string name) : name(std::move(name)) {}
  void start(stream::NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) override {
    end = std::move(on_end);
    connection.take_events(*this);
    connection.connection().write(name);
  }
  void on_data(net::Buffer&, bool) override {}
  void on_closed(net::CloseReason reason) override { end(reason); }
  std::string name;
  std::function<void(net::CloseReason)> end;
};
struct GreeterFactory final : stream::NetworkFilterFactory {
  explicit GreeterFactory(std::string name) : name(std::move(name)) {}
  std::unique_ptr<stream::TerminalFilter> create_terminal() const override { return std::make_unique<Greeter>(name); }
  std::string name;
};

// Says that the client meant another address.
struct Restore final : stream::ListenerFilter {
  explicit Restore(net::Address to) : to(std::move(to)) {}
  Status on_accept(stream::AcceptedSocket& socket) override {
    socket.info().local = to;
    socket.info().local_restored = true;
    return Status::kContinue;
  }
  net::Address to;
};
struct RestoreFactory final : stream::ListenerFilterFactory {
  explicit RestoreFactory(net::Address to) : to(std::move(to)) {}
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<Restore>(to); }
  net::Address to;
};

std::shared_ptr<const ServingChain> greeting(const std::string& name) {
  auto network = std::make_shared<stream::NetworkChain>();
  network->terminal = std::make_shared<GreeterFactory>(name);
  network->chain_name = name;
  auto config = std::make_shared<config::FilterChain>();
  config->name = name;
  auto chain = std::make_shared<ServingChain>();
  chain->config = std::move(config);
  chain->network = std::move(network);
  return chain;
}

struct World {
  std::shared_ptr<ServingListener> make(const std::string& name, const std::vector<std::shared_ptr<const ServingChain>>& chains) {
    auto config = std::make_shared<config::ListenerConfig>();
    config->name = name;
    for (const auto& chain : chains) config->chains.push_back(chain->config);
    auto out = std::make_shared<ServingListener>();
    out->name = name;
    out->config = config;
    out->chains = chains;
    out->scope = registry.scope(stats::listener_scope(name));
    out->stats = out->scope->block<ListenerStat>(stats::kListenerStats);
    return out;
  }
  std::shared_ptr<ServingListener> bound(const std::string& name, const std::vector<std::shared_ptr<const ServingChain>>& chains) {
    auto out = make(name, chains);
    auto socket = net::ListenSocket::bind(net::Address::v4_loopback(0), {});
    REQUIRE(socket.ok());
    REQUIRE(socket->listen(1).ok());
    out->addresses = {socket->local_address()};
    out->sockets = {std::make_shared<net::ListenSocket>(*std::move(socket))};
    return out;
  }
  // What the client reads at first; "" for the end.
  std::string greeting_at(const net::Address& address, int* keep = nullptr) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_storage to;
    const socklen_t size = address.to_sockaddr(to);
    REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&to), size) == 0);
    char text[100];
    ssize_t n = -1;
    loop.run_until([&] { return (n = recv(fd, text, sizeof text, MSG_DONTWAIT)) >= 0; }, 5s);
    keep != nullptr ? void(*keep = fd) : void(::close(fd));
    return n > 0 ? std::string(text, static_cast<size_t>(n)) : "";
  }
  bool ended(int fd) {
    char byte;
    return loop.run_until([&] { return recv(fd, &byte, 1, MSG_DONTWAIT) == 0; }, 5s);
  }
  bool open(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }
  ~World() {
    listeners.reset();
    bool turned = false;  // closed connections go in a turn of the loop
    loop.post([&] { turned = true; });
    loop.run_until([&] { return turned; }, 5s);
  }

  net::EventLoop loop{"test"};
  stats::Registry registry{2};
  upstream::SharedClusters shared{registry};
  stream::WorkerContext worker{loop, registry.cells(1), 1, shared, 42};
  std::unique_ptr<WorkerListeners> listeners = std::make_unique<WorkerListeners>(worker, 0);
};

void redirect(ServingListener& listener, const char* to) {
  auto config = std::make_shared<config::ListenerConfig>(*listener.config);
  config->use_original_dst = true;
  listener.config = config;
  listener.listener_filters = std::make_shared<ListenerFilters>(ListenerFilters{std::make_shared<RestoreFactory>(*net::Address::parse(to))});
}

}  // namespace

TEST_CASE("a redirected connection goes on to the listener of its first destination, else to that of the port, else stays") {
  World w;
  const auto front = w.bound("front", {greeting("front")});
  redirect(*front, "10.1.1.1:80");
  w.listeners->set(front, 1s);
  const net::Address at = front->addresses[0];
  CHECK(w.greeting_at(at) == "front");
  const auto any = w.make("any", {greeting("any")}), exact = w.make("exact", {greeting("exact")}), other = w.make("other", {greeting("other")});
  any->addresses = {net::Address::v4_any(80)};
  exact->addresses = {*net::Address::parse("10.1.1.1:80")};
  other->addresses = {*net::Address::parse("10.1.1.1:81"), *net::Address::parse("10.1.1.2:80")};
  w.listeners->set(other, 1s);
  CHECK(w.greeting_at(at) == "front");
  w.listeners->set(any, 1s);
  CHECK(w.greeting_at(at) == "any");
  w.listeners->set(exact, 1s);
  CHECK(w.greeting_at(at) == "exact");
  redirect(*exact, "10.1.1.2:80");  // one hand-over is enough
  CHECK(w.greeting_at(at) == "exact");
  w.listeners->remove("exact", 1s);
  CHECK(w.greeting_at(at) == "any");
}

TEST_CASE("connections of chains that both forms of a listener share stay, those of others end with the drain time") {
  World w;
  const auto stays = greeting("stays"), goes = greeting("goes"), comes = greeting("comes");
  const auto first = w.bound("l", {goes, stays});
  w.listeners->set(first, 1s);
  int on_goes = -1, on_stays = -1;
  CHECK(w.greeting_at(first->addresses[0], &on_goes) == "goes");
  auto second = std::make_shared<ServingListener>(*w.make("l", {stays, goes}));
  second->sockets = first->sockets;
  second->addresses = first->addresses;
  w.listeners->set(second, 1s);
  CHECK(w.greeting_at(first->addresses[0], &on_stays) == "stays");
  CHECK(w.open(on_goes));
  auto third = std::make_shared<ServingListener>(*w.make("l", {comes, stays}));
  third->sockets = first->sockets;
  third->addresses = first->addresses;
  w.listeners->set(third, 20ms);
  CHECK(w.greeting_at(first->addresses[0]) == "comes");
  CHECK(w.ended(on_goes));
  CHECK(w.open(on_stays));
  w.listeners->refresh_gauges();
  CHECK(w.registry.cells(1).read(first->stats.at(ListenerStat::downstream_cx_total)) == 3);
  w.listeners->remove("l", 20ms);
  CHECK(w.ended(on_stays));
  ::close(on_goes);
  ::close(on_stays);
}

namespace {

// A connection that is not greeted at all.
int dial(const net::Address& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_storage to;
  const socklen_t size = address.to_sockaddr(to);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&to), size) == 0);
  return fd;
}

void count_refusals(ServingListener& listener) {
  listener.overload_reject = listener.scope->counter("downstream_cx_overload_reject");
  listener.global_overflow = listener.scope->counter("downstream_global_cx_overflow");
}

std::shared_ptr<const config::Snapshot> with_runtime(std::initializer_list<std::pair<std::string, std::string>> values) {
  auto runtime = std::make_shared<matching::Runtime>();
  for (const auto& [key, value] : values) runtime->set(key, config::runtime_value(value));
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->runtime = std::move(runtime);
  return snapshot;
}

}  // namespace

TEST_CASE("a listener's connection limit is the runtime's: who is over it is closed, and a place is free again when a connection has gone") {
  World w;
  const auto l = w.bound("l", {greeting("l")});
  l->limit_key = "envoy.resource_limits.listener.l.connection_limit";
  w.worker.apply(with_runtime({{l->limit_key, "2"}}));
  w.listeners->set(l, 1s);
  int first = -1, second = -1;
  CHECK(w.greeting_at(l->addresses[0], &first) == "l");
  CHECK(w.greeting_at(l->addresses[0], &second) == "l");
  CHECK(w.greeting_at(l->addresses[0]) == "");
  CHECK(w.registry.cells(1).read(l->stats.at(ListenerStat::downstream_cx_overflow)) == 1);
  CHECK(w.registry.cells(1).read(l->stats.at(ListenerStat::downstream_cx_total)) == 2);
  ::close(first);
  REQUIRE(w.loop.run_until([&] { return l->open->open == 1; }, 5s));
  CHECK(w.greeting_at(l->addresses[0], &first) == "l");
  w.worker.apply(with_runtime({}));
  CHECK(w.greeting_at(l->addresses[0]) == "l");
  ::close(first);
  ::close(second);
  REQUIRE(w.loop.run_until([&] { return l->open->open == 0; }, 5s));
}

TEST_CASE("the overload manager's limit over all listeners, and those that ignore it") {
  World w;
  GlobalConnections global;
  global.limit = 1;
  const auto scope = w.registry.scope(stats::plain_scope("test."));
  global.refused = scope->counter("refused");
  w.listeners = std::make_unique<WorkerListeners>(w.worker, 0, &global);
  const auto a = w.bound("a", {greeting("a")}), b = w.bound("b", {greeting("b")}), free = w.bound("free", {greeting("free")});
  for (const auto& l : {a, b, free}) count_refusals(*l);
  auto ignores = std::make_shared<config::ListenerConfig>(*free->config);
  ignores->ignore_global_connection_limit = true;
  free->config = ignores;
  for (const auto& l : {a, b, free}) w.listeners->set(l, 1s);
  int held = -1, beside = -1;
  CHECK(w.greeting_at(a->addresses[0], &held) == "a");
  CHECK(w.greeting_at(b->addresses[0]) == "");
  CHECK(w.registry.value(b->global_overflow) == 1);
  CHECK(w.registry.value(global.refused) == 1);
  CHECK(w.greeting_at(free->addresses[0], &beside) == "free");
  CHECK(global.count.open == 1);
  ::close(held);
  REQUIRE(w.loop.run_until([&] { return global.count.open == 0; }, 5s));
  CHECK(w.greeting_at(b->addresses[0]) == "b");
  ::close(beside);
}

TEST_CASE("the runtime's limit over all listeners counts the connections of all, and limits those that do not ignore it") {
  World w;
  GlobalConnections global;
  w.listeners = std::make_unique<WorkerListeners>(w.worker, 0, &global);
  const auto a = w.bound("a", {greeting("a")}), free = w.bound("free", {greeting("free")});
  for (const auto& l : {a, free}) count_refusals(*l);
  auto ignores = std::make_shared<config::ListenerConfig>(*free->config);
  ignores->ignore_global_connection_limit = true;
  free->config = ignores;
  for (const auto& l : {a, free}) w.listeners->set(l, 1s);
  w.worker.apply(with_runtime({{"overload.global_downstream_max_connections", "1"}}));
  int held = -1;
  CHECK(w.greeting_at(free->addresses[0], &held) == "free");
  CHECK(w.greeting_at(a->addresses[0]) == "");
  CHECK(w.greeting_at(free->addresses[0]) == "free");
  CHECK(w.registry.value(a->global_overflow) == 1);
  ::close(held);
}

TEST_CASE("under overload connections wait or are closed, but for listeners that bypass it; later forms of a listener do as it does") {
  World w;
  const auto l = w.bound("l", {greeting("l")}), spared = w.bound("spared", {greeting("spared")});
  for (const auto& each : {l, spared}) count_refusals(*each);
  auto bypass = std::make_shared<config::ListenerConfig>(*spared->config);
  bypass->bypass_overload = true;
  spared->config = bypass;
  w.listeners->set(l, 1s);
  w.listeners->set(spared, 1s);
  const auto become = [&](stream::OverloadState state) {
    const stream::OverloadState before = w.worker.overload();
    w.worker.set_overload(state);
    w.listeners->overload_changed(before);
  };
  become({.stop_connections = true});
  const int waiting = dial(l->addresses[0]);
  CHECK(w.greeting_at(spared->addresses[0]) == "spared");
  CHECK(w.open(waiting));
  CHECK(l->open->open == 0);
  const auto late = w.bound("late", {greeting("late")});
  w.listeners->set(late, 1s);
  const int late_too = dial(late->addresses[0]);
  CHECK(w.greeting_at(spared->addresses[0]) == "spared");
  CHECK(late->open->open == 0);
  become({});
  CHECK(w.loop.run_until([&] { return l->open->open == 1 && late->open->open == 1; }, 5s));
  become({.reject_connections = 1});
  CHECK(w.greeting_at(l->addresses[0]) == "");
  CHECK(w.greeting_at(spared->addresses[0]) == "spared");
  CHECK(w.registry.value(l->overload_reject) == 1);
  CHECK(l->open->open == 1);
  become({});
  CHECK(w.greeting_at(l->addresses[0]) == "l");
  ::close(waiting);
  ::close(late_too);
}

namespace {

// A listener's access log, in a file.
struct Log {
  // Gives `listener` the log: "<flags> <details> <chain> <client>".
  void of(ServingListener& listener) {
    envoy::config::accesslog::v3::AccessLog proto;
    const auto yaml = doc::parse_one("name: f\ntyped_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: " + directory.path("log") +
                                         ", log_format: {text_format_source: {inline_string: \"%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %FILTER_CHAIN_NAME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\\n\"}}}\n",
                                     "test.yaml");
    REQUIRE(yaml.ok());
    REQUIRE(doc::to_message(*yaml, &proto).ok());
    auto parsed = config::parse_access_log(proto, "access_log[0]");
    REQUIRE(parsed.ok());
    auto config = std::make_shared<config::ListenerConfig>(*listener.config);
    config->access_logs.push_back(*std::move(parsed));
    listener.config = config;
    auto log = stream::ConnectionLog::open(config, files);
    REQUIRE(log.ok());
    listener.log = *log;
  }
  std::string text() {
    files.flush_all();
    std::ifstream in(directory.path("log"));
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  TemporaryDirectory directory;
  accesslog::LogFiles files{2, {}};
};

// Closes what it sees.
struct Refuse final : stream::ListenerFilter {
  Status on_accept(stream::AcceptedSocket&) override { return Status::kClose; }
};
struct RefuseFactory final : stream::ListenerFilterFactory {
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<Refuse>(); }
};

}  // namespace

TEST_CASE("a listener's log tells of each connection when it has ended, and of each that never had a chain") {
  Log log;
  World w;
  const auto l = w.bound("l", {greeting("a")});
  log.of(*l);
  w.listeners->set(l, 1s);
  int fd = -1;
  CHECK(w.greeting_at(l->addresses[0], &fd) == "a");
  CHECK(log.text().empty());
  ::close(fd);
  CHECK(w.loop.run_until([&] { return log.text() == "- - a 127.0.0.1\n"; }, 5s));
  SECTION("no chain takes it") {
    auto config = std::make_shared<config::ListenerConfig>(*l->config);
    auto matcher = std::make_shared<config::FilterChainMatcher>();
    config->matcher = matcher;  // which knows none
    l->config = config;
    CHECK(w.greeting_at(l->addresses[0]).empty());
    CHECK(w.loop.run_until([&] { return log.text().ends_with("NR filter_chain_not_found - 127.0.0.1\n"); }, 5s));
  }
  SECTION("a listener filter closes it") {
    l->listener_filters = std::make_shared<ListenerFilters>(ListenerFilters{std::make_shared<RefuseFactory>()});
    CHECK(w.greeting_at(l->addresses[0]).empty());
    CHECK(w.loop.run_until([&] { return log.text().ends_with("- - - 127.0.0.1\n"); }, 5s));
  }
}

TEST_CASE("with exact_balance each connection goes to the worker that has the fewest, and what was under way to one that has let go is closed") {
  constexpr uint32_t kWorkers = 2;
  stats::Registry registry(kWorkers + 1);
  upstream::SharedClusters shared(registry);
  struct Thread {
    Thread(uint32_t index, stats::Registry& registry, upstream::SharedClusters& shared) : worker(index, "w"), context(worker.loop(), registry.cells(index), index, shared, 42) {
      listeners = std::make_unique<WorkerListeners>(context, index - 1);
      worker.start();
    }
    ~Thread() {
      worker.run_and_wait([this] { listeners.reset(); });
      worker.stop();
    }
    size_t connections() {
      size_t n = 0;
      worker.run_and_wait([&] { n = listeners->connections(); });
      return n;
    }
    net::Worker worker;
    stream::WorkerContext context;
    std::unique_ptr<WorkerListeners> listeners;
  };
  World w;  // for what it makes
  auto l = std::make_shared<ServingListener>(*w.make("l", {greeting("l")}));
  l->scope = registry.scope(stats::listener_scope("l"));
  l->stats = l->scope->block<ListenerStat>(stats::kListenerStats);
  l->balance = std::make_shared<ConnectionBalance>();
  auto socket = net::ListenSocket::bind(net::Address::v4_loopback(0), {});
  REQUIRE(socket.ok());
  REQUIRE(socket->listen(1).ok());
  l->addresses = {socket->local_address()};
  l->sockets = {std::make_shared<net::ListenSocket>(*std::move(socket))};
  Thread first(1, registry, shared), second(2, registry, shared);
  first.worker.run_and_wait([&] { first.listeners->set(l, 1s); });
  // it accepts nothing itself
  second.worker.run_and_wait([&] {
    auto without = std::make_shared<ServingListener>(*l);
    without->sockets.clear();
    second.listeners->set(without, 1s);
  });
  std::vector<int> clients;
  const auto await = [&](size_t one, size_t two) {
    const auto until = std::chrono::steady_clock::now() + 5s;
    while (std::chrono::steady_clock::now() < until && (first.connections() != one || second.connections() != two)) std::this_thread::yield();
    CHECK(first.connections() == one);
    CHECK(second.connections() == two);
    CHECK(l->balance->of(1) == one);
    CHECK(l->balance->of(2) == two);
  };
  for (int i = 0; i < 6; ++i) clients.push_back(dial(l->addresses[0]));
  await(3, 3);
  // those of the second worker go: the next ones are its
  second.worker.run_and_wait([&] { second.listeners->close_all(); });
  await(3, 0);
  clients.push_back(dial(l->addresses[0]));
  clients.push_back(dial(l->addresses[0]));
  await(3, 2);
  second.worker.run_and_wait([&] { second.listeners->remove("l", 60s); });
  clients.push_back(dial(l->addresses[0]));
  await(4, 2);
  for (const int fd : clients) ::close(fd);
  await(0, 0);
  const auto until = std::chrono::steady_clock::now() + 5s;
  while (std::chrono::steady_clock::now() < until && l->open->open != 0) std::this_thread::yield();
  CHECK(l->open->open == 0);
}

TEST_CASE("what was on its way to a worker that has let go of the listener is closed, and no longer counts") {
  World w;
  auto balance = std::make_shared<ConnectionBalance>();
  int taken = 0;
  balance->join(1, w.loop, [&](int, const net::Address&) { return ++taken > 100; });
  balance->join(2, w.loop, [&](int, const net::Address&) { return ++taken > 100; });
  CHECK_FALSE(ConnectionBalance::pass_on(balance, 1, -1, {}));
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(ConnectionBalance::pass_on(balance, 1, pair[0], {}));
  CHECK(balance->of(2) == 1);
  balance->leave(2);
  CHECK(w.ended(pair[1]));
  CHECK(taken == 1);
  CHECK(balance->of(2) == 0);
  ::close(pair[1]);
}

}  // namespace worker_listeners_test
