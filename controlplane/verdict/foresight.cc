// See foresight.h.
#include "controlplane/verdict/foresight.h"

#include <algorithm>

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

namespace fairlead::verdict {
namespace {

// "envoy/1.40.0#1f2e3d4c" -> "envoy", "1.40.0"
std::pair<std::string_view, std::string_view> parts(const ClientClass& c) {
  const std::string_view name = std::string_view(c.name).substr(0, c.name.rfind('#'));
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::pair(name, std::string_view()) : std::pair(name.substr(0, slash), name.substr(slash + 1));
}

// Major and minor; nothing where the text is no version: such a client is not known to lack anything.
std::optional<std::pair<uint32_t, uint32_t>> number(std::string_view version) {
  const std::vector<std::string_view> words = absl::StrSplit(version, '.');
  uint32_t major = 0, minor = 0;
  if (words.size() < 2 || !absl::SimpleAtoi(words[0], &major) || !absl::SimpleAtoi(words[1], &minor)) return std::nullopt;
  return std::pair(major, minor);
}

}  // namespace

bool concerns(const snapshot::Unfit& unfit, std::string_view implementation, std::string_view version) {
  if (unfit.implementation != implementation) return false;
  if (unfit.below.empty()) return unfit.version == version;
  const auto has = number(version), needs = number(unfit.below);
  return has && needs && *has < *needs;
}

void Foresight::set(std::vector<snapshot::Unfit> unfit) {
  unfit_ = std::move(unfit);
  kinds_.clear();
  for (const snapshot::Unfit& u : unfit_) {
    const bool known = std::any_of(kinds_.begin(), kinds_.end(), [&](const auto& k) { return k.implementation == u.implementation && k.version == u.version && k.below == u.below; });
    if (!known) kinds_.push_back({nullptr, u.implementation, u.version, u.below, ""});
  }
}

bool Foresight::concerns(const ClientClass& client_class) const {
  const auto [implementation, version] = parts(client_class);
  return std::any_of(kinds_.begin(), kinds_.end(), [&, &i = implementation, &v = version](const auto& k) { return verdict::concerns(k, i, v); });
}

bool Foresight::apply(Quarantine& quarantine, const ClientClass& client_class, const snapshot::Snapshot& wanted, SystemTime now) const {
  const auto [implementation, version] = parts(client_class);
  bool changed = false;
  for (const snapshot::Unfit& u : unfit_) {
    if (!verdict::concerns(u, implementation, version)) continue;
    const ResourcePtr there = wanted.find(u.resource->type, u.resource->name);
    if (there && there->hash == u.resource->hash) changed |= quarantine.foresee(client_class, wanted.scope, there, u.message, now);
  }
  return changed;
}

}  // namespace fairlead::verdict
