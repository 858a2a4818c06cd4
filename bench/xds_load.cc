// A crowd of delta ADS clients on one thread, on the proxy's own HTTP/2 codec so that it costs less than the server it loads: each stream
// subscribes to all clusters and listeners and, by name, to the endpoints of the first --names of its clusters (of another place in the list for each
// stream), and ACKs what it gets.
//   bench_xds_load --address HOST:PORT --streams N [--per-connection 1] [--names N] [--first N] [--together 1] [--node CLUSTER] [--at-once 50] [--tls 0]
//                  [--stuck N] [--window BYTES]
// Prints "ready STREAMS SECONDS BYTES" when all have everything. Then each line on standard input is a command:
//   watch NAME   prints "watching", then "change N NANO...": when each subscriber got the next response that holds the resource (Unix
//                nanoseconds, sorted), and "bytes B responses R resources X" received by all streams since; after 30 s without all of them "timeout N"
//   ages N       after N seconds prints "ages COUNT p50 MS p99 MS max MS": of the assignments received meanwhile, how old each was, when the port of
//                its first endpoint is 1 + the milliseconds of the Unix time at which it was written, modulo 60,000
//   stick        the first --stuck streams read no more; prints "stuck"
//   reconnect    closes all and opens all again with the versions they have; prints "ready STREAMS SECONDS BYTES" once all have been answered
// --first and --together: the names begin at that place in the list, and at the same for all streams. --window: of a stream, 1 MiB.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/wire.h"
#include "controlplane/rpc/message_reader.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/net/connection.h"
#include "dataplane/tls/context.h"
#include "dataplane/tls/session.h"

using namespace fairlead;
using std::chrono::steady_clock;

namespace {

constexpr std::string_view kCluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
constexpr std::string_view kEndpoint = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
constexpr std::string_view kListener = "type.googleapis.com/envoy.config.listener.v3.Listener";

struct Options {
  std::string address, node = "load";
  bool tls = false;
  size_t streams = 1000, per_connection = 1, names = 0, first = 0, together = 0, at_once = 50, stuck = 0, window = 1 << 20;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "xds_load: %s\n", what.c_str());
  std::_Exit(1);
}

// Calls f(field, bytes) for each length-delimited field, and number(field, value) for each varint.
template <class F, class N>
void each_field(std::string_view m, F&& f, N&& number) {
  const auto varint = [&m] {
    uint64_t value = 0;
    for (int shift = 0; !m.empty(); shift += 7) {
      const auto b = static_cast<unsigned char>(m[0]);
      m.remove_prefix(1);
      value |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) break;
    }
    return value;
  };
  while (!m.empty()) {
    const uint64_t tag = varint();
    if ((tag & 7) == 0) {
      number(static_cast<int>(tag >> 3), varint());
      continue;
    }
    const uint64_t size = (tag & 7) == 2 ? varint() : (tag & 7) == 1 ? 8 : 4;
    if (size > m.size()) fail("a response is not a protobuf message");
    if ((tag & 7) == 2) f(static_cast<int>(tag >> 3), m.substr(0, size));
    m.remove_prefix(size);
  }
}

template <class F>
void each_field(std::string_view m, F&& f) {
  each_field(m, f, [](int, uint64_t) {});
}

// What is at the end of a path of fields, of each the first.
std::string_view inside(std::string_view message, std::initializer_list<int> path) {
  for (const int wanted : path) {
    std::string_view found;
    each_field(message, [&](int field, std::string_view value) {
      if (field == wanted && found.empty()) found = value;
    });
    message = found;
  }
  return message;
}

// ClusterLoadAssignment.endpoints.lb_endpoints.endpoint.address.socket_address.port_value
size_t port_of(std::string_view assignment) {
  size_t port = 0;
  each_field(inside(assignment, {2, 2, 1, 1, 1}), [](int, std::string_view) {}, [&](int field, uint64_t value) {
    if (field == 3) port = value;
  });
  return port;
}

struct Crowd;

class Stream final : public http::MessageReceiver {
 public:
  Stream(Crowd& crowd, size_t number) : crowd_(crowd), number_(number) {}
  void begin(http::ClientSession& session, bool again);
  void stick() { sender_->pause_reading(); }
  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap& headers, bool end_stream) override {
    if (end_stream) fail("stream ended: grpc-status " + std::string(headers.get("grpc-status")) + " " + std::string(headers.get("grpc-message")));
    arena_.reset();
  }
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_trailers(http::HeaderMap& trailers) override;
  void on_reset(http::ResetReason reason, std::string_view) override;

 private:
  void on_message(std::string_view message);
  void send(const std::string& message) {
    net::Buffer out;
    const size_t n = message.size();
    const char head[] = {0, static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
    out.append(std::string_view(head, sizeof head));
    out.append(message);
    sender_->send_data(out, false);
  }
  void subscribe(bool again);

  Crowd& crowd_;
  const size_t number_;
  http::MessageSender* sender_ = nullptr;
  http::Arena arena_;
  rpc::MessageReader reader_{256 << 20};
  bool ready_ = false;
  bool subscribed_ = false;
  size_t endpoints_ = 0;  // got
};

struct Link final : http::ClientSessionEvents, net::Deferred {
  Crowd* crowd = nullptr;
  net::DeferredPtr<http::ClientSession> session;
  size_t first = 0, count = 0;
  bool again = false;
  void on_session_connected() override;
  void on_session_closed(net::CloseReason) override;
};

struct Crowd {
  explicit Crowd(Options o) : options(std::move(o)) {
    auto parsed = net::Address::parse(options.address);
    if (!parsed.ok()) fail(std::string(parsed.status().message()));
    address = *parsed;
    if (options.tls) {
      tls::ClientOptions unverified;  // what is measured is the server
      unverified.alpn = {"h2"};
      auto context = tls::ClientContext::create(unverified);
      if (!context.ok()) fail(std::string(context.status().message()));
      tls = *context;
    }
    for (size_t i = 0; i < options.streams; ++i) streams.push_back(std::make_unique<Stream>(*this, i));
  }
  void connect_all(bool again) {
    ready = 0;
    started = steady_clock::now();
    bytes = responses = resources = 0;
    waiting.clear();
    for (size_t at = 0; at < streams.size(); at += options.per_connection) {
      auto link = std::make_unique<Link>();
      link->crowd = this;
      link->first = at;
      link->count = std::min(options.per_connection, streams.size() - at);
      link->again = again;
      waiting.push_back(std::move(link));
    }
    pace();
  }
  // No more than at_once connects on their way.
  void pace() {
    while (!waiting.empty() && connecting < options.at_once) {
      Link& link = *waiting.front();
      ++connecting;
      h2::Settings settings;
      settings.max_head_bytes = 64 << 10;
      settings.initial_stream_window_size = static_cast<uint32_t>(options.window);
      settings.initial_connection_window_size = 16 << 20;
      settings.max_concurrent_streams = 100'000;
      net::Dial dial;
      if (tls) dial.transport = [this] { return tls::Session::connect(tls, {}, nullptr); };
      link.session = h2::make_client_session(net::Connection::connect(loop, address, {}, std::move(dial)), settings, link);
      links.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
  }
  void disconnect_all() {
    closing = true;
    for (auto& link : links) link->session->close(net::CloseType::NoFlush);
    loop.run_until([this] { return open == 0; }, std::chrono::seconds(60));
    links.clear();
    closing = false;
  }
  size_t wanted() const { return options.names == 0 ? clusters.size() : std::min(options.names, clusters.size()); }
  void stream_ready() {
    if (++ready != streams.size()) return;
    std::printf("ready %zu %.2f %zu\n", ready, std::chrono::duration<double>(steady_clock::now() - started).count(), bytes);
    std::fflush(stdout);
  }
  void seen(bool holds_watched) {
    if (!holds_watched || watched.empty()) return;
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    times.push_back(now.tv_sec * 1'000'000'000LL + now.tv_nsec);
  }
  size_t subscribers(const std::string& name) const {
    const auto at = std::find(clusters.begin(), clusters.end(), name);
    if (at == clusters.end() || wanted() == clusters.size()) return streams.size();
    size_t n = 0;
    for (size_t i = 0; i < streams.size(); ++i) n += (static_cast<size_t>(at - clusters.begin()) + clusters.size() - from(i) % clusters.size()) % clusters.size() < wanted();
    return n;
  }
  size_t from(size_t stream) const { return options.first + (options.together != 0 ? 0 : stream); }
  void age(std::string_view response) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const auto ms = static_cast<size_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
    each_field(response, [&](int field, std::string_view resource) {
      if (field != 2) return;
      const size_t port = port_of(inside(resource, {2, 2}));  // Resource.resource, Any.value
      ++ages[(ms % 60'000 + 60'001 - port) % 60'000];
    });
  }
  void command(const std::string& line);

  Options options;
  net::Address address;
  std::shared_ptr<const tls::ClientContext> tls;  // null: in plaintext
  net::EventLoop loop{"load"};
  std::vector<std::unique_ptr<Stream>> streams;
  std::deque<std::unique_ptr<Link>> waiting;
  std::vector<std::unique_ptr<Link>> links;
  size_t connecting = 0, open = 0, ready = 0;
  bool closing = false;
  steady_clock::time_point started;
  std::vector<std::string> clusters;  // as the first response of all named them, sorted
  std::map<std::string, std::string, std::less<>> versions[3];  // of clusters, endpoints, listeners: alike for all streams
  size_t bytes = 0, responses = 0, resources = 0;
  std::string watched;
  std::vector<int64_t> times;
  std::vector<size_t> ages;  // how many assignments were so many milliseconds old; empty: nobody asks
};

int index_of(std::string_view type) { return type == kCluster ? 0 : type == kEndpoint ? 1 : 2; }

void Link::on_session_connected() {
  --crowd->connecting;
  ++crowd->open;
  for (size_t i = first; i < first + count; ++i) crowd->streams[i]->begin(*session, again);
  crowd->pace();
}

void Link::on_session_closed(net::CloseReason) {
  if (!crowd->closing) fail("a connection was closed");
  --crowd->open;
}

void Stream::begin(http::ClientSession& session, bool again) {
  ready_ = subscribed_ = false;
  endpoints_ = 0;
  reader_ = rpc::MessageReader(256 << 20);
  sender_ = &session.new_stream(*this);
  http::Arena arena;
  http::HeaderMap head(arena);
  head.add_ref(":method", "POST");
  head.add_ref(":scheme", "http");
  head.add_ref(":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
  head.add_ref(":authority", crowd_.options.address);
  head.add_ref("content-type", "application/grpc");
  head.add_ref("te", "trailers");
  sender_->send_headers(head, false);
  std::string node;
  wire::put_bytes(node, 1, "load-" + std::to_string(number_));
  wire::put_bytes(node, 2, crowd_.options.node);
  for (std::string_view type : {kCluster, kListener}) {
    std::string request;
    if (type == kCluster) wire::put_bytes(request, 1, node);
    wire::put_bytes(request, 2, type);
    if (again) {
      for (const auto& [name, version] : crowd_.versions[index_of(type)]) {
        std::string entry;
        wire::put_bytes(entry, 1, name);
        wire::put_bytes(entry, 2, version);
        wire::put_bytes(request, 5, entry);
      }
    }
    send(request);
  }
  if (again) {
    endpoints_ = crowd_.wanted();  // it has them: what comes is what differs
    subscribe(true);
  }
}

void Stream::subscribe(bool again) {
  subscribed_ = true;
  std::string request;
  wire::put_bytes(request, 2, kEndpoint);
  const size_t n = crowd_.clusters.size();
  for (size_t i = 0; i < crowd_.wanted(); ++i) {
    const std::string& name = crowd_.clusters[(crowd_.from(number_) + i) % n];
    wire::put_bytes(request, 3, name);
    if (!again) continue;
    std::string entry;
    wire::put_bytes(entry, 1, name);
    wire::put_bytes(entry, 2, crowd_.versions[1][name]);
    wire::put_bytes(request, 5, entry);
  }
  send(request);
}

void Stream::on_message(std::string_view message) {
  crowd_.bytes += message.size();
  ++crowd_.responses;
  std::string_view type, nonce;
  std::vector<std::pair<std::string_view, std::string_view>> got;
  each_field(message, [&](int field, std::string_view value) {
    if (field == 4) type = value;
    if (field == 5) nonce = value;
    if (field != 2) return;
    auto& one = got.emplace_back();
    each_field(value, [&](int inner, std::string_view text) {
      if (inner == 3) one.first = text;
      if (inner == 1) one.second = text;
    });
  });
  crowd_.resources += got.size();
  bool holds = false;
  auto& versions = crowd_.versions[index_of(type)];
  for (const auto& [name, version] : got) {
    holds = holds || name == crowd_.watched;
    auto known = versions.find(name);
    if (known == versions.end()) {
      versions.emplace(name, version);
    } else if (known->second != version) {
      known->second = version;
    }
  }
  crowd_.seen(holds);
  if (type == kEndpoint && !crowd_.ages.empty()) crowd_.age(message);
  std::string ack;
  wire::put_bytes(ack, 2, type);
  wire::put_bytes(ack, 6, nonce);
  send(ack);
  if (type == kCluster && !subscribed_) {
    if (crowd_.clusters.empty())
      for (const auto& [name, version] : got) crowd_.clusters.emplace_back(name);
    std::sort(crowd_.clusters.begin(), crowd_.clusters.end());
    subscribe(false);
  }
  if (type == kEndpoint) endpoints_ += got.size();
  // Who came back with all it had is ready with the answer on clusters, which there always is, should it hold nothing.
  if (!ready_ && subscribed_ && endpoints_ >= crowd_.wanted() && (type == kCluster || type == kEndpoint)) {
    ready_ = true;
    crowd_.stream_ready();
  }
}

void Stream::on_data(net::Buffer& data, bool) {
  const absl::Status read = reader_.read(data, [this](std::string_view message) {
    on_message(message);
    return true;
  });
  if (!read.ok()) fail(std::string(read.message()));
}

void Stream::on_trailers(http::HeaderMap& trailers) { fail("stream ended: " + std::string(trailers.get("grpc-status")) + " " + std::string(trailers.get("grpc-message"))); }

void Stream::on_reset(http::ResetReason reason, std::string_view) {
  if (!crowd_.closing) fail("a stream was reset: " + std::string(http::reset_reason_name(reason)));
}

void Crowd::command(const std::string& line) {
  if (line.starts_with("watch ")) {
    watched = line.substr(6);
    times.clear();
    bytes = responses = resources = 0;
    std::puts("watching");
    std::fflush(stdout);
    const size_t all = subscribers(watched) - std::min(options.stuck, subscribers(watched));
    if (!loop.run_until([&] { return times.size() >= all; }, std::chrono::seconds(30))) {
      std::printf("timeout %zu of %zu\n", times.size(), all);
      std::fflush(stdout);
      return;
    }
    std::sort(times.begin(), times.end());
    std::printf("change %zu", times.size());
    for (int64_t t : times) std::printf(" %lld", static_cast<long long>(t));
    std::printf("\nbytes %zu responses %zu resources %zu\n", bytes, responses, resources);
    watched.clear();
  } else if (line.starts_with("ages ")) {
    ages.assign(60'000, 0);
    loop.run_until([] { return false; }, std::chrono::seconds(std::stoul(line.substr(5))));
    size_t count = 0, seen = 0, p50 = 0, p99 = 0, most = 0;
    for (size_t n : ages) count += n;
    for (size_t ms = 0; ms < ages.size(); ++ms) {
      if (ages[ms] == 0) continue;
      seen += ages[ms];
      if (seen * 2 <= count) p50 = ms + 1;
      if (seen * 100 <= count * 99) p99 = ms + 1;
      most = ms;
    }
    std::printf("ages %zu p50 %zu p99 %zu max %zu\n", count, p50, p99, most);
    ages.clear();
  } else if (line == "stick") {
    for (size_t i = 0; i < options.stuck; ++i) streams[i]->stick();
    std::puts("stuck");
  } else if (line == "reconnect") {
    disconnect_all();
    connect_all(true);
    loop.run_until([this] { return ready == streams.size(); }, std::chrono::seconds(120));
  } else {
    fail("unknown command " + line);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--address") options.address = value;
    else if (flag == "--node") options.node = value;
    else if (flag == "--streams") options.streams = std::stoul(value);
    else if (flag == "--per-connection") options.per_connection = std::stoul(value);
    else if (flag == "--names") options.names = std::stoul(value);
    else if (flag == "--first") options.first = std::stoul(value);
    else if (flag == "--together") options.together = std::stoul(value);
    else if (flag == "--window") options.window = std::stoul(value);
    else if (flag == "--at-once") options.at_once = std::stoul(value);
    else if (flag == "--tls") options.tls = value == "1";
    else if (flag == "--stuck") options.stuck = std::stoul(value);
    else fail("unknown flag " + flag);
  }
  if (options.address.empty()) fail("--address HOST:PORT is missing");
  Crowd crowd(options);
  crowd.connect_all(false);
  if (!crowd.loop.run_until([&] { return crowd.ready == crowd.streams.size(); }, std::chrono::seconds(300))) fail("only " + std::to_string(crowd.ready) + " streams got ready");
  std::string pending;
  while (true) {  // commands, while responses go on being ACKed
    crowd.loop.run_until([] {
      pollfd in{0, POLLIN, 0};
      return poll(&in, 1, 0) > 0;
    }, std::chrono::milliseconds(20));
    pollfd in{0, POLLIN, 0};
    if (poll(&in, 1, 0) <= 0) continue;
    char text[4096];
    const ssize_t n = read(0, text, sizeof text);
    if (n <= 0) std::_Exit(0);
    pending.append(text, static_cast<size_t>(n));
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) crowd.command(pending.substr(0, end));
  }
}
