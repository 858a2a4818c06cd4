// Finding names in a refusal's message.
#include "controlplane/stream/attribution.h"

#include <algorithm>

namespace fairlead::cpstream {
namespace {

// What may stand beside a name without being part of it. '/' and '.' belong to names, ':' and ',' end them.
bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '/' || c == '|' || c == '*';
}

enum class Found { kNot, kMentioned, kAccused };

// kAccused: "NAME: " where an item of Envoy's list begins: at the start, after "(s) ", or after a line or list separator.
Found look_for(std::string_view name, std::string_view message) {
  Found best = Found::kNot;
  for (size_t at = message.find(name); at != std::string_view::npos && !name.empty(); at = message.find(name, at + 1)) {
    const std::string_view before = message.substr(0, at);
    const std::string_view after = message.substr(at + name.size());
    if (!before.empty() && (is_name_byte(before.back()) || before.back() == '.')) continue;
    if (!after.empty() && is_name_byte(after.front())) continue;
    // A dot or colon ends a sentence or an item, or goes on with the name.
    if (after.size() > 1 && (after[0] == '.' || after[0] == ':') && is_name_byte(after[1])) continue;
    const bool begins = before.empty() || before.ends_with("(s) ") || before.ends_with("\n") || before.ends_with(", ");
    if (begins && after.starts_with(": ")) return Found::kAccused;
    best = Found::kMentioned;
  }
  return best;
}

}  // namespace

std::vector<std::string> named_by(std::string_view message, const std::vector<std::string>& names) {
  std::vector<std::string> accused, mentioned;
  for (const std::string& name : names) {
    switch (look_for(name, message)) {
      case Found::kAccused: accused.push_back(name); break;
      case Found::kMentioned: mentioned.push_back(name); break;
      case Found::kNot: break;
    }
  }
  return accused.empty() ? mentioned : accused;
}

}  // namespace fairlead::cpstream
