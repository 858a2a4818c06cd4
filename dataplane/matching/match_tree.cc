// Compiling and walking trees; see match_tree.h.
#include "dataplane/matching/match_tree.h"

#include <algorithm>
#include <map>
#include <type_traits>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "base/status.h"
#include "dataplane/matching/matchers.h"
#include "xds/type/matcher/v3/domain.pb.h"
#include "xds/type/matcher/v3/ip.pb.h"
#include "xds/type/matcher/v3/matcher.pb.h"
#include "xds/type/matcher/v3/string.pb.h"

namespace fairlead::matching {
namespace {

using Proto = xds::type::matcher::v3::Matcher;
using PredicateProto = Proto::MatcherList::Predicate;
using Single = PredicateProto::SinglePredicate;
using xds::type::matcher::v3::IPMatcher;
using xds::type::matcher::v3::ServerNameMatcher;

constexpr int kDeepest = 32;  // trees within trees, and predicates within predicates

struct OnMatch {
  std::unique_ptr<const MatchTree::Node> tree;  // null: the action
  std::optional<uint32_t> action;               // neither: nothing matches
  bool keep_matching = false;
  std::optional<uint32_t> follow(const MatchInputs& inputs) const;
};

struct Predicate {
  enum class Kind : uint8_t { Value, Or, And, Not } kind = Kind::Value;
  uint32_t input = 0;
  std::optional<StringMatcher> matcher;
  std::vector<Predicate> parts;

  bool holds(const MatchInputs& inputs) const {
    switch (kind) {
      case Kind::Value: {
        std::string scratch;
        const auto value = inputs.value(input, scratch);
        return value && matcher->match(*value);
      }
      case Kind::Or: return std::any_of(parts.begin(), parts.end(), [&](const Predicate& p) { return p.holds(inputs); });
      case Kind::And: return std::all_of(parts.begin(), parts.end(), [&](const Predicate& p) { return p.holds(inputs); });
      case Kind::Not: return !parts.front().holds(inputs);
    }
    return false;
  }
};

struct Network {
  Cidr range;
  uint32_t bits;
  bool exclusive;
  size_t entry;
};

}  // namespace

struct MatchTree::Node {
  enum class Kind : uint8_t { Nothing, List, Exact, Prefix, Networks, ServerNames } kind = Kind::Nothing;
  uint32_t input = 0;
  std::vector<std::pair<Predicate, OnMatch>> list;
  std::vector<OnMatch> entries;                        // of the maps, by number
  absl::flat_hash_map<std::string, size_t> by_value;   // server names: "*.example.com" as ".example.com", "*" as "."
  size_t longest = 0;                                  // prefix
  std::vector<Network> networks;                       // longest first, then as configured
  OnMatch otherwise;

  std::optional<uint32_t> match(const MatchInputs& inputs) const;
  std::optional<uint32_t> entry(std::string_view key, const MatchInputs& inputs) const {
    const auto it = by_value.find(key);
    return it == by_value.end() ? std::nullopt : entries[it->second].follow(inputs);
  }
  std::optional<uint32_t> match_prefix(std::string_view value, const MatchInputs& inputs) const;
  std::optional<uint32_t> match_network(std::string_view value, const MatchInputs& inputs) const;
  std::optional<uint32_t> match_name(std::string_view value, const MatchInputs& inputs) const;
};

namespace {

std::optional<uint32_t> OnMatch::follow(const MatchInputs& inputs) const {
  const auto found = tree != nullptr ? tree->match(inputs) : action;
  return keep_matching ? std::nullopt : found;
}

// --- Compiling ------------------------------------------------------------------------------------------------------------

class Compiler {
 public:
  Compiler(const MatchVocabulary& vocabulary) : vocabulary_(vocabulary) {}

  absl::StatusOr<std::unique_ptr<const MatchTree::Node>> tree(const Proto& proto, const std::string& field, int depth) const {
    if (depth > kDeepest) return absl::InvalidArgumentError(absl::StrCat(field, ": more than ", kDeepest, " matchers within each other"));
    auto node = std::make_unique<MatchTree::Node>();
    if (proto.has_matcher_list()) {
      node->kind = MatchTree::Node::Kind::List;
      for (int i = 0; i < proto.matcher_list().matchers_size(); ++i) {
        const auto& entry = proto.matcher_list().matchers(i);
        const std::string place = absl::StrCat(field, ".matcher_list.matchers[", i, "]");
        FL_ASSIGN_OR_RETURN(Predicate condition, predicate(entry.predicate(), place + ".predicate", depth));
        FL_ASSIGN_OR_RETURN(OnMatch then, on_match(entry.on_match(), place + ".on_match", depth));
        node->list.emplace_back(std::move(condition), std::move(then));
      }
    } else if (proto.has_matcher_tree()) {
      FL_RETURN_IF_ERROR(map(proto.matcher_tree(), field + ".matcher_tree", depth, *node));
    }
    if (proto.has_on_no_match()) {
      FL_ASSIGN_OR_RETURN(node->otherwise, on_match(proto.on_no_match(), field + ".on_no_match", depth));
    }
    return std::unique_ptr<const MatchTree::Node>(std::move(node));
  }

 private:
  absl::StatusOr<OnMatch> on_match(const Proto::OnMatch& proto, const std::string& field, int depth) const {
    OnMatch out;
    out.keep_matching = proto.keep_matching();
    if (proto.has_matcher()) {
      FL_ASSIGN_OR_RETURN(out.tree, tree(proto.matcher(), field + ".matcher", depth + 1));
    } else if (proto.has_action()) {
      FL_ASSIGN_OR_RETURN(out.action, vocabulary_.action(proto.action(), field + ".action"));
    }
    return out;
  }

  template <class List>
  absl::StatusOr<Predicate> parts(Predicate::Kind kind, const List& list, const std::string& field, int depth) const {
    Predicate out;
    out.kind = kind;
    for (int i = 0; i < list.predicate_size(); ++i) {
      FL_ASSIGN_OR_RETURN(Predicate part, predicate(list.predicate(i), absl::StrCat(field, ".predicate[", i, "]"), depth + 1));
      out.parts.push_back(std::move(part));
    }
    return out;
  }

  absl::StatusOr<Predicate> predicate(const PredicateProto& proto, const std::string& field, int depth) const {
    if (depth > kDeepest) return absl::InvalidArgumentError(absl::StrCat(field, ": more than ", kDeepest, " predicates within each other"));
    if (proto.has_or_matcher()) return parts(Predicate::Kind::Or, proto.or_matcher(), field + ".or_matcher", depth);
    if (proto.has_and_matcher()) return parts(Predicate::Kind::And, proto.and_matcher(), field + ".and_matcher", depth);
    if (proto.has_not_matcher()) {
      Predicate out;
      out.kind = Predicate::Kind::Not;
      FL_ASSIGN_OR_RETURN(Predicate part, predicate(proto.not_matcher(), field + ".not_matcher", depth + 1));
      out.parts.push_back(std::move(part));
      return out;
    }
    const std::string place = field + ".single_predicate";
    const Single& single = proto.single_predicate();
    Predicate out;
    FL_ASSIGN_OR_RETURN(out.input, vocabulary_.input(single.input(), place + ".input"));
    if (single.has_custom_match()) return unknown(single.custom_match(), place + ".custom_match");
    FL_ASSIGN_OR_RETURN(out.matcher, text(single.value_match(), place + ".value_match"));
    return out;
  }

  static absl::StatusOr<StringMatcher> text(const xds::type::matcher::v3::StringMatcher& proto, const std::string& field) {
    using Text = xds::type::matcher::v3::StringMatcher;
    using Kind = StringMatcher::Kind;
    switch (proto.match_pattern_case()) {
      case Text::kExact: return StringMatcher::of(Kind::Exact, proto.exact(), proto.ignore_case());
      case Text::kPrefix: return StringMatcher::of(Kind::Prefix, proto.prefix(), proto.ignore_case());
      case Text::kSuffix: return StringMatcher::of(Kind::Suffix, proto.suffix(), proto.ignore_case());
      case Text::kContains: return StringMatcher::of(Kind::Contains, proto.contains(), proto.ignore_case());
      case Text::kSafeRegex: {
        if (proto.ignore_case()) return absl::InvalidArgumentError(field + ": ignore_case has no effect for safe_regex.");
        auto regex = Regex::compile(proto.safe_regex().regex());
        if (!regex.ok()) return prefix(field + ".safe_regex.regex", regex.status());
        return StringMatcher::regex(*std::move(regex));
      }
      default: return absl::InvalidArgumentError(field + ": one of exact, prefix, suffix, contains, safe_regex must be set");
    }
  }

  static absl::Status unknown(const xds::core::v3::TypedExtensionConfig& config, const std::string& field) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": Didn't find a registered implementation for '", config.name(), "' with type URL: '", config.typed_config().type_url(), "'"));
  }

  absl::Status map(const Proto::MatcherTree& proto, const std::string& field, int depth, MatchTree::Node& node) const {
    FL_ASSIGN_OR_RETURN(node.input, vocabulary_.input(proto.input(), field + ".input"));
    if (proto.has_custom_match()) {
      const auto& custom = proto.custom_match();
      IPMatcher networks;
      ServerNameMatcher names;
      if (custom.typed_config().Is<IPMatcher>() && custom.typed_config().UnpackTo(&networks)) return networks_of(networks, field + ".custom_match.typed_config", depth, node);
      if (vocabulary_.server_names && custom.typed_config().Is<ServerNameMatcher>() && custom.typed_config().UnpackTo(&names))
        return names_of(names, field + ".custom_match.typed_config", depth, node);
      return unknown(custom, field + ".custom_match");
    }
    const bool exact = proto.has_exact_match_map();
    node.kind = exact ? MatchTree::Node::Kind::Exact : MatchTree::Node::Kind::Prefix;
    const auto& entries = exact ? proto.exact_match_map().map() : proto.prefix_match_map().map();
    std::map<std::string_view, const std::remove_reference_t<decltype(entries)>::mapped_type*> sorted;  // the same errors and numbers of actions in every process
    for (const auto& [value, then] : entries) sorted.emplace(value, &then);
    for (const auto& [value, then] : sorted) {
      FL_ASSIGN_OR_RETURN(OnMatch entry, on_match(*then, absl::StrCat(field, exact ? ".exact_match_map" : ".prefix_match_map", ".map['", value, "']"), depth));
      node.by_value.emplace(value, node.entries.size());
      node.longest = std::max(node.longest, value.size());
      node.entries.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  absl::Status networks_of(const IPMatcher& proto, const std::string& field, int depth, MatchTree::Node& node) const {
    node.kind = MatchTree::Node::Kind::Networks;
    for (int i = 0; i < proto.range_matchers_size(); ++i) {
      const auto& matcher = proto.range_matchers(i);
      const std::string place = absl::StrCat(field, ".range_matchers[", i, "]");
      for (int j = 0; j < matcher.ranges_size(); ++j) {
        const auto& range = matcher.ranges(j);
        auto network = Cidr::parse(range.address_prefix(), range.prefix_len().value());
        if (!network.ok()) return prefix(absl::StrCat(place, ".ranges[", j, "]"), network.status());
        node.networks.push_back({*network, range.prefix_len().value(), matcher.exclusive(), node.entries.size()});
      }
      FL_ASSIGN_OR_RETURN(OnMatch entry, on_match(matcher.on_match(), place + ".on_match", depth));
      node.entries.push_back(std::move(entry));
    }
    std::stable_sort(node.networks.begin(), node.networks.end(), [](const Network& a, const Network& b) { return a.bits > b.bits; });
    return absl::OkStatus();
  }

  absl::Status names_of(const ServerNameMatcher& proto, const std::string& field, int depth, MatchTree::Node& node) const {
    node.kind = MatchTree::Node::Kind::ServerNames;
    for (int i = 0; i < proto.domain_matchers_size(); ++i) {
      const auto& matcher = proto.domain_matchers(i);
      const std::string place = absl::StrCat(field, ".domain_matchers[", i, "]");
      for (const std::string& domain : matcher.domains()) {
        // Envoy 1.40's words
        const size_t star = domain.find('*');
        if (domain.empty()) return absl::InvalidArgumentError(place + ".domains: Empty domain in ServerNameMatcher");
        if (domain != "*" && star != std::string::npos && (star != 0 || domain.size() < 3 || domain[1] != '.'))
          return absl::InvalidArgumentError(absl::StrCat(place, ".domains: Invalid wildcard domain format: ", domain, ". Only '*' and '*.domain' patterns are supported"));
        if (domain.find('*', 1) != std::string::npos)
          return absl::InvalidArgumentError(absl::StrCat(place, ".domains: Invalid wildcard domain format: ", domain, ". Multiple wildcards are not supported"));
        const std::string key = domain == "*" ? "." : star == 0 ? domain.substr(1) : domain;
        if (!node.by_value.emplace(key, node.entries.size()).second)
          return absl::InvalidArgumentError(absl::StrCat(place, ".domains: Duplicate domain in ServerNameMatcher: ", domain));
      }
      FL_ASSIGN_OR_RETURN(OnMatch entry, on_match(matcher.on_match(), place + ".on_match", depth));
      node.entries.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  const MatchVocabulary& vocabulary_;
};

}  // namespace

// --- Walking --------------------------------------------------------------------------------------------------------------

std::optional<uint32_t> MatchTree::Node::match_prefix(std::string_view value, const MatchInputs& inputs) const {
  for (size_t n = std::min(value.size(), longest) + 1; n-- > 0;)
    if (const auto found = entry(value.substr(0, n), inputs)) return found;
  return std::nullopt;
}

std::optional<uint32_t> MatchTree::Node::match_network(std::string_view value, const MatchInputs& inputs) const {
  bool first = true;
  for (const Network& network : networks) {
    if (!network.range.contains_text(value)) continue;
    if (!first && network.exclusive) continue;
    first = false;
    if (const auto found = entries[network.entry].follow(inputs)) return found;
  }
  return std::nullopt;
}

std::optional<uint32_t> MatchTree::Node::match_name(std::string_view value, const MatchInputs& inputs) const {
  if (value.empty()) return std::nullopt;
  if (value[0] != '.')  // those keys are wildcards
    if (const auto found = entry(value, inputs)) return found;
  for (size_t dot = value.find('.'); dot != std::string_view::npos; dot = value.find('.', dot + 1)) {
    if (dot + 1 == value.size()) break;
    if (const auto found = entry(value.substr(dot), inputs)) return found;
  }
  return entry(".", inputs);
}

std::optional<uint32_t> MatchTree::Node::match(const MatchInputs& inputs) const {
  std::optional<uint32_t> found;
  if (kind == Kind::List) {
    for (const auto& [condition, then] : list)
      if (condition.holds(inputs) && (found = then.follow(inputs))) return found;
  } else if (kind != Kind::Nothing) {
    std::string scratch;
    if (const auto value = inputs.value(input, scratch)) {
      found = kind == Kind::Exact      ? entry(*value, inputs)
              : kind == Kind::Prefix   ? match_prefix(*value, inputs)
              : kind == Kind::Networks ? match_network(*value, inputs)
                                       : match_name(*value, inputs);
    }
  }
  return found ? found : otherwise.follow(inputs);
}

MatchTree::MatchTree(std::unique_ptr<const Node> root) : root_(std::move(root)) {}
MatchTree::MatchTree(MatchTree&&) noexcept = default;
MatchTree& MatchTree::operator=(MatchTree&&) noexcept = default;
MatchTree::~MatchTree() = default;

absl::StatusOr<MatchTree> MatchTree::compile(const Proto& proto, const MatchVocabulary& vocabulary, const std::string& field) {
  FL_ASSIGN_OR_RETURN(auto root, Compiler(vocabulary).tree(proto, field, 0));
  return MatchTree(std::move(root));
}

std::optional<uint32_t> MatchTree::match(const MatchInputs& inputs) const { return root_->match(inputs); }

}  // namespace fairlead::matching
