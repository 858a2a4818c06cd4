// The responses that the proxy makes itself: headers and body, as text or as a gRPC status, after local_reply_config. Pure; any worker.
#pragma once

#include <string>
#include <string_view>

#include "dataplane/config/hcm.h"
#include "dataplane/http/grpc_status.h"
#include "dataplane/http/header_map.h"

namespace fairlead::stream {

struct LocalReply;

// Fills `headers` (empty before) and returns the body, which lives in the arena; empty for HEAD and gRPC.
// `input.context` describes the stream; its response code is set to the reply's here.
std::string_view make_local_reply(const LocalReply& reply, const config::HcmConfig& config, bool grpc, bool head, format::FormatContext& context, uint64_t random,
                                  const matching::Runtime* runtime, http::HeaderMap& headers);

using http::grpc_status_of_http;
// grpc-message: bytes outside printable ASCII and '%' are escaped.
void append_grpc_message(std::string_view text, std::string& out);

}  // namespace fairlead::stream
