// Who may do what, compiled: policies of permissions and principals over what is known of a connection. Pure and immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/matching/metadata_matcher.h"
#include "dataplane/stream/connection_info.h"

namespace envoy::config::rbac::v3 {
class RBAC;
class Permission;
class Principal;
}
namespace envoy::type::matcher::v3 {
class MetadataMatcher;
}

namespace fairlead::filters::network::rbac {

// What rules look at.
struct Facts {
  const stream::ConnectionInfo& info;
  bool authenticated = false;           // the peer has shown a certificate that was verified
  std::vector<std::string> peer_names;  // in the order in which Envoy asks: its URI names, else its DNS names, else its subject
};

// One node of a permission or a principal.
class Rule {
 public:
  static absl::StatusOr<Rule> compile(const envoy::config::rbac::v3::Permission& proto, const std::string& field);
  static absl::StatusOr<Rule> compile(const envoy::config::rbac::v3::Principal& proto, const std::string& field);
  // Of a repeated field of either; errors name the entry.
  template <class Protos>
  static absl::StatusOr<std::vector<Rule>> compile_all(const Protos& protos, const std::string& field);
  bool match(const Facts& facts) const;

 private:
  enum class Kind : uint8_t { Any, Never, And, Or, Not, Destination, Port, Ports, ServerName, Metadata, Remote, DirectRemote, Authenticated, FilterState };
  static absl::StatusOr<Rule> metadata(const envoy::type::matcher::v3::MetadataMatcher& proto, const std::string& field);
  template <class Protos>
  static absl::StatusOr<Rule> set(Kind kind, const Protos& protos, const std::string& field);

  Kind kind_ = Kind::Any;
  std::vector<Rule> children_;
  std::optional<matching::Cidr> cidr_;
  std::optional<matching::StringMatcher> string_;
  int64_t low_ = 0, high_ = 0;  // ports, half-open
  std::string key_;             // of filter state
  std::optional<matching::MetadataMatcher> metadata_;
};

class Rules {
 public:
  enum class Action : uint8_t { Allow, Deny, Log };
  struct Verdict {
    bool allowed;
    std::string_view policy;  // that decided; empty: none matched
  };
  static absl::StatusOr<Rules> compile(const envoy::config::rbac::v3::RBAC& proto, const std::string& field);
  Verdict judge(const Facts& facts) const;
  Action action() const { return action_; }

 private:
  struct Policy {
    std::string name;
    std::vector<Rule> permissions, principals;
  };
  Action action_ = Action::Allow;
  std::vector<Policy> policies_;  // by name
};

}  // namespace fairlead::filters::network::rbac
