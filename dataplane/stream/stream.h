// One request and its response: the filter chain between the downstream codec and the terminal filter, with everything known about the
// request on the way (route, flags, times, counts). Filters talk to the proxy through it.
// Taken from the worker's spares for each request and given back after it, with its arena; one worker. A stream pins the epoch it began
// with, so its route stays valid whatever is published meanwhile.
// Order of a life: begin → on_headers → filters → response → end (access log) → recycle at the end of the turn. start_over() leads from any
// place before the response back to the filters.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <absl/container/inlined_vector.h>

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
  std::function<void(http::HeaderMap&)> modify_headers = {};  // before the encoder filters see them
};

// The host that session persistence asks for; the first attempt goes to it. `address` ("10.0.0.1:80") is arena text.
struct OverrideHost {
  std::string_view address;
  bool strict = false;             // no other host, should this one not be there
  uint32_t missing_status = 503;   // the answer then
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
  // The cluster of route(); null when the route does not forward or the cluster is unknown.
  upstream::Cluster* cluster() {
    route();
    return cluster_.get();
  }
  void clear_route_cache() { route_known_ = false; }
  // Runtime keys of the stream's epoch; may be null.
  const matching::Runtime* runtime() const;
  // The route's configuration for the calling filter, from the most specific level; null when there is none. Only the name tells whose it is: a
  // filter looks with dynamic_cast whether it is its own, since routes and filters come from different places. Envoy 1.40: another's is passed over.
  const router::PerFilterConfig* per_route_config(const Filter& filter);
  // Those of all levels (weighted cluster, route, virtual host, table), the most specific first.
  absl::InlinedVector<const router::PerFilterConfig*, 4> per_route_configs(const Filter& filter);
  const std::string& filter_name(const Filter& filter) const;  // as configured

  // Answers in place of the upstream, through the encoder filters. Nothing more of the request reaches any filter.
  void send_local_reply(const LocalReply& reply);
  // The same with a head of the filter's own: no body, no mapping, no header operations of the route.
  void answer(http::HeaderMap& headers, std::string_view details);
  bool response_begun() const { return response_begun_; }
  bool active() const { return active_; }  // false once the stream is over

  void set_flag(format::ResponseFlag flag) { record_.flags.set(flag); }
  bool has_flag(format::ResponseFlag flag) const { return record_.flags.has(flag); }
  // `details` must be static or arena text.
  void set_details(std::string_view details) { record_.response_code_details = details; }
  void set_response_code(uint32_t status) { record_.response_code = status; }
  format::TimeLine& times() { return record_.times; }
  format::ByteCounts& bytes() { return record_.bytes; }
  // What a formatter sees, as of now. It is put together here and by Filter::describe(), since most requests are neither logged nor changed:
  // ask for it only where something is printed.
  const format::FormatContext& info() { return describe(); }
  // For what nothing else puts there: metadata, filter state, why the transport failed.
  format::FormatContext& mutable_info() { return format(); }
  uint64_t random() const { return random_; }  // the same for the whole life
  bool internal_request() const { return internal_; }
  std::string_view client_ip() const;  // without port; empty: it has none
  bool request_complete() const { return request_complete_; }
  bool is_grpc() const { return grpc_; }
  bool is_head() const { return head_; }
  bool is_upgrade() const { return upgrade_; }  // allowed to become a tunnel, a CONNECT too
  bool is_connect() const { return connect_; }
  // ":80" when the port of a CONNECT was stripped for the sake of routing: it goes on all the same. Else empty.
  std::string_view connect_port() const { return connect_port_; }
  // Whether an answer of that status makes the tunnel that was asked for.
  bool grants_tunnel(uint32_t status) const { return upgrade_ && (status == 101 || (connect_ && status / 100 == 2)); }
  http::Protocol protocol() const { return sender_ != nullptr ? sender_->protocol() : http::Protocol::Http11; }  // of the request
  uint32_t buffer_limit() const { return buffer_limit_; }
  void set_buffer_limit(uint32_t bytes) { buffer_limit_ = bytes; }
  std::chrono::nanoseconds since_start() const;
  void mark(format::TimePoint point) { record_.times.set(point, since_start()); }

  WorkerContext& worker() const { return worker_; }
  HttpConnection& connection() const { return *connection_; }
  const ConnectionManager& manager() const;
  // A health check counts in no status counter, and `not_health_check_filter` keeps it out of the access log.
  void set_health_check() { health_check_ = true; }
  // Holds the upstream back while a filter keeps more than it should. Counted.
  void pause_response();
  void resume_response();
  // Read by the terminal filter when it has the headers.
  void set_override_host(const OverrideHost& host) { override_host_ = host; }
  const std::optional<OverrideHost>& override_host() const { return override_host_; }
  // One pointer of the stream's life per key, for filters that work together; null at first.
  void*& slot(const void* key);

  // --- for the terminal filter ---------------------------------------------------------------------------------------------------
  void encode_informational(http::HeaderMap& headers);
  void encode_headers(http::HeaderMap& headers, bool end_stream);
  void encode_data(net::Buffer& data, bool end_stream);
  void encode_trailers(http::HeaderMap& trailers);
  // The response cannot be finished: the client sees the connection break. `details` as above.
  void reset(std::string_view details);
  // The request goes through all filters again, with the headers as they are now, as if it had just come: an internal redirect. The response that
  // led to it is only logged. Preconditions: the request is complete, `body` is all of it (trailers are dropped, as in Envoy 1.40), and nothing of a
  // response has begun. Every filter hears on_stream_end() within this call; the new ones are made in this turn or the next.
  void start_over(http::HeaderMap& response, std::string_view details, net::Buffer body);
  // Holds the client back while the upstream cannot take more. Counted.
  void pause_request() { if (sender_ != nullptr) sender_->pause_reading(); }
  void resume_request() { if (sender_ != nullptr) sender_->resume_reading(); }
  bool response_blocked() const { return sender_ != nullptr && sender_->write_blocked(); }
  // The terminal filter's timeout, for Filter::on_timeout(). Where the stream's own timer does, one of the filter's would be taken out of a
  // full slot of the wheel with each request.
  void arm_timeout(std::chrono::milliseconds after);
  void disarm_timeout() { timeout_armed_ = false; }
  // Replace the connection manager's stream_idle_timeout and max_stream_duration from now on; 0 = none.
  void set_idle_timeout(std::chrono::milliseconds timeout);
  void set_max_duration(std::chrono::milliseconds timeout);

  // --- for the worker ----------------------------------------------------------------------------------------------------------------
  // Bytes that wait here on their way, in filters and in codecs, in both directions.
  uint64_t held_bytes() const;
  bool bypasses_overload() const;
  void reset_for_overload();
  void rescale_timeouts();  // the worker's overload state has changed

  // --- for the connection and filters' base class ------------------------------------------------------------------------------------
  void begin(HttpConnection& connection, http::MessageSender& sender);
  void on_protocol_error(const http::ProtocolError& error);
  void continue_decoding(uint8_t index);
  void continue_encoding(uint8_t index);
  void inject_request(uint8_t index, net::Buffer& data, bool end_stream);
  void inject_response(uint8_t index, net::Buffer& data, bool end_stream);
  void inject_response_trailers(uint8_t index, http::HeaderMap& trailers);

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

  // How far one direction has come through the filters, and what it holds back while one has stopped it.
  struct Direction {
    uint8_t stopped_at = kNobody;  // position (0 = first in this direction) of the filter that stopped
    uint8_t headers_seen = 0;      // positions whose filters have had the headers
    bool reads_body = false;       // the filter that stopped still sees the body
    bool ended = false;            // end_stream or trailers have arrived
    bool end_passed = false;       // and were handed on
    bool paused = false;           // the peer is held back because `held` is full
    bool ended_by_filter = false;  // a filter that took the end has sent one of its own
    http::HeaderMap* trailers = nullptr;
    std::unique_ptr<net::Buffer> held;  // made when a filter first stops a body
    bool holds() const { return held != nullptr && !held->empty(); }
    net::Buffer& holder() {
      if (held == nullptr) held = std::make_unique<net::Buffer>();
      return *held;
    }
  };

  // What is counted and marked of every request, printed or not.
  struct Record {
    std::chrono::system_clock::time_point start{};
    format::TimeLine times;
    format::ByteCounts bytes;
    uint32_t response_code = 0;
    format::ResponseFlags flags;
    std::string_view response_code_details;
    std::string_view request_id;  // as the upstream sees it
    const http::HeaderMap* response_trailers = nullptr;
  };

  void count_request();
  bool prepare_request();  // false: answered
  bool check_target();     // the same
  bool judge_upgrade();    // the same
  bool refuse(uint32_t status, std::string_view details);  // false
  void strip_port();
  void find_upgrade();
  void enter_filters();
  void create_filters();
  const FilterFactory* discovered_filter(const config::FilterDiscovery& filter) const;  // null: it has no configuration
  void destroy_filters();
  void run_again();
  bool upgrade_allowed(std::string_view type);
  const router::PerFilter* per_filter(std::string_view name);
  void find_cluster();
  format::FormatContext& format();
  format::FormatContext& describe();
  void describe_connection(format::FormatContext& info);
  void describe_route(format::FormatContext& info) const;

  // Filter chain, in filter_chain.cc: `kRequest` decodes, otherwise encodes. Positions count in the direction's own order.
  template <bool kRequest> Direction& direction() { return kRequest ? decode_ : encode_; }
  template <bool kRequest> uint8_t positions() const;
  template <bool kRequest> Filter& filter_at(uint8_t position) const;
  template <bool kRequest> bool stopped() const;
  template <bool kRequest> void pass_headers(uint8_t from);
  template <bool kRequest> void pass_data(uint8_t from, net::Buffer& data, bool end_stream);
  template <bool kRequest> void pass_trailers(uint8_t from);
  template <bool kRequest> void pass_held(uint8_t from);
  template <bool kRequest> void resume(uint8_t position);
  template <bool kRequest> void arrived_data(net::Buffer& data, bool end_stream);
  template <bool kRequest> void arrived_trailers(http::HeaderMap& trailers);
  template <bool kRequest> void hold(net::Buffer& data);
  template <bool kRequest> void offer_trailers();
  template <bool kRequest> void inject(uint8_t position, net::Buffer& data, bool end_stream);

  void begin_response(http::HeaderMap& headers, bool end_stream);
  void respond_headers(bool end_stream);  // to the codec
  void response_sent();
  void end(bool complete);
  void close_pass();
  void recycle();
  void write_access_log(format::LogType type);
  void count_response(uint32_t status);
  void take_wire_bytes();
  void on_idle_timeout();
  void on_timeout();
  void arm(std::unique_ptr<net::Timer>& timer, std::chrono::milliseconds after, void (Stream::*action)());
  void on_request_timeout();
  void on_max_duration();
  void on_log_interval();
  void timed_out(uint32_t status, std::string_view body, std::string_view details);
  void touch() {
    if (idle_timeout_.count() != 0) idle_timer_.arm(idle_now_);
  }
  bool refuse_for_overload();

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
  upstream::Ref<upstream::Cluster> cluster_;
  Filter** filters_ = nullptr;      // in decode order, in the arena
  uint8_t* filter_entries_ = nullptr;  // which of the manager's filters each is
  uint8_t filter_count_ = 0;
  struct PastFilters {  // of passes that have ended: one of them may still be on the stack
    Filter** filters;
    uint8_t count;
    PastFilters* next;
  };
  PastFilters* past_filters_ = nullptr;  // in the arena
  std::unique_ptr<net::Buffer> body_again_;  // for the pass to come; null: it has none
  Direction decode_, encode_;

  bool route_known_ = false;
  bool internal_ = false;
  bool grpc_ = false;
  bool head_ = false;
  bool upgrade_ = false;           // allowed, and counted as active
  bool connect_ = false;           // the method is CONNECT
  bool tunnel_ = false;            // an upgrade or CONNECT is asked for
  bool active_ = false;            // between begin() and end()
  bool request_complete_ = false;
  bool decoding_stopped_ = false;  // a local reply or the end of the response: the rest of the request is dropped
  bool response_begun_ = false;    // headers are with the codec
  bool response_headers_known_ = false;  // the response has entered the filters
  bool answered_here_ = false;     // by a local reply: what the terminal filter still sends is dropped
  bool response_complete_ = false;  // end_stream is with the codec
  bool health_check_ = false;
  bool writer_blocked_ = false;    // the codec takes no more of the response for now
  bool connection_described_ = false;  // in format_
  bool timeout_armed_ = false;
  uint32_t response_pauses_ = 0;
  struct Slot {
    const void* key;
    void* value;
    Slot* next;
  };
  Slot* slots_ = nullptr;          // in the arena
  std::optional<OverrideHost> override_host_;
  uint32_t buffer_limit_ = 0;
  uint64_t random_ = 0;
  net::TimePoint start_{};
  Record record_;
  std::unique_ptr<format::FormatContext> format_;  // the worker's, taken when something is first printed
  std::string_view client_ip_;  // from x-forwarded-for; empty: the peer is the client
  std::string_view connect_port_;
  std::chrono::milliseconds idle_timeout_{0}, idle_now_{0};  // as configured; as scaled by the overload manager
  Stream* prev_active_ = nullptr;  // in the worker's list
  Stream* next_active_ = nullptr;

  // These two stay in their slots of the wheel when the stream is over: the next request's deadline is a later one, and costs a store.
  net::Timer idle_timer_;      // stream_idle_timeout, or the route's
  net::Timer timeout_timer_;   // the terminal filter's
  // Made when they are first armed, which most configurations never do.
  std::unique_ptr<net::Timer> request_timer_;   // request_timeout
  std::unique_ptr<net::Timer> duration_timer_;  // max_stream_duration
  std::unique_ptr<net::Timer> log_timer_;       // access_log_flush_interval
  net::LoopTask again_task_, recycle_task_;
};

}  // namespace fairlead::stream
