// See filter.h.
#include "dataplane/filters/http/buffer/filter.h"

#include <absl/strings/str_cat.h>

#include "dataplane/stream/stream.h"

namespace fairlead::filters::buffer {

using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

void register_filter(stream::FilterRegistry& registry) { registry.add_configured<BufferFilter, Config>("type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer"); }

HeadersStatus BufferFilter::decode_headers(http::HeaderMap&, bool end_stream) {
  if (end_stream || stream().is_upgrade()) return HeadersStatus::kContinue;  // the body of an upgrade has no end
  const auto* route = dynamic_cast<const RouteConfig*>(stream().per_route_config(*this));
  if (route != nullptr && route->disabled) return HeadersStatus::kContinue;
  limit_ = route != nullptr ? route->max_request_bytes : config_.max_request_bytes;
  stream().set_buffer_limit(static_cast<uint32_t>(limit_));
  holds_ = true;
  return HeadersStatus::kStopAndRead;
}

DataStatus BufferFilter::decode_data(net::Buffer& data, bool end_stream) {
  if (!holds_) return DataStatus::kContinue;
  size_ += data.size();
  if (!end_stream || size_ > limit_) return DataStatus::kHold;  // over the limit, holding is what answers 413
  set_length();
  return DataStatus::kContinue;
}

TrailersStatus BufferFilter::decode_trailers(http::HeaderMap&) {
  if (holds_) set_length();
  return TrailersStatus::kContinue;
}

void BufferFilter::set_length() {
  holds_ = false;
  http::HeaderMap& headers = stream().request_headers();
  if (headers.has(Token::ContentLength)) return;
  headers.remove(Token::TransferEncoding);
  headers.set(Token::ContentLength, absl::StrCat(size_));
}

}  // namespace fairlead::filters::buffer
