// Decompresses requests and responses whose outermost content-encoding is its own. A body that is corrupt, ends too early or swells beyond the
// ratio guard is not passed on: 400 or 413 for a request, a broken response otherwise.
// One per stream, in its arena; one worker.
#pragma once

#include <memory>

#include "dataplane/filters/http/decompressor/config.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::decompressor {

void register_filter(stream::FilterRegistry& registry);

struct DirectionCounters {
  stats::Counter decompressed, not_decompressed, total_uncompressed_bytes, total_compressed_bytes, failed;
};
struct Counters {
  DirectionCounters request, response;
};

class DecompressorFilter final : public stream::Filter {
 public:
  DecompressorFilter(const Config& config, const Counters& counters) : config_(config), counters_(counters) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus decode_trailers(http::HeaderMap& trailers) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus encode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;

 private:
  std::unique_ptr<compression::Decompressor> begin(const Direction& direction, http::HeaderMap& headers, bool end_stream, const DirectionCounters& counters) const;
  // False when the stream has been ended.
  bool run(compression::Decompressor& codec, net::Buffer& data, bool finish, bool request);

  const Config& config_;
  const Counters& counters_;
  std::unique_ptr<compression::Decompressor> request_codec_, response_codec_;
};

}  // namespace fairlead::filters::decompressor
