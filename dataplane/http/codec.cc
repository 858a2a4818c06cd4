// Names of codec values (codec.h).
#include "dataplane/http/codec.h"

namespace fairlead::http {

std::string_view protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::Http10: return "HTTP/1.0";
    case Protocol::Http11: return "HTTP/1.1";
    case Protocol::Http2: return "HTTP/2";
  }
  return "";
}

// Envoy's texts (its StreamResetReason names), as they appear in local replies and response code details.
std::string_view reset_reason_name(ResetReason reason) {
  switch (reason) {
    case ResetReason::LocalReset: return "local reset";
    case ResetReason::RemoteReset: return "remote reset";
    case ResetReason::RemoteRefused: return "remote refused stream reset";
    case ResetReason::ConnectionFailure: return "remote connection failure";
    case ResetReason::ConnectionTermination: return "connection termination";
    case ResetReason::ProtocolError: return "protocol error";
    case ResetReason::Overflow: return "overflow";
  }
  return "";
}

}  // namespace fairlead::http
