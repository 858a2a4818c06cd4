// See rate_limit.h.
#include "dataplane/router/rate_limit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "base/status.h"
#include "dataplane/http/header_map.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::router {
namespace {

using Proto = envoy::config::route::v3::RateLimit;
using Kind = RateLimitAction::Kind;

std::string or_default(const std::string& text, const char* fallback) { return text.empty() ? fallback : text; }

// Envoy 1.40 renders formatters in values; what has none means the same in both.
absl::Status check_value(const std::string& value) {
  if (value.find('%') != std::string::npos) return absl::InvalidArgumentError(absl::StrCat("descriptor_value: formatters are not supported (\"", value, "\")"));
  return absl::OkStatus();
}

absl::StatusOr<RateLimitAction> compile_action(const Proto::Action& proto) {
  RateLimitAction action;
  switch (proto.action_specifier_case()) {
    case Proto::Action::kSourceCluster:
      action.kind = Kind::SourceCluster;
      action.key = "source_cluster";
      return action;
    case Proto::Action::kDestinationCluster:
      action.kind = Kind::DestinationCluster;
      action.key = "destination_cluster";
      return action;
    case Proto::Action::kRequestHeaders:
      action.kind = Kind::RequestHeader;
      action.name = absl::AsciiStrToLower(proto.request_headers().header_name());
      action.key = proto.request_headers().descriptor_key();
      action.skip_if_absent = proto.request_headers().skip_if_absent();
      return action;
    case Proto::Action::kQueryParameters:
      action.kind = Kind::QueryParameter;
      action.name = proto.query_parameters().query_parameter_name();
      action.key = proto.query_parameters().descriptor_key();
      action.skip_if_absent = proto.query_parameters().skip_if_absent();
      return action;
    case Proto::Action::kRemoteAddress:
      action.kind = Kind::RemoteAddress;
      action.key = "remote_address";
      return action;
    case Proto::Action::kMaskedRemoteAddress:
      action.kind = Kind::MaskedRemoteAddress;
      action.key = "masked_remote_address";
      if (proto.masked_remote_address().has_v4_prefix_mask_len()) action.v4_bits = proto.masked_remote_address().v4_prefix_mask_len().value();
      if (proto.masked_remote_address().has_v6_prefix_mask_len()) action.v6_bits = proto.masked_remote_address().v6_prefix_mask_len().value();
      return action;
    case Proto::Action::kGenericKey:
      FL_RETURN_IF_ERROR(check_value(proto.generic_key().descriptor_value()));
      action.kind = Kind::GenericKey;
      action.key = or_default(proto.generic_key().descriptor_key(), "generic_key");
      action.value = proto.generic_key().descriptor_value();
      return action;
    case Proto::Action::kHeaderValueMatch: {
      const auto& match = proto.header_value_match();
      FL_RETURN_IF_ERROR(check_value(match.descriptor_value()));
      action.kind = Kind::HeaderMatch;
      action.key = or_default(match.descriptor_key(), "header_match");
      action.value = match.descriptor_value();
      action.expect_match = !match.has_expect_match() || match.expect_match().value();
      for (const auto& header : match.headers()) {
        FL_ASSIGN_OR_RETURN(auto matcher, matching::HeaderMatcher::compile(header));
        action.headers.push_back(std::move(matcher));
      }
      return action;
    }
    case Proto::Action::kQueryParameterValueMatch: {
      const auto& match = proto.query_parameter_value_match();
      FL_RETURN_IF_ERROR(check_value(match.descriptor_value()));
      action.kind = Kind::QueryMatch;
      action.key = or_default(match.descriptor_key(), "query_match");
      action.value = match.descriptor_value();
      action.expect_match = !match.has_expect_match() || match.expect_match().value();
      for (const auto& parameter : match.query_parameters()) {
        FL_ASSIGN_OR_RETURN(auto matcher, matching::QueryMatcher::compile(parameter));
        action.query.push_back(std::move(matcher));
      }
      return action;
    }
    default: return absl::InvalidArgumentError("this action is not supported");
  }
}

// "10.1.0.0/16"; empty when `ip` is no address.
std::string_view masked(std::string_view ip, const RateLimitAction& action, http::Arena& arena) {
  char text[INET6_ADDRSTRLEN + 5];
  if (ip.size() >= INET6_ADDRSTRLEN) return {};
  std::copy(ip.begin(), ip.end(), text);
  text[ip.size()] = '\0';
  uint8_t bytes[16];
  const bool v4 = inet_pton(AF_INET, text, bytes) == 1;
  if (!v4 && inet_pton(AF_INET6, text, bytes) != 1) return {};
  const uint32_t bits = v4 ? action.v4_bits : action.v6_bits;
  for (uint32_t bit = bits; bit < (v4 ? 32u : 128u); ++bit) bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
  inet_ntop(v4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
  return arena.copy(absl::StrCat(text, "/", bits));
}

}  // namespace

bool RateLimitPolicy::describe(const http::HeaderMap& headers, const RateLimitFacts& facts, http::Arena& arena, Descriptor& out) const {
  for (const RateLimitAction& action : actions) {
    std::string_view value;
    switch (action.kind) {
      case Kind::SourceCluster: value = facts.source_cluster; break;
      case Kind::DestinationCluster: value = facts.destination_cluster; break;
      case Kind::RequestHeader: {
        const auto joined = headers.joined(action.name);
        if (!joined && action.skip_if_absent) continue;
        value = joined.value_or("");
        break;
      }
      case Kind::QueryParameter: {
        const auto found = matching::query_value(headers.get(http::Token::PseudoPath), action.name);
        if (!found && action.skip_if_absent) continue;
        value = found.value_or("");
        break;
      }
      case Kind::RemoteAddress: value = facts.remote_ip; break;
      case Kind::MaskedRemoteAddress: value = masked(facts.remote_ip, action, arena); break;
      case Kind::GenericKey: value = action.value; break;
      case Kind::HeaderMatch:
        if (std::all_of(action.headers.begin(), action.headers.end(), [&](const auto& m) { return m.match(headers); }) != action.expect_match) return false;
        value = action.value;
        break;
      case Kind::QueryMatch: {
        const std::string_view path = headers.get(http::Token::PseudoPath);
        if (std::all_of(action.query.begin(), action.query.end(), [&](const auto& m) { return m.match(path); }) != action.expect_match) return false;
        value = action.value;
        break;
      }
    }
    if (value.empty()) return false;
    out.push_back({action.key, value});
  }
  return !out.empty();
}

absl::StatusOr<std::vector<RateLimitPolicy>> RateLimitPolicy::compile(const google::protobuf::RepeatedPtrField<Proto>& protos, const std::string& path) {
  std::vector<RateLimitPolicy> policies;
  ErrorList errors(20);
  for (int i = 0; i < protos.size(); ++i) {
    RateLimitPolicy& policy = policies.emplace_back();
    policy.stage = protos[i].stage().value();
    for (int j = 0; j < protos[i].actions_size(); ++j) {
      auto action = compile_action(protos[i].actions(j));
      if (action.ok()) {
        policy.actions.push_back(std::move(*action));
      } else {
        errors.add(prefix(absl::StrCat(path, "[", i, "].actions[", j, "]"), action.status()));
      }
    }
  }
  if (!errors.empty()) return errors.status();
  return policies;
}

}  // namespace fairlead::router
