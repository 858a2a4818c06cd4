// Compresses responses for clients that accept it, and requests for upstreams that are known to. Several of these filters in one chain
// choose together: the first one asked decides for all of the stream.
// One per stream, in its arena; one worker.
#pragma once

#include <memory>

#include "dataplane/filters/http/compressor/config.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::compressor {

void register_filter(stream::FilterRegistry& registry);

struct DirectionCounters {
  stats::Counter compressed, not_compressed, content_length_too_small, total_uncompressed_bytes, total_compressed_bytes;
};
struct Counters {
  DirectionCounters request, response;
  stats::Counter no_accept_header, header_identity, header_compressor_used, header_compressor_overshadowed, header_wildcard, header_not_valid, not_compressed_etag;
};

class CompressorFilter final : public stream::Filter {
 public:
  CompressorFilter(const Config& config, const Counters& counters) : config_(config), counters_(counters) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus decode_trailers(http::HeaderMap& trailers) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus encode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;

 private:
  struct Group;  // what the compressors of one stream share, in its arena
  bool long_enough(const Direction& direction, const DirectionCounters& counters, const http::HeaderMap& headers) const;
  static bool type_allowed(const Direction& direction, const http::HeaderMap& headers);
  bool code_allowed(uint32_t status) const;
  bool accepted(const http::HeaderMap& headers);
  void compress_response_headers(http::HeaderMap& headers);
  void run(compression::Compressor& codec, net::Buffer& data, bool finish, const DirectionCounters& counters) const;
  stats::Cells& cells() const;

  const Config& config_;
  const Counters& counters_;
  bool disabled_ = false;
  Group* group_ = nullptr;
  CompressorFilter* next_ = nullptr;  // in the chain, of the group
  std::string_view accept_encoding_;
  bool has_accept_encoding_ = false;
  std::unique_ptr<compression::Compressor> request_codec_, response_codec_;
};

}  // namespace fairlead::filters::compressor
