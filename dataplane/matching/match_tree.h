// MatchTree: the unified matcher (xds.type.matcher.v3.Matcher) over whatever has named values: UDP datagrams, connections. Lists of predicates, maps
// of exact values and of prefixes, IP networks, server names; each entry ends in an action or in another tree. Compiled once, immutable, any thread.
// What inputs and actions there are is the user's to say (MatchVocabulary): here they are numbers.
// Envoy 1.40: an entry that fits but whose tree finds nothing is no match: the next entry that fits is tried, then on_no_match.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace xds::core::v3 {
class TypedExtensionConfig;
}
namespace xds::type::matcher::v3 {
class Matcher;
}

namespace fairlead::matching {

// The values of what is matched.
class MatchInputs {
 public:
  virtual ~MatchInputs() = default;
  // None: it has no such value. `scratch` may hold what is returned.
  virtual std::optional<std::string_view> value(uint32_t input, std::string& scratch) const = 0;
};

struct MatchVocabulary {
  using Number = std::function<absl::StatusOr<uint32_t>(const ::xds::core::v3::TypedExtensionConfig& config, const std::string& field)>;
  Number input;   // MatchInputs' number
  Number action;  // what match() answers with
  bool server_names = false;  // xds.type.matcher.v3.ServerNameMatcher may stand here
};

class MatchTree {
 public:
  // Errors name the place below `field`.
  static absl::StatusOr<MatchTree> compile(const ::xds::type::matcher::v3::Matcher& proto, const MatchVocabulary& vocabulary, const std::string& field);
  MatchTree(MatchTree&&) noexcept;
  MatchTree& operator=(MatchTree&&) noexcept;
  ~MatchTree();

  // The action's number; none: nothing matches.
  std::optional<uint32_t> match(const MatchInputs& inputs) const;

  struct Node;

 private:
  explicit MatchTree(std::unique_ptr<const Node> root);
  std::unique_ptr<const Node> root_;
};

}  // namespace fairlead::matching
