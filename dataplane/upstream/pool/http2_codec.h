// What the HTTP/2 codec needs of configuration and statistics, for listeners and clusters alike.
#pragma once

#include "dataplane/config/http2.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/stats/cells.h"
#include "dataplane/stats/names.h"

namespace fairlead::upstream {

// Everything that Http2ProtocolOptions says; head limits, drain and counts are the owner's.
h2::Settings http2_settings(const config::Http2Options& options);

// A session's counts in a worker's cells. Lives as long as its session.
class Http2StatSink : public h2::StatSink {
 public:
  Http2StatSink(stats::Cells& cells, const stats::Block<stats::Http2Stat>& block) : cells_(cells), block_(block) {}
  void add(h2::Stat stat, int64_t delta) override { cells_.add(block_, static_cast<stats::Http2Stat>(stat), static_cast<uint64_t>(delta)); }

 protected:
  stats::Cells& cells_;

 private:
  stats::Block<stats::Http2Stat> block_;
};

static_assert(static_cast<size_t>(stats::Http2Stat::first_histogram) == h2::kStatCount);

}  // namespace fairlead::upstream
