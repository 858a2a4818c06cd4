// Addresses, socket options and config sources as the models hold them. Plain values; nothing here opens or resolves anything.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/format/formatter.h"

namespace envoy::config::core::v3 {
class Address;
class ConfigSource;
class ApiConfigSource;
class SocketOption;
class GrpcService;
}

namespace fairlead::config {

using std::chrono::milliseconds;

struct Address {
  enum class Kind : uint8_t { Socket, Pipe };
  Kind kind = Kind::Socket;
  std::string host;      // IP literal or DNS name
  uint16_t port = 0;
  bool udp = false;
  bool ipv4_compat = false;
  std::string path;      // Pipe; '@' first means abstract
  uint32_t mode = 0;     // Pipe: file mode, 0 = leave

  bool is_ip() const;          // host is an IP literal
  std::string text() const;    // "1.2.3.4:80", "[::1]:80", "/run/x.sock"
  bool operator==(const Address&) const = default;
};

struct SocketOption {
  std::string description;
  int level = 0;
  int name = 0;
  std::string bytes;  // the value as given to setsockopt (an int64 becomes an int)
  enum class State : uint8_t { Prebind, Bound, Listening } state = State::Prebind;
  bool operator==(const SocketOption&) const = default;
};

struct GrpcTarget {
  std::string cluster;    // envoy_grpc.cluster_name
  std::string authority;
  // Names are lower case and made of what gRPC takes: [a-z0-9_.-]. Values are rendered when a stream begins.
  std::vector<std::pair<std::string, format::Formatter>> initial_metadata;
  std::optional<uint32_t> max_receive_message_length;
};

struct ApiSource {
  enum class Type : uint8_t { Grpc, DeltaGrpc };
  Type type = Type::Grpc;
  std::vector<GrpcTarget> services;  // in order of preference
  bool set_node_on_first_message_only = false;
  milliseconds request_timeout{1000};
};

struct ConfigSource {
  enum class Kind : uint8_t { Ads, Self, Api, Path };
  Kind kind = Kind::Ads;
  ApiSource api;              // Api
  std::string path;           // Path: file to read
  std::string watched_directory;
  milliseconds initial_fetch_timeout{15'000};  // Envoy 1.40: 15 s; 0 = for ever
};

// `field` starts every error, e.g. "listener 'a': address".
absl::StatusOr<Address> parse_address(const envoy::config::core::v3::Address& proto, const std::string& field);
// A host's address as net::Address writes it; what is no IP address is a path.
void set_address(envoy::config::core::v3::Address& out, const std::string& text);
absl::StatusOr<ConfigSource> parse_config_source(const envoy::config::core::v3::ConfigSource& proto, const std::string& field);
absl::StatusOr<ApiSource> parse_api_source(const envoy::config::core::v3::ApiConfigSource& proto, const std::string& field);
absl::StatusOr<SocketOption> parse_socket_option(const envoy::config::core::v3::SocketOption& proto, const std::string& field);

}  // namespace fairlead::config
