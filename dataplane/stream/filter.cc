// A filter that overrides nothing lets everything pass; see filter.h.
#include "dataplane/stream/filter.h"

#include "dataplane/stream/stream.h"

namespace fairlead::stream {

HeadersStatus Filter::decode_headers(http::HeaderMap&, bool) { return HeadersStatus::kContinue; }
DataStatus Filter::decode_data(net::Buffer&, bool) { return DataStatus::kContinue; }
TrailersStatus Filter::decode_trailers(http::HeaderMap&) { return TrailersStatus::kContinue; }
HeadersStatus Filter::encode_headers(http::HeaderMap&, bool) { return HeadersStatus::kContinue; }
DataStatus Filter::encode_data(net::Buffer&, bool) { return DataStatus::kContinue; }
TrailersStatus Filter::encode_trailers(http::HeaderMap&) { return TrailersStatus::kContinue; }

void Filter::continue_decoding() { stream_->continue_decoding(index_); }
void Filter::continue_encoding() { stream_->continue_encoding(index_); }
void Filter::send_request_data(net::Buffer& data, bool end_stream) { stream_->inject_request(index_, data, end_stream); }
void Filter::send_response_data(net::Buffer& data, bool end_stream) { stream_->inject_response(index_, data, end_stream); }
void Filter::send_response_trailers(http::HeaderMap& trailers) { stream_->inject_response_trailers(index_, trailers); }

FilterRegistry& FilterRegistry::global() {
  static FilterRegistry registry;
  return registry;
}

}  // namespace fairlead::stream
