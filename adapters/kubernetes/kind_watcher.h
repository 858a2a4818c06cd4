// One kind of objects (in one namespace, or all) kept as the API server has it: list, then watch, and again what is needed of both after every
// interruption. A thread of its own runs it, since its work is to wait for one connection; what it finds goes to the Hub.
// Invariants: an object is removed only when the server said so: by an event, or by a whole list without it; and never because its kind is
// not served or must not be read.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/discovery.h"
#include "adapters/kubernetes/hub.h"
#include "adapters/object/watched_kind.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

struct WatchOptions {
  int page = 500;                                      // objects of one page of a list; client-go's pager
  bool streaming_lists = true;                         // tried first; an API server that refuses is asked for pages
  std::chrono::seconds watch_at_least{300}, watch_at_most{600};  // timeoutSeconds of a watch; client-go
  std::chrono::milliseconds retry_first{200}, retry_at_most{10'000};
  std::chrono::milliseconds look_for_kind{5'000};      // a kind that is missing
  std::chrono::milliseconds retry_forbidden{30'000};
  std::chrono::milliseconds come_back{60'000};         // how long objects have to come back after their kind was away
};

class KindWatcher {
 public:
  KindWatcher(const WatchOptions& options, std::string source, const WatchedKind& kind, std::string ns, size_t number, ApiClient& api, Discovery& discovery, Hub& hub);

  // Until the hub stops.
  void run();

 private:
  bool find_version();
  bool list();
  bool list_page(const std::string& token, std::string& next);
  void stream(bool initial);
  bool on_event(std::string_view text, bool& initial);
  void on_error(const doc::Value& status);
  void end_of_list();

  void take(const doc::Value& body);   // an object as it is now
  bool drop(const doc::Value& body);   // one that is no more; false: it goes with its kind, and stays
  bool is_going();                     // the kind itself is being deleted

  bool fail(std::string_view verb, const Response& response);   // always false, after a pause
  bool fail(std::string_view verb, const absl::Status& status);
  void pause(std::chrono::milliseconds at_least = {});
  void worked();
  std::string path(std::string_view query) const;
  std::string name() const;
  ObjectKey key_of(std::string_view known) const;

  const WatchOptions& options_;
  const std::string source_;
  const WatchedKind& kind_;
  const std::string ns_;
  const size_t number_;
  ApiClient& api_;
  Discovery& discovery_;
  Hub& hub_;

  std::string version_;   // of the API; empty: to be found
  std::string revision_;  // resourceVersion up to which all is known; empty: to be listed
  absl::flat_hash_map<std::string, uint64_t> known_;  // "NAMESPACE/NAME" of what was put -> its version, hashed
  absl::flat_hash_set<std::string> seen_;             // in the list going on
  bool seen_all_ = true;                              // no item of it was beyond reading
  bool was_gone_ = false;                             // the kind was away since the last whole list
  bool listed_ = false;
  bool pages_only_ = false;                           // the server refused to stream a list
  bool told_absent_ = false;
  std::optional<MonotonicTime> stays_at_;             // when is_going() was last told that it does not
  bool going_ = false;                                // the stream showed that the kind is being deleted
  std::optional<absl::Status> stream_failed_;
  std::chrono::milliseconds backoff_{};
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace fairlead::adapters::kubernetes
