// HostIndex: which virtual host serves an authority: exact, longest suffix wildcard, longest prefix wildcard, "*".
// Private to the room; immutable once built. Domains are compared in lower case.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "dataplane/router/string_index.h"

namespace fairlead::router {

class HostIndex {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  HostIndex();
  ~HostIndex();

  // AlreadyExists with Envoy's text when the domain is taken.
  absl::Status add(std::string_view domain, uint32_t virtual_host, std::string_view table);
  void finish();  // sorts the wildcards; call once after the last add

  // `host` in lower case. `domain` tells which domain matched, as configured but in lower case.
  uint32_t find(std::string_view host, std::string_view* domain) const;
  // True when every request goes to one virtual host whatever its authority.
  bool only_default() const { return exact_.empty() && suffixes_.empty() && prefixes_.empty(); }
  uint32_t default_host() const { return default_; }

 private:
  struct Building;
  struct Bucket {  // all wildcards of one length
    size_t length;
    StringIndex hosts;
  };
  static Bucket& bucket(std::vector<Bucket>& buckets, size_t length);

  StringIndex exact_;
  std::vector<Bucket> suffixes_;  // without the '*', longest first
  std::vector<Bucket> prefixes_;
  uint32_t default_ = none;
  std::unique_ptr<Building> building_;  // until finish()
};

// The authority without its port; IPv6 literals keep their brackets.
std::string_view without_port(std::string_view authority);

}  // namespace fairlead::router
