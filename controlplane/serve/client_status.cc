// See client_status.h.
#include "controlplane/serve/client_status.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>

#include "base/descriptors.h"
#include "base/redact.h"
#include "dataplane/matching/matchers.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/service/status/v3/csds.pb.h"

namespace fairlead::serve {

namespace status = envoy::service::status::v3;
using google::protobuf::Struct;
using google::protobuf::Value;
using matching::StringMatcher;
using resources::ResourcePtr;
using resources::Type;

// --- matchers of nodes ---------------------------------------------------------------------------------------------------

namespace {

using ValueTest = std::function<bool(const Value&)>;

absl::StatusOr<std::function<bool(std::string_view)>> text_test(const envoy::type::matcher::v3::StringMatcher& proto, const std::string& field) {
  absl::StatusOr<StringMatcher> compiled = StringMatcher::compile(proto);
  if (!compiled.ok()) return absl::InvalidArgumentError(absl::StrCat(field, ": ", compiled.status().message()));
  return [matcher = *std::move(compiled)](std::string_view text) { return matcher.match(text); };
}

absl::StatusOr<ValueTest> value_test(const envoy::type::matcher::v3::ValueMatcher& proto, const std::string& field, int depth = 0) {
  using Proto = envoy::type::matcher::v3::ValueMatcher;
  if (depth > 32) return absl::InvalidArgumentError(absl::StrCat(field, ": too deep"));
  switch (proto.match_pattern_case()) {
    case Proto::kNullMatch: return [](const Value& v) { return v.kind_case() == Value::kNullValue; };
    case Proto::kDoubleMatch: {
      const auto& m = proto.double_match();
      return [m](const Value& v) {
        if (v.kind_case() != Value::kNumberValue) return false;
        return m.has_range() ? v.number_value() >= m.range().start() && v.number_value() < m.range().end() : v.number_value() == m.exact();
      };
    }
    case Proto::kStringMatch: {
      auto text = text_test(proto.string_match(), absl::StrCat(field, ".string_match"));
      if (!text.ok()) return text.status();
      return [matches = *std::move(text)](const Value& v) { return v.kind_case() == Value::kStringValue && matches(v.string_value()); };
    }
    case Proto::kBoolMatch: return [wanted = proto.bool_match()](const Value& v) { return v.kind_case() == Value::kBoolValue && v.bool_value() == wanted; };
    case Proto::kPresentMatch: return [wanted = proto.present_match()](const Value& v) { return (v.kind_case() != Value::KIND_NOT_SET) == wanted; };
    case Proto::kListMatch: {
      auto one = value_test(proto.list_match().one_of(), absl::StrCat(field, ".list_match.one_of"), depth + 1);
      if (!one.ok()) return one.status();
      return [matches = *std::move(one)](const Value& v) {
        return v.kind_case() == Value::kListValue && std::any_of(v.list_value().values().begin(), v.list_value().values().end(), matches);
      };
    }
    case Proto::kOrMatch: {
      std::vector<ValueTest> any;
      for (const auto& m : proto.or_match().value_matchers()) {
        auto one = value_test(m, absl::StrCat(field, ".or_match.value_matchers[", any.size(), "]"), depth + 1);
        if (!one.ok()) return one.status();
        any.push_back(*std::move(one));
      }
      return [any = std::move(any)](const Value& v) { return std::any_of(any.begin(), any.end(), [&](const ValueTest& test) { return test(v); }); };
    }
    case Proto::MATCH_PATTERN_NOT_SET: break;
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": says nothing to match"));
}

absl::StatusOr<std::function<bool(const Struct&)>> metadata_test(const envoy::type::matcher::v3::StructMatcher& proto, const std::string& field) {
  std::vector<std::string> path;
  for (const auto& segment : proto.path()) path.push_back(segment.key());
  if (path.empty()) return absl::InvalidArgumentError(absl::StrCat(field, ".path: is empty"));
  absl::StatusOr<ValueTest> test = value_test(proto.value(), absl::StrCat(field, ".value"));
  if (!test.ok()) return test.status();
  return [path = std::move(path), matches = *std::move(test)](const Struct& metadata) {
    const Struct* at = &metadata;
    const Value* value = nullptr;
    for (const std::string& key : path) {
      if (!at) return matches(Value());
      const auto found = at->fields().find(key);
      if (found == at->fields().end()) return matches(Value());
      value = &found->second;
      at = value->kind_case() == Value::kStructValue ? &value->struct_value() : nullptr;
    }
    return matches(*value);
  };
}

Struct metadata_of(const snapshot::Node& node) {
  Struct metadata;
  if (node.metadata) metadata.ParseFromString(*node.metadata);
  return metadata;
}

}  // namespace

absl::StatusOr<NodeMatchers> NodeMatchers::compile(const status::ClientStatusRequest& request) {
  NodeMatchers out;
  for (const auto& proto : request.node_matchers()) {
    const std::string field = absl::StrCat("node_matchers[", out.any_of_.size(), "]");
    One one;
    if (proto.has_node_id()) {
      auto id = text_test(proto.node_id(), absl::StrCat(field, ".node_id"));
      if (!id.ok()) return id.status();
      one.id = *std::move(id);
    }
    for (const auto& m : proto.node_metadatas()) {
      auto test = metadata_test(m, absl::StrCat(field, ".node_metadatas[", one.metadata.size(), "]"));
      if (!test.ok()) return test.status();
      one.metadata.push_back(*std::move(test));
    }
    out.any_of_.push_back(std::move(one));
  }
  return out;
}

bool NodeMatchers::match(const snapshot::Node& node) const {
  if (any_of_.empty()) return true;
  std::optional<Struct> metadata;  // read once, if asked for
  return std::any_of(any_of_.begin(), any_of_.end(), [&](const One& one) {
    if (one.id && !one.id(node.id)) return false;
    if (!one.metadata.empty() && !metadata) metadata = metadata_of(node);
    return std::all_of(one.metadata.begin(), one.metadata.end(), [&](const auto& test) { return test(*metadata); });
  });
}

// --- what a client has ----------------------------------------------------------------------------------------------------

namespace {

status::ConfigStatus status_of(cpstream::TypeStatus::State state) {
  using enum cpstream::TypeStatus::State;
  switch (state) {
    case kSynced: return status::SYNCED;
    case kStale: return status::STALE;
    case kError: return status::ERROR;
    case kNotSent:
    case kNotRequested: break;
  }
  return status::NOT_SENT;
}

status::ConfigStatus status_of(const cpstream::ResourceState& r, bool refused) {
  if (refused) return status::ERROR;
  if (!r.has) return status::NOT_SENT;
  if (r.unanswered || !r.wanted || r.has->hash != r.wanted->hash || r.has->version != r.wanted->version) return status::STALE;
  return status::SYNCED;
}

const verdict::Refused* refusal_of(const StreamView& stream, Type type, const ResourcePtr& wanted) {
  if (!wanted) return nullptr;
  const auto at = std::find_if(stream.refused.begin(), stream.refused.end(), [&](const verdict::Refused* r) { return r->type == type && r->name == wanted->name && r->hash == wanted->hash; });
  return at == stream.refused.end() ? nullptr : *at;
}

// The deprecated form, which older clients of CSDS read: its kind says of which type it is.
void add_per_xds(status::ClientConfig& out, Type type, status::ConfigStatus state) {
  status::PerXdsConfig one;
  switch (type) {
    case Type::kListener: one.mutable_listener_config(); break;
    case Type::kCluster: one.mutable_cluster_config(); break;
    case Type::kRoute: one.mutable_route_config(); break;
    case Type::kScopedRoute: one.mutable_scoped_route_config(); break;
    case Type::kEndpoint: one.mutable_endpoint_config(); break;
    default: return;
  }
  one.set_status(state);
  *out.add_xds_config() = std::move(one);
}

void fill_node(status::ClientConfig& out, const snapshot::Node& node) {
  out.mutable_node()->set_id(node.id);
  out.mutable_node()->set_cluster(node.cluster);
  out.mutable_node()->set_user_agent_name(node.user_agent);
  out.mutable_node()->set_user_agent_version(node.user_agent_version);
}

// The resource without what is secret in it; nothing of a secret. What cannot be read is not told either.
void set_content(google::protobuf::Any* out, const resources::Resource& r) {
  if (r.type == Type::kSecret) return;
  auto message = parse_message(resources::type_url(r.type), r.body());
  if (!message.ok()) return;
  redact(**message);
  out->set_type_url(std::string(resources::type_url(r.type)));
  out->set_value((*message)->SerializeAsString());
}

void set_time(google::protobuf::Timestamp* out, SystemTime at) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch());
  out->set_seconds(since.count() / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(since.count() % 1'000'000'000));
}

// `left`: what an answer may still grow by. False: that is not enough.
bool add_resource(status::ClientConfig& out, const StreamView& stream, Type type, const cpstream::ResourceState& r, const cpstream::TypeStatus& type_status,
                  bool contents, const inspect::Now& now, size_t& left) {
  const verdict::Refused* refusal = refusal_of(stream, type, r.wanted);
  const bool refused = r.refused || (refusal && refusal->frozen);
  status::ClientConfig::GenericXdsConfig& one = *out.add_generic_xds_configs();
  one.set_type_url(std::string(resources::type_url(type)));
  one.set_name(r.name);
  one.set_config_status(status_of(r, refused));
  const ResourcePtr& shown = r.wanted ? r.wanted : r.has;
  if (shown) one.set_version_info(shown->version);
  if (shown && contents && type != Type::kSecret) set_content(one.mutable_xds_config(), *shown);
  if (refused) {
    auto* error = one.mutable_error_state();
    error->set_details(refusal ? refusal->message : type_status.error);
    error->set_version_info(r.wanted->version);
    set_time(error->mutable_last_update_attempt(),
             refusal ? refusal->latest : now.wall - std::chrono::duration_cast<SystemTime::duration>(now.mono - type_status.error_at));
    if (contents && type != Type::kSecret) *error->mutable_failed_configuration() = one.xds_config();
  }
  const size_t size = one.ByteSizeLong();
  if (size > left) return false;
  left -= size;
  return true;
}

}  // namespace

absl::StatusOr<std::string> client_status(std::string_view request, const EachStream& each, const inspect::Now& now) {
  status::ClientStatusRequest asked;
  if (!asked.ParseFromArray(request.data(), static_cast<int>(request.size()))) {
    return absl::InvalidArgumentError("the request is not an envoy.service.status.v3.ClientStatusRequest");
  }
  absl::StatusOr<NodeMatchers> matchers = NodeMatchers::compile(asked);
  if (!matchers.ok()) return matchers.status();
  status::ClientStatusResponse answer;
  size_t left = kMostStatusBytes;
  bool fits = true;
  each([&](const StreamView& stream) {
    if (!fits || !matchers->match(stream.node)) return;
    status::ClientConfig& one = *answer.add_config();
    fill_node(one, stream.node);
    if (stream.node.metadata) *one.mutable_node()->mutable_metadata() = metadata_of(stream.node);
    for (Type type : resources::all_types()) {
      const cpstream::TypeStatus type_status = stream.session.status(type);
      if (type_status.state == cpstream::TypeStatus::State::kNotRequested) continue;
      add_per_xds(one, type, status_of(type_status.state));
      for (const cpstream::ResourceState& r : stream.session.resources(type, stream.wanted)) {
        fits = fits && add_resource(one, stream, type, r, type_status, !asked.exclude_resource_contents(), now, left);
      }
    }
    const size_t rest = 64 + one.node().ByteSizeLong();
    fits = fits && rest < left;
    left -= std::min(left, rest);
  });
  if (!fits) {
    return absl::ResourceExhaustedError(absl::StrCat("the answer would be larger than ", kMostStatusBytes >> 20,
                                                     " MiB: ask for fewer clients by node_matchers, or with exclude_resource_contents"));
  }
  return answer.SerializeAsString();
}

// --- for istioctl ---------------------------------------------------------------------------------------------------------

namespace {

std::string text_in(const Struct& metadata, const std::string& key) {
  const auto found = metadata.fields().find(key);
  return found == metadata.fields().end() ? "" : found->second.string_value();
}

// A pod's: what it says itself, else its Gateway's. Empty: not known.
std::string namespace_of(const snapshot::Node& node, const Struct& metadata) {
  const std::string said = text_in(metadata, "NAMESPACE");
  return said.empty() ? node.gateway.substr(0, node.gateway.find('/')) : said;
}

bool is_called(const snapshot::Node& node, std::string_view name) {
  if (node.id == name || absl::StrContains(node.id, absl::StrCat("~", name, "~"))) return true;
  if (!name.starts_with(absl::StrCat(node.id, "."))) return false;
  const std::string in = namespace_of(node, metadata_of(node));
  return in.empty() || name.substr(node.id.size() + 1) == in;  // istioctl always names one
}

// The last refusal that stands, of this stream or of its class of clients; empty: none does.
std::string error_of(const StreamView& stream, Type type, const cpstream::TypeStatus& of_type) {
  if (of_type.state == cpstream::TypeStatus::State::kError) return of_type.error;
  const auto at = std::find_if(stream.refused.begin(), stream.refused.end(), [&](const verdict::Refused* r) { return r->type == type && r->frozen; });
  return at == stream.refused.end() ? "" : (*at)->message;
}

}  // namespace

status::ClientConfig sync_status(const StreamView& stream, const inspect::Now& now) {
  status::ClientConfig out;
  fill_node(out, stream.node);
  // These and no more, as istiod does: istioctl reads all metadata as Istio's own, and one node whose LABELS are no map, say, would spoil its answer for all.
  const Struct said = metadata_of(stream.node);
  auto& fields = *out.mutable_node()->mutable_metadata()->mutable_fields();
  const auto put = [&](const std::string& key, const std::string& otherwise) {
    const std::string value = text_in(said, key);
    if (!value.empty() || !otherwise.empty()) fields[key].set_string_value(value.empty() ? otherwise : value);
  };
  put("CLUSTER_ID", stream.node.cluster);
  put("NAMESPACE", namespace_of(stream.node, said));
  put("ISTIO_VERSION", absl::StrCat(stream.node.user_agent, "/", stream.node.user_agent_version));
  for (Type type : resources::all_types()) {
    const cpstream::TypeStatus of_type = stream.session.status(type);
    const bool asked = of_type.state != cpstream::TypeStatus::State::kNotRequested;
    const bool column = type == Type::kCluster || type == Type::kListener || type == Type::kEndpoint || type == Type::kRoute || type == Type::kExtensionConfig;
    if (!asked && !column) continue;
    auto& one = *out.add_generic_xds_configs();
    one.set_type_url(std::string(resources::type_url(type)));
    // UNKNOWN is what istioctl takes for a type that nobody asked for
    one.set_config_status(asked ? status_of(of_type.state) : status::UNKNOWN);
    const auto at = [&](MonotonicTime t) { return now.wall - std::chrono::duration_cast<SystemTime::duration>(now.mono - t); };
    if (!of_type.sent_version.empty()) set_time(one.mutable_last_updated(), at(of_type.sent_at));
    if (const std::string error = asked ? error_of(stream, type, of_type) : ""; !error.empty()) {
      one.set_config_status(status::ERROR);
      one.mutable_error_state()->set_details(error);
      if (of_type.error_at != MonotonicTime{}) set_time(one.mutable_error_state()->mutable_last_update_attempt(), at(of_type.error_at));
    }
    add_per_xds(out, type, one.config_status());
  }
  return out;
}

absl::StatusOr<envoy::admin::v3::ConfigDump> config_dump(std::string_view name, const EachStream& each) {
  namespace admin = envoy::admin::v3;
  admin::ClustersConfigDump clusters;
  admin::ListenersConfigDump listeners;
  admin::RoutesConfigDump routes;
  admin::EcdsConfigDump filters;
  size_t left = kMostStatusBytes;
  bool fits = true;
  std::string found;  // its id: of a node with a stream for each type all are told
  const auto each_wanted = [&](const StreamView& stream, Type type, const auto& add) {
    for (const cpstream::ResourceState& r : stream.session.resources(type, stream.wanted)) {
      if (!r.wanted || !fits) continue;
      fits = r.wanted->body().size() < left;
      if (!fits) return;
      left -= r.wanted->body().size();
      set_content(add(*r.wanted), *r.wanted);
    }
  };
  each([&](const StreamView& stream) {
    if (!stream.session.asks() || (found.empty() ? !is_called(stream.node, name) : stream.node.id != found)) return;
    found = stream.node.id;
    each_wanted(stream, Type::kCluster, [&](const resources::Resource& r) {
      auto& one = *clusters.add_dynamic_active_clusters();
      one.set_version_info(r.version);
      return one.mutable_cluster();
    });
    each_wanted(stream, Type::kListener, [&](const resources::Resource& r) {
      auto& one = *listeners.add_dynamic_listeners();
      one.set_name(r.name);
      one.mutable_active_state()->set_version_info(r.version);
      return one.mutable_active_state()->mutable_listener();
    });
    each_wanted(stream, Type::kRoute, [&](const resources::Resource& r) {
      auto& one = *routes.add_dynamic_route_configs();
      one.set_version_info(r.version);
      return one.mutable_route_config();
    });
    each_wanted(stream, Type::kExtensionConfig, [&](const resources::Resource& r) {
      auto& one = *filters.add_ecds_filters();
      one.set_version_info(r.version);
      return one.mutable_ecds_filter();
    });
  });
  admin::ConfigDump out;
  if (found.empty()) return out;
  if (!fits) return absl::ResourceExhaustedError(absl::StrCat("what ", found, " shall have is larger than ", kMostStatusBytes >> 20, " MiB"));
  out.add_configs()->PackFrom(clusters);
  out.add_configs()->PackFrom(listeners);
  out.add_configs()->PackFrom(routes);
  out.add_configs()->PackFrom(filters);
  return out;
}

}  // namespace fairlead::serve
