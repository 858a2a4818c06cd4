// The resource types this client subscribes to, in the order in which their changes are safe to apply. Plain values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::xds {

enum class Type : uint8_t { cluster, endpoint, listener, route, extension, secret, runtime };
inline constexpr std::array<Type, 7> kTypes = {Type::cluster, Type::endpoint, Type::listener, Type::route, Type::extension, Type::secret, Type::runtime};

std::string_view type_url(Type type);        // "type.googleapis.com/envoy.config.cluster.v3.Cluster"
std::string_view type_name(Type type);       // "envoy.config.cluster.v3.Cluster"
std::string_view short_name(Type type);      // "cds", "eds", "lds", "rds", "ecds", "sds", "rtds"
std::optional<Type> type_of(std::string_view url);
// "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters" or its Delta counterpart.
std::string grpc_method(Type type, bool delta);
std::string ads_grpc_method(bool delta);

}  // namespace fairlead::xds
