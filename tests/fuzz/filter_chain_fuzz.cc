// Filter chains of a listener, by filter_chain_match and by a matcher tree, and connections to them: what is compiled chooses as a plain reading of the
// configuration does, from level to level or entry to entry.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>

#include "dataplane/config/filter_chain_match.h"
#include "dataplane/matching/match_tree.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "google/protobuf/wrappers.pb.h"
#include "xds/type/matcher/v3/matcher.pb.h"

using namespace fairlead;

namespace {

using envoy::config::listener::v3::FilterChainMatch;
using XdsMatcher = xds::type::matcher::v3::Matcher;

void require(bool holds) {
  if (!holds) std::abort();
}

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  uint8_t next() { return at_ == end_ ? 0 : *at_++; }
  size_t below(size_t n) { return next() % n; }
  bool one_of(size_t n) { return below(n) == 0; }

 private:
  const uint8_t *at_, *end_;
};

constexpr std::array<const char*, 6> kHosts = {"127.0.0.1", "10.1.2.3", "10.1.200.1", "192.168.0.1", "::1", "2001:db8::7"};
constexpr std::array<const char*, 8> kNames = {"a.com", "www.a.com", "x.www.a.com", "*.a.com", "*.com", "b.org", "*.www.a.com", "org"};
constexpr std::array<const char*, 4> kProtocols = {"h2", "http/1.1", "foo", "bar"};
constexpr std::array<const char*, 2> kTransports = {"tls", "raw_buffer"};
constexpr uint16_t kPorts[] = {80, 443, 5000};

// --- filter_chain_match -------------------------------------------------------------------------------------------------------

void networks(Bytes& in, google::protobuf::RepeatedPtrField<envoy::config::core::v3::CidrRange>* out) {
  for (size_t n = 1 + in.below(2); n > 0; --n) {
    auto* range = out->Add();
    range->set_address_prefix(kHosts[in.below(kHosts.size())]);
    range->mutable_prefix_len()->set_value(static_cast<uint32_t>(in.next()) % (range->address_prefix().find(':') == std::string::npos ? 33 : 129));
  }
}

FilterChainMatch random_match(Bytes& in) {
  FilterChainMatch out;
  if (in.one_of(4)) out.mutable_destination_port()->set_value(kPorts[in.below(3)]);
  if (in.one_of(4)) networks(in, out.mutable_prefix_ranges());
  if (in.one_of(3))
    for (size_t n = 1 + in.below(2); n > 0; --n) out.add_server_names(kNames[in.below(kNames.size())]);
  if (in.one_of(4)) out.set_transport_protocol(kTransports[in.below(2)]);
  if (in.one_of(4))
    for (size_t n = 1 + in.below(2); n > 0; --n) out.add_application_protocols(kProtocols[in.below(kProtocols.size())]);
  if (in.one_of(5)) networks(in, out.mutable_direct_source_prefix_ranges());
  if (in.one_of(4)) out.set_source_type(static_cast<FilterChainMatch::ConnectionSourceType>(in.below(3)));
  if (in.one_of(4)) networks(in, out.mutable_source_prefix_ranges());
  if (in.one_of(4)) out.add_source_ports(kPorts[in.below(3)]);
  return out;
}

struct Client {
  net::Address local, remote, direct;
  std::string name, transport;
  std::vector<std::string> protocols;
};

Client random_client(Bytes& in) {
  const auto address = [&] { return *net::Address::from_ip(kHosts[in.below(kHosts.size())], kPorts[in.below(3)]); };
  Client out{address(), address(), address(), "", kTransports[in.below(2)], {}};
  if (!in.one_of(4)) {
    out.name = kNames[in.below(kNames.size())];
    if (out.name[0] == '*') out.name.replace(0, 1, "q");
  }
  for (size_t n = in.below(3); n > 0; --n) out.protocols.emplace_back(kProtocols[in.below(kProtocols.size())]);
  return out;
}

// What one criterion is worth to a connection: more is more specific, 0 is "says nothing of it", none: it does not fit.
using Worth = std::optional<int>;

template <class Ranges>
Worth of_networks(const Ranges& ranges, const net::Address& address) {
  if (ranges.empty()) return 0;
  Worth best;
  for (const auto& range : ranges) {
    const net::Address base = *net::Address::from_ip(range.address_prefix(), 0);
    if (base.family() != address.family()) continue;
    const auto bits = static_cast<int>(range.prefix_len().value());
    bool fits = true;
    for (int bit = 0; bit < bits && fits; ++bit) fits = ((base.bytes()[bit / 8] ^ address.bytes()[bit / 8]) >> (7 - bit % 8) & 1) == 0;
    if (fits && (!best || *best < bits + 1)) best = bits + 1;
  }
  return best;
}

Worth of_names(const google::protobuf::RepeatedPtrField<std::string>& names, const std::string& asked) {
  if (names.empty()) return 0;
  Worth best;
  for (const std::string& name : names) {
    const bool wild = name[0] == '*';
    if (wild ? !absl::EndsWith(asked, name.substr(1)) || asked.size() < name.size() : asked != name) continue;
    const int worth = wild ? static_cast<int>(name.size()) : 1000;
    if (!best || *best < worth) best = worth;
  }
  return best;
}

Worth of_protocols(const google::protobuf::RepeatedPtrField<std::string>& protocols, const std::vector<std::string>& offered) {
  if (protocols.empty()) return 0;
  for (size_t i = 0; i < offered.size(); ++i)
    if (std::find(protocols.begin(), protocols.end(), offered[i]) != protocols.end()) return 100 - static_cast<int>(i);
  return std::nullopt;
}

// Level after level the chains that are left are those whose criterion is the most specific.
std::optional<uint32_t> plain_reading(const std::vector<FilterChainMatch>& chains, const Client& client) {
  const config::ConnectionFacts facts{.local = client.local, .remote = client.remote, .direct_remote = client.direct};
  std::vector<uint32_t> left(chains.size());
  for (uint32_t i = 0; i < left.size(); ++i) left[i] = i;
  const auto level = [&](const auto& worth) {
    Worth best;
    for (const uint32_t i : left)
      if (const Worth w = worth(chains[i]); w && (!best || *best < *w)) best = w;
    std::erase_if(left, [&](uint32_t i) { return !best || worth(chains[i]) != best; });
  };
  level([&](const auto& m) -> Worth { return !m.has_destination_port() ? Worth(0) : m.destination_port().value() == client.local.port() ? Worth(1) : std::nullopt; });
  level([&](const auto& m) { return of_networks(m.prefix_ranges(), client.local); });
  level([&](const auto& m) { return of_names(m.server_names(), client.name); });
  level([&](const auto& m) -> Worth { return m.transport_protocol().empty() ? Worth(0) : m.transport_protocol() == client.transport ? Worth(1) : std::nullopt; });
  level([&](const auto& m) { return of_protocols(m.application_protocols(), client.protocols); });
  level([&](const auto& m) { return of_networks(m.direct_source_prefix_ranges(), client.direct); });
  level([&](const auto& m) -> Worth {
    if (m.source_type() == FilterChainMatch::ANY) return 0;
    return (m.source_type() == FilterChainMatch::SAME_IP_OR_LOOPBACK) == config::same_ip_or_loopback(facts) ? Worth(1) : std::nullopt;
  });
  level([&](const auto& m) { return of_networks(m.source_prefix_ranges(), client.remote); });
  level([&](const auto& m) -> Worth { return m.source_ports().empty() ? Worth(0) : m.source_ports(0) == client.remote.port() ? Worth(1) : std::nullopt; });
  require(left.size() <= 1);  // two chains with the same criteria are refused
  return left.empty() ? std::nullopt : std::optional(left.front());
}

void by_criteria(Bytes& in) {
  config::FilterChainMatcher matcher;
  ErrorList errors;
  std::vector<FilterChainMatch> chains;
  for (size_t n = 1 + in.below(6); n > 0; --n) {
    envoy::config::listener::v3::FilterChain chain;
    chain.set_name(std::to_string(n));
    chains.push_back(*chain.mutable_filter_chain_match() = random_match(in));
    matcher.add(chain, errors);
  }
  if (!errors.empty()) return;
  for (int i = 0; i < 8; ++i) {
    const Client client = random_client(in);
    const auto found = matcher.find({.local = client.local, .remote = client.remote, .direct_remote = client.direct, .server_name = client.name,
                                     .transport_protocol = client.transport, .application_protocols = client.protocols});
    require(found == plain_reading(chains, client));
  }
}

// --- A tree -------------------------------------------------------------------------------------------------------------------

constexpr size_t kInputs = 3;
constexpr std::array<const char*, 6> kValues = {"", "a", "ab", "aB", "b", "bab"};

struct Values final : matching::MatchInputs {
  std::array<std::optional<std::string>, kInputs> of;
  std::optional<std::string_view> value(uint32_t input, std::string&) const override { return of[input] ? std::optional<std::string_view>(*of[input]) : std::nullopt; }
};

void set_input(Bytes& in, xds::core::v3::TypedExtensionConfig* config) {
  config->set_name(std::to_string(in.below(kInputs)));
  config->mutable_typed_config()->PackFrom(google::protobuf::StringValue());
}
size_t input_of(const xds::core::v3::TypedExtensionConfig& config) { return static_cast<size_t>(config.name()[0] - '0'); }

void random_predicate(Bytes& in, XdsMatcher::MatcherList::Predicate* out, int depth) {
  const size_t kind = depth < 3 ? in.below(5) : 4;
  if (kind == 0) return random_predicate(in, out->mutable_not_matcher(), depth + 1);
  if (kind <= 2) {
    auto* list = kind == 1 ? out->mutable_or_matcher() : out->mutable_and_matcher();
    for (size_t n = 2 + in.below(2); n > 0; --n) random_predicate(in, list->add_predicate(), depth + 1);
    return;
  }
  auto* single = out->mutable_single_predicate();
  set_input(in, single->mutable_input());
  auto* match = single->mutable_value_match();
  const std::string value = kValues[1 + in.below(kValues.size() - 1)];
  switch (in.below(4)) {
    case 0: match->set_exact(value); break;
    case 1: match->set_prefix(value); break;
    case 2: match->set_suffix(value); break;
    default: match->set_contains(value); break;
  }
  match->set_ignore_case(in.one_of(2));
}

void random_tree(Bytes& in, XdsMatcher* out, int depth);
void random_on_match(Bytes& in, XdsMatcher::OnMatch* out, int depth) {
  if (depth < 3 && in.one_of(3)) return random_tree(in, out->mutable_matcher(), depth + 1);
  out->mutable_action()->set_name(std::to_string(in.below(10)));
  out->mutable_action()->mutable_typed_config()->PackFrom(google::protobuf::StringValue());
}
void random_tree(Bytes& in, XdsMatcher* out, int depth) {
  if (in.one_of(2)) {
    auto* list = out->mutable_matcher_list();
    for (size_t n = 1 + in.below(3); n > 0; --n) {
      auto* entry = list->add_matchers();
      random_predicate(in, entry->mutable_predicate(), 0);
      random_on_match(in, entry->mutable_on_match(), depth);
    }
  } else {
    auto* tree = out->mutable_matcher_tree();
    set_input(in, tree->mutable_input());
    auto* map = in.one_of(2) ? tree->mutable_exact_match_map() : tree->mutable_prefix_match_map();
    for (size_t n = 1 + in.below(3); n > 0; --n) random_on_match(in, &(*map->mutable_map())[kValues[1 + in.below(kValues.size() - 1)]], depth);
  }
  if (in.one_of(2)) random_on_match(in, out->mutable_on_no_match(), depth);
}

bool holds(const XdsMatcher::MatcherList::Predicate& predicate, const Values& values) {
  if (predicate.has_not_matcher()) return !holds(predicate.not_matcher(), values);
  if (predicate.has_or_matcher()) return std::any_of(predicate.or_matcher().predicate().begin(), predicate.or_matcher().predicate().end(), [&](const auto& p) { return holds(p, values); });
  if (predicate.has_and_matcher()) return std::all_of(predicate.and_matcher().predicate().begin(), predicate.and_matcher().predicate().end(), [&](const auto& p) { return holds(p, values); });
  const auto& single = predicate.single_predicate();
  const auto& value = values.of[input_of(single.input())];
  if (!value) return false;
  const auto& match = single.value_match();
  const auto cased = [&](std::string text) { return match.ignore_case() ? absl::AsciiStrToLower(text) : text; };
  const std::string text = cased(*value);
  if (!match.exact().empty()) return text == cased(match.exact());
  if (!match.prefix().empty()) return absl::StartsWith(text, cased(match.prefix()));
  if (!match.suffix().empty()) return absl::EndsWith(text, cased(match.suffix()));
  return absl::StrContains(text, cased(match.contains()));
}

std::optional<uint32_t> read(const XdsMatcher& tree, const Values& values);
std::optional<uint32_t> read(const XdsMatcher::OnMatch& on_match, const Values& values) {
  if (on_match.has_matcher()) return read(on_match.matcher(), values);
  return static_cast<uint32_t>(on_match.action().name()[0] - '0');
}
std::optional<uint32_t> read(const XdsMatcher& tree, const Values& values) {
  for (const auto& entry : tree.matcher_list().matchers()) {
    if (!holds(entry.predicate(), values)) continue;
    if (const auto found = read(entry.on_match(), values)) return found;
  }
  if (tree.has_matcher_tree()) {
    const auto& value = values.of[input_of(tree.matcher_tree().input())];
    const bool exact = tree.matcher_tree().has_exact_match_map();
    const auto& map = exact ? tree.matcher_tree().exact_match_map().map() : tree.matcher_tree().prefix_match_map().map();
    for (size_t size = value ? value->size() + 1 : 0; size-- > 0;) {  // the longest prefix first
      if (exact && size != value->size()) break;
      const auto entry = map.find(value->substr(0, size));
      if (entry == map.end()) continue;
      if (const auto found = read(entry->second, values)) return found;
    }
  }
  return tree.has_on_no_match() ? read(tree.on_no_match(), values) : std::nullopt;
}

void by_tree(Bytes& in) {
  XdsMatcher proto;
  random_tree(in, &proto, 0);
  const auto number = [](const xds::core::v3::TypedExtensionConfig& config, const std::string&) -> absl::StatusOr<uint32_t> { return static_cast<uint32_t>(config.name()[0] - '0'); };
  const auto tree = matching::MatchTree::compile(proto, {.input = number, .action = number}, "m");
  require(tree.ok());
  for (int i = 0; i < 8; ++i) {
    Values values;
    for (auto& value : values.of)
      if (!in.one_of(5)) value = kValues[in.below(kValues.size())];
    require(tree->match(values) == read(proto, values));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Bytes in(data + 1, size - 1);
  data[0] % 2 == 0 ? by_criteria(in) : by_tree(in);
  return 0;
}
