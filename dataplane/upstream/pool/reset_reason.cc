// Texts of reset reasons, as Envoy 1.40 prints them.
#include "dataplane/upstream/pool/reset_reason.h"

#include <cerrno>

namespace fairlead::upstream {

std::string_view reset_reason_text(ResetReason reason) {
  switch (reason) {
    case ResetReason::kConnectFailure: return "remote connection failure";
    case ResetReason::kLocalConnectFailure: return "local connection failure";
    case ResetReason::kConnectTimeout: return "connection timeout";
    case ResetReason::kConnectionTermination: return "connection termination";
    case ResetReason::kOverflow:
    case ResetReason::kNoPool: return "overflow";
    case ResetReason::kLocalReset: return "local reset";
    case ResetReason::kRemoteReset: return "remote reset";
    case ResetReason::kRemoteRefusedStream: return "remote refused stream reset";
    case ResetReason::kProtocolError: return "protocol error";
  }
  return "";
}

bool own_want(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace fairlead::upstream
