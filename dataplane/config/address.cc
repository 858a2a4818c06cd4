// Addresses, socket options and config sources; see address.h.
#include "dataplane/config/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/hash.h"
#include "base/serialize.h"
#include "dataplane/config/fields.h"
#include "dataplane/net/address.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/core/v3/grpc_service.pb.h"
#include "envoy/config/core/v3/socket_option.pb.h"

namespace fairlead::config {
namespace core = envoy::config::core::v3;

uint64_t hash_of(const google::protobuf::Message& message) { return xx_hash64(serialize(message)); }

bool Address::is_ip() const {
  char bytes[16];
  return kind == Kind::Socket && (inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1);
}

std::string Address::text() const {
  if (kind == Kind::Pipe) return path;
  return host.find(':') == std::string::npos ? absl::StrCat(host, ":", port) : absl::StrCat("[", host, "]:", port);
}

void set_address(core::Address& out, const std::string& text) {
  const auto address = net::Address::parse(text);
  if (address.ok() && address->is_ip()) {
    out.mutable_socket_address()->set_address(address->ip_string());
    out.mutable_socket_address()->set_port_value(address->port());
  } else {
    out.mutable_pipe()->set_path(text);
  }
}

absl::StatusOr<Address> parse_address(const core::Address& proto, const std::string& field) {
  Address address;
  switch (proto.address_case()) {
    case core::Address::kSocketAddress: {
      const auto& socket = proto.socket_address();
      address.host = socket.address();
      if (address.host.empty()) return absl::InvalidArgumentError(absl::StrCat(field, ".socket_address.address: must not be empty"));
      if (socket.port_specifier_case() == core::SocketAddress::kNamedPort) {
        return absl::InvalidArgumentError(absl::StrCat(field, ".socket_address.named_port: named ports are not supported"));
      }
      if (socket.port_value() > 65535) {
        return absl::InvalidArgumentError(absl::StrCat(field, ".socket_address.port_value: above 65535 (", socket.port_value(), ")"));
      }
      address.port = static_cast<uint16_t>(socket.port_value());
      address.udp = socket.protocol() == core::SocketAddress::UDP;
      address.ipv4_compat = socket.ipv4_compat();
      return address;
    }
    case core::Address::kPipe:
      address.kind = Address::Kind::Pipe;
      address.path = proto.pipe().path();
      if (address.path.size() >= sizeof(sockaddr_un::sun_path)) {
        return absl::InvalidArgumentError(absl::StrCat(field, ".pipe.path: Path \"", address.path, "\" exceeds maximum UNIX domain socket path size of ", sizeof(sockaddr_un::sun_path)));
      }
      address.mode = proto.pipe().mode();
      return address;
    case core::Address::kEnvoyInternalAddress:
      return absl::InvalidArgumentError(absl::StrCat(field, ".envoy_internal_address: internal listeners are not supported"));
    case core::Address::ADDRESS_NOT_SET: break;
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": one of socket_address, pipe must be set"));
}

absl::StatusOr<SocketOption> parse_socket_option(const core::SocketOption& proto, const std::string& field) {
  SocketOption option;
  option.description = proto.description();
  option.level = static_cast<int>(proto.level());
  option.name = static_cast<int>(proto.name());
  switch (proto.value_case()) {
    case core::SocketOption::kIntValue: {
      const int value = static_cast<int>(proto.int_value());
      option.bytes.assign(reinterpret_cast<const char*>(&value), sizeof value);
      break;
    }
    case core::SocketOption::kBufValue: option.bytes = proto.buf_value(); break;
    case core::SocketOption::VALUE_NOT_SET: return absl::InvalidArgumentError(absl::StrCat(field, ".value: one of int_value, buf_value must be set"));
  }
  switch (proto.state()) {
    case core::SocketOption::STATE_BOUND: option.state = SocketOption::State::Bound; break;
    case core::SocketOption::STATE_LISTENING: option.state = SocketOption::State::Listening; break;
    default: option.state = SocketOption::State::Prebind;
  }
  return option;
}

namespace {

// One entry of initial_metadata. gRPC ends the process over a name or value that it does not take, so they are looked at here.
absl::StatusOr<std::pair<std::string, format::Formatter>> initial_metadata(const core::HeaderValue& proto, const std::string& field) {
  std::string name = absl::AsciiStrToLower(proto.key());
  if (name[0] == ':' || name == "host") return absl::InvalidArgumentError(absl::StrCat(field, ".key: :-prefixed or host headers may not be modified (\"", proto.key(), "\")"));
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') {
      return absl::InvalidArgumentError(absl::StrCat(field, ".key: not a name that gRPC can send (\"", proto.key(), "\")"));
    }
  }
  if (proto.raw_value().empty()) {
    auto value = format::Formatter::parse(proto.value(), true);
    if (!value.ok()) return prefix(field + ".value", value.status());
    return std::pair(std::move(name), std::move(*value));
  }
  if (!absl::EndsWith(name, "-bin") && !std::all_of(proto.raw_value().begin(), proto.raw_value().end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".raw_value: bytes that are not text need a key that ends in -bin (\"", proto.key(), "\")"));
  }
  return std::pair(std::move(name), format::Formatter::literal(proto.raw_value()));
}

}  // namespace

absl::StatusOr<ApiSource> parse_api_source(const core::ApiConfigSource& proto, const std::string& field) {
  ApiSource source;
  switch (proto.api_type()) {
    case core::ApiConfigSource::GRPC: source.type = ApiSource::Type::Grpc; break;
    case core::ApiConfigSource::DELTA_GRPC: source.type = ApiSource::Type::DeltaGrpc; break;
    default:
      return absl::InvalidArgumentError(absl::StrCat(field, ".api_type: only GRPC and DELTA_GRPC are supported (",
                                                     core::ApiConfigSource::ApiType_Name(proto.api_type()), ")"));
  }
  source.set_node_on_first_message_only = proto.set_node_on_first_message_only();
  if (proto.grpc_services().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".grpc_services: API configs must have either a gRPC service or a cluster name defined"));
  }
  if (proto.grpc_services_size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".grpc_services: must have no more than 1 gRPC services specified"));
  }
  for (int i = 0; i < proto.grpc_services_size(); ++i) {
    const auto& service = proto.grpc_services(i);
    const std::string place = absl::StrCat(field, ".grpc_services[", i, "]");
    if (service.target_specifier_case() != core::GrpcService::kEnvoyGrpc) {
      return absl::InvalidArgumentError(absl::StrCat(place, ": only envoy_grpc is supported"));
    }
    GrpcTarget target;
    target.cluster = service.envoy_grpc().cluster_name();
    if (target.cluster.empty()) return absl::InvalidArgumentError(absl::StrCat(place, ".envoy_grpc.cluster_name: must not be empty"));
    target.authority = service.envoy_grpc().authority();
    for (int k = 0; k < service.initial_metadata_size(); ++k) {
      FL_ASSIGN_OR_RETURN(auto entry, initial_metadata(service.initial_metadata(k), absl::StrCat(place, ".initial_metadata[", k, "]")));
      target.initial_metadata.push_back(std::move(entry));
    }
    if (service.envoy_grpc().has_max_receive_message_length()) {
      target.max_receive_message_length = service.envoy_grpc().max_receive_message_length().value();
    }
    source.services.push_back(std::move(target));
  }
  return source;
}

absl::StatusOr<ConfigSource> parse_config_source(const core::ConfigSource& proto, const std::string& field) {
  ConfigSource source;
  if (proto.has_initial_fetch_timeout()) source.initial_fetch_timeout = ms(proto.initial_fetch_timeout());
  switch (proto.config_source_specifier_case()) {
    case core::ConfigSource::kAds: source.kind = ConfigSource::Kind::Ads; return source;
    case core::ConfigSource::kSelf: source.kind = ConfigSource::Kind::Self; return source;
    case core::ConfigSource::kPath:
      source.kind = ConfigSource::Kind::Path;
      source.path = proto.path();
      return source;
    case core::ConfigSource::kPathConfigSource:
      source.kind = ConfigSource::Kind::Path;
      source.path = proto.path_config_source().path();
      source.watched_directory = proto.path_config_source().watched_directory().path();
      return source;
    case core::ConfigSource::kApiConfigSource: {
      source.kind = ConfigSource::Kind::Api;
      FL_ASSIGN_OR_RETURN(source.api, parse_api_source(proto.api_config_source(), field + ".api_config_source"));
      return source;
    }
    case core::ConfigSource::CONFIG_SOURCE_SPECIFIER_NOT_SET: break;
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": one of ads, api_config_source, path_config_source must be set"));
}

}  // namespace fairlead::config
