#include "controlplane/serve/xds_server.h"

#include <malloc.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "controlplane/rpc/answers.h"
#include "controlplane/rpc/server.h"
#include "controlplane/rpc/services.h"
#include "controlplane/serve/frame_cache.h"
#include "controlplane/serve/id_table.h"

namespace fairlead::serve {

namespace {

using resources::Type;

struct Service {
  const char* name;  // below "envoy.service."
  const char* what;  // StreamWHAT, DeltaWHAT
  std::optional<Type> only;
  bool sotw = true;
};

const std::vector<Service>& services() {
  static const auto* all = new std::vector<Service>{
      {"discovery.v3.AggregatedDiscoveryService", "AggregatedResources", std::nullopt},
      {"cluster.v3.ClusterDiscoveryService", "Clusters", Type::kCluster},
      {"endpoint.v3.EndpointDiscoveryService", "Endpoints", Type::kEndpoint},
      {"listener.v3.ListenerDiscoveryService", "Listeners", Type::kListener},
      {"route.v3.RouteDiscoveryService", "Routes", Type::kRoute},
      {"route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", Type::kScopedRoute},
      {"route.v3.VirtualHostDiscoveryService", "VirtualHosts", Type::kVirtualHost, false},
      {"secret.v3.SecretDiscoveryService", "Secrets", Type::kSecret},
      {"runtime.v3.RuntimeDiscoveryService", "Runtime", Type::kRuntime},
      {"extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", Type::kExtensionConfig},
  };
  return *all;
}

}  // namespace

// Everything below runs on the loop's thread, but for what says otherwise.
class XdsServer::Loop final : public Wire {
 public:
  Loop(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock), loop_("xds"), core_(options_.core, clock, *this) {}
  ~Loop() override { shutdown(); }

  absl::Status bind();  // any thread, once
  void start_thread();
  void drain(std::chrono::milliseconds over, std::function<void()> gone);  // any thread
  void shutdown();                            // any thread
  void post(std::function<void(Core&)> job);  // any thread
  const std::string& address() const { return address_; }
  void set_credentials(std::shared_ptr<const tls::ServerContext> tls, std::shared_ptr<const Authorization> authorization, std::shared_ptr<const TokenVerifier> tokens);  // any thread

  void send(StreamId stream, cpstream::WireMessage message) override;
  void end(StreamId stream, const absl::Status& status) override;

 private:
  class Stream;
  // What has come back is handled before the next batch of pushes, but no more than a turn of it.
  static constexpr size_t kPushBatch = 64;
  // A storm of connects leaves the heap full of holes: given back once it is quiet. A change told to thousands does not, only many of them do: what one
  // gets and says is small.
  static constexpr size_t kTrimAfterBytes = 8 << 20;
  static constexpr size_t kStirsLess = 16;
  static constexpr std::chrono::milliseconds kTrimAfterQuiet{300};
  static constexpr std::chrono::milliseconds kShutdownGrace{1000};
  static constexpr size_t kAdmitBatch = 64;  // as many streams are let in before others have their turn
  // A request below this asks for little, such as an ACK, and is never held back.
  static constexpr size_t kSmallRequest = 512;
  static constexpr size_t kCountedBytes = 4 << 10;   // what is less is not worth counting
  static constexpr size_t kWaitingBytes = 16 << 10;  // of one stream: from there on it is not through with what it was sent

  rpc::CallEvents* open(rpc::Call& call, StreamKind kind, std::optional<Type> only);
  void touched();
  bool held_back();
  void go_on();
  void admit();
  void arm_admission();
  void use(std::shared_ptr<const tls::ServerContext> tls, std::shared_ptr<const Authorization> authorization, std::shared_ptr<const TokenVerifier> tokens);
  void count_transport();
  void pump();
  void trim();
  // A message of that many bytes has come or is to go.
  void stirred(size_t bytes) { stirred_ += bytes >= kCountedBytes ? bytes : bytes / kStirsLess; }

  const Options options_;
  const Clock& clock_;
  std::string address_;
  net::EventLoop loop_;
  std::unique_ptr<rpc::Server> server_;
  rpc::Health health_;
  std::unique_ptr<rpc::Reflection> reflection_;
  std::thread thread_;
  IdTable<Stream*> streams_;
  FrameCache frames_;
  std::vector<Stream*> sent_to_;  // since touched() last told the core which of them are through with it; null: gone since
  net::LoopTask pump_task_ = net::LoopTask::of<&Loop::pump>(this);
  net::LoopTask go_on_task_ = net::LoopTask::of<&Loop::go_on>(this);
  Admission admission_{options_.admission};
  Outflow outflow_{options_.outflow};
  bool holding_ = false;          // somebody waits until outflow_ has room
  std::deque<StreamId> held_;     // streams of whom requests wait for that; some may have gone
  std::unique_ptr<net::Timer> core_timer_, trim_timer_, admit_timer_, flow_timer_;
  size_t stirred_ = 0;
  bool storm_ = false;
  std::once_flag shutdown_once_;
  std::mutex closed_mutex_;
  bool closed_ = false;  // guarded by closed_mutex_: no job is taken any more

  Core core_;
  LoadService load_service_{options_.load, core_, clock_};
  Authentication authentication_{clock_, core_.counters()};
};

// One xDS stream; deletes itself with its call.
class XdsServer::Loop::Stream final : public rpc::CallEvents {
 public:
  Stream(Loop& loop, rpc::Call& call, StreamId id) : loop_(loop), call_(call), id_(id) { loop_.streams_.add(id, this); }
  ~Stream() override {
    if (waiting_) loop_.admission_.leave(id_);
    if (counted_) loop_.outflow_.written(id_);
    if (sent_at_) loop_.sent_to_[*sent_at_] = nullptr;
    if (gone_ != nullptr) *gone_ = true;
    loop_.streams_.erase(id_);
  }
  // In line: what the client says is not read yet.
  void wait() {
    waiting_ = true;
    call_.pause_reading();
  }
  void let_in() {
    waiting_ = false;
    call_.resume_reading();
  }
  void send_away(const absl::Status& status) {
    waiting_ = false;
    loop_.core_.closed(id_);
    end(status);
  }

  void on_message(std::string_view message) override {
    loop_.stirred(message.size());
    if (requests_ || (message.size() >= kSmallRequest && loop_.held_back())) return hold(message);
    take(message);
  }
  // What was held back, in its order. False: this stream has gone with it.
  bool release() {
    const std::unique_ptr<std::vector<std::string>> requests = std::exchange(requests_, nullptr);
    for (const std::string& message : *requests) {
      if (!hand_on(message)) return false;
    }
    call_.resume_reading();
    return true;
  }
  void take(std::string_view message) {
    Loop& loop = loop_;
    const bool here = hand_on(message);
    loop.touched();
    if (!here) return;
    // a peer that asks faster than it reads is not read from until it has caught up
    if (call_.blocked()) pause();
  }
  void send(net::Buffer bytes, size_t own) {
    call_.send(std::move(bytes));
    if (own >= kCountedBytes) {
      counted_ = true;
      loop_.outflow_.sent(id_, own, loop_.clock_.monotonic());
    }
    if (sent_at_) return;
    sent_at_ = loop_.sent_to_.size();
    loop_.sent_to_.push_back(this);
  }
  // Whether what was sent is on its way; otherwise on_writable() comes when it is.
  void look_whether_written(MonotonicTime now) {
    sent_at_.reset();
    if (!call_.blocked()) written(now);
  }
  void on_client_done() override {
    Loop& loop = loop_;
    if (requests_ && !release()) return loop.touched();
    loop.core_.closed(id_);
    end(absl::OkStatus());
    loop.touched();
  }
  void on_writable() override {
    if (std::exchange(paused_, false)) call_.resume_reading();
    Loop& loop = loop_;
    written(loop.clock_.monotonic());
    loop.touched();
  }
  void on_closed() override {
    Loop& loop = loop_;
    loop.core_.closed(id_);
    delete this;
    loop.touched();
  }
  // Clients reconnect with what they have: that costs them next to nothing.
  void on_drain() override {
    loop_.core_.closed(id_);
    end(absl::UnavailableError("the server is going away: connect again"));
  }
  void end(const absl::Status& status) {
    call_.finish(status);
    delete this;
  }

 private:
  // False: the core has ended this stream.
  bool hand_on(std::string_view message) {
    bool gone = false;
    gone_ = &gone;
    loop_.core_.request(id_, message);
    if (gone) return false;
    gone_ = nullptr;
    return true;
  }
  void written(MonotonicTime now) {
    if (std::exchange(counted_, false)) loop_.outflow_.written(id_);
    loop_.core_.written(id_, now);
  }
  void pause() {
    if (paused_) return;
    paused_ = true;
    call_.pause_reading();
  }
  void hold(std::string_view message) {
    if (!requests_) {
      requests_ = std::make_unique<std::vector<std::string>>();
      call_.pause_reading();
      loop_.held_.push_back(id_);
    }
    requests_->emplace_back(message);
  }
  Loop& loop_;
  rpc::Call& call_;
  const StreamId id_;
  bool paused_ = false;
  bool waiting_ = false;
  bool counted_ = false;           // by the loop's outflow_
  std::optional<size_t> sent_at_;  // its place in the loop's sent_to_
  bool* gone_ = nullptr;           // set when this goes while it hands on a request
  std::unique_ptr<std::vector<std::string>> requests_;  // held back
};

absl::Status XdsServer::Loop::bind() {
  rpc::Server::Options how;
  how.address = options_.address;
  how.max_message_bytes = options_.max_request_bytes;
  how.max_waiting_bytes = kWaitingBytes;
  how.max_connection_age = options_.max_connection_age;
  absl::StatusOr<std::unique_ptr<rpc::Server>> server = rpc::Server::listen(loop_, how);
  if (!server.ok()) {
    const bool taken = absl::IsAlreadyExists(server.status());
    return absl::UnavailableError(absl::StrCat("cannot listen for xDS on ", options_.address, ": ", taken ? "the address is in use" : server.status().message()));
  }
  server_ = *std::move(server);
  address_ = server_->address();
  std::vector<std::string> names{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"};
  std::vector<std::string> own;
  for (const Service& s : services()) {
    const std::string name = absl::StrCat("envoy.service.", s.name);
    own.push_back(name);
    if (s.sotw) server_->add(absl::StrCat("/", name, "/Stream", s.what), [this, only = s.only](rpc::Call& call) { return open(call, StreamKind::kSotw, only); });
    server_->add(absl::StrCat("/", name, "/Delta", s.what), [this, only = s.only](rpc::Call& call) { return open(call, StreamKind::kDelta, only); });
  }
  // What other clients were sent, and have accepted.
  const auto told = [this](const rpc::Call& call, std::string_view request) -> absl::StatusOr<std::string> {
    if (absl::Status s = core_.may_inspect(*call.peer()); !s.ok()) return s;
    return client_status(request, [this](const auto& f) { core_.each_stream(f); }, {clock_.system(), clock_.monotonic()});
  };
  rpc::add_answers(*server_, absl::StrCat("/", kStatusServiceName, "/FetchClientStatus"), rpc::Asking::kOnce, told);
  rpc::add_answers(*server_, absl::StrCat("/", kStatusServiceName, "/StreamClientStatus"), rpc::Asking::kStream, told);
  load_service_.add_to(*server_);
  own.emplace_back(kStatusServiceName);
  own.emplace_back(kLoadServiceName);
  names.insert(names.end(), own.begin(), own.end());
  reflection_ = std::make_unique<rpc::Reflection>(descriptor_file, descriptor_file_of, std::move(names));
  reflection_->add_to(*server_);
  health_.add_to(*server_, std::move(own));
  core_timer_ = std::make_unique<net::Timer>(loop_.timers(), [this] {
    core_.on_time();
    touched();
  });
  trim_timer_ = std::make_unique<net::Timer>(loop_.timers(), [this] { trim(); });
  admit_timer_ = std::make_unique<net::Timer>(loop_.timers(), [this] { admit(); });
  flow_timer_ = std::make_unique<net::Timer>(loop_.timers(), [this] { touched(); });
  server_->set_identify([this](std::string_view method, const rpc::PeerPtr& peer, const http::HeaderMap& head) { return authentication_.identify(method, peer, head); });
  use(options_.tls, options_.authorization, options_.tokens);
  return absl::OkStatus();
}

void XdsServer::Loop::start_thread() {
  thread_ = std::thread([this] {
    server_->serve();
    loop_.run();
  });
}

rpc::CallEvents* XdsServer::Loop::open(rpc::Call& call, StreamKind kind, std::optional<Type> only) {
  absl::StatusOr<StreamId> id = core_.open(kind, only, call.peer());
  if (!id.ok()) {
    call.finish(id.status());
    return nullptr;
  }
  auto* stream = new Stream(*this, call, *id);
  switch (admission_.arrive(*id, clock_.monotonic())) {
    case Admission::Entry::kNow: return stream;
    case Admission::Entry::kWait:
      stream->wait();
      if (!admit_timer_->armed()) arm_admission();
      return stream;
    case Admission::Entry::kRefused: break;
  }
  ++core_.counters().denied[static_cast<size_t>(Denial::kBusy)];
  stream->send_away(absl::ResourceExhaustedError("too many streams are being opened at once: connect again later"));
  return nullptr;
}

// Whether nobody shall be given more for now; then whoever waits goes on as soon as there is room.
bool XdsServer::Loop::held_back() {
  const MonotonicTime now = clock_.monotonic();
  if (!outflow_.full(now)) return false;
  holding_ = true;
  if (const auto next = outflow_.deadline(); next && !flow_timer_->armed()) {
    flow_timer_->arm(std::chrono::duration_cast<net::Duration>(std::max<MonotonicTime::duration>(*next - now, std::chrono::milliseconds(1))));
  }
  return true;
}

void XdsServer::Loop::go_on() {
  holding_ = false;
  while (!held_.empty() && !held_back()) {
    Stream* found = streams_.find(held_.front());
    held_.pop_front();
    if (found != nullptr) found->release();
  }
  if (!holding_) admit();
  touched();
}

// Those whose turn it is, or whose time is up.
void XdsServer::Loop::admit() {
  if (admission_.waiting() != 0 && held_back()) return;
  for (size_t n = 0; n < kAdmitBatch; ++n) {
    const std::optional<Admission::Called> called = admission_.next(clock_.monotonic());
    if (!called) break;
    Stream& stream = streams_.at(called->id);
    if (!called->too_late) {
      stream.let_in();
      continue;
    }
    ++core_.counters().denied[static_cast<size_t>(Denial::kBusy)];
    stream.send_away(absl::ResourceExhaustedError(absl::StrCat("waited for ", options_.admission.patience.count() / 1000.0, " s among ", admission_.waiting(), " streams: connect again")));
  }
  arm_admission();
}

void XdsServer::Loop::arm_admission() {
  const std::optional<MonotonicTime> next = admission_.deadline();
  if (!next) return;
  const auto left = std::max<MonotonicTime::duration>(*next - clock_.monotonic(), std::chrono::milliseconds(1));
  admit_timer_->arm(std::chrono::duration_cast<net::Duration>(left));
}

void XdsServer::Loop::use(std::shared_ptr<const tls::ServerContext> tls, std::shared_ptr<const Authorization> authorization, std::shared_ptr<const TokenVerifier> tokens) {
  Metrics& metrics = core_.counters();
  metrics.certificate_expires = 0;
  if (tls && !tls->certificates().empty()) metrics.certificate_expires = std::chrono::system_clock::to_time_t(tls->certificates().front().facts.not_after);
  server_->set_tls(std::move(tls));
  core_.set_authorization(std::move(authorization));
  authentication_.set_tokens(std::move(tokens));
}

void XdsServer::Loop::set_credentials(std::shared_ptr<const tls::ServerContext> tls, std::shared_ptr<const Authorization> authorization, std::shared_ptr<const TokenVerifier> tokens) {
  post([this, tls = std::move(tls), authorization = std::move(authorization), tokens = std::move(tokens)](Core& core) {
    if (!server_) return;
    ++core.counters().credentials_loaded;
    use(tls, authorization, tokens);
  });
}

void XdsServer::Loop::count_transport() {
  if (!server_) return;
  Metrics& metrics = core_.counters();
  metrics.denied[static_cast<size_t>(Denial::kConnections)] = server_->counts().connections_refused;
  metrics.denied[static_cast<size_t>(Denial::kMessageBytes)] = server_->counts().too_large;
  metrics.handshakes_failed = server_->counts().handshakes_failed;
  metrics.connections = server_->connections();
  metrics.connects_waiting = admission_.waiting() + held_.size();
}

void XdsServer::Loop::send(StreamId stream, cpstream::WireMessage message) {
  Stream* found = streams_.find(stream);
  if (found == nullptr) return;
  stirred(message.size());
  size_t own = 0;
  net::Buffer bytes = frames_.bytes_of(message, &own);
  found->send(std::move(bytes), own);
}

void XdsServer::Loop::end(StreamId stream, const absl::Status& status) {
  if (Stream* found = streams_.find(stream)) found->end(status);
}

// After everything that may have given the core something to do.
void XdsServer::Loop::touched() {
  if (!sent_to_.empty()) {
    const MonotonicTime now = clock_.monotonic();
    for (Stream* stream : sent_to_) {
      if (stream != nullptr) stream->look_whether_written(now);
    }
    sent_to_.clear();
  }
  if (holding_ && !go_on_task_.queued() && !held_back()) loop_.run_soon(go_on_task_);
  if (core_.waiting() != 0 && !pump_task_.queued()) loop_.run_soon(pump_task_);
  if (const auto deadline = core_.deadline()) {
    const auto left = std::max<MonotonicTime::duration>(*deadline - clock_.monotonic(), {});
    core_timer_->arm(std::chrono::duration_cast<net::Duration>(left));
  } else {
    core_timer_->disarm();
  }
  storm_ = storm_ || stirred_ > kTrimAfterBytes;
  if (storm_) trim_timer_->arm(kTrimAfterQuiet);
}

void XdsServer::Loop::pump() {
  core_.pump(kPushBatch);
  touched();
}

void XdsServer::Loop::trim() {
  storm_ = false;
  stirred_ = 0;
  net::BlockPool::trim();
  malloc_trim(0);
}

void XdsServer::Loop::post(std::function<void(Core&)> job) {
  std::lock_guard lock(closed_mutex_);
  if (closed_) return;
  loop_.post([this, job = std::move(job)] {
    count_transport();
    job(core_);
    health_.set_serving(core_.ready());
    touched();
  });
}

void XdsServer::Loop::drain(std::chrono::milliseconds over, std::function<void()> gone) {
  post([this, over, gone = std::move(gone)](Core& core) {
    if (!server_) return gone();
    core.set_leaving();
    FL_LOG(info, "xds", "sending ", server_->connections(), " connections elsewhere within ", over.count() / 1000.0, " s");
    server_->drain(over, kShutdownGrace, gone);
  });
}

void XdsServer::Loop::shutdown() {
  std::call_once(shutdown_once_, [this] {
    if (!thread_.joinable()) return;
    {
      std::lock_guard lock(closed_mutex_);
      closed_ = true;
    }
    // Behind all jobs there are. Every connection is told, and what it was sent goes out, if its client reads.
    loop_.post([this] {
      health_.set_serving(false);
      server_->drain({}, kShutdownGrace, [this] {
        loop_.post([this] {
          server_.reset();
          loop_.stop();
        });
      });
    });
    thread_.join();
  });
}

XdsServer::XdsServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
XdsServer::~XdsServer() = default;

absl::StatusOr<std::unique_ptr<XdsServer>> XdsServer::start(Options options, const Clock& clock) {
  auto loop = std::make_unique<Loop>(std::move(options), clock);
  if (absl::Status s = loop->bind(); !s.ok()) return s;
  loop->start_thread();
  return std::unique_ptr<XdsServer>(new XdsServer(std::move(loop)));
}

const std::string& XdsServer::address() const { return loop_->address(); }
void XdsServer::post(std::function<void(Core&)> job) { loop_->post(std::move(job)); }
void XdsServer::set_credentials(std::shared_ptr<const tls::ServerContext> tls, std::shared_ptr<const Authorization> authorization, std::shared_ptr<const TokenVerifier> tokens) {
  loop_->set_credentials(std::move(tls), std::move(authorization), std::move(tokens));
}
void XdsServer::drain(std::chrono::milliseconds over, std::function<void()> gone) { loop_->drain(over, std::move(gone)); }
void XdsServer::shutdown() { loop_->shutdown(); }

}  // namespace fairlead::serve
