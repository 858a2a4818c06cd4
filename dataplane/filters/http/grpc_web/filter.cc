// See filter.h.
#include "dataplane/filters/http/grpc_web/filter.h"

#include <absl/strings/str_cat.h>

#include "dataplane/filters/http/grpc_web/config.h"
#include "dataplane/http/status.h"
#include "dataplane/stream/local_reply.h"
#include "dataplane/stream/request_headers.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::grpc_web {

using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

constexpr std::string_view kWeb = "application/grpc-web", kWebProto = "application/grpc-web+proto", kText = "application/grpc-web-text", kTextProto = "application/grpc-web-text+proto";
constexpr char kTrailersFlag = '\x80';

struct Factory final : stream::FilterFactory {
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<GrpcWebFilter>(arena, *shared); }
};

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb", [](std::shared_ptr<const config::FilterConfig>, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    for (uint32_t i = 0; i < context.stats.threads(); ++i) factory->shared->by_worker.emplace_back(context.stats, "grpc-web", false, false);
    return factory;
  });
}

HeadersStatus GrpcWebFilter::decode_headers(http::HeaderMap& headers, bool) {
  const std::string_view type = headers.get(Token::ContentType);
  text_request_ = type == kText || type == kTextProto;
  if (!text_request_ && type != kWeb && type != kWebProto) return HeadersStatus::kContinue;
  web_ = true;
  headers.remove(Token::ContentLength);  // of HTTP/1's body, not of the messages
  const std::string_view accept = headers.get(Token::Accept);
  text_response_ = accept == kText || accept == kTextProto;
  if (const upstream::Cluster* cluster = stream().cluster()) {
    const grpc::Method method = grpc::method_of(headers.get(Token::PseudoPath));
    if (method.valid()) stats_ = shared_.by_worker[stream().worker().index()].find(cluster->config().stat_name(), method);
  }
  headers.set_ref(Token::ContentType, "application/grpc");
  headers.set_ref(Token::Te, "trailers");
  headers.set_ref(Token::GrpcAcceptEncoding, "identity");
  return HeadersStatus::kContinue;
}

void GrpcWebFilter::reject(std::string_view details) {
  stream().send_local_reply({.status = 400, .body = "Bad gRPC-web request, invalid base64 data.", .details = details});
}

DataStatus GrpcWebFilter::decode_data(net::Buffer& data, bool end_stream) {
  if (!text_request_ || !web_) return DataStatus::kContinue;
  net::Buffer plain;
  bool good = true;
  text_size_ += data.size();
  if (end_stream && text_size_ % 4 != 0) {
    reject("grpc_base_64_decode_failed_bad_size");
    data.clear();
    return DataStatus::kContinue;
  }
  data.for_each_slice([&](std::string_view slice) { good = good && decoder_.add(slice, plain); });
  if (!good) reject("grpc_base_64_decode_failed");
  data = std::move(plain);
  return DataStatus::kContinue;
}

void GrpcWebFilter::charge(const http::HeaderMap& headers) {
  if (stats_ == nullptr) return;
  if (const http::Header* status = headers.find(Token::GrpcStatus)) stats_->charge(stream().worker().cells(), status->value());
}

HeadersStatus GrpcWebFilter::encode_headers(http::HeaderMap& headers, bool end_stream) {
  if (!web_) return HeadersStatus::kContinue;
  charge(headers);
  foreign_ = !end_stream && !stream::has_grpc_content_type(headers);
  headers.set_ref(Token::ContentType, text_response_ ? kTextProto : kWebProto);
  if (!end_stream) headers.remove(Token::ContentLength);  // the trailers will come on top
  return foreign_ ? HeadersStatus::kStopAndRead : HeadersStatus::kContinue;
}

DataStatus GrpcWebFilter::encode_data(net::Buffer& data, bool end_stream) {
  if (!web_) return DataStatus::kContinue;
  if (foreign_) {
    message_.append(data);
    if (!end_stream) return message_.size() > stream().buffer_limit() ? (data.append(message_), DataStatus::kHold) : DataStatus::kHold;
    tell_error();
    return DataStatus::kContinue;
  }
  if (text_response_) {
    encode_text(data);
    if (end_stream) encoder_.pad(data);
  }
  return DataStatus::kContinue;
}

// Each message is padded, so that a client can read it as soon as it is here.
void GrpcWebFilter::encode_text(net::Buffer& data) {
  net::Buffer text;
  data.for_each_slice([&](std::string_view slice) {
    while (!slice.empty()) {
      const size_t n = frames_.take(slice);
      encoder_.add(slice.substr(0, n), text);
      if (frames_.ended()) encoder_.pad(text);
      slice.remove_prefix(n);
    }
  });
  data = std::move(text);
}

TrailersStatus GrpcWebFilter::encode_trailers(http::HeaderMap& trailers) {
  if (!web_) return TrailersStatus::kContinue;
  charge(trailers);
  if (foreign_) {
    tell_error();
    trailers.clear();
    return TrailersStatus::kContinue;
  }
  std::string lines;
  for (const http::Header& h : trailers) absl::StrAppend(&lines, h.name(), ":", h.value(), "\r\n");
  const uint32_t size = static_cast<uint32_t>(lines.size());
  const char head[] = {kTrailersFlag, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)};
  lines.insert(0, head, sizeof head);
  net::Buffer out;
  if (text_response_) {
    encoder_.pad(out);
    encoder_.add(lines, out);
    encoder_.pad(out);
  } else {
    out.append(lines);
  }
  send_response_data(out, true);
  return TrailersStatus::kTaken;
}

void GrpcWebFilter::tell_error() {
  http::HeaderMap& headers = *stream().response_headers();
  std::string text;
  stream::append_grpc_message(message_.to_string(), text);
  if (!text.empty()) headers.set(Token::GrpcMessage, text);
  headers.set(Token::GrpcStatus, absl::StrCat(stream::grpc_status_of_http(http::parse_status(headers.get(Token::PseudoStatus)))));
  headers.set_ref(Token::ContentLength, "0");
  message_.clear();
}

}  // namespace fairlead::filters::grpc_web
