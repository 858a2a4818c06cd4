// The scripted management server.
#include "tests/integration/xds/fake_ads.h"

#include <grpcpp/grpcpp.h>

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/xds/types.h"

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

FakeAds::FakeAds(int port) : port_(port) { start(); }
FakeAds::~FakeAds() { stop(); }

void FakeAds::start() {
  grpc::ServerBuilder builder;
  int bound = 0;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::InsecureServerCredentials(), &bound);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || bound == 0) throw std::runtime_error(absl::StrCat("cannot listen on port ", port_));
  port_ = bound;
}

void FakeAds::stop() {
  if (server_ == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  requests_.clear();
  delta_requests_.clear();
}

grpc::Status FakeAds::StreamAggregatedResources(grpc::ServerContext* context, Sotw* stream) {
  {
    std::lock_guard lock(mutex_);
    sotw_ = stream;
    context_ = context;
    ++streams_;
    stream->SendInitialMetadata();
    changed_.notify_all();
  }
  Request request;
  while (stream->Read(&request)) {
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
    changed_.notify_all();
  }
  std::lock_guard lock(mutex_);
  sotw_ = nullptr;
  context_ = nullptr;
  return grpc::Status::OK;
}

grpc::Status FakeAds::DeltaAggregatedResources(grpc::ServerContext* context, Delta* stream) {
  {
    std::lock_guard lock(mutex_);
    delta_ = stream;
    context_ = context;
    ++streams_;
    stream->SendInitialMetadata();
    changed_.notify_all();
  }
  DeltaRequest request;
  while (stream->Read(&request)) {
    std::lock_guard lock(mutex_);
    delta_requests_.push_back(request);
    changed_.notify_all();
  }
  std::lock_guard lock(mutex_);
  delta_ = nullptr;
  context_ = nullptr;
  return grpc::Status::OK;
}

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

void FakeAds::wait_for_stream() {
  wait([&] { return sotw_ != nullptr || delta_ != nullptr; }, "a stream");
}

int FakeAds::streams() const {
  std::lock_guard lock(mutex_);
  return streams_;
}

void FakeAds::send_raw(const Response& response) {
  wait([&] { return sotw_ != nullptr; }, "a stream");
  std::lock_guard lock(mutex_);
  sotw_->Write(response);
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
  wait([&] { return delta_ != nullptr; }, "a stream");
  std::lock_guard lock(mutex_);
  delta_->Write(response);
}

}  // namespace fairlead::testing
