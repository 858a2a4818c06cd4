// The scanner knows the string fields of both requests, the node (which is then read by its generated class) and the versions a client reports, of
// which there are as many as it has resources; an error, or any other byte beyond ASCII (whose UTF-8 protobuf checks), sends the whole message
// through the generated class.
#include "controlplane/stream/decode.h"

#include <algorithm>
#include <optional>

#include <absl/strings/str_cat.h>

#include "base/wire.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace fairlead::cpstream {
namespace {

// Reads tags and length-delimited values; anything else stops it.
class Scanner {
 public:
  explicit Scanner(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }
  // False: not a field we read here.
  bool next(uint64_t& field, std::string_view& value) {
    uint64_t tag = 0, size = 0;
    if (!wire::take_varint(rest_, tag, 5) || (tag & 7) != 2 || !wire::take_varint(rest_, size, 5) || size > rest_.size()) return false;
    field = tag >> 3;
    value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

 private:
  std::string_view rest_;
};

bool is_ascii(std::string_view text) {
  unsigned char all = 0;
  for (char c : text) all |= static_cast<unsigned char>(c);  // without a way out it is done sixteen bytes at a time
  return all < 0x80;
}

bool scan_node(std::string_view bytes, Request& r) {
  if (r.node) return false;  // given twice: protobuf puts both together
  envoy::config::core::v3::Node node;
  if (!node.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  r.node = node_of(node);
  return true;
}

// An entry of a map of strings.
bool scan_entry(std::string_view bytes, ReportedVersions& entries) {
  std::string_view name, version;
  Scanner scanner(bytes);
  uint64_t field = 0;
  std::string_view value;
  while (!scanner.done()) {
    if (!scanner.next(field, value) || field < 1 || field > 2) return false;
    (field == 1 ? name : version) = value;
  }
  entries.add(name, version);
  return is_ascii(name) && is_ascii(version);
}

bool scan_sotw(std::string_view bytes, Request& r) {
  Scanner scanner(bytes);
  uint64_t field = 0;
  std::string_view value;
  while (!scanner.done()) {
    if (!scanner.next(field, value) || (field != 2 && !is_ascii(value))) return false;
    switch (field) {
      case 1: r.version_info = value; break;
      case 2:
        if (!scan_node(value, r)) return false;
        break;
      case 3: r.names.emplace_back(value); break;
      case 4: r.type_url = value; break;
      case 5: r.nonce = value; break;
      default: return false;
    }
  }
  return true;
}

bool scan_delta(std::string_view bytes, Request& r) {
  Scanner scanner(bytes);
  uint64_t field = 0;
  std::string_view value;
  while (!scanner.done()) {
    if (!scanner.next(field, value) || (field != 1 && field != 5 && !is_ascii(value))) return false;
    switch (field) {
      case 1:
        if (!scan_node(value, r)) return false;
        break;
      case 2: r.type_url = value; break;
      case 3: r.names.emplace_back(value); break;
      case 4: r.unsubscribe.emplace_back(value); break;
      case 5:
        if (!scan_entry(value, r.initial_versions)) return false;
        break;
      case 6: r.nonce = value; break;
      default: return false;
    }
  }
  return true;
}

constexpr size_t kMostMetadata = 8 << 10;  // of a node, to be asked for by CSDS

template <typename Message>
void common(const Message& m, Request& r) {
  if (m.has_node()) r.node = node_of(m.node());
  r.type_url = m.type_url();
  r.nonce = m.response_nonce();
  if (m.has_error_detail()) r.error = m.error_detail().message();
}

}  // namespace

snapshot::Node node_of(const envoy::config::core::v3::Node& from) {
  snapshot::Node node;
  node.id = from.id();
  node.cluster = from.cluster();
  const auto& metadata = from.metadata().fields();
  if (auto at = metadata.find("fairlead.io/gateway"); at != metadata.end()) node.gateway = at->second.string_value();
  if (auto at = metadata.find("fairlead.io/mesh"); at != metadata.end()) node.mesh = at->second.string_value();
  if (from.has_metadata() && from.metadata().ByteSizeLong() <= kMostMetadata) node.metadata = std::make_shared<const std::string>(from.metadata().SerializeAsString());
  node.user_agent = from.user_agent_name();
  if (from.has_user_agent_build_version()) {
    const auto& v = from.user_agent_build_version().version();
    node.user_agent_version = absl::StrCat(v.major_number(), ".", v.minor_number(), ".", v.patch());
  } else {
    node.user_agent_version = from.user_agent_version();
  }
  node.client_features.assign(from.client_features().begin(), from.client_features().end());
  std::sort(node.client_features.begin(), node.client_features.end());
  return node;
}

absl::StatusOr<Request> decode_sotw(std::string_view bytes) {
  if (Request r; scan_sotw(bytes, r)) return r;
  envoy::service::discovery::v3::DiscoveryRequest m;
  if (!m.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the request is not an envoy.service.discovery.v3.DiscoveryRequest");
  }
  Request r;
  common(m, r);
  r.version_info = m.version_info();
  r.names.assign(m.resource_names().begin(), m.resource_names().end());
  return r;
}

absl::StatusOr<Request> decode_delta(std::string_view bytes) {
  if (Request r; scan_delta(bytes, r)) return r;
  envoy::service::discovery::v3::DeltaDiscoveryRequest m;
  if (!m.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the request is not an envoy.service.discovery.v3.DeltaDiscoveryRequest");
  }
  Request r;
  common(m, r);
  r.names.assign(m.resource_names_subscribe().begin(), m.resource_names_subscribe().end());
  r.unsubscribe.assign(m.resource_names_unsubscribe().begin(), m.resource_names_unsubscribe().end());
  for (const auto& [name, version] : m.initial_resource_versions()) r.initial_versions.add_copy(name, version);
  return r;
}

}  // namespace fairlead::cpstream
