// Which kinds the API server has, in which versions: GET /apis/GROUP/VERSION. Any thread; whoever asks for what another is asking for waits for
// the same answer, so that twenty kinds of a group that is missing cost one request every few seconds.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/object/watched_kind.h"
#include "base/clock.h"

namespace fairlead::adapters::kubernetes {

class Discovery {
 public:
  explicit Discovery(ApiClient& api) : api_(api) {}

  struct Found {
    std::string version;
    bool terminating = false;  // its definition is being deleted: nothing can be created any more
  };
  // The first of the kind's versions that the server has; nothing when it has none of them. Errors: Unavailable with the cause. An answer may be
  // up to `age` old.
  absl::StatusOr<std::optional<Found>> find(const WatchedKind& kind, std::chrono::milliseconds age);

 private:
  struct Resources {
    std::mutex mutex;  // held while it is asked for
    std::map<std::string, bool> terminating;  // by plural
    std::optional<MonotonicTime> at;
  };
  absl::Status ask(const std::string& path, Resources& resources);

  ApiClient& api_;
  std::mutex mutex_;
  std::map<std::string, Resources> known_;  // by path; entries stay
};

// "/apis/GROUP/VERSION", "/api/v1".
std::string group_path(std::string_view group, std::string_view version);

}  // namespace fairlead::adapters::kubernetes
