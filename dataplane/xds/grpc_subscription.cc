// Messages in and out of one stream: grpc_subscription.h.
#include "dataplane/xds/grpc_subscription.h"

#include <google/rpc/status.pb.h>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace fairlead::xds {
namespace {

// gRPC refuses trailers above 8 KiB at many servers; the first lines of an error say enough.
constexpr size_t kMaxErrorDetail = 4096;

void fill_error(google::rpc::Status& out, const std::string& message) {
  out.set_code(3);  // INVALID_ARGUMENT
  out.set_message(message.size() > kMaxErrorDetail ? absl::StrCat(message.substr(0, kMaxErrorDetail), "…") : message);
}

}  // namespace

GrpcSubscription::GrpcSubscription(const Sources::Options& options, config::ApiSource source, std::string source_key, std::optional<Type> type, bool reports_connection, uint64_t seed)
    : options_(options),
      source_(std::move(source)),
      source_key_(std::move(source_key)),
      type_(type),
      delta_(source_.type == config::ApiSource::Type::DeltaGrpc),
      reports_connection_(reports_connection),
      back_off_(seed),
      retry_(options.loop->timers(), [this] { connect(); }) {}

GrpcSubscription::~GrpcSubscription() { set_connected(false); }

void GrpcSubscription::set_interest(Type type, Interest interest) {
  if (delta_) {
    const bool fresh = !incremental_.contains(type);
    incremental_[type].set_interest(std::move(interest));
    if (fresh && stream_ != nullptr) incremental_[type].stream_opened();
  } else {
    const bool fresh = !sotw_.contains(type);
    sotw_[type].set_interest(std::move(interest));
    if (fresh && stream_ != nullptr) sotw_[type].stream_opened();
  }
  if (stream_ == nullptr && !retry_.armed()) connect();
  flush();
}

void GrpcSubscription::clear_interest(Type type) {
  if (sotw_.contains(type) || incremental_.contains(type)) set_interest(type, {});
}

void GrpcSubscription::connect() {
  if (source_.services.empty()) return;
  const config::GrpcTarget& target = source_.services[next_service_ % source_.services.size()];
  node_sent_ = false;
  stream_ = options_.connector->open(target, type_.has_value() ? grpc_method(*type_, delta_) : ads_grpc_method(delta_), *this);
  for (auto& [type, state] : sotw_) state.stream_opened();
  for (auto& [type, state] : incremental_) state.stream_opened();
  flush();
}

void GrpcSubscription::set_connected(bool connected) {
  if (connected_ == connected) return;
  connected_ = connected;
  if (reports_connection_ && options_.connected) options_.connected(connected);
}

void GrpcSubscription::on_open() { set_connected(true); }

void GrpcSubscription::on_closed(absl::Status status) { break_stream(status); }

void GrpcSubscription::break_stream(const absl::Status& status) {
  stream_.reset();
  set_connected(false);
  for (auto& [type, state] : sotw_) state.stream_closed();
  for (auto& [type, state] : incremental_) state.stream_closed();
  ++next_service_;
  const auto wait = back_off_.next();
  FL_LOG(warning, "config", type_.has_value() ? short_name(*type_) : "ads", ": stream closed: ", status.message(), "; next attempt in ", wait.count(), " ms");
  if (options_.failed)
    for (const Type type : kTypes)
      if (sotw_.contains(type) || incremental_.contains(type)) options_.failed(type, absl::UnavailableError("stream closed"));
  retry_.arm(wait);
}

void GrpcSubscription::flush() {
  for (const Type type : kTypes) {
    if (stream_ == nullptr) return;
    if (auto it = sotw_.find(type); it != sotw_.end())
      while (auto request = it->second.next_request()) send_sotw(type, *request);
    if (auto it = incremental_.find(type); it != incremental_.end())
      while (auto request = it->second.next_request()) send_delta(type, *request);
  }
}

bool GrpcSubscription::with_node() {
  if (node_sent_ && source_.set_node_on_first_message_only) return false;
  node_sent_ = true;
  return true;
}

void GrpcSubscription::send_sotw(Type type, const SotwRequest& request) {
  envoy::service::discovery::v3::DiscoveryRequest out;
  if (with_node() && options_.node != nullptr) *out.mutable_node() = *options_.node;
  out.set_type_url(std::string(type_url(type)));
  out.set_version_info(request.version);
  out.set_response_nonce(request.nonce);
  for (const std::string& name : request.names) out.add_resource_names(name);
  if (request.error.has_value()) fill_error(*out.mutable_error_detail(), *request.error);
  if (request.nonce.empty() && options_.attempted) options_.attempted(type);
  stream_->send(out.SerializeAsString());
}

void GrpcSubscription::send_delta(Type type, const DeltaRequest& request) {
  envoy::service::discovery::v3::DeltaDiscoveryRequest out;
  if (with_node() && options_.node != nullptr) *out.mutable_node() = *options_.node;
  out.set_type_url(std::string(type_url(type)));
  out.set_response_nonce(request.nonce);
  for (const std::string& name : request.subscribe) out.add_resource_names_subscribe(name);
  for (const std::string& name : request.unsubscribe) out.add_resource_names_unsubscribe(name);
  for (const auto& [name, version] : request.initial_versions) (*out.mutable_initial_resource_versions())[name] = version;
  if (request.error.has_value()) fill_error(*out.mutable_error_detail(), *request.error);
  if (request.nonce.empty() && options_.attempted) options_.attempted(type);
  stream_->send(out.SerializeAsString());
}

void GrpcSubscription::on_message(std::string message) {
  set_connected(true);
  back_off_.reset();
  if (delta_) {
    take_delta(message);
  } else {
    take_sotw(message);
  }
  flush();
}

// Resources do not expire here; a heartbeat, a resource without a body that only renews its time, has nothing to apply.
void GrpcSubscription::take_resource(const envoy::service::discovery::v3::Resource& resource, Update& update) {
  if (resource.has_ttl() && options_.ignored) options_.ignored("envoy.service.discovery.v3.Resource.ttl");
  if (resource.has_ttl() && !resource.has_resource()) return;
  update.resources.push_back({resource.name(), resource.version(), resource.resource().type_url(), resource.resource().value()});
}

void GrpcSubscription::take_sotw(const std::string& bytes) {
  envoy::service::discovery::v3::DiscoveryResponse in;
  if (!in.ParseFromString(bytes)) return break_stream(absl::InvalidArgumentError(absl::StrCat("malformed DiscoveryResponse of ", bytes.size(), " bytes")));
  const std::optional<Type> type = type_of(in.type_url());
  const auto state = type.has_value() ? sotw_.find(*type) : sotw_.end();
  if (state == sotw_.end()) {
    FL_LOG(warning, "config", "response of type '", in.type_url(), "', which was not asked for");
    return;
  }
  Update update{*type, false, in.version_info(), {}, {}, source_key_};
  for (const auto& any : in.resources()) {
    if (any.type_url() == "type.googleapis.com/envoy.service.discovery.v3.Resource") {
      envoy::service::discovery::v3::Resource wrapper;
      if (wrapper.ParseFromString(any.value())) {
        take_resource(wrapper, update);
        continue;
      }
    }
    update.resources.push_back({"", "", any.type_url(), any.value()});
  }
  state->second.response(in.version_info(), in.nonce());
  if (options_.attempted) options_.attempted(*type);  // Envoy 1.40 counts each answer as an attempt, too
  const Outcome outcome = options_.apply(update);
  if (outcome.status.ok()) {
    state->second.accept();
  } else {
    state->second.refuse(std::string(outcome.status.message()));
  }
}

void GrpcSubscription::take_delta(const std::string& bytes) {
  envoy::service::discovery::v3::DeltaDiscoveryResponse in;
  if (!in.ParseFromString(bytes)) return break_stream(absl::InvalidArgumentError(absl::StrCat("malformed DeltaDiscoveryResponse of ", bytes.size(), " bytes")));
  const std::optional<Type> type = type_of(in.type_url());
  const auto state = type.has_value() ? incremental_.find(*type) : incremental_.end();
  if (state == incremental_.end()) {
    FL_LOG(warning, "config", "response of type '", in.type_url(), "', which was not asked for");
    return;
  }
  Update update{*type, true, in.system_version_info(), {}, {in.removed_resources().begin(), in.removed_resources().end()}, source_key_};
  for (const auto& r : in.resources()) take_resource(r, update);
  state->second.response(in.nonce());
  if (options_.attempted) options_.attempted(*type);
  const Outcome outcome = options_.apply(update);
  if (outcome.status.ok()) {
    state->second.accept(outcome.applied, outcome.removed);
  } else {
    state->second.refuse(std::string(outcome.status.message()), outcome.applied, outcome.removed);
  }
}

}  // namespace fairlead::xds
