// The scripted management server.
#include "tests/integration/xds/fake_ads.h"

#include <grpcpp/grpcpp.h>

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/xds/types.h"
#include "envoy/service/cluster/v3/cds.grpc.pb.h"
#include "envoy/service/endpoint/v3/eds.grpc.pb.h"
#include "envoy/service/listener/v3/lds.grpc.pb.h"
#include "envoy/service/route/v3/rds.grpc.pb.h"
#include "envoy/service/runtime/v3/rtds.grpc.pb.h"
#include "envoy/service/secret/v3/sds.grpc.pb.h"

namespace fairlead::testing {
namespace {

std::string url_of(const std::string& type) {
  for (const xds::Type t : xds::kTypes)
    if (xds::short_name(t) == type) return std::string(xds::type_url(t));
  throw std::runtime_error("no type " + type);
}

// `yaml` without "@type", which follows from the type.
google::protobuf::Any resource(const std::string& url, const std::string& yaml) {
  auto value = doc::parse_one(yaml, "resource");
  if (!value.ok()) throw std::runtime_error(std::string(value.status().message()));
  auto message = *make_message(url);
  if (absl::Status status = doc::to_message(*value, message.get()); !status.ok()) throw std::runtime_error(std::string(status.message()));
  google::protobuf::Any any;
  any.PackFrom(*message);
  return any;
}

}  // namespace

// The services with one type each: all streams look alike.
struct FakeAds::PerType {
  struct Clusters final : envoy::service::cluster::v3::ClusterDiscoveryService::Service {
    explicit Clusters(FakeAds& ads) : ads(ads) {}
    grpc::Status StreamClusters(grpc::ServerContext* c, Sotw* s) override { return ads.serve(c, s, ads.requests_, ads.sotw_, "cds", "cds"); }
    grpc::Status DeltaClusters(grpc::ServerContext* c, Delta* s) override { return ads.serve(c, s, ads.delta_requests_, ads.delta_, "cds", "delta-cds"); }
    FakeAds& ads;
  };
  struct Endpoints final : envoy::service::endpoint::v3::EndpointDiscoveryService::Service {
    explicit Endpoints(FakeAds& ads) : ads(ads) {}
    grpc::Status StreamEndpoints(grpc::ServerContext* c, Sotw* s) override { return ads.serve(c, s, ads.requests_, ads.sotw_, "eds", "eds"); }
    grpc::Status DeltaEndpoints(grpc::ServerContext* c, Delta* s) override { return ads.serve(c, s, ads.delta_requests_, ads.delta_, "eds", "delta-eds"); }
    FakeAds& ads;
  };
  struct Listeners final : envoy::service::listener::v3::ListenerDiscoveryService::Service {
    explicit Listeners(FakeAds& ads) : ads(ads) {}
    grpc::Status StreamListeners(grpc::ServerContext* c, Sotw* s) override { return ads.serve(c, s, ads.requests_, ads.sotw_, "lds", "lds"); }
    grpc::Status DeltaListeners(grpc::ServerContext* c, Delta* s) override { return ads.serve(c, s, ads.delta_requests_, ads.delta_, "lds", "delta-lds"); }
    FakeAds& ads;
  };
  struct Routes final : envoy::service::route::v3::RouteDiscoveryService::Service {
    explicit Routes(FakeAds& ads) : ads(ads) {}
    grpc::Status StreamRoutes(grpc::ServerContext* c, Sotw* s) override { return ads.serve(c, s, ads.requests_, ads.sotw_, "rds", "rds"); }
    grpc::Status DeltaRoutes(grpc::ServerContext* c, Delta* s) override { return ads.serve(c, s, ads.delta_requests_, ads.delta_, "rds", "delta-rds"); }
    FakeAds& ads;
  };
  struct Secrets final : envoy::service::secret::v3::SecretDiscoveryService::Service {
    explicit Secrets(FakeAds& ads) : ads(ads) {}
    grpc::Status StreamSecrets(grpc::ServerContext* c, Sotw* s) override { return ads.serve(c, s, ads.requests_, ads.sotw_, "sds", "sds"); }
    grpc::Status DeltaSecrets(grpc::ServerContext* c, Delta* s) override { return ads.serve(c, s, ads.delta_requests_, ads.delta_, "sds", "delta-sds"); }
    FakeAds& ads;
  };
  struct Runtimes final : envoy::service::runtime::v3::RuntimeDiscoveryService::Service {
    explicit Runtimes(FakeAds& ads) : ads(ads) {}
    grpc::Status StreamRuntime(grpc::ServerContext* c, Sotw* s) override { return ads.serve(c, s, ads.requests_, ads.sotw_, "rtds", "rtds"); }
    grpc::Status DeltaRuntime(grpc::ServerContext* c, Delta* s) override { return ads.serve(c, s, ads.delta_requests_, ads.delta_, "rtds", "delta-rtds"); }
    FakeAds& ads;
  };
  explicit PerType(FakeAds& ads) : clusters(ads), endpoints(ads), listeners(ads), routes(ads), secrets(ads), runtimes(ads) {}
  Clusters clusters;
  Endpoints endpoints;
  Listeners listeners;
  Routes routes;
  Secrets secrets;
  Runtimes runtimes;
};

FakeAds::FakeAds(int port) : port_(port), per_type_(std::make_unique<PerType>(*this)) { start(); }
FakeAds::FakeAds(const std::string& path) : path_(path), per_type_(std::make_unique<PerType>(*this)) { start(); }
FakeAds::FakeAds(const std::string& certificate, const std::string& key, const std::string& client_ca)
    : certificate_(certificate), key_(key), client_ca_(client_ca), per_type_(std::make_unique<PerType>(*this)) {
  start();
}
FakeAds::~FakeAds() { stop(); }

void FakeAds::start() {
  grpc::ServerBuilder builder;
  int bound = 0;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (!certificate_.empty()) {
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = client_ca_;
    tls.pem_key_cert_pairs.push_back({key_, certificate_});
    credentials = grpc::SslServerCredentials(tls);
  }
  builder.AddListeningPort(path_.empty() ? absl::StrCat("127.0.0.1:", port_) : absl::StrCat("unix:", path_), credentials, &bound);
  builder.RegisterService(this);
  builder.RegisterService(&per_type_->clusters);
  builder.RegisterService(&per_type_->endpoints);
  builder.RegisterService(&per_type_->listeners);
  builder.RegisterService(&per_type_->routes);
  builder.RegisterService(&per_type_->secrets);
  builder.RegisterService(&per_type_->runtimes);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || bound == 0) throw std::runtime_error(absl::StrCat("cannot listen on port ", port_));
  port_ = bound;
}

void FakeAds::stop() {
  if (server_ == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    for (grpc::ServerContext* context : contexts_) context->TryCancel();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  requests_.clear();
  delta_requests_.clear();
}

template <class Request_, class Stream_>
grpc::Status FakeAds::serve(grpc::ServerContext* context, Stream_* stream, std::deque<Request_>& queue, std::map<std::string, Stream_*>& open, const std::string& type,
                            const std::string& method) {
  {
    std::lock_guard lock(mutex_);
    open[type] = stream;
    contexts_.insert(context);
    methods_.push_back(method);
    stream->SendInitialMetadata();
    changed_.notify_all();
  }
  Request_ request;
  while (stream->Read(&request)) {
    std::lock_guard lock(mutex_);
    queue.push_back(request);
    changed_.notify_all();
  }
  std::lock_guard lock(mutex_);
  if (open[type] == stream) open.erase(type);
  contexts_.erase(context);
  return grpc::Status::OK;
}

grpc::Status FakeAds::StreamAggregatedResources(grpc::ServerContext* context, Sotw* stream) { return serve(context, stream, requests_, sotw_, "ads", "ads"); }
grpc::Status FakeAds::DeltaAggregatedResources(grpc::ServerContext* context, Delta* stream) { return serve(context, stream, delta_requests_, delta_, "ads", "delta-ads"); }

void FakeAds::wait(const std::function<bool()>& what, const std::string& text) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::seconds(10), what)) throw std::runtime_error("waited 10 s for " + text);
}

template <class R>
R FakeAds::take(std::deque<R>& queue, const std::string& url) {
  auto found = [&] { return std::find_if(queue.begin(), queue.end(), [&](const R& r) { return r.type_url() == url; }); };
  wait([&] { return found() != queue.end(); }, "a request of " + url);
  std::lock_guard lock(mutex_);
  auto it = found();
  R out = *it;
  queue.erase(it);
  return out;
}

FakeAds::Request FakeAds::next(const std::string& type) { return take(requests_, url_of(type)); }
FakeAds::DeltaRequest FakeAds::next_delta(const std::string& type) { return take(delta_requests_, url_of(type)); }

bool FakeAds::none(const std::string& type) {
  const std::string url = url_of(type);
  std::lock_guard lock(mutex_);
  return std::none_of(requests_.begin(), requests_.end(), [&](const Request& r) { return r.type_url() == url; }) &&
         std::none_of(delta_requests_.begin(), delta_requests_.end(), [&](const DeltaRequest& r) { return r.type_url() == url; });
}

int FakeAds::streams() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(methods_.size());
}

std::vector<std::string> FakeAds::methods() const {
  std::lock_guard lock(mutex_);
  return methods_;
}

template <class Stream_>
Stream_* FakeAds::stream_for(std::map<std::string, Stream_*>& open, const std::string& type) {
  auto find = [&] {
    auto it = open.find(type);
    if (it == open.end()) it = open.find("ads");
    return it == open.end() ? nullptr : it->second;
  };
  wait([&] { return find() != nullptr; }, "a stream");
  std::lock_guard lock(mutex_);
  return find();
}

void FakeAds::send_raw(const Response& response) {
  std::string type;
  for (const xds::Type t : xds::kTypes)
    if (xds::type_url(t) == response.type_url()) type = xds::short_name(t);
  stream_for(sotw_, type)->Write(response);
}

void FakeAds::send(const std::string& type, const std::string& version, const std::string& nonce, const std::vector<std::string>& resources_yaml) {
  Response response;
  response.set_type_url(url_of(type));
  response.set_version_info(version);
  response.set_nonce(nonce);
  for (const std::string& yaml : resources_yaml) *response.add_resources() = resource(response.type_url(), yaml);
  send_raw(response);
}

void FakeAds::send_delta(const std::string& type, const std::string& nonce, const std::vector<std::pair<std::string, std::string>>& versions_and_yaml,
                         const std::vector<std::string>& removed) {
  DeltaResponse response;
  response.set_type_url(url_of(type));
  response.set_nonce(nonce);
  for (const auto& [version, yaml] : versions_and_yaml) {
    auto* r = response.add_resources();
    *r->mutable_resource() = resource(response.type_url(), yaml);
    r->set_version(version);
    auto value = doc::parse_one(yaml, "resource");
    const doc::Value* name = value->find(type == "eds" ? "cluster_name" : "name");
    r->set_name(name->as_string());
  }
  for (const std::string& name : removed) response.add_removed_resources(name);
  stream_for(delta_, type)->Write(response);
}

}  // namespace fairlead::testing
