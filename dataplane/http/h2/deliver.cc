// Telling receivers what was read (core.h). Here user code runs, so every step looks again at what is left of the stream.
#include <utility>

#include "dataplane/http/h2/core.h"

namespace fairlead::h2 {

void Session::push_event(Stream& stream, EventKind kind, bool end) {
  const auto size = static_cast<uint32_t>(fields_.size());
  const bool has_fields = kind == EventKind::Head || kind == EventKind::Informational || kind == EventKind::Trailers;
  const uint32_t from = has_fields ? block_at_ : size;
  stream.last_event = static_cast<int32_t>(events_.size());
  ++stream.events;
  events_.push_back({&stream, from, size - from, kind, end, has_fields && block_.too_large()});
}

void Session::deliver() {
  uint32_t released = 0;  // fields up to there, with those of messages that were refused: while they are still in the cache
  for (size_t i = 0; i < events_.size(); ++i) {
    const Event event = events_[i];  // by value: more may come
    if (event.stream->last_event == static_cast<int32_t>(i)) event.stream->last_event = -1;
    if (!closed_) deliver(event);
    if (event.fields_count != 0) {
      while (released < event.fields_at + event.fields_count) release(fields_[released++]);
    }
    --event.stream->events;
    if (event.stream->over) touch(*event.stream);
  }
  events_.clear();
  const uint32_t open = in_block_ ? block_at_ : static_cast<uint32_t>(fields_.size());
  while (released < open) release(fields_[released++]);
  fields_.erase(fields_.begin(), fields_.begin() + open);
  block_at_ = 0;
}

void Session::deliver(const Event& event) {
  Stream& stream = *event.stream;
  if (stream.over) return;
  switch (event.kind) {
    case EventKind::Head:
      return deliver_head(stream, event);
    case EventKind::Informational: {
      http::Arena& arena = stream.receiver->arena();
      auto* headers = arena.make<http::HeaderMap>(arena);
      build_response(&fields_[event.fields_at], event.fields_count, {}, *headers);
      return stream.receiver->on_informational(*headers);
    }
    case EventKind::Body:
      stream.end_due |= event.end;
      return deliver_body(stream);
    case EventKind::Trailers:
      return deliver_trailers(stream, event);
    case EventKind::Closed:
      return deliver_closed(stream);
    case EventKind::Resumed:
      if (stream.paused == 0 && stream.receiver != nullptr && (!stream.in.empty() || stream.end_due || stream.trailers_due != nullptr)) deliver_body(stream);
      return;
  }
}

// What is there of the body, and what ends it.
void Session::deliver_body(Stream& stream) {
  if (stream.deaf) {
    consume(stream, stream.in.size());
    stream.in.clear();
    return;
  }
  if (stream.paused != 0 || stream.receiver == nullptr) return;
  http::HeaderMap* trailers = stream.trailers_due;
  const bool end = stream.end_due && trailers == nullptr;
  if (!stream.in.empty() || end) {
    const size_t size = stream.in.size();
    net::Buffer data(std::move(stream.in));
    if (size != 0) consume(stream, size);
    if (end) {
      stream.end_due = false;
      stream.end_told = true;
    }
    stream.receiver->on_data(data, end);
    if (stream.over) return;
    if (end) return message_received(stream);
  }
  if (trailers == nullptr || stream.paused != 0) return;
  stream.trailers_due = nullptr;
  stream.end_due = false;
  stream.end_told = true;
  stream.receiver->on_trailers(*trailers);
  if (!stream.over) message_received(stream);
}

void Session::deliver_trailers(Stream& stream, const Event& event) {
  if (stream.deaf) return;
  http::Arena& arena = stream.receiver->arena();
  auto* trailers = arena.make<http::HeaderMap>(arena);
  build_trailers(&fields_[event.fields_at], event.fields_count, *trailers);
  stream.trailers_due = trailers;
  stream.end_due = true;
  deliver_body(stream);
}

void Session::deliver_closed(Stream& stream) {
  // A whole response is no less whole for a RST_STREAM behind it; what a paused receiver has not seen of it still comes.
  if (!server_ && stream.peer_ended && (stream.end_due || stream.trailers_due != nullptr)) return;
  if (server_ && stream.receiver == nullptr && stream.close_reason == http::ResetReason::ProtocolError) begin_refused(stream);
  http::MessageReceiver* receiver = stream.receiver;
  end_for_user(stream);
  if (receiver != nullptr) receiver->on_reset(stream.close_reason, stream.close_detail);
  went_idle();
}

void Session::consume(Stream& stream, size_t bytes) {
  if (stream.on_wire && !stream.peer_ended) {
    nghttp2_session_consume(ng_, stream.id, bytes);
  } else {
    nghttp2_session_consume_connection(ng_, bytes);
  }
}

}  // namespace fairlead::h2
