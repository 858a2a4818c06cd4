// LRS, envoy.service.load_stats.v3.LoadReportingService: tells a client of which clusters to report its load, and how often, and hands what it
// reports to Core::loads(). Owned by the server; the serving thread's.
#pragma once

#include <chrono>
#include <string_view>

#include "base/clock.h"
#include "controlplane/rpc/server.h"
#include "controlplane/serve/core.h"

namespace fairlead::serve {

inline constexpr std::string_view kLoadServiceName = "envoy.service.load_stats.v3.LoadReportingService";

class LoadService {
 public:
  struct Options {
    std::chrono::seconds interval{10};  // between a client's reports
    size_t max_streams = 10'000;        // further ones are refused with RESOURCE_EXHAUSTED
  };
  LoadService(Options options, Core& core, const Clock& clock) : options_(options), core_(core), clock_(clock) {}
  void add_to(rpc::Server& server);

 private:
  class Stream;
  const Options options_;
  Core& core_;
  const Clock& clock_;
  LoadReports::Id next_ = 1;
};

}  // namespace fairlead::serve
