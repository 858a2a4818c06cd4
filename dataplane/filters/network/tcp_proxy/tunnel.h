// tunneling_config: a request to the upstream whose body, and that of its response, carry the connection's bytes. CONNECT, or POST for those who
// know no CONNECT. On the connection's worker, owned by its TcpProxy.
// Invariant: sender_ is set until the stream is over; after on_tunnel_refused() or on_tunnel_ended() nothing more is heard of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/filters/network/tcp_proxy/config.h"
#include "dataplane/format/context.h"
#include "dataplane/http/arena.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/header_map.h"

namespace fairlead::upstream {
class PooledStream;
}

namespace fairlead::filters::network::tcp_proxy {

class TunnelEvents {
 public:
  virtual ~TunnelEvents() = default;
  virtual void on_tunnel_open() = 0;  // the upstream has agreed
  virtual void on_tunnel_refused(uint32_t status) = 0;  // it has not; 0: the stream has ended before any answer
  virtual void on_tunnel_data(net::Buffer& data) = 0;
  virtual void on_tunnel_ended(bool reset) = 0;  // `reset`: in a way that the client is told
  virtual void on_tunnel_blocked() = 0;  // see MessageReceiver
  virtual void on_tunnel_ready() = 0;
};

class Tunnel final : private http::MessageReceiver, public net::Deferred {
 public:
  // Sends the request; `context` is what its texts may name.
  Tunnel(TunnelEvents& events, upstream::PooledStream& stream, const TunnelConfig& config, bool secure, const format::FormatContext& context);
  ~Tunnel() override { abandon(); }

  bool open() const { return open_; }
  bool complete() const { return sent_end_ && ended_; }  // in both directions
  void send(net::Buffer& data, bool end_stream);
  void pause_reading();
  void resume_reading();
  void abandon();  // the stream is reset unless it is over; nothing more is heard of it

 private:
  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap& headers, bool end_stream) override;
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_trailers(http::HeaderMap& trailers) override;
  void on_reset(http::ResetReason reason, std::string_view detail) override;
  void on_write_blocked() override { events_.on_tunnel_blocked(); }
  void on_write_ready() override { events_.on_tunnel_ready(); }

  TunnelEvents& events_;
  http::Arena arena_;
  http::HeaderMap request_{arena_};
  http::MessageSender* sender_ = nullptr;
  bool http1_ = false;
  bool post_ = false;
  bool open_ = false;
  bool sent_end_ = false;
  bool ended_ = false;
};

}  // namespace fairlead::filters::network::tcp_proxy
