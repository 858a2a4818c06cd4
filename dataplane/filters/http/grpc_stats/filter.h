// Counts gRPC calls, their messages and their outcomes under the cluster they go to. One per stream, in its arena; one worker.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/filters/http/grpc_stats/config.h"
#include "dataplane/grpc/method_counters.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::grpc_stats {

void register_filter(stream::FilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  std::vector<grpc::MethodCounters> by_worker;
};

class GrpcStatsFilter final : public stream::Filter {
 public:
  explicit GrpcStatsFilter(Shared& shared) : shared_(shared) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus encode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;

 private:
  void charge(const http::HeaderMap& headers);
  void record_time();

  Shared& shared_;
  grpc::MethodStats* stats_ = nullptr;  // null: not counted
  bool grpc_response_ = false;
  grpc::FrameCounter request_, response_;
};

}  // namespace fairlead::filters::grpc_stats
