#include "controlplane/serve/grpc_server.h"

#include <malloc.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <grpc/support/log.h>
#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "controlplane/serve/slice_cache.h"

namespace fairlead::serve {

namespace {

using resources::ResourcePtr;
using resources::Type;

struct Method {
  StreamKind kind;
  std::optional<Type> only;
};

const std::unordered_map<std::string, Method>& methods() {
  static const auto* table = [] {
    auto* m = new std::unordered_map<std::string, Method>;
    auto add = [m](const char* service, const char* what, std::optional<Type> only, bool sotw = true) {
      if (sotw) m->emplace(absl::StrCat("/envoy.service.", service, "/Stream", what), Method{StreamKind::kSotw, only});
      m->emplace(absl::StrCat("/envoy.service.", service, "/Delta", what), Method{StreamKind::kDelta, only});
    };
    add("discovery.v3.AggregatedDiscoveryService", "AggregatedResources", std::nullopt);
    add("cluster.v3.ClusterDiscoveryService", "Clusters", Type::kCluster);
    add("endpoint.v3.EndpointDiscoveryService", "Endpoints", Type::kEndpoint);
    add("listener.v3.ListenerDiscoveryService", "Listeners", Type::kListener);
    add("route.v3.RouteDiscoveryService", "Routes", Type::kRoute);
    add("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", Type::kScopedRoute);
    add("route.v3.VirtualHostDiscoveryService", "VirtualHosts", Type::kVirtualHost, false);
    add("secret.v3.SecretDiscoveryService", "Secrets", Type::kSecret);
    add("runtime.v3.RuntimeDiscoveryService", "Runtime", Type::kRuntime);
    add("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", Type::kExtensionConfig);
    return m;
  }();
  return *table;
}

// gRPC's own words belong into our log. It calls a client that went away an error, and tells a port in use at length.
void log_of_grpc(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    FL_LOG(debug, "grpc", args->message);
  } else {
    FL_LOG(trace, "grpc", args->message);
  }
}

// gRPC unlinks whatever socket is at the path: a second instance would take the first one's place without a word.
bool somebody_listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool taken = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return taken;
}

grpc::Status to_grpc(const absl::Status& s) { return {static_cast<grpc::StatusCode>(s.code()), std::string(s.message())}; }

}  // namespace

// Everything below runs on the loop's thread, but for what says otherwise.
class GrpcServer::Loop final : public Wire {
 public:
  Loop(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock), core_(options_.core, clock, *this) {}
  ~Loop() override { shutdown(); }

  absl::Status bind();       // any thread, once
  void start_thread() { thread_ = std::thread([this] { run(); }); }
  void shutdown();           // any thread
  void post(std::function<void(Core&)> job, bool last = false);  // any thread; nothing is taken after the last
  const std::string& address() const { return address_; }

  void send(StreamId stream, cpstream::WireMessage message) override;
  void end(StreamId stream, const absl::Status& status) override;

 private:
  struct Call;
  enum class Event : uint8_t { kAccepted, kRead, kWritten, kFinished };
  struct Tag {
    Call* call = nullptr;
    Event event = Event::kAccepted;
  };
  // One RPC. Lives until every operation it started has come back.
  struct Call {
    Call() : stream(&context) {
      accepted = {this, Event::kAccepted};
      read = {this, Event::kRead};
      written = {this, Event::kWritten};
      finished = {this, Event::kFinished};
    }
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream;
    Tag accepted, read, written, finished;
    StreamId id = 0;  // 0: not with the core
    int operations = 0;
    bool reading = false;
    bool writing = false;
    bool finishing = false;
    bool finish_started = false;
    bool ended = false;  // the peer's side is over
    grpc::Status status;
    grpc::ByteBuffer incoming;
    std::deque<grpc::ByteBuffer> outgoing;
  };
  // A peer that asks faster than it reads is not read from until it has caught up.
  static constexpr size_t kMaxOutgoing = 64;
  static constexpr size_t kPushBatch = 64;
  // A storm of connects leaves the heap full of holes, half of what a thousand streams hold: given back once it is quiet.
  static constexpr size_t kTrimAfterBytes = 8 << 20;
  static constexpr int kTrimAfterQuietMs = 300;

  void run();
  void accept_one();
  void on_event(Tag& tag, bool ok);
  void on_accepted(Call& call, bool ok);
  void on_read(Call& call, bool ok);
  void on_written(Call& call, bool ok);
  void read_more(Call& call);
  void write_more(Call& call);
  void finish(Call& call, grpc::Status status);
  void settle(Call& call);
  void run_jobs();
  void trim();

  const Options options_;
  const Clock& clock_;
  std::string address_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
  std::unordered_map<StreamId, Call*> calls_;
  SliceCache slices_;
  BundleCache bundles_;
  size_t sent_since_trim_ = 0;
  uint64_t events_ = 0, events_at_trim_ = 0;
  bool storm_ = false;
  std::atomic<bool> closing_{false};
  std::once_flag shutdown_once_;

  std::mutex jobs_mutex_;
  std::vector<std::function<void(Core&)>> jobs_;  // guarded by jobs_mutex_
  bool woken_ = false;                            // guarded: the alarm is set
  bool jobs_closed_ = false;                      // guarded
  grpc::Alarm alarm_;                             // guarded

  Core core_;
};

absl::Status GrpcServer::Loop::bind() {
  const auto in_use = [this] {
    return absl::UnavailableError(absl::StrCat("cannot listen for xDS on ", options_.address, ": the address is in use or not one of this machine"));
  };
  if (options_.address.starts_with("unix:") && somebody_listens(options_.address.substr(5))) {
    closing_ = true;
    return in_use();
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second instance must not share the port silently
  // Clients keep their streams alive by pings; gRPC's default would end those that ping more than every 5 minutes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Half-open connections are found within two minutes.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 60'000);
  builder.SetMaxReceiveMessageSize(options_.max_request_bytes);
  builder.SetMaxSendMessageSize(-1);
  builder.AddListeningPort(options_.address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  if (!server_ || (port == 0 && !options_.address.starts_with("unix:"))) {
    closing_ = true;
    if (server_) server_->Shutdown();
    queue_->Shutdown();
    void* tag;
    bool ok;
    while (queue_->Next(&tag, &ok)) {
    }
    return in_use();
  }
  const size_t colon = options_.address.rfind(':');
  address_ = options_.address.starts_with("unix:") ? options_.address : absl::StrCat(options_.address.substr(0, colon), ":", port);
  return absl::OkStatus();
}

void GrpcServer::Loop::run() {
  for (int i = 0; i < 16; ++i) accept_one();
  while (true) {
    const bool more = core_.pump(kPushBatch);
    gpr_timespec until = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (more) {
      until = gpr_time_0(GPR_CLOCK_MONOTONIC);
    } else if (const auto deadline = core_.deadline()) {
      const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(*deadline - clock_.monotonic()).count();
      until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left > 0 ? left : 0, GPR_TIMESPAN));
    }
    storm_ = storm_ || sent_since_trim_ > kTrimAfterBytes;
    if (storm_) {
      const gpr_timespec quiet = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(kTrimAfterQuietMs, GPR_TIMESPAN));
      if (gpr_time_cmp(quiet, until) < 0) until = quiet;
    }
    // What has come back is handled before the next batch of pushes, but no more than that.
    for (size_t n = 0; n < 2 * kPushBatch; ++n) {
      void* tag;
      bool ok;
      const auto next = queue_->AsyncNext(&tag, &ok, n == 0 ? until : gpr_time_0(GPR_CLOCK_MONOTONIC));
      if (next == grpc::CompletionQueue::SHUTDOWN) return;
      if (next == grpc::CompletionQueue::TIMEOUT) {
        if (n == 0 && !more && storm_) trim();
        break;
      }
      if (tag == &alarm_) {
        run_jobs();
      } else {
        on_event(*static_cast<Tag*>(tag), ok);
      }
    }
    core_.on_time();
  }
}

// Once more after each lull, for what the last answers freed, until nothing happens between two.
void GrpcServer::Loop::trim() {
  storm_ = events_ != events_at_trim_;
  events_at_trim_ = events_;
  sent_since_trim_ = 0;
  if (storm_) malloc_trim(0);
}

void GrpcServer::Loop::accept_one() {
  if (closing_) return;
  auto* call = new Call;
  ++call->operations;
  service_.RequestCall(&call->context, &call->stream, queue_.get(), queue_.get(), &call->accepted);
}

void GrpcServer::Loop::on_event(Tag& tag, bool ok) {
  Call& call = *tag.call;
  ++events_;
  --call.operations;
  switch (tag.event) {
    case Event::kAccepted: on_accepted(call, ok); break;
    case Event::kRead: on_read(call, ok); break;
    case Event::kWritten: on_written(call, ok); break;
    case Event::kFinished: call.ended = true; break;
  }
  settle(call);
}

void GrpcServer::Loop::on_accepted(Call& call, bool ok) {
  if (!ok) {  // the server is shutting down
    call.ended = true;
    return;
  }
  accept_one();
  const auto method = methods().find(call.context.method());
  if (method == methods().end()) {
    finish(call, {grpc::StatusCode::UNIMPLEMENTED, absl::StrCat("no method ", call.context.method(), " here")});
    return;
  }
  absl::StatusOr<StreamId> id = core_.open(method->second.kind, method->second.only, call.context.peer());
  if (!id.ok()) {
    finish(call, to_grpc(id.status()));
    return;
  }
  call.id = *id;
  calls_.emplace(call.id, &call);
  read_more(call);
}

void GrpcServer::Loop::read_more(Call& call) {
  if (call.reading || call.finishing || call.ended || closing_ || call.outgoing.size() > kMaxOutgoing) return;
  call.reading = true;
  ++call.operations;
  call.stream.Read(&call.incoming, &call.read);
}

void GrpcServer::Loop::on_read(Call& call, bool ok) {
  call.reading = false;
  if (!ok) {
    finish(call, grpc::Status::OK);
    return;
  }
  const StreamId id = call.id;
  grpc::Slice slice;
  if (call.incoming.TrySingleSlice(&slice).ok()) {
    core_.request(id, {reinterpret_cast<const char*>(slice.begin()), slice.size()});
  } else {
    std::vector<grpc::Slice> slices;
    (void)call.incoming.Dump(&slices);
    std::string bytes;
    for (const grpc::Slice& s : slices) bytes.append(reinterpret_cast<const char*>(s.begin()), s.size());
    core_.request(id, bytes);
  }
  call.incoming.Clear();
  read_more(call);
}

void GrpcServer::Loop::send(StreamId stream, cpstream::WireMessage message) {
  auto found = calls_.find(stream);
  if (found == calls_.end()) return;
  sent_since_trim_ += message.size();
  std::vector<grpc::Slice> slices;
  slices.emplace_back(message.head);
  if (message.shared.size() >= BundleCache::kWorthIt) {
    slices.push_back(bundles_.get(message.shared, message.delta));
  } else {
    for (const ResourcePtr& r : message.shared) slices.push_back(slices_.get(r, message.delta));
  }
  found->second->outgoing.emplace_back(slices.data(), slices.size());
  write_more(*found->second);
}

void GrpcServer::Loop::write_more(Call& call) {
  if (call.writing || call.finishing || call.outgoing.empty() || closing_) return;
  call.writing = true;
  ++call.operations;
  call.stream.Write(call.outgoing.front(), &call.written);
  call.outgoing.pop_front();
}

void GrpcServer::Loop::on_written(Call& call, bool ok) {
  call.writing = false;
  if (!ok) {
    finish(call, grpc::Status::OK);
    return;
  }
  if (call.finishing) {
    finish(call, call.status);
    return;
  }
  write_more(call);
  if (!call.writing) core_.written(call.id);
  read_more(call);
}

void GrpcServer::Loop::end(StreamId stream, const absl::Status& status) {
  auto found = calls_.find(stream);
  if (found != calls_.end()) finish(*found->second, to_grpc(status));
}

// The stream is over for us: the status goes out once the write on its way is back.
void GrpcServer::Loop::finish(Call& call, grpc::Status status) {
  if (call.id != 0) {
    calls_.erase(call.id);
    core_.closed(std::exchange(call.id, 0));
  }
  if (!call.finishing) call.status = std::move(status);
  call.finishing = true;
  call.outgoing.clear();
  if (call.writing || call.finish_started || closing_) return;
  call.finish_started = true;
  ++call.operations;
  call.stream.Finish(call.status, &call.finished);
}

// Frees a call nothing will come back for. With a finished stream the pending read comes back as failed.
void GrpcServer::Loop::settle(Call& call) {
  if (call.operations > 0) return;
  if (!call.ended && !closing_) return;
  if (call.id != 0) {
    calls_.erase(call.id);
    core_.closed(call.id);
  }
  delete &call;
}

void GrpcServer::Loop::post(std::function<void(Core&)> job, bool last) {
  std::lock_guard lock(jobs_mutex_);
  if (jobs_closed_) return;
  jobs_closed_ = last;
  jobs_.push_back(std::move(job));
  if (woken_) return;
  woken_ = true;
  alarm_.Set(queue_.get(), gpr_now(GPR_CLOCK_MONOTONIC), &alarm_);
}

void GrpcServer::Loop::run_jobs() {
  std::vector<std::function<void(Core&)>> jobs;
  {
    std::lock_guard lock(jobs_mutex_);
    woken_ = false;
    jobs.swap(jobs_);
  }
  for (auto& job : jobs) job(core_);
}

void GrpcServer::Loop::shutdown() {
  std::call_once(shutdown_once_, [this] {
    if (!thread_.joinable()) return;
    closing_ = true;
    server_->Shutdown(std::chrono::system_clock::now());
    // On the loop's thread, where every operation is started: none may be on a queue that is shut down.
    post([this](Core&) { queue_->Shutdown(); }, true);
    thread_.join();
    jobs_.clear();
  });
}

GrpcServer::GrpcServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
GrpcServer::~GrpcServer() = default;

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::start(Options options, const Clock& clock) {
  gpr_set_log_function(log_of_grpc);
  auto loop = std::make_unique<Loop>(std::move(options), clock);
  if (absl::Status s = loop->bind(); !s.ok()) return s;
  loop->start_thread();
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(loop)));
}

const std::string& GrpcServer::address() const { return loop_->address(); }
void GrpcServer::post(std::function<void(Core&)> job) { loop_->post(std::move(job)); }
void GrpcServer::shutdown() { loop_->shutdown(); }

}  // namespace fairlead::serve
