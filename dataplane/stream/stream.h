// One request and its response: the filter chain between the downstream codec and the terminal filter, with everything known about the
// request on the way (route, flags, times, counts). Filters talk to the proxy through it.
// Taken from the worker's spares for each request and given back after it, with its arena; one worker. A stream pins the epoch it began
// with, so its route stays valid whatever is published meanwhile.
// Order of a life: begin → on_headers → filters → response → end (access log) → recycle at the end of the turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/format/context.h"
#include "dataplane/http/codec.h"
#include "dataplane/net/timer.h"
#include "dataplane/router/route_table.h"
#include "dataplane/stream/filter.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::stream {

class ConnectionManager;
class HttpConnection;

struct LocalReply {
  uint32_t status = 500;
  std::string_view body;
  std::string_view details;                            // %RESPONSE_CODE_DETAILS%; static or arena text
  std::optional<uint32_t> grpc_status;                 // unset: mapped from `status`
  std::function<void(http::HeaderMap&)> modify_headers;  // before the encoder filters see them
};

class Stream final : public http::MessageReceiver {
 public:
  explicit Stream(WorkerContext& worker);
  ~Stream() override;

  // --- for filters ---------------------------------------------------------------------------------------------------------------
  http::HeaderMap& request_headers() { return *request_headers_; }
  http::HeaderMap* request_trailers() { return request_trailers_; }
  http::HeaderMap* response_headers() { return response_headers_; }
  http::Arena& arena() override { return arena_; }

  // The route that matches the headers as they are at the first call; later calls repeat the answer until clear_route_cache().
  const router::Match& route();
  const router::RouteTable* route_table() const { return table_; }
  void clear_route_cache() { route_known_ = false; }
  // The route's configuration for the calling filter, from the most specific level; null when there is none.
  const router::PerFilterConfig* per_route_config(const Filter& filter);

  // Answers in place of the upstream, through the encoder filters. Nothing more of the request reaches any filter.
  void send_local_reply(const LocalReply& reply);
  bool response_begun() const { return response_begun_; }

  void set_flag(format::ResponseFlag flag) { info_.flags.set(flag); }
  // `details` must be static or arena text.
  void set_details(std::string_view details) { info_.response_code_details = details; }
  // What a formatter sees; fields of the connection are filled in.
  const format::FormatContext& info();
  format::FormatContext& mutable_info() { return info_; }
  uint64_t random() const { return random_; }  // the same for the whole life
  bool internal_request() const { return internal_; }
  bool request_complete() const { return request_complete_; }
  bool is_grpc() const { return grpc_; }
  bool is_head() const { return head_; }
  bool is_upgrade() const { return upgrade_; }
  uint32_t buffer_limit() const { return buffer_limit_; }
  void set_buffer_limit(uint32_t bytes) { buffer_limit_ = bytes; }
  std::chrono::nanoseconds since_start() const;
  void mark(format::TimePoint point) { info_.times.set(point, since_start()); }

  WorkerContext& worker() const { return worker_; }
  HttpConnection& connection() const { return *connection_; }
  const ConnectionManager& manager() const;

  // --- for the terminal filter ---------------------------------------------------------------------------------------------------
  void encode_informational(http::HeaderMap& headers);
  void encode_headers(http::HeaderMap& headers, bool end_stream);
  void encode_data(net::Buffer& data, bool end_stream);
  void encode_trailers(http::HeaderMap& trailers);
  // The response cannot be finished: the client sees the connection break. `details` as above.
  void reset(std::string_view details);
  // Holds the client back while the upstream cannot take more. Counted.
  void pause_request() { if (sender_ != nullptr) sender_->pause_reading(); }
  void resume_request() { if (sender_ != nullptr) sender_->resume_reading(); }
  bool response_blocked() const { return sender_ != nullptr && sender_->write_blocked(); }
  // Replaces the connection manager's stream_idle_timeout from now on; 0 = none.
  void set_idle_timeout(std::chrono::milliseconds timeout);

  // --- for the connection and filters' base class ------------------------------------------------------------------------------------
  void begin(HttpConnection& connection, http::MessageSender& sender);
  void on_protocol_error(const http::ProtocolError& error);
  void connection_closed(std::string_view details);
  void continue_decoding(uint8_t index);
  void continue_encoding(uint8_t index);

  // http::MessageReceiver: the request.
  void on_headers(http::HeaderMap& headers, bool end_stream) override;
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_trailers(http::HeaderMap& trailers) override;
  void on_reset(http::ResetReason reason, std::string_view detail) override;
  void on_write_blocked() override;
  void on_write_ready() override;

 private:
  friend class WorkerContext;
  static constexpr uint8_t kNobody = 255;

  // What one direction holds back while a filter has stopped it.
  struct Direction {
    uint8_t stopped_at = kNobody;  // filter that stopped
    bool reads_body = false;       // that filter still sees the body
    bool headers_done = false;     // every filter has had the headers
    bool ended = false;            // end_stream or trailers have arrived
    bool paused = false;           // the peer is held back because `held` is full
    net::Buffer held;
    http::HeaderMap* trailers = nullptr;
  };

  bool prepare_request(http::HeaderMap& headers);  // false: answered
  bool create_filters();
  void decode_headers_from(uint8_t index);
  void decode_data_from(uint8_t index, net::Buffer& data, bool end_stream);
  void decode_trailers_from(uint8_t index);
  void encode_headers_from(uint8_t index);
  void encode_data_from(uint8_t index, net::Buffer& data, bool end_stream);
  void encode_trailers_from(uint8_t index);
  bool hold(Direction& direction, net::Buffer& data, bool request);
  void send_response_headers(bool end_stream);
  void finish_response_headers(http::HeaderMap& headers, bool end_stream);
  void response_sent();
  void request_ended();
  void end(bool response_complete);
  void recycle();
  void write_access_log();
  void count_response(uint32_t status);
  void fill_local_reply(const LocalReply& reply, http::HeaderMap& headers, std::string_view& body);
  void touch();
  void arm_request_timers();
  void on_idle_timeout();
  void on_request_timeout();
  void on_headers_timeout();
  void on_max_duration();
  void timed_out(std::string_view details);

  WorkerContext& worker_;
  http::Arena arena_;
  HttpConnection* connection_ = nullptr;
  http::MessageSender* sender_ = nullptr;
  http::HeaderMap* request_headers_ = nullptr;
  http::HeaderMap* request_trailers_ = nullptr;
  http::HeaderMap* response_headers_ = nullptr;
  upstream::Ref<Epoch> epoch_;
  const router::RouteTable* table_ = nullptr;
  router::Match match_;
  Filter** filters_ = nullptr;
  const uint8_t* filter_indices_ = nullptr;  // position of each in the manager's list
  uint8_t filter_count_ = 0;
  Direction decode_, encode_;

  bool route_known_ = false;
  bool internal_ = false;
  bool grpc_ = false;
  bool head_ = false;
  bool upgrade_ = false;
  bool request_begun_ = false;     // on_headers() was called
  bool request_complete_ = false;
  bool decoding_stopped_ = false;  // a local reply or the end of the response: the rest of the request is dropped
  bool response_begun_ = false;    // headers are with the codec
  bool response_headers_passed_ = false;  // encode_headers() was called
  bool local_reply_ = false;
  bool ended_ = false;
  uint32_t buffer_limit_ = 0;
  uint64_t random_ = 0;
  net::TimePoint start_{};
  format::FormatContext info_;
  bool info_complete_ = false;
  std::string client_address_;  // from x-forwarded-for, when it names another than the peer
  std::chrono::milliseconds idle_timeout_{0};

  net::Timer idle_timer_;
  net::Timer request_timer_;   // request_timeout
  net::Timer headers_timer_;   // request_headers_timeout
  net::Timer duration_timer_;  // max_stream_duration
  net::LoopTask recycle_task_;
};

}  // namespace fairlead::stream
