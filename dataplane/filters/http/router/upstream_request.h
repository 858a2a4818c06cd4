// One attempt of a request at one host: waits for a connection, sends what there is of the request, and reports what comes back.
// A member of the router filter, used again for each retry; one worker.
// Invariant: while sender_ is set the attempt owns a stream of stream_; abandon() or a reset ends that exactly once.
#pragma once

#include <optional>
#include <string_view>

#include "dataplane/filters/http/router/lazy.h"
#include "dataplane/format/context.h"
#include "dataplane/http/codec.h"
#include "dataplane/router/route.h"
#include "dataplane/upstream/pool/host.h"

namespace fairlead::filters::router {

class RouterFilter;
using fairlead::router::ConnectConfig;

class UpstreamRequest final : public http::MessageReceiver, public upstream::PoolRequest {
 public:
  explicit UpstreamRequest(RouterFilter& router) : router_(router) {}
  ~UpstreamRequest() override { abandon(); }

  // Takes a connection to `host`: over TCP alone if there is a `connect`, for the bytes of the request. May call the router back before it returns.
  // `names`: what the request gives TLS, without a client; null: nothing.
  void start(upstream::Host& host, bool high_priority, const ConnectConfig* connect, const upstream::MadeFor* names);
  // Body and end of the request, as they come; kept until the connection is there.
  void send_data(net::Buffer& data, bool end_stream);
  void send_trailers(const http::HeaderMap& trailers);
  // The attempt is over: complete exchanges leave the connection to others, unfinished ones end it. No call follows.
  void abandon();

  upstream::Host* host() const { return host_.get(); }
  bool active() const { return waiting() || sender_ != nullptr; }
  bool ready() const { return sender_ != nullptr; }
  bool request_sent() const { return request_ended_; }
  // On a connection that had served before, and nothing of a response came: probably closed by the upstream while idle.
  bool lost_reused_connection() const { return reused_ && !response_begun_; }
  bool request_left() const { return request_begun_; }
  size_t held_bytes() const { return (pending_ ? pending_->size() : 0) + (sender_ != nullptr ? sender_->held_bytes() : 0); }
  bool http2() const { return http2_; }
  http::MessageSender* sender() const { return sender_; }
  // What connections it had: the last one's facts, and the addresses of all hosts that were reached.
  void describe(format::FormatContext& info) const;

  // What waited for the connection, or for the upstream to accept an upgrade.
  void flush_pending();

  // upstream::PoolRequest
  void on_pool_ready(upstream::PooledStream& stream) override;
  void on_pool_failure(upstream::ResetReason reason, std::string_view detail) override;
  // http::MessageReceiver: the response
  http::Arena& arena() override;
  void on_headers(http::HeaderMap& headers, bool end_stream) override;
  void on_informational(http::HeaderMap& headers) override;
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_trailers(http::HeaderMap& trailers) override;
  void on_reset(http::ResetReason reason, std::string_view detail) override;
  void on_write_blocked() override;
  void on_write_ready() override;

 private:
  void finish();
  void end_request();
  void take_wire_bytes();
  void send_proxy_header();
  void count_reset(upstream::ResetReason reason);

  RouterFilter& router_;
  upstream::Ref<upstream::Host> host_;
  const ConnectConfig* connect_ = nullptr;
  upstream::PooledStream* stream_ = nullptr;
  http::MessageSender* sender_ = nullptr;
  Lazy<net::Buffer> pending_;
  bool pending_end_ = false;
  const http::HeaderMap* pending_trailers_ = nullptr;
  bool paused_downstream_ = false;
  bool http2_ = false;           // the attempt that ended last
  bool request_ended_ = false;   // end_stream is with the codec
  bool response_ended_ = false;
  bool reused_ = false, response_begun_ = false, request_begun_ = false;  // as of a reset
  // Of the connection, once it is there. Views are into the arena.
  struct Reached {
    std::string_view local_address, remote_address, hosts, protocol;
    uint64_t connection_id = 0;
  };
  Reached reached() const;
  void keep_reached();
  bool reached_ = false;                 // this attempt has, or has had, its connection
  http::Protocol protocol_{};
  uint64_t connection_id_ = 0;
  std::string_view local_address_;       // for the access log alone
  std::shared_ptr<const tls::ConnectionFacts> tls_;  // of the latest connection; null: plain
  std::string_view raced_address_;       // of several addresses that were raced, the one that has connected
  const Reached* before_ = nullptr;      // what earlier attempts reached; in the arena
};

}  // namespace fairlead::filters::router
