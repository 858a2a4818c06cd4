// Lets browsers call gRPC: turns gRPC-Web (binary or base64 text) into gRPC and back; trailers come to the client as the last part of the body.
// One per stream, in its arena; one worker.
#pragma once

#include <vector>

#include "dataplane/filters/http/grpc_web/base64_stream.h"
#include "dataplane/grpc/method_counters.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::grpc_web {

void register_filter(stream::FilterRegistry& registry);

struct Shared {
  std::vector<grpc::MethodCounters> by_worker;
};

class GrpcWebFilter final : public stream::Filter {
 public:
  explicit GrpcWebFilter(Shared& shared) : shared_(shared) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus encode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;

 private:
  void reject(std::string_view details);
  void charge(const http::HeaderMap& headers);
  void encode_text(net::Buffer& data);
  void tell_error();  // a response that is not gRPC becomes a gRPC error with its body as the message

  Shared& shared_;
  grpc::MethodStats* stats_ = nullptr;
  bool web_ = false;
  bool text_request_ = false, text_response_ = false;
  uint64_t text_size_ = 0;                            // of the request so far
  bool foreign_ = false;  // the response is not gRPC
  Base64Decoder decoder_;
  Base64Encoder encoder_;
  grpc::FrameCounter frames_;
  net::Buffer message_;
};

}  // namespace fairlead::filters::grpc_web
