// Answers of a running control plane: keeps the models of the scopes it was last asked about. Any thread; one question at a time.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "apps/why/world.h"
#include "base/doc.h"

namespace fairlead::why {

class Service {
 public:
  // A whole answer as answer.h's document, with the scope; InvalidArgument for a request that cannot be made.
  absl::StatusOr<doc::Value> ask(const snapshot::SnapshotPtr& snapshot, const std::string& method, const std::string& url, const std::vector<std::string>& headers);

 private:
  static constexpr size_t kMost = 4;
  std::mutex mutex_;
  std::deque<std::unique_ptr<World>> worlds_;  // guarded; the latest asked for first
};

}  // namespace fairlead::why
