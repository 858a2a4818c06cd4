// Generic (byte-buffer) bidirectional calls with gRPC's callback API.
#include "dataplane/xds/grpc_connector.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "dataplane/xds/grpc_target.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

namespace fairlead::xds {
namespace {

// Calls that gRPC still holds; the connector's destruction waits for zero.
struct Living {
  std::mutex mutex;
  std::condition_variable none;
  int count = 0;
  void enter() {
    std::lock_guard lock(mutex);
    ++count;
  }
  void leave() {
    std::lock_guard lock(mutex);
    if (--count == 0) none.notify_all();
  }
};

std::string to_string(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& s : slices) out.append(reinterpret_cast<const char*>(s.begin()), s.size());
  return out;
}

// Held by the Stream and, until OnDone, by itself. `events` belongs to the main thread, the queue to the mutex.
class Call final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, public std::enable_shared_from_this<Call> {
 public:
  Call(net::EventLoop& loop, std::shared_ptr<Living> living, StreamEvents& events) : events(&events), loop_(loop), living_(std::move(living)) { living_->enter(); }

  void start(grpc::GenericStub& stub, const std::string& method) {
    self_ = shared_from_this();
    stub.PrepareBidiStreamingCall(&context, method, grpc::StubOptions(), this);
    StartRead(&incoming_);
    AddHold();  // writes come from outside the reactions
    StartCall();
  }

  void write(std::string message) {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) write_front();
  }

  bool idle() {
    std::lock_guard lock(mutex_);
    return queue_.empty();
  }

  void cancel() {
    events = nullptr;
    context.TryCancel();
    release_hold();
  }

  void OnReadInitialMetadataDone(bool ok) override {
    if (!ok) return;
    tell([](StreamEvents& e) { e.on_open(); });
  }
  void OnReadDone(bool ok) override {
    if (!ok) {
      release_hold();
      return;
    }
    tell([message = to_string(incoming_)](StreamEvents& e) mutable { e.on_message(std::move(message)); });
    StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    queue_.pop_front();
    if (!ok) finished_ = true;
    if (!finished_ && !queue_.empty()) write_front();
  }
  void OnDone(const grpc::Status& status) override {
    tell([status](StreamEvents& e) {
      e.on_closed(absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.ok() ? "the server ended the stream" : status.error_message()));
    });
    std::shared_ptr<Living> living = living_;
    self_.reset();  // may delete this
    living->leave();
  }

  grpc::ClientContext context;
  StreamEvents* events;

 private:
  template <class F>
  void tell(F f) {
    loop_.post([self = shared_from_this(), f = std::move(f)]() mutable {
      if (self->events != nullptr) f(*self->events);
    });
  }
  void write_front() {
    grpc::Slice slice(queue_.front());
    outgoing_ = grpc::ByteBuffer(&slice, 1);
    StartWrite(&outgoing_);
  }
  void release_hold() {
    {
      std::lock_guard lock(mutex_);
      finished_ = true;
      if (hold_released_) return;
      hold_released_ = true;
    }
    RemoveHold();
  }

  net::EventLoop& loop_;
  std::shared_ptr<Living> living_;
  std::shared_ptr<Call> self_;
  grpc::ByteBuffer incoming_, outgoing_;
  std::mutex mutex_;
  std::deque<std::string> queue_;
  bool finished_ = false, hold_released_ = false;
};

class CallStream final : public Stream {
 public:
  explicit CallStream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~CallStream() override { call_->cancel(); }
  void send(std::string message) override { call_->write(std::move(message)); }
  bool idle() const override { return call_->idle(); }

 private:
  std::shared_ptr<Call> call_;
};

// A stream that could not even begin: says so on the next turn.
class FailedStream final : public Stream {
 public:
  FailedStream(net::EventLoop& loop, StreamEvents& events, absl::Status status) : events_(std::make_shared<StreamEvents*>(&events)) {
    loop.post([events = events_, status = std::move(status)] {
      if (*events != nullptr) (*events)->on_closed(status);
    });
  }
  ~FailedStream() override { *events_ = nullptr; }
  void send(std::string) override {}

 private:
  std::shared_ptr<StreamEvents*> events_;
};

class GrpcConnector final : public Connector {
 public:
  GrpcConnector(net::EventLoop& loop, FindCluster clusters)
      : loop_(loop), clusters_(std::move(clusters)), living_(std::make_shared<Living>()) {}
  ~GrpcConnector() override {
    std::unique_lock lock(living_->mutex);
    living_->none.wait(lock, [this] { return living_->count == 0; });
  }

  std::unique_ptr<Stream> open(const config::GrpcTarget& target, const std::string& method, StreamEvents& events) override {
    absl::StatusOr<Peer*> peer = find(target);
    if (!peer.ok()) return std::make_unique<FailedStream>(loop_, events, peer.status());
    // the first stream goes to the first target, each later one to the next: round robin and failover in one
    const size_t which = (*peer)->next++ % (*peer)->channels.size();
    grpc::GenericStub stub((*peer)->channels[which]);
    auto call = std::make_shared<Call>(loop_, living_, events);
    if (!target.authority.empty()) call->context.set_authority(target.authority);
    for (const auto& [name, value] : target.initial_metadata) {
      std::string text = value.render(format::FormatContext());
      // gRPC ends the process over bytes that it does not take
      if (!absl::EndsWith(name, "-bin")) std::replace_if(text.begin(), text.end(), [](char c) { return c < 0x20 || c >= 0x7f; }, ' ');
      if (!text.empty()) call->context.AddMetadata(name, text);
    }
    call->start(stub, method);
    return std::make_unique<CallStream>(std::move(call));
  }

 private:
  struct Peer {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    size_t next = 0;
  };

  absl::StatusOr<Peer*> find(const config::GrpcTarget& target) {
    if (auto it = peers_.find(target.cluster); it != peers_.end()) return &it->second;
    const auto cluster = clusters_(target.cluster);
    if (cluster == nullptr) return absl::NotFoundError(absl::StrCat("unknown cluster '", target.cluster, "' for streams of xDS or LRS"));
    absl::StatusOr<GrpcEndpoints> endpoints = parse_grpc_cluster(*cluster, absl::StrCat("cluster '", target.cluster, "'"));
    if (!endpoints.ok()) return endpoints.status();
    Peer& peer = peers_[target.cluster];
    for (const std::string& t : endpoints->targets) peer.channels.push_back(make_channel(*endpoints, t, target));
    return &peer;
  }

  // The certificate is held against the SNI alone, as in Envoy: an `authority` says who is asked, not who answers.
  static std::shared_ptr<grpc::ChannelCredentials> tls_credentials(const GrpcTls& tls) {
    std::vector<grpc::experimental::IdentityKeyCertPair> own;
    if (!tls.certificate.empty()) own.push_back({tls.private_key, tls.certificate});
    grpc::experimental::TlsChannelCredentialsOptions options;
    options.set_certificate_provider(std::make_shared<grpc::experimental::StaticDataCertificateProvider>(tls.roots, own));
    options.watch_root_certs();
    if (!own.empty()) options.watch_identity_key_cert_pairs();
    options.set_check_call_host(false);
    return grpc::experimental::TlsCredentials(options);
  }

  static std::shared_ptr<grpc::Channel> make_channel(const GrpcEndpoints& endpoints, const std::string& name, const config::GrpcTarget& target) {
    grpc::ChannelArguments arguments;
    // one attempt per stream: waiting between attempts is BackOff's business, not the channel's
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(endpoints.connect_timeout.count()));
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetMaxReceiveMessageSize(target.max_receive_message_length.has_value() ? static_cast<int>(*target.max_receive_message_length) : -1);
    if (endpoints.keepalive_interval.has_value()) {
      arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(endpoints.keepalive_interval->count()));
      arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    if (endpoints.keepalive_timeout.has_value()) arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(endpoints.keepalive_timeout->count()));
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
    if (endpoints.tls.has_value()) {
      if (!endpoints.tls->server_name.empty()) arguments.SetSslTargetNameOverride(endpoints.tls->server_name);
      credentials = tls_credentials(*endpoints.tls);
    }
    return grpc::CreateCustomChannel(name, credentials, arguments);
  }

  net::EventLoop& loop_;
  FindCluster clusters_;
  std::map<std::string, Peer> peers_;
  std::shared_ptr<Living> living_;
};

}  // namespace

std::unique_ptr<Connector> make_grpc_connector(net::EventLoop& loop, FindCluster clusters) {
  return std::make_unique<GrpcConnector>(loop, std::move(clusters));
}

}  // namespace fairlead::xds
