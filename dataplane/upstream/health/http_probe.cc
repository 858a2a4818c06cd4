// Checks over HTTP/1.1 and HTTP/2, and gRPC's health protocol (grpc.health.v1) over the latter.
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>

#include "base/wire.h"
#include "dataplane/format/context.h"
#include "dataplane/http/h1/session.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/http/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/health/probe.h"
#include "dataplane/upstream/pool/http2_codec.h"
#include "dataplane/upstream/pool/reset_reason.h"

namespace fairlead::upstream {
namespace {

using http::Token;
using Kind = ProbeResult::Kind;

constexpr size_t kMaxGrpcAnswer = 4096;  // a HealthCheckResponse has two bytes

class HttpProbe final : public Probe {
 public:
  HttpProbe(ProbeTarget target, ProbeEvents& events) : target_(std::move(target)), events_(events) {}
  ~HttpProbe() override { drop(); }
  void begin() override;
  void cancel() override {
    waiting_ = false;
    drop();
  }

 private:
  // Outlives the probe by a turn: the session may still report.
  struct Wire final : public net::Deferred, public http::ClientSessionEvents, public http::MessageReceiver {
    explicit Wire(HttpProbe* owner_in) : owner(owner_in) {}
    void on_session_connected() override {
      if (owner != nullptr) owner->send();
    }
    void on_going_away() override { going_away = true; }
    void on_session_closed(net::CloseReason) override {
      if (owner != nullptr) owner->on_closed();
    }
    http::Arena& arena() override { return response; }
    void on_headers(http::HeaderMap& headers, bool end_stream) override {
      if (owner != nullptr) owner->on_headers(headers, end_stream);
    }
    void on_data(net::Buffer& data, bool end_stream) override {
      if (owner != nullptr) owner->on_data(data, end_stream);
    }
    void on_trailers(http::HeaderMap& trailers) override {
      if (owner != nullptr) owner->on_trailers(trailers);
    }
    void on_reset(http::ResetReason, std::string_view) override {
      if (owner != nullptr) owner->on_closed();
    }
    HttpProbe* owner;
    http::Arena request, response;
    bool going_away = false;
    net::DeferredPtr<http::ClientSession> session;
  };

  bool grpc() const { return target_.check->kind == config::HealthCheck::Kind::Grpc; }
  void connect();
  void send();
  void on_headers(const http::HeaderMap& headers, bool end_stream);
  void on_data(net::Buffer& data, bool end_stream);
  void on_trailers(const http::HeaderMap& trailers);
  void on_closed();
  void complete();
  ProbeResult judge() const;
  void finish(ProbeResult result);
  void drop();

  ProbeTarget target_;
  ProbeEvents& events_;
  net::DeferredPtr<Wire> wire_;
  bool waiting_ = false;
  // The answer.
  uint32_t status_ = 0;
  bool degraded_ = false, exclude_ = false;
  std::string service_, grpc_status_, body_;
};

void HttpProbe::begin() {
  waiting_ = true;
  if (wire_ && wire_->session->connected() && wire_->session->can_open_stream() && !wire_->going_away) return send();
  drop();
  connect();
}

void HttpProbe::connect() {
  wire_.reset(new Wire(this));
  net::ConnectionPtr connection = connect_probe(target_);
  const config::UpstreamHttpOptions& http = target_.cluster->http;
  if (target_.check->http2) {
    h2::Settings settings = http2_settings(http.http2);
    settings.max_head_bytes = http.max_response_headers_kb * 1024;
    settings.max_headers = http.max_headers_count;
    wire_->session = h2::make_client_session(std::move(connection), settings, *wire_);
  } else {
    h1::Settings settings;
    settings.max_head_bytes = http.max_response_headers_kb * 1024;
    settings.max_headers = http.max_headers_count;
    settings.accept_http_10 = true;
    wire_->session = h1::make_client_session(std::move(connection), settings, *wire_);
  }
}

void HttpProbe::send() {
  if (!waiting_) return;
  status_ = 0;
  degraded_ = exclude_ = false;
  service_.clear();
  grpc_status_.clear();
  body_.clear();
  wire_->request.reset();
  wire_->response.reset();
  http::HeaderMap headers(wire_->request);
  headers.add_ref(Token::PseudoMethod, grpc() ? std::string_view("POST") : target_.check->method);
  headers.add_ref(Token::PseudoScheme, "http");
  headers.add_ref(Token::PseudoAuthority, target_.host);
  headers.add_ref(Token::PseudoPath, grpc() ? std::string_view("/grpc.health.v1.Health/Check") : target_.check->path);
  if (grpc()) {
    headers.add_ref(Token::Te, "trailers");
    headers.add_ref(Token::ContentType, "application/grpc");
    headers.add(Token::GrpcTimeout, std::to_string(target_.check->timeout.count()) + "m");
  }
  headers.add_ref(Token::UserAgent, "Envoy/HC");
  target_.check->headers.apply(headers, format::FormatContext{});
  http::MessageSender& sender = wire_->session->new_stream(*wire_);
  sender.send_headers(headers, !grpc());
  if (!grpc()) return;
  net::Buffer message(grpc_health_request(target_.check->grpc_service));
  sender.send_data(message, true);
}

void HttpProbe::on_headers(const http::HeaderMap& headers, bool end_stream) {
  status_ = http::parse_status(headers.get(Token::PseudoStatus));
  degraded_ = headers.has("x-envoy-degraded");
  exclude_ = headers.has(Token::XEnvoyImmediateHealthCheckFail);
  service_ = std::string(headers.get("x-envoy-upstream-healthchecked-cluster"));
  grpc_status_ = std::string(headers.get(Token::GrpcStatus));
  if (end_stream) complete();
}

void HttpProbe::on_data(net::Buffer& data, bool end_stream) {
  if (grpc() && body_.size() <= kMaxGrpcAnswer) body_ += data.to_string();
  data.clear();
  if (end_stream) complete();
}

void HttpProbe::on_trailers(const http::HeaderMap& trailers) {
  if (const http::Header* status = trailers.find(Token::GrpcStatus)) grpc_status_ = std::string(status->value());
  complete();
}

void HttpProbe::on_closed() {
  const bool not_made = own_want(wire_->session->connection().last_error());
  drop();
  if (waiting_) finish({.kind = not_made ? Kind::NotMade : Kind::Network});
}

void HttpProbe::complete() {
  if (!waiting_) return;
  const ProbeResult result = judge();
  if (!target_.check->reuse_connection || wire_->going_away) drop();
  finish(result);
}

ProbeResult HttpProbe::judge() const {
  const config::HealthCheck& check = *target_.check;
  if (grpc()) return {.kind = status_ == 200 && grpc_status_ == "0" && grpc_health_serving(body_) ? Kind::Success : Kind::Failed};
  if (!config::in_ranges(check.expected, status_)) {
    return {.kind = config::in_ranges(check.retriable, status_) ? Kind::Retriable : Kind::Failed, .exclude = exclude_, .status = status_};
  }
  ProbeResult out{.kind = degraded_ ? Kind::Degraded : Kind::Success, .status = status_};
  if (check.service_name) {
    out.verified_name = true;
    if (!check.service_name->match(service_)) out.kind = Kind::Failed;
  }
  return out;
}

void HttpProbe::finish(ProbeResult result) {
  waiting_ = false;
  events_.on_probe(result);
}

void HttpProbe::drop() {
  if (!wire_) return;
  wire_->owner = nullptr;
  if (wire_->session) wire_->session->close(net::CloseType::NoFlush);
  wire_.reset();
}

}  // namespace

std::unique_ptr<Probe> make_http_probe(ProbeTarget target, ProbeEvents& events) { return std::make_unique<HttpProbe>(std::move(target), events); }

// HealthCheckRequest { string service = 1; } behind gRPC's five bytes: not compressed, length.
std::string grpc_health_request(std::string_view service) {
  std::string message;
  if (!service.empty()) wire::put_bytes(message, 1, service);
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(message.size() >> shift));
  return out + message;
}

// HealthCheckResponse { ServingStatus status = 1; } with SERVING = 1; fields that are not known are skipped.
bool grpc_health_serving(std::string_view body) {
  if (body.size() < 5 || body[0] != '\0') return false;
  size_t length = 0;
  for (int i = 1; i < 5; ++i) length = length << 8 | static_cast<unsigned char>(body[i]);
  if (length != body.size() - 5) return false;
  std::string_view message = body.substr(5);
  bool serving = false;
  while (!message.empty()) {
    uint64_t tag = 0, value = 0, skipped = 0;
    if (!wire::take_varint(message, tag)) return false;
    switch (tag & 7) {
      case 0:
        if (!wire::take_varint(message, value)) return false;
        if (tag >> 3 == 1) serving = value == 1;
        break;
      case 1: skipped = 8; break;
      case 2:
        if (!wire::take_varint(message, skipped)) return false;
        break;
      case 5: skipped = 4; break;
      default: return false;
    }
    if (skipped > message.size()) return false;
    message.remove_prefix(skipped);
  }
  return serving;
}

}  // namespace fairlead::upstream
