// nghttp2's callbacks (core.h): they note what happened and run no user code.
#include <algorithm>
#include <memory>
#include <utility>

#include "dataplane/http/h2/core.h"
#include "dataplane/http/h2/keepalive.h"
#include "dataplane/http/h2/memory.h"

namespace fairlead::h2 {

namespace {

// A chunk of this size or more is taken by reference to its block; less is copied, so that a small chunk cannot pin a large block.
constexpr size_t kMoveFrom = 4096;
constexpr size_t kFrameHeader = 9;
constexpr size_t kMaxKnown = 256;  // bytes of a field that is kept as known
constexpr std::string_view kMessaging = "http2.violation.of.messaging.rule";

Session& self(void* user) { return *static_cast<Session*>(user); }

struct FreeOption {
  void operator()(nghttp2_option* o) const { nghttp2_option_del(o); }
};

}  // namespace

struct Session::Callbacks {
  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* hd, void* user) {
    Session& s = self(user);
    std::optional<Stat> breach;
    switch (hd->type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_CONTINUATION: {
        const bool whole = (hd->flags & NGHTTP2_FLAG_END_HEADERS) != 0;
        breach = s.inbound_.headers(hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0, whole);
        if (Stream* stream = hd->type == NGHTTP2_CONTINUATION ? s.block_stream_ : nullptr; stream != nullptr) {
          stream->header_received += hd->length + kFrameHeader;
          stream->bytes_received += hd->length + kFrameHeader;
        }
        break;
      }
      case NGHTTP2_PRIORITY:
        breach = s.inbound_.priority();
        break;
      case NGHTTP2_WINDOW_UPDATE:
        breach = s.inbound_.window_update();
        break;
      default:
        break;
    }
    if (breach) flooded(s, *breach);
    return 0;
  }

  static void flooded(Session& s, Stat stat) {
    if (s.failed_) return;
    s.count(stat);
    s.fail(NGHTTP2_ENHANCE_YOUR_CALM, stat_name(stat));
  }

  static int on_begin_headers(nghttp2_session* ng, const nghttp2_frame* frame, void* user) {
    Session& s = self(user);
    const int32_t id = frame->hd.stream_id;
    Stream* stream = nullptr;
    BlockKind kind = BlockKind::Trailers;
    if (s.server_ && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      stream = &s.add_stream(nullptr);
      stream->id = id;
      stream->on_wire = true;
      nghttp2_session_set_stream_user_data(ng, id, stream);
      s.cached_id_ = id;
      s.cached_ = stream;
      kind = BlockKind::Request;
    } else {
      stream = s.stream_of(id);
      if (stream == nullptr) s.count(Stat::headers_cb_no_stream);
      if (!s.server_ && stream != nullptr && !stream->head_seen) kind = BlockKind::Response;
    }
    if (s.in_block_) {  // one that never ended
      for (size_t i = s.block_at_; i < s.fields_.size(); ++i) release(s.fields_[i]);
      s.fields_.resize(s.block_at_);
    }
    s.in_block_ = true;
    s.block_stream_ = stream;
    s.block_at_ = static_cast<uint32_t>(s.fields_.size());
    s.block_.start(kind, s.settings_);
    if (stream != nullptr) {
      stream->header_received += frame->hd.length + kFrameHeader;
      stream->bytes_received += frame->hd.length + kFrameHeader;
    }
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t, void* user) {
    Session& s = self(user);
    if (s.block_stream_ == nullptr || s.block_stream_->over) return 0;
    const nghttp2_vec n = nghttp2_rcbuf_get_buf(name);
    const nghttp2_vec v = nghttp2_rcbuf_get_buf(value);
    const bool static_name = nghttp2_rcbuf_is_static(name) != 0;
    const bool static_value = nghttp2_rcbuf_is_static(value) != 0;
    Field field{nullptr, nullptr, reinterpret_cast<const char*>(n.base), reinterpret_cast<const char*>(v.base),
                static_cast<uint32_t>(n.len), static_cast<uint32_t>(v.len), http::Token::Other};
    const http::Token* known = s.known_.find(name, value);
    if (!s.block_.add(field, static_name, static_value, known)) return 0;
    if (known == nullptr && n.len + v.len <= kMaxKnown) s.known_.add(name, value, field.token);
    if (field.token == http::Token::Other && !static_name) {
      field.name_owner = name;
      nghttp2_rcbuf_incref(name);
    }
    if (!static_value) {
      field.value_owner = value;
      nghttp2_rcbuf_incref(value);
    }
    s.fields_.push_back(field);
    return 0;
  }

  static int on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& s = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_DATA:
        on_data_frame(s, frame);
        break;
      case NGHTTP2_HEADERS:
        on_headers_frame(s, frame);
        break;
      case NGHTTP2_RST_STREAM:
        s.count(Stat::rx_reset);
        if (Stream* stream = s.stream_of(frame->hd.stream_id); stream != nullptr) stream->reset_by_peer = true;
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && s.keepalive_ != nullptr) s.keepalive_->on_ping_answered();
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) s.settings_seen_ = true;
        break;
      case NGHTTP2_GOAWAY:
        s.goaway_seen_ = true;
        break;
      default:
        break;
    }
    return 0;
  }

  static void on_data_frame(Session& s, const nghttp2_frame* frame) {
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (auto breach = s.inbound_.payload(frame->hd.length == frame->data.padlen && !end)) return flooded(s, *breach);
    Stream* stream = s.stream_of(frame->hd.stream_id);
    if (stream == nullptr) return;
    stream->bytes_received += frame->hd.length + kFrameHeader;
    if (end) message_ended(s, *stream);
  }

  static void message_ended(Session& s, Stream& stream) {
    if (stream.close_known) return;  // rejected: however it ends, it is not complete
    stream.peer_ended = true;
    if (stream.over) return;
    const bool short_of = stream.length_left != 0 && stream.length_left != UINT64_MAX;
    if (short_of || !stream.head_seen) return s.reject_body(stream);
    if (stream.last_event >= 0) {
      // A head stays without its end: gRPC's servers take the end of a request from a DATA frame alone, and from no other.
      Event& last = s.events_[static_cast<size_t>(stream.last_event)];
      if (last.kind == EventKind::Body) {
        last.end = true;
        return;
      }
    }
    s.push_event(stream, EventKind::Body, true);
  }

  static void on_headers_frame(Session& s, const nghttp2_frame* frame) {
    s.in_block_ = false;
    Stream* stream = std::exchange(s.block_stream_, nullptr);
    if (stream == nullptr || stream->over || s.failed_) return;
    s.block_.finish();
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool trailers = stream->head_seen;
    if (stream->close_known) return;
    if (!s.block_.problem().empty()) return s.reject(*stream, s.block_.problem());
    if (s.block_.too_large()) {
      s.count(s.block_.too_many_bytes() ? Stat::header_list_size_too_large : Stat::header_overflow);
      if (!s.server_ || trailers) {
        stream->close_known = true;
        stream->close_reason = http::ResetReason::ProtocolError;
        stream->close_detail = "http2.too_many_headers";
        s.reset_on_wire(*stream, NGHTTP2_INTERNAL_ERROR);  // Envoy 1.40's code
        return;
      }
    }
    if (end) stream->peer_ended = true;
    if (trailers) {
      if (!end || (stream->length_left != 0 && stream->length_left != UINT64_MAX)) return s.reject(*stream, kMessaging);
      if (s.server_) s.count(Stat::trailers);  // Envoy 1.40: of requests alone
      s.push_event(*stream, EventKind::Trailers, true);
      return;
    }
    if (!s.server_) return on_response_head(s, *stream, end);
    stream->head_seen = true;
    stream->connect = s.block_.connect();
    stream->extended = s.block_.extended();
    stream->head_method = s.block_.head_method();
    on_head(s, *stream, end, s.block_.has_length() && !stream->connect);
  }

  static void on_response_head(Session& s, Stream& stream, bool end) {
    const unsigned status = s.block_.status();
    if (status < 200) {
      if (end) return s.reject(stream, kMessaging);
      s.push_event(stream, EventKind::Informational, false);
      return;
    }
    stream.head_seen = true;
    stream.tunnel = stream.connect && status < 300 && (!stream.extended || status == 200);
    stream.bodiless = stream.head_method || status == 204 || status == 304;
    on_head(s, stream, end, s.block_.has_length() && !stream.bodiless && !stream.tunnel);
  }

  static void on_head(Session& s, Stream& stream, bool end, bool counted) {
    if (counted) stream.length_left = s.block_.length();
    if (counted && end && stream.length_left != 0) return s.reject(stream, kMessaging);
    s.push_event(stream, EventKind::Head, end);
  }

  static int on_data_chunk(nghttp2_session* ng, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    Session& s = self(user);
    Stream* stream = s.stream_of(id);
    if (stream == nullptr || stream->over || stream->close_known || s.failed_) {
      nghttp2_session_consume_connection(ng, size);
      return 0;
    }
    const bool counted = stream->length_left != UINT64_MAX;
    if ((counted && size > stream->length_left) || !stream->head_seen || (!s.server_ && stream->bodiless)) {
      nghttp2_session_consume_connection(ng, size);
      s.reject_body(*stream);
      return 0;
    }
    if (counted) stream->length_left -= size;
    const char* at = reinterpret_cast<const char*>(data);
    if (size >= kMoveFrom) {
      s.input_->drain(static_cast<size_t>(at - s.input_at_));
      s.input_->move_to(stream->in, size);
      s.input_at_ = at + size;
    } else {
      s.pieces_.append_to(stream->in, std::string_view(at, size));
    }
    if (stream->last_event < 0 || s.events_[static_cast<size_t>(stream->last_event)].kind != EventKind::Body) {
      s.push_event(*stream, EventKind::Body, false);
    }
    return 0;
  }

  static int on_stream_close(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Session& s = self(user);
    Stream* stream = s.stream_of(id);
    s.cached_id_ = -1;
    if (stream == nullptr) return 0;
    stream->on_wire = false;
    if (s.block_stream_ == stream) s.block_stream_ = nullptr;
    if (!s.server_) --s.live_on_wire_;
    if (s.server_) {
      const bool premature = stream->reset_by_peer && !stream->headers_sent &&
                             s.connection_->loop().now() - stream->began < s.settings_.premature_reset_lifetime;
      if (s.premature_.ended(premature)) flooded(s, Stat::too_many_premature_resets);
    }
    if (!stream->over && !(stream->ended && stream->peer_ended)) {
      if (!stream->close_known) {
        const bool refused = code == NGHTTP2_REFUSED_STREAM && (stream->reset_by_peer || s.goaway_seen_);
        stream->close_known = true;
        stream->close_reason = refused                 ? http::ResetReason::RemoteRefused
                               : stream->reset_by_peer ? http::ResetReason::RemoteReset
                                                       : http::ResetReason::ProtocolError;
        stream->close_detail = refused                 ? std::string_view("http2.remote_refuse")
                               : stream->reset_by_peer ? std::string_view("http2.remote_reset")
                                                       : kMessaging;
      }
      s.push_event(*stream, EventKind::Closed, true);
    }
    s.touch(*stream);
    s.schedule();
    return 0;
  }

  static int on_invalid_frame_recv(nghttp2_session*, const nghttp2_frame*, int error, void* user) {
    Session& s = self(user);
    if (error == NGHTTP2_ERR_REFUSED_STREAM) s.count(Stat::stream_refused_errors);
    return 0;
  }

  static int on_frame_send(nghttp2_session* ng, const nghttp2_frame* frame, void* user) {
    Session& s = self(user);
    const auto type = frame->hd.type;
    s.outbound_.add(type == NGHTTP2_RST_STREAM || type == NGHTTP2_PING || type == NGHTTP2_SETTINGS);
    if (type == NGHTTP2_GOAWAY) {
      s.count(Stat::goaway_sent);
      s.goaway_final_ |= frame->goaway.last_stream_id != INT32_MAX;
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !s.failed_) {
        s.failed_ = s.peer_at_fault_ = true;
        s.fail_detail_ = "http2.protocol_error";
      }
      return 0;
    }
    if (type == NGHTTP2_RST_STREAM) {
      s.count(Stat::tx_reset);
      return 0;
    }
    if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA) return 0;
    Stream* stream = type == NGHTTP2_HEADERS && !s.server_ ? static_cast<Stream*>(nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id))
                                                           : s.stream_of(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const size_t size = frame->hd.length + kFrameHeader;  // of HEADERS, what send_block() puts in is not there yet
    stream->bytes_sent += size;
    if (type == NGHTTP2_HEADERS) {
      s.block_of_ = stream;
      stream->header_sent += size;
      stream->on_wire = true;
    } else {
      s.inbound_.data_frame_sent();
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      stream->end_sent = true;
      // What still comes of the request is of no use to anyone (RFC 9113 section 8.1).
      if (s.server_ && !stream->peer_ended) s.reset_on_wire(*stream, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int on_frame_not_send(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    Session& s = self(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (Stream* stream = s.stream_of(frame->hd.stream_id); stream != nullptr && stream->on_wire) {
      s.reset_on_wire(*stream, NGHTTP2_INTERNAL_ERROR);  // it could not leave
    }
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags, nghttp2_data_source* source, void* user) {
    Session& s = self(user);
    Stream& stream = *static_cast<Stream*>(source->ptr);
    if (s.connection_->above_high_watermark()) {
      if (!stream.held) {
        stream.held = true;
        stream.next_held = s.held_;
        s.held_ = &stream;
      }
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    const size_t n = std::min(size, stream.out.size());
    if (n != stream.out.size()) return static_cast<ssize_t>(n);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    stream.data_submitted = false;
    if (!stream.ended || stream.trailers_out != nullptr) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (stream.trailers_out != nullptr) s.submit_trailers(stream);
    return static_cast<ssize_t>(n);
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* framehd, size_t size, nghttp2_data_source* source, void* user) {
    Session& s = self(user);
    Stream& stream = *static_cast<Stream*>(source->ptr);
    net::Buffer& out = s.connection_->output();
    out.append(std::string_view(reinterpret_cast<const char*>(framehd), kFrameHeader));
    stream.out.move_to(out, size);
    s.touch(stream);
    s.connection_->output_changed();  // keeps the watermark true for read_body(); on_write_high() waits for the end of pump()
    return 0;
  }
};

void Session::set_up() {
  static nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, Callbacks::on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, Callbacks::on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(c, Callbacks::on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, Callbacks::on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, Callbacks::on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, Callbacks::on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, Callbacks::on_invalid_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, Callbacks::on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, Callbacks::on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(c, Callbacks::send_data);
    return c;
  }();
  read_body_ = Callbacks::read_body;
  nghttp2_option* raw = nullptr;
  nghttp2_option_new(&raw);
  std::unique_ptr<nghttp2_option, FreeOption> option(raw);
  nghttp2_option_set_no_auto_window_update(raw, 1);
  nghttp2_option_set_no_http_messaging(raw, 1);
  nghttp2_option_set_no_closed_streams(raw, 1);  // they only serve priorities
  nghttp2_option_set_peer_max_concurrent_streams(raw, 100);  // until the peer's SETTINGS say; RFC 9113 section 6.5.2 asks for no fewer
  nghttp2_option_set_max_deflate_dynamic_table_size(raw, settings_.hpack_table_size);
  nghttp2_option_set_max_send_header_block_length(raw, 1 << 20);
  if (server_) {
    nghttp2_session_server_new3(&ng_, callbacks, this, raw, memory_.get());
  } else {
    nghttp2_session_client_new3(&ng_, callbacks, this, raw, memory_.get());
  }
  nghttp2_settings_entry entries[5];
  size_t n = 0;
  entries[n++] = {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, settings_.hpack_table_size};
  if (server_) {
    entries[n++] = {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, settings_.allow_connect ? 1u : 0u};
    entries[n++] = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings_.max_concurrent_streams};
  } else {
    entries[n++] = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  }
  entries[n++] = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings_.initial_stream_window_size};
  nghttp2_submit_settings(ng_, NGHTTP2_FLAG_NONE, entries, n);
  const auto window = static_cast<int32_t>(settings_.initial_connection_window_size);
  nghttp2_session_set_local_window_size(ng_, NGHTTP2_FLAG_NONE, 0, window);
}

}  // namespace fairlead::h2
