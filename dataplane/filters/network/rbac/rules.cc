// See rules.h.
#include "dataplane/filters/network/rbac/rules.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "base/status.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/rbac/v3/rbac.pb.h"

namespace fairlead::filters::network::rbac {
namespace rbac_v3 = envoy::config::rbac::v3;
namespace {

absl::Status http_only(const std::string& field) { return absl::InvalidArgumentError(field + ": not supported by RBAC network filter"); }
absl::Status missing(const std::string& field) { return absl::InvalidArgumentError(field + ": a rule must be set"); }
absl::Status unavailable(const std::string& field, const char* what) { return absl::InvalidArgumentError(absl::StrCat(field, ": ", what)); }

template <class T>
absl::StatusOr<T> at(const std::string& field, absl::StatusOr<T> made) {
  if (!made.ok()) return prefix(field, made.status());
  return made;
}

bool any_of(const std::vector<Rule>& rules, const Facts& facts) {
  return std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.match(facts); });
}

bool in(const matching::Cidr& cidr, const net::Address& address) {
  if (!address.is_ip()) return false;
  return cidr.contains(std::string_view(reinterpret_cast<const char*>(address.bytes().data()), address.kind() == net::Address::Kind::V4 ? 4 : 16));
}

}  // namespace

// --- Rule -----------------------------------------------------------------------------------------------------------------

template <class Protos>
absl::StatusOr<std::vector<Rule>> Rule::compile_all(const Protos& protos, const std::string& field) {
  std::vector<Rule> out;
  for (int i = 0; i < protos.size(); ++i) {
    FL_ASSIGN_OR_RETURN(Rule made, compile(protos[i], absl::StrCat(field, "[", i, "]")));
    out.push_back(std::move(made));
  }
  return out;
}

template <class Protos>
absl::StatusOr<Rule> Rule::set(Kind kind, const Protos& protos, const std::string& field) {
  Rule out;
  out.kind_ = kind;
  FL_ASSIGN_OR_RETURN(out.children_, compile_all(protos, field));
  return out;
}

absl::StatusOr<Rule> Rule::metadata(const envoy::type::matcher::v3::MetadataMatcher& proto, const std::string& field) {
  Rule out;
  out.kind_ = Kind::Metadata;
  FL_ASSIGN_OR_RETURN(out.metadata_, matching::MetadataMatcher::compile(proto, field));
  return out;
}

absl::StatusOr<Rule> Rule::compile(const rbac_v3::Permission& proto, const std::string& field) {
  Rule out;
  switch (proto.rule_case()) {
    case rbac_v3::Permission::kAny: return out;
    case rbac_v3::Permission::kAndRules: return set(Kind::And, proto.and_rules().rules(), field + ".and_rules.rules");
    case rbac_v3::Permission::kOrRules: return set(Kind::Or, proto.or_rules().rules(), field + ".or_rules.rules");
    case rbac_v3::Permission::kNotRule: {
      FL_ASSIGN_OR_RETURN(Rule child, compile(proto.not_rule(), field + ".not_rule"));
      out.kind_ = Kind::Not;
      out.children_.push_back(std::move(child));
      return out;
    }
    case rbac_v3::Permission::kDestinationIp: {
      out.kind_ = Kind::Destination;
      FL_ASSIGN_OR_RETURN(out.cidr_, at(field + ".destination_ip", matching::Cidr::compile(proto.destination_ip())));
      return out;
    }
    case rbac_v3::Permission::kDestinationPort:
      out.kind_ = Kind::Port;
      out.low_ = proto.destination_port();
      return out;
    case rbac_v3::Permission::kDestinationPortRange: {
      const auto& range = proto.destination_port_range();
      // Envoy's words
      const std::string place = field + ".destination_port_range: range ";
      if (range.start() < 0 || range.start() > 65536) return absl::InvalidArgumentError(absl::StrCat(place, "start ", range.start(), " is out of bounds"));
      if (range.end() < 0 || range.end() > 65536) return absl::InvalidArgumentError(absl::StrCat(place, "end ", range.end(), " is out of bounds"));
      if (range.start() >= range.end()) return absl::InvalidArgumentError(absl::StrCat(place, "start ", range.start(), " cannot be greater or equal than range end ", range.end()));
      out.kind_ = Kind::Ports;
      out.low_ = range.start();
      out.high_ = range.end();
      return out;
    }
    case rbac_v3::Permission::kRequestedServerName: {
      out.kind_ = Kind::ServerName;
      FL_ASSIGN_OR_RETURN(out.string_, at(field + ".requested_server_name", matching::StringMatcher::compile(proto.requested_server_name())));
      return out;
    }
    case rbac_v3::Permission::kMetadata: return metadata(proto.metadata(), field + ".metadata");
    case rbac_v3::Permission::kSourcedMetadata:
      if (proto.sourced_metadata().metadata_source() != rbac_v3::DYNAMIC) return unavailable(field + ".sourced_metadata.metadata_source", "a connection has no route");
      return metadata(proto.sourced_metadata().metadata_matcher(), field + ".sourced_metadata.metadata_matcher");
    case rbac_v3::Permission::kHeader: return http_only(field + ".header");
    case rbac_v3::Permission::kUrlPath: out.kind_ = Kind::Never; return out;  // Envoy 1.40: a connection has no path
    case rbac_v3::Permission::kUriTemplate: return http_only(field + ".uri_template");
    case rbac_v3::Permission::kMatcher: return unavailable(field + ".matcher", "matcher extensions are not available");
    case rbac_v3::Permission::RULE_NOT_SET: break;
  }
  return missing(field);
}

absl::StatusOr<Rule> Rule::compile(const rbac_v3::Principal& proto, const std::string& field) {
  Rule out;
  const auto address = [&](Kind kind, const envoy::config::core::v3::CidrRange& range, const char* name) -> absl::StatusOr<Rule> {
    out.kind_ = kind;
    FL_ASSIGN_OR_RETURN(out.cidr_, at(absl::StrCat(field, ".", name), matching::Cidr::compile(range)));
    return out;
  };
  switch (proto.identifier_case()) {
    case rbac_v3::Principal::kAny: return out;
    case rbac_v3::Principal::kAndIds: return set(Kind::And, proto.and_ids().ids(), field + ".and_ids.ids");
    case rbac_v3::Principal::kOrIds: return set(Kind::Or, proto.or_ids().ids(), field + ".or_ids.ids");
    case rbac_v3::Principal::kNotId: {
      FL_ASSIGN_OR_RETURN(Rule child, compile(proto.not_id(), field + ".not_id"));
      out.kind_ = Kind::Not;
      out.children_.push_back(std::move(child));
      return out;
    }
    case rbac_v3::Principal::kSourceIp: return address(Kind::Remote, proto.source_ip(), "source_ip");
    case rbac_v3::Principal::kRemoteIp: return address(Kind::Remote, proto.remote_ip(), "remote_ip");
    case rbac_v3::Principal::kDirectRemoteIp: return address(Kind::DirectRemote, proto.direct_remote_ip(), "direct_remote_ip");
    case rbac_v3::Principal::kAuthenticated:
      out.kind_ = Kind::Authenticated;
      if (proto.authenticated().has_principal_name()) {
        FL_ASSIGN_OR_RETURN(out.string_, at(field + ".authenticated.principal_name", matching::StringMatcher::compile(proto.authenticated().principal_name())));
      }
      return out;
    case rbac_v3::Principal::kMetadata: return metadata(proto.metadata(), field + ".metadata");
    case rbac_v3::Principal::kSourcedMetadata:
      if (proto.sourced_metadata().metadata_source() != rbac_v3::DYNAMIC) return unavailable(field + ".sourced_metadata.metadata_source", "a connection has no route");
      return metadata(proto.sourced_metadata().metadata_matcher(), field + ".sourced_metadata.metadata_matcher");
    case rbac_v3::Principal::kFilterState: {
      const auto& state = proto.filter_state();
      if (!state.has_string_match()) return unavailable(field + ".filter_state.address_match", "filter state is text");
      out.kind_ = Kind::FilterState;
      out.key_ = state.key();
      FL_ASSIGN_OR_RETURN(out.string_, at(field + ".filter_state.string_match", matching::StringMatcher::compile(state.string_match())));
      return out;
    }
    case rbac_v3::Principal::kHeader: return http_only(field + ".header");
    case rbac_v3::Principal::kUrlPath: out.kind_ = Kind::Never; return out;
    case rbac_v3::Principal::kCustom: return unavailable(field + ".custom", "principal extensions are not available");
    case rbac_v3::Principal::IDENTIFIER_NOT_SET: break;
  }
  return missing(field);
}

bool Rule::match(const Facts& facts) const {
  const stream::ConnectionInfo& info = facts.info;
  switch (kind_) {
    case Kind::Any: return true;
    case Kind::Never: return false;
    case Kind::And: return std::all_of(children_.begin(), children_.end(), [&](const Rule& rule) { return rule.match(facts); });
    case Kind::Or: return any_of(children_, facts);
    case Kind::Not: return !children_[0].match(facts);
    case Kind::Destination: return in(*cidr_, info.local);
    case Kind::Port: return info.local.is_ip() && info.local.port() == low_;
    case Kind::Ports: return info.local.is_ip() && info.local.port() >= low_ && info.local.port() < high_;
    case Kind::ServerName: return string_->match(info.server_name);
    case Kind::Metadata: return metadata_->match(info.dynamic_metadata.get());
    case Kind::Remote: return in(*cidr_, info.remote);
    case Kind::DirectRemote: return in(*cidr_, info.direct_remote);
    case Kind::Authenticated:
      if (!facts.authenticated || !string_) return facts.authenticated;
      return std::any_of(facts.peer_names.begin(), facts.peer_names.end(), [&](const std::string& name) { return string_->match(name); });
    case Kind::FilterState: {
      const auto found = info.filter_state.find(key_);
      return found != info.filter_state.end() && string_->match(found->second);
    }
  }
  return false;
}

// --- Rules ----------------------------------------------------------------------------------------------------------------

absl::StatusOr<Rules> Rules::compile(const rbac_v3::RBAC& proto, const std::string& field) {
  Rules out;
  out.action_ = proto.action() == rbac_v3::RBAC::DENY ? Action::Deny : proto.action() == rbac_v3::RBAC::LOG ? Action::Log : Action::Allow;
  for (const auto& [name, entry] : proto.policies()) {
    const std::string place = absl::StrCat(field, ".policies['", name, "']");
    Policy policy{name, {}, {}};
    FL_ASSIGN_OR_RETURN(policy.permissions, Rule::compile_all(entry.permissions(), place + ".permissions"));
    FL_ASSIGN_OR_RETURN(policy.principals, Rule::compile_all(entry.principals(), place + ".principals"));
    out.policies_.push_back(std::move(policy));
  }
  std::sort(out.policies_.begin(), out.policies_.end(), [](const Policy& a, const Policy& b) { return a.name < b.name; });
  return out;
}

Rules::Verdict Rules::judge(const Facts& facts) const {
  for (const Policy& policy : policies_) {
    if (any_of(policy.permissions, facts) && any_of(policy.principals, facts)) return {action_ != Action::Deny, policy.name};
  }
  return {action_ != Action::Allow, {}};
}

}  // namespace fairlead::filters::network::rbac
