// A stream's way through its filters, the same for both directions: requests visit filters in order, responses in reverse and without the
// terminal one. A filter that stops makes the direction hold what comes; resume() replays it from the next position on.
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/http_connection.h"
#include "dataplane/stream/stream.h"

namespace fairlead::stream {

template <>
uint8_t Stream::positions<true>() const {
  return filter_count_;
}
template <>
uint8_t Stream::positions<false>() const {
  return filter_count_ == 0 ? 0 : filter_count_ - 1;
}
template <>
Filter& Stream::filter_at<true>(uint8_t position) const {
  return *filters_[position];
}
template <>
Filter& Stream::filter_at<false>(uint8_t position) const {
  return *filters_[filter_count_ - 2 - position];
}
// Whether the direction has been given up since the last filter was called.
template <>
bool Stream::stopped<true>() const {
  return decoding_stopped_ || !active_;
}
template <>
bool Stream::stopped<false>() const {
  return !active_;
}

template <bool kRequest>
void Stream::pass_headers(uint8_t from) {
  Direction& d = direction<kRequest>();
  for (uint8_t i = from; i < positions<kRequest>(); ++i) {
    d.headers_seen = i + 1;
    const bool end = d.ended && !d.holds() && d.trailers == nullptr;
    Filter& filter = filter_at<kRequest>(i);
    HeadersStatus status;
    if constexpr (kRequest) {
      status = filter.decode_headers(*request_headers_, end);
    } else {
      status = filter.encode_headers(*response_headers_, end);
    }
    if (stopped<kRequest>()) return;
    if (status != HeadersStatus::kContinue) {
      d.stopped_at = i;
      d.reads_body = status == HeadersStatus::kStopAndRead;
      return;
    }
  }
  d.end_passed = d.ended && !d.holds() && d.trailers == nullptr;
  if constexpr (!kRequest) respond_headers(d.end_passed);
}

template <bool kRequest>
void Stream::pass_data(uint8_t from, net::Buffer& data, bool end_stream) {
  Direction& d = direction<kRequest>();
  for (uint8_t i = from; i < positions<kRequest>(); ++i) {
    if (i == d.stopped_at && !d.reads_body) return hold<kRequest>(data);
    Filter& filter = filter_at<kRequest>(i);
    const DataStatus status = kRequest ? filter.decode_data(data, end_stream) : filter.encode_data(data, end_stream);
    if (stopped<kRequest>()) return;
    if (status == DataStatus::kTaken) {
      data.clear();
      if (end_stream && !d.ended_by_filter) d.ended = false;  // for the filters after it
      return;
    }
    if (status == DataStatus::kHold && (d.stopped_at == kNobody || d.stopped_at <= i)) {
      d.stopped_at = i;
      d.reads_body = true;
      hold<kRequest>(data);
      return;
    }
    if (d.stopped_at == i) {  // it held until now and lets go with this piece
      d.holder().append(data);
      resume<kRequest>(i);
      return;
    }
  }
  if (end_stream) d.end_passed = true;
  if constexpr (!kRequest) {
    if (!active_) return;
    record_.bytes.body_sent += data.size();
    sender_->send_data(data, end_stream);
    if (end_stream) response_sent();
  }
}

template <bool kRequest>
void Stream::pass_trailers(uint8_t from) {
  Direction& d = direction<kRequest>();
  for (uint8_t i = from; i < positions<kRequest>(); ++i) {
    if (i == d.stopped_at) return offer_trailers<kRequest>();
    Filter& filter = filter_at<kRequest>(i);
    const TrailersStatus status = kRequest ? filter.decode_trailers(*d.trailers) : filter.encode_trailers(*d.trailers);
    if (stopped<kRequest>()) return;
    if (status == TrailersStatus::kTaken) {
      if (!d.ended_by_filter) {
        d.ended = false;
        d.trailers = nullptr;
      }
      return;
    }
    if (status == TrailersStatus::kStop) {
      d.stopped_at = i;
      d.reads_body = false;
      return;
    }
  }
  d.end_passed = true;
  if constexpr (!kRequest) {
    sender_->send_trailers(*d.trailers);
    response_sent();
  }
}

// Hands on what was held: headers first if they have not passed, then the body, then trailers.
template <bool kRequest>
void Stream::pass_held(uint8_t from) {
  Direction& d = direction<kRequest>();
  if (d.headers_seen == from && (d.headers_seen < positions<kRequest>() || (!kRequest && !response_begun_))) pass_headers<kRequest>(from);
  if (stopped<kRequest>() || d.stopped_at != kNobody || d.end_passed) return;
  if (d.holds() || (d.ended && d.trailers == nullptr)) {
    net::Buffer data;
    if (d.held != nullptr) data = std::move(*d.held);
    pass_data<kRequest>(from, data, d.ended && d.trailers == nullptr);
  }
  if (stopped<kRequest>() || d.stopped_at != kNobody || d.end_passed || d.trailers == nullptr) return;
  pass_trailers<kRequest>(from);
}

template <bool kRequest>
void Stream::resume(uint8_t position) {
  Direction& d = direction<kRequest>();
  if (!active_ || d.stopped_at != position) return;
  d.stopped_at = kNobody;
  d.reads_body = false;
  if (d.paused) {
    d.paused = false;
    if constexpr (kRequest) {
      sender_->resume_reading();
    } else {
      resume_response();
    }
  }
  pass_held<kRequest>(position + 1);
}

template <bool kRequest>
void Stream::hold(net::Buffer& data) {
  Direction& d = direction<kRequest>();
  net::Buffer& held = d.holder();
  held.append(data);
  if (buffer_limit_ == 0 || held.size() <= buffer_limit_) return;
  if (d.reads_body) {
    // The filter waits for more than fits: nothing can move any more.
    if constexpr (kRequest) {
      worker_.cells().add(manager().stats, stats::HttpStat::downstream_rq_too_large);
      send_local_reply({.status = 413, .body = "Payload Too Large", .details = "request_payload_too_large"});
    } else {
      worker_.cells().add(manager().stats, stats::HttpStat::rs_too_large);
      held.clear();
      if (response_begun_) return reset("response_payload_too_large");
      response_headers_known_ = false;
      send_local_reply({.status = 500, .body = "Internal Server Error", .details = "response_payload_too_large"});
    }
  } else if (!d.paused) {
    d.paused = true;
    if constexpr (kRequest) {
      sender_->pause_reading();
    } else {
      pause_response();
    }
  }
}

template <bool kRequest>
void Stream::arrived_data(net::Buffer& data, bool end_stream) {
  Direction& d = direction<kRequest>();
  d.ended = d.ended || end_stream;
  pass_data<kRequest>(0, data, end_stream);  // as far as the filter that has stopped, if one has
}

template <bool kRequest>
void Stream::arrived_trailers(http::HeaderMap& trailers) {
  Direction& d = direction<kRequest>();
  d.ended = true;
  d.trailers = &trailers;
  pass_trailers<kRequest>(0);
}

// The filter that holds the body sees the trailers, and may let go with them.
template <bool kRequest>
void Stream::offer_trailers() {
  Direction& d = direction<kRequest>();
  if (!d.reads_body) return;
  Filter& filter = filter_at<kRequest>(d.stopped_at);
  const TrailersStatus status = kRequest ? filter.decode_trailers(*d.trailers) : filter.encode_trailers(*d.trailers);
  if (!stopped<kRequest>() && status == TrailersStatus::kContinue && d.stopped_at != kNobody) resume<kRequest>(d.stopped_at);
}

// A filter's own bytes, to those after it. They may hold the bytes like any other.
template <bool kRequest>
void Stream::inject(uint8_t position, net::Buffer& data, bool end_stream) {
  if (stopped<kRequest>()) return data.clear();
  Direction& d = direction<kRequest>();
  if (end_stream) {
    d.ended = d.ended_by_filter = true;
    d.trailers = nullptr;
  }
  touch();
  pass_data<kRequest>(position + 1, data, end_stream);
}

void Stream::inject_request(uint8_t index, net::Buffer& data, bool end_stream) { inject<true>(index, data, end_stream); }
void Stream::inject_response(uint8_t index, net::Buffer& data, bool end_stream) { inject<false>(filter_count_ - 2 - index, data, end_stream); }
void Stream::inject_response_trailers(uint8_t index, http::HeaderMap& trailers) {
  if (stopped<false>()) return;
  encode_.ended = encode_.ended_by_filter = true;
  encode_.trailers = &trailers;
  pass_trailers<false>(filter_count_ - 1 - index);
}

void Stream::continue_decoding(uint8_t index) { resume<true>(index); }
void Stream::continue_encoding(uint8_t index) { resume<false>(filter_count_ - 2 - index); }

template void Stream::pass_headers<true>(uint8_t);
template void Stream::pass_headers<false>(uint8_t);
template void Stream::arrived_data<true>(net::Buffer&, bool);
template void Stream::arrived_data<false>(net::Buffer&, bool);
template void Stream::arrived_trailers<true>(http::HeaderMap&);
template void Stream::arrived_trailers<false>(http::HeaderMap&);

}  // namespace fairlead::stream
