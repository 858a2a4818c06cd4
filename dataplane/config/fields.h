// Small helpers of the parsers: durations, content hashes, unpacking an Any with a good error. Of this room and of the filters' config.cc.
#pragma once

#include <chrono>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include "base/status.h"
#include "dataplane/config/address.h"

namespace fairlead::config {

inline milliseconds ms(const google::protobuf::Duration& duration) {
  return milliseconds(duration.seconds() * 1000 + duration.nanos() / 1'000'000);
}

// Of the deterministic serialisation: equal messages have equal hashes in every process.
uint64_t hash_of(const google::protobuf::Message& message);

template <typename T>
absl::StatusOr<T> unpack_as(const google::protobuf::Any& any, const std::string& field) {
  T message;
  if (any.Is<T>() && any.UnpackTo(&message)) return message;
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": not a valid ", T::descriptor()->full_name(), " (type URL '", any.type_url(), "')"));
}

// Envoy's text for an extension nobody registered.
inline absl::Status unknown_extension(const std::string& field, const std::string& name, const std::string& type_url) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": Didn't find a registered implementation for '", name, "' with type URL: '", type_url, "'"));
}

// Names are resolved by c-ares; any other resolver in typed_dns_resolver_config is refused by name.
inline absl::Status check_resolver(const std::string& field, const std::string& name, const std::string& type_url) {
  if (absl::EndsWith(type_url, "/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig")) return absl::OkStatus();
  return unknown_extension(field, name, type_url);
}

}  // namespace fairlead::config
