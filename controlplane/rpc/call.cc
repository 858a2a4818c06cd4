// See call.h.
#include "controlplane/rpc/call.h"

#include <algorithm>
#include <utility>

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "controlplane/rpc/server.h"
#include "dataplane/http/status.h"

namespace fairlead::rpc {

using http::Token;

namespace {
constexpr std::string_view kAccepted = "identity,deflate,gzip";
}

std::optional<std::chrono::nanoseconds> parse_timeout(std::string_view text) {
  uint64_t amount = 0;
  if (text.size() < 2 || text.size() > 9 || !absl::SimpleAtoi(text.substr(0, text.size() - 1), &amount)) return std::nullopt;
  using namespace std::chrono;
  switch (text.back()) {
    case 'H': return hours(amount);
    case 'M': return minutes(amount);
    case 'S': return seconds(amount);
    case 'm': return milliseconds(amount);
    case 'u': return microseconds(amount);
    case 'n': return nanoseconds(amount);
    default: return std::nullopt;
  }
}

std::string encode_message(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto b = static_cast<unsigned char>(c);
    if (b >= 0x20 && b <= 0x7e && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kHex[b >> 4];
      out += kHex[b & 15];
    }
  }
  return out;
}

Call::Call(Connection& connection, http::MessageSender& sender) : connection_(&connection), sender_(sender), reader_(connection.server().options().max_message_bytes) {}
Call::~Call() = default;

const PeerPtr& Call::peer() const { return peer_ ? peer_ : connection_->peer(); }

void Call::on_headers(http::HeaderMap& headers, bool end_stream) {
  if (headers.get(Token::PseudoMethod) != "POST") return refuse(405);
  if (!headers.get(Token::ContentType).starts_with("application/grpc")) return refuse(415);
  const std::string_view path = headers.get(Token::PseudoPath);
  const Server::Method* method = connection_->server().find(path);
  const std::string unknown(method == nullptr ? path : "");
  if (method != nullptr) method_ = method->first;
  const Encoding encoding = encoding_of(headers.get(Token::GrpcEncoding));
  reader_.set_encoding(encoding);
  if (const std::string_view timeout = headers.get(Token::GrpcTimeout); !timeout.empty()) arm_deadline(timeout);
  const std::string coding(encoding == Encoding::kUnknown ? headers.get(Token::GrpcEncoding) : "");
  const absl::Status identified = connection_->identify(path, headers, peer_);
  arena_.reset();  // an open stream may wait for hours: its head is not needed any more
  if (over_) return;
  if (!identified.ok()) return finish(identified);
  if (encoding == Encoding::kUnknown) return finish(absl::UnimplementedError(absl::StrCat("grpc-encoding ", coding, " is not supported: identity, gzip, deflate are")));
  if (method == nullptr) return finish(absl::UnimplementedError(absl::StrCat("no method ", unknown, " here")));
  CallEvents* events = method->second(*this);
  if (events == nullptr || over_) return;
  events_ = events;
  if (end_stream) client_done();
}

void Call::arm_deadline(std::string_view timeout) {
  const std::optional<std::chrono::nanoseconds> after = parse_timeout(timeout);
  if (!after) return finish(absl::InternalError(absl::StrCat("grpc-timeout '", timeout, "' is not a time")));
  deadline_ = std::make_unique<net::Timer>(sender_.connection().loop().timers(), [this] { abort(absl::DeadlineExceededError("Deadline Exceeded")); });
  // the wheel's reach; nobody asks for more in earnest
  deadline_->arm(std::min<net::Duration>(*after, std::chrono::hours(24 * 30)));
}

// Not gRPC at all: an HTTP answer.
void Call::refuse(int http_status) {
  http::HeaderMap head(arena_);
  head.add_ref(Token::PseudoStatus, http::status_text(static_cast<unsigned>(http_status)));
  leave();
  sender_.send_headers(head, true);
}

void Call::on_data(net::Buffer& data, bool end_stream) {
  if (over_) return;
  const absl::Status read = reader_.read(data, [this](std::string_view message) {
    events_->on_message(message);
    return !over_;
  });
  if (over_) return;
  if (!read.ok()) {
    if (absl::IsResourceExhausted(read)) ++connection_->server().counts_.too_large;
    return abort(read);
  }
  if (end_stream) client_done();
}

void Call::client_done() {
  if (over_ || events_ == nullptr) return;
  if (reader_.amid_message()) return abort(absl::InternalError("the request ends amid a message"));
  events_->on_client_done();
}

void Call::on_reset(http::ResetReason, std::string_view) {
  if (over_) return;
  CallEvents* events = events_;
  leave();
  if (events != nullptr) events->on_closed();
}

void Call::on_write_ready() {
  if (!over_ && events_ != nullptr) events_->on_writable();
}

// Ours to end, although the service has not.
void Call::abort(const absl::Status& status) {
  CallEvents* events = std::exchange(events_, nullptr);
  finish(status);
  if (events != nullptr) events->on_closed();
}

void Call::send_head() {
  if (head_sent_) return;
  head_sent_ = true;
  http::Arena arena;
  http::HeaderMap head(arena);
  head.add_ref(Token::PseudoStatus, "200");
  head.add_ref(Token::ContentType, "application/grpc");
  head.add_ref(Token::GrpcAcceptEncoding, kAccepted);
  sender_.send_headers(head, false);
}

bool Call::send(net::Buffer message) {
  if (over_) return false;
  send_head();
  constexpr size_t kPrefix = 5, kSmall = 1024;
  const size_t size = message.size();
  char frame[kPrefix + kSmall];
  frame[0] = 0;  // not compressed
  for (size_t i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>(size >> (24 - 8 * i));
  if (size <= kSmall) {  // a crowd's: side by side in one block, where a prefix and a message would take one each
    message.copy_out(0, frame + kPrefix, size);
    message.clear();
    connection_->server_->pieces_.append_to(message, std::string_view(frame, kPrefix + size));
  } else {
    message.prepend(std::string_view(frame, kPrefix));
  }
  sender_.send_data(message, false);
  return !sender_.write_blocked();
}

void Call::finish(const absl::Status& status, std::string_view details) {
  if (over_) return;
  const bool trailers_only = !head_sent_;
  http::Arena arena;
  http::HeaderMap end(arena);
  if (trailers_only) {
    end.add_ref(Token::PseudoStatus, "200");
    end.add_ref(Token::ContentType, "application/grpc");
    end.add_ref(Token::GrpcAcceptEncoding, kAccepted);
  }
  end.add(Token::GrpcStatus, absl::StrCat(static_cast<int>(status.code())));
  if (!status.message().empty()) end.add(Token::GrpcMessage, encode_message(status.message()));
  if (!details.empty()) {
    std::string text;
    absl::Base64Escape(std::string(details), &text);
    end.add("grpc-status-details-bin", std::string_view(text).substr(0, text.find('=')));
  }
  leave();
  if (trailers_only) {
    sender_.send_headers(end, true);
  } else {
    sender_.send_trailers(end);
  }
}

// From here on nobody hears of the call any more; its memory goes at the end of the turn.
void Call::leave() {
  over_ = true;
  events_ = nullptr;
  if (deadline_) deadline_->disarm();
  connection_->remove(*this);
}

}  // namespace fairlead::rpc
