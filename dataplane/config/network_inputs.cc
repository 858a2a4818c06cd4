// See network_inputs.h.
#include "dataplane/config/network_inputs.h"

#include <array>
#include <utility>

#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "xds/core/v3/extension.pb.h"

namespace fairlead::config {
namespace {

constexpr std::string_view kPackage = "envoy.extensions.matching.common_inputs.network.v3.";
constexpr std::array<std::pair<std::string_view, NetworkInput>, 9> kInputs = {{
    {"DestinationIPInput", NetworkInput::DestinationIp},
    {"DestinationPortInput", NetworkInput::DestinationPort},
    {"SourceIPInput", NetworkInput::SourceIp},
    {"SourcePortInput", NetworkInput::SourcePort},
    {"DirectSourceIPInput", NetworkInput::DirectSourceIp},
    {"SourceTypeInput", NetworkInput::SourceType},
    {"ServerNameInput", NetworkInput::ServerName},
    {"TransportProtocolInput", NetworkInput::TransportProtocol},
    {"ApplicationProtocolInput", NetworkInput::ApplicationProtocol},
}};

std::optional<std::string_view> ip_of(const net::Address& address, std::string& scratch) {
  if (!address.is_ip()) return std::nullopt;
  return scratch = address.ip_string();
}

std::optional<std::string_view> port_of(const net::Address& address, std::string& scratch) {
  if (!address.is_ip()) return std::nullopt;
  return scratch = absl::StrCat(address.port());
}

std::optional<std::string_view> text(std::string_view text) { return text.empty() ? std::nullopt : std::optional(text); }

}  // namespace

absl::StatusOr<uint32_t> network_input(const xds::core::v3::TypedExtensionConfig& config, const std::string& field, bool connections) {
  const std::string type(type_name(config.typed_config().type_url()));
  for (const auto& [name, input] : kInputs) {
    if (type != absl::StrCat(kPackage, name) || (!connections && input > NetworkInput::SourcePort)) continue;
    return static_cast<uint32_t>(input);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": Didn't find a registered implementation for '", config.name(), "' with type URL: '", config.typed_config().type_url(), "'"));
}

std::optional<std::string_view> NetworkInputs::value(uint32_t input, std::string& scratch) const {
  switch (static_cast<NetworkInput>(input)) {
    case NetworkInput::DestinationIp: return ip_of(facts_.local, scratch);
    case NetworkInput::DestinationPort: return port_of(facts_.local, scratch);
    case NetworkInput::SourceIp: return ip_of(facts_.remote, scratch);
    case NetworkInput::SourcePort: return port_of(facts_.remote, scratch);
    case NetworkInput::DirectSourceIp: return ip_of(facts_.direct_remote, scratch);
    // Envoy 1.40: "local" or nothing, and addresses of this host that are not loopback are not local
    case NetworkInput::SourceType: return same_ip_or_loopback(facts_) ? std::optional<std::string_view>("local") : std::nullopt;
    case NetworkInput::ServerName: return text(facts_.server_name);
    case NetworkInput::TransportProtocol: return text(facts_.transport_protocol);
    case NetworkInput::ApplicationProtocol: {
      if (facts_.application_protocols.empty()) return std::nullopt;
      // Envoy 1.40: 'h2','http/1.1'
      scratch.clear();
      for (const std::string& protocol : facts_.application_protocols) absl::StrAppend(&scratch, scratch.empty() ? "'" : ",'", protocol, "'");
      return scratch;
    }
  }
  return std::nullopt;
}

}  // namespace fairlead::config
