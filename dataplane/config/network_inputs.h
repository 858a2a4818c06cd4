// What a unified matcher can ask of a connection or datagram (envoy.extensions.matching.common_inputs.network): its addresses, and for connections
// what the first bytes have shown. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "dataplane/config/filter_chain_match.h"
#include "dataplane/matching/match_tree.h"

namespace xds::core::v3 {
class TypedExtensionConfig;
}

namespace fairlead::config {

enum class NetworkInput : uint32_t {
  DestinationIp, DestinationPort, SourceIp, SourcePort,  // of datagrams too
  DirectSourceIp, SourceType, ServerName, TransportProtocol, ApplicationProtocol
};

// The number of an input; errors carry Envoy's words. `connections`: all inputs are there; else those of datagrams.
absl::StatusOr<uint32_t> network_input(const ::xds::core::v3::TypedExtensionConfig& config, const std::string& field, bool connections);

// Facts as inputs; both must outlive it.
class NetworkInputs final : public matching::MatchInputs {
 public:
  explicit NetworkInputs(const ConnectionFacts& facts) : facts_(facts) {}
  std::optional<std::string_view> value(uint32_t input, std::string& scratch) const override;

 private:
  const ConnectionFacts& facts_;
};

}  // namespace fairlead::config
