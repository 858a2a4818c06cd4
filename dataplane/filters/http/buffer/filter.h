// Holds a request until its whole body is here, then sends it with a content-length; larger ones are 413.
// One per stream, in its arena; one worker.
#pragma once

#include "dataplane/filters/http/buffer/config.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::buffer {

void register_filter(stream::FilterRegistry& registry);

class BufferFilter final : public stream::Filter {
 public:
  explicit BufferFilter(const Config& config) : config_(config) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus decode_trailers(http::HeaderMap& trailers) override;

 private:
  void set_length();

  const Config& config_;
  bool holds_ = false;
  uint64_t size_ = 0;
  uint64_t limit_ = 0;
};

}  // namespace fairlead::filters::buffer
