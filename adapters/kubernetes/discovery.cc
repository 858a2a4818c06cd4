// See discovery.h.
#include "adapters/kubernetes/discovery.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "base/doc.h"
#include "base/status.h"

namespace fairlead::adapters::kubernetes {

std::string group_path(std::string_view group, std::string_view version) { return group.empty() ? absl::StrCat("/api/", version) : absl::StrCat("/apis/", group, "/", version); }

absl::StatusOr<std::optional<Discovery::Found>> Discovery::find(const WatchedKind& kind, std::chrono::milliseconds age) {
  for (const std::string& version : kind.versions) {
    const std::string path = group_path(kind.group, version);
    Resources* resources = nullptr;
    {
      std::lock_guard lock(mutex_);
      resources = &known_[path];
    }
    std::lock_guard lock(resources->mutex);
    if (!resources->at || RealClock::instance().monotonic() - *resources->at > age) FL_RETURN_IF_ERROR(ask(path, *resources));
    if (const auto it = resources->terminating.find(kind.plural); it != resources->terminating.end()) return Found{version, it->second};
  }
  return std::nullopt;
}

absl::Status Discovery::ask(const std::string& path, Resources& resources) {
  FL_ASSIGN_OR_RETURN(const Response response, api_.request("GET", path));
  if (!response.ok() && response.status != 404) return absl::UnavailableError(absl::StrCat(api_.server(), ": ", path, ": ", status_message(response)));
  resources.terminating.clear();
  resources.at = RealClock::instance().monotonic();
  if (response.status == 404) return absl::OkStatus();
  absl::StatusOr<doc::Value> list = doc::parse_json(response.body, path);
  if (!list.ok()) return absl::UnavailableError(absl::StrCat(api_.server(), ": ", list.status().message()));
  const doc::Value* entries = list->find("resources");
  if (entries == nullptr) return absl::OkStatus();
  for (const doc::Value& entry : entries->items()) {
    const doc::Value *name = entry.find("name"), *verbs = entry.find("verbs");
    if (name == nullptr || !name->is_string()) continue;
    bool create = verbs == nullptr;
    if (verbs != nullptr) create = std::any_of(verbs->items().begin(), verbs->items().end(), [](const doc::Value& v) { return v.as_string() == "create"; });
    resources.terminating[name->as_string()] = !create;
  }
  return absl::OkStatus();
}

}  // namespace fairlead::adapters::kubernetes
