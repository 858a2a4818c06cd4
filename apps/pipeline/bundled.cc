#include "apps/pipeline/bundled.h"

#include <absl/strings/str_cat.h>
#include <google/protobuf/arena.h>

#include "apps/pipeline/plain_assignment.h"
#include "dataplane/config/cluster.h"
#include "dataplane/config/endpoints.h"
#include "dataplane/config/extension.h"
#include "dataplane/config/hcm.h"
#include "dataplane/config/listener.h"
#include "dataplane/config/registry.h"
#include "dataplane/config/route.h"
#include "dataplane/config/support.h"
#include "dataplane/filters/http/builtin.h"
#include "dataplane/filters/listener/builtin.h"
#include "dataplane/filters/network/builtin.h"
#include "dataplane/filters/udp/builtin.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::pipeline {

namespace {

absl::Status status_of(const absl::Status& status) { return status; }
template <typename T>
absl::Status status_of(const absl::StatusOr<T>& parsed) {
  return parsed.status();
}

template <typename Message, typename Parse>
absl::Status check(const resources::Resource& resource, Parse&& parse) {
  google::protobuf::Arena arena;
  auto* message = google::protobuf::Arena::CreateMessage<Message>(&arena);
  const std::string_view body = resource.body();
  if (!message->ParseFromArray(body.data(), static_cast<int>(body.size()))) return absl::InternalError("the bytes are not a message of the type");
  return status_of(parse(*message));
}

}  // namespace

void register_extensions() {
  // as apps/proxy registers them
  [[maybe_unused]] static const bool registered = (filters::register_configs(config::Registry::global()), filters::listener::register_configs(config::Registry::global()), filters::network::register_configs(config::Registry::global()), filters::udp::register_configs(config::Registry::global()), true);
}

// As fairlead-proxy's own intake: the walks that one pass over the bytes spares are left out.
absl::Status route_table_verdict(const envoy::config::route::v3::RouteConfiguration& table, std::string_view bytes) {
  register_extensions();
  const Screen::Verdict plain = config::screen(table.GetDescriptor(), bytes);
  if (!plain.rules || !plain.allowed) return config::parse_route_table(table).status();
  return router::RouteTable::compile(table, config::route_options({}, false)).status();
}

absl::Status bundled_verdict(const resources::Resource& resource) {
  register_extensions();
  using resources::Type;
  switch (resource.type) {
    case Type::kCluster:
      return check<envoy::config::cluster::v3::Cluster>(resource, [](const auto& m) { return config::parse_cluster(m); });
    case Type::kEndpoint:
      if (is_plain_assignment(resource.body())) return absl::OkStatus();
      return check<envoy::config::endpoint::v3::ClusterLoadAssignment>(resource, [](const auto& m) { return config::parse_endpoints(m); });
    case Type::kListener:
      return check<envoy::config::listener::v3::Listener>(resource, [](const auto& m) { return config::parse_listener(m); });
    case Type::kRoute:
      return check<envoy::config::route::v3::RouteConfiguration>(resource, [&](const auto& m) { return route_table_verdict(m, resource.body()); });
    case Type::kExtensionConfig:  // its place in a listener is not known here
      return check<envoy::config::core::v3::TypedExtensionConfig>(resource, [](const auto& m) { return config::parse_extension(m, config::Registry::global()); });
    default:
      return absl::OkStatus();
  }
}

}  // namespace fairlead::pipeline
