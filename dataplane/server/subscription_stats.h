// What Envoy counts of each xDS subscription, with its names: update_attempt, update_success, version_text, … of CDS and LDS, of every route
// configuration, of every discovered filter and of every secret. Main thread.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/stats/registry.h"
#include "dataplane/xds/ingest.h"
#include "dataplane/xds/types.h"

namespace fairlead::server {

class SubscriptionStats {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit SubscriptionStats(stats::Registry& registry) : registry_(registry) {}

  struct Followed {
    xds::Type type;
    std::string name;         // empty for CDS and LDS
    std::string stat_prefix;  // of the first connection manager that names the route configuration
    std::chrono::milliseconds timeout{0};  // initial_fetch_timeout; 0: none
    std::string source = {};  // of a secret: config::source_key
  };
  // All subscriptions there are: new ones begin, what is not among them is forgotten.
  void follow(const std::vector<Followed>& all, Time now);

  // One response, and how long it took to apply.
  void updated(const xds::Update& update, const xds::Outcome& outcome, std::chrono::milliseconds took);
  void attempted(xds::Type type);                            // CDS and LDS: a request or a response
  void failed(xds::Type type);                               // the source could not be read, or the stream broke
  void unanswered(xds::Type type, const std::string& name);  // an answer without what was asked for
  void timed_out(xds::Type type);                            // CDS and LDS: the wait for a first answer is over
  void expire(Time now);                                     // the same for the others
  Time next_deadline() const;                                // when expire() has something to do
  void conflict(const std::string& name);                    // DiscoveredFilters' constructor
  void rotation_failed(const std::string& secret);           // its files have changed and cannot be used

 private:
  struct Row {
    stats::ScopePtr scope;
    bool waits = true;
    Time deadline = Time::max();
    std::set<std::string> sources = {};  // of a secret: several may have one of the name
  };
  using Key = std::pair<xds::Type, std::string>;
  void begin(const Followed& followed, Row& row) const;
  void add(const Row& row, std::string_view leaf, uint64_t n = 1) const;
  void succeeded(const Key& key, Row& row, const xds::Update& update, std::chrono::milliseconds took) const;
  void rejected(const Key& key, Row& row) const;
  template <class Visit>
  void each(xds::Type type, const Visit& visit);

  stats::Registry& registry_;
  std::map<Key, Row> rows_;
};

}  // namespace fairlead::server
