// See service.h.
#include "apps/why/service.h"

#include <algorithm>
#include <utility>

#include "apps/why/answer.h"
#include "apps/why/request.h"
#include "base/status.h"

namespace fairlead::why {

absl::StatusOr<doc::Value> Service::ask(const snapshot::SnapshotPtr& snapshot, const std::string& method, const std::string& url, const std::vector<std::string>& headers) {
  FL_ASSIGN_OR_RETURN(const Request request, make_request(method.empty() ? "GET" : method, url, headers));
  std::lock_guard lock(mutex_);
  auto at = std::find_if(worlds_.begin(), worlds_.end(), [&](const auto& w) { return w->snapshot() == snapshot; });
  std::unique_ptr<World> world = at == worlds_.end() ? std::make_unique<World>(snapshot) : std::move(*at);
  if (at != worlds_.end()) worlds_.erase(at);
  worlds_.push_front(std::move(world));
  if (worlds_.size() > kMost) worlds_.pop_back();
  return doc::with(to_doc(request, explain(*worlds_.front(), request)), "scope", doc::string(snapshot->scope));
}

}  // namespace fairlead::why
