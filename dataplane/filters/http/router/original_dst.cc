// See original_dst.h.
#include "dataplane/filters/http/router/original_dst.h"

#include <optional>
#include <string>

#include <google/protobuf/struct.pb.h>

#include "dataplane/http/header_map.h"
#include "dataplane/net/connection.h"
#include "dataplane/upstream/worker_clusters.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::filters::router {
namespace {

// The string at a path; of a list its first element.
std::optional<std::string> text_at(const envoy::config::core::v3::Metadata& metadata, const std::string& filter, const std::vector<std::string>& path) {
  const auto found = metadata.filter_metadata().find(filter);
  if (found == metadata.filter_metadata().end() || path.empty()) return std::nullopt;
  const google::protobuf::Struct* at = &found->second;
  const google::protobuf::Value* value = nullptr;
  for (const std::string& key : path) {
    if (value != nullptr && !value->has_struct_value()) return std::nullopt;
    if (value != nullptr) at = &value->struct_value();
    const auto next = at->fields().find(key);
    if (next == at->fields().end()) return std::nullopt;
    value = &next->second;
  }
  if (value->has_list_value() && value->list_value().values_size() != 0) value = &value->list_value().values(0);
  if (value->kind_case() != google::protobuf::Value::kStringValue) return std::nullopt;
  return value->string_value();
}

// "10.0.0.1:80", "[::1]:80".
std::optional<net::Address> ip_and_port(std::string_view text) {
  const auto address = net::Address::parse(text);
  if (!address.ok() || !address->is_ip()) return std::nullopt;
  return *address;
}

}  // namespace

upstream::Host* pick_original(upstream::Cluster& cluster, const http::HeaderMap& headers, const envoy::config::core::v3::Metadata* metadata, const net::Connection* client) {
  const config::OriginalDst& wish = *cluster.config().original_dst;
  std::optional<net::Address> to;
  const auto read = [&](std::string_view text) {
    to = ip_and_port(text);
    if (!to) cluster.count_invalid_original();
  };
  if (metadata != nullptr && !wish.metadata_filter.empty()) {
    if (const auto text = text_at(*metadata, wish.metadata_filter, wish.metadata_path)) read(*text);
  }
  if (!to && !wish.header.empty()) {
    if (const http::Header* header = headers.find(wish.header)) read(header->value());  // Envoy 1.40: the first of several
  }
  if (!to && client != nullptr && client->local_restored()) to = client->local_address();
  if (to && wish.port) to = to->with_port(*wish.port);
  return to ? cluster.original(*to) : nullptr;
}

}  // namespace fairlead::filters::router
