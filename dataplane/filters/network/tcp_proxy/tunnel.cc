// See tunnel.h.
#include "dataplane/filters/network/tcp_proxy/tunnel.h"

#include <absl/strings/numbers.h>

#include <utility>

#include "dataplane/upstream/pool/pooled_session.h"

namespace fairlead::filters::network::tcp_proxy {

Tunnel::Tunnel(TunnelEvents& events, upstream::PooledStream& stream, const TunnelConfig& config, bool secure, const format::FormatContext& context) : events_(events) {
  sender_ = &stream.open(*this);
  post_ = config.post;
  http1_ = sender_->protocol() != http::Protocol::Http2;
  request_.add(":method", config.post ? "POST" : "CONNECT");
  request_.add(":authority", config.hostname.render(context));
  if (config.post) {
    request_.add(":path", config.path);
    request_.add(":scheme", secure ? "https" : "http");
  }
  config.headers.apply(request_, context);
  sender_->send_headers(request_, false);
}

void Tunnel::send(net::Buffer& data, bool end_stream) {
  if (sender_ == nullptr || sent_end_) return data.clear();
  sent_end_ = end_stream;
  sender_->send_data(data, end_stream);
}

void Tunnel::pause_reading() {
  if (sender_ != nullptr) sender_->pause_reading();
}

void Tunnel::resume_reading() {
  if (sender_ != nullptr) sender_->resume_reading();
}

void Tunnel::abandon() {
  if (http::MessageSender* sender = std::exchange(sender_, nullptr)) sender->reset(http::ResetReason::LocalReset);
}

// Envoy 1.40: any 2xx on HTTP/1, 200 alone on HTTP/2.
void Tunnel::on_headers(http::HeaderMap& headers, bool end_stream) {
  uint32_t status = 0;
  if (!absl::SimpleAtoi(headers.get(":status"), &status)) status = 0;
  const bool agreed = http1_ ? status >= 200 && status < 300 : status == 200;
  if (end_stream) sender_ = nullptr;
  ended_ = end_stream;
  if (!agreed || end_stream) {
    abandon();
    return events_.on_tunnel_refused(status);
  }
  open_ = true;
  events_.on_tunnel_open();
}

void Tunnel::on_data(net::Buffer& data, bool end_stream) {
  ended_ = end_stream;
  if (end_stream) sender_ = nullptr;
  if (!data.empty()) events_.on_tunnel_data(data);
  if (end_stream) events_.on_tunnel_ended(false);
}

void Tunnel::on_trailers(http::HeaderMap&) {
  ended_ = true;
  sender_ = nullptr;
  events_.on_tunnel_ended(false);
}

// Envoy 1.40: the client of a POST learns of RST_STREAM, that of a CONNECT does not.
void Tunnel::on_reset(http::ResetReason reason, std::string_view) {
  sender_ = nullptr;
  open_ ? events_.on_tunnel_ended(post_ && reason == http::ResetReason::RemoteReset) : events_.on_tunnel_refused(0);
}

}  // namespace fairlead::filters::network::tcp_proxy
