// OpenSSL's errors in the frame that BoringSSL gives them; see openssl.h.
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <utility>

#include "dataplane/tls/openssl.h"

namespace fairlead::tls {
namespace {

// Reasons of the library "SSL routines" whose numbers differ between the two, for those that peers cause: log analysis that knows Envoy's
// numbers finds them. Alerts (1000 and up) are the same in both.
int familiar_reason(int reason) {
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return 125;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return 192;
    case SSL_R_NO_SHARED_CIPHER: return 184;
    case SSL_R_UNSUPPORTED_PROTOCOL: return 240;
    case SSL_R_WRONG_VERSION_NUMBER: return 247;
    case SSL_R_HTTPS_PROXY_REQUEST: return 155;
    case SSL_R_HTTP_REQUEST: return 156;
    case SSL_R_NO_SHARED_GROUPS: return 276;
    default: return reason;
  }
}

std::string reason_of(unsigned long error) {
  const char* reason = ERR_reason_error_string(error);
  if (reason == nullptr) return absl::StrCat("REASON_", ERR_GET_REASON(error));
  std::string text = reason;
  absl::AsciiStrToUpper(&text);
  return absl::StrReplaceAll(text, {{" ", "_"}});
}

}  // namespace

std::string take_errors() {
  std::string text;
  while (const unsigned long error = ERR_get_error()) {
    if (ERR_GET_LIB(error) == ERR_LIB_SYS || ERR_SYSTEM_ERROR(error)) continue;  // the descriptor's errno tells it better
    const bool ssl = ERR_GET_LIB(error) == ERR_LIB_SSL;
    // The library's number is 16 in BoringSSL.
    const unsigned long number = ssl ? (16UL << 24) | static_cast<unsigned long>(familiar_reason(ERR_GET_REASON(error))) : error;
    const char* library = ERR_lib_error_string(error);
    absl::StrAppend(&text, "|", number, ":", library == nullptr ? "unknown library" : library, ":OPENSSL_internal:", reason_of(error));
  }
  return text;
}

std::string take_cause() {
  std::string text;
  while (const unsigned long error = ERR_get_error()) {
    const char* library = ERR_lib_error_string(error);
    const char* reason = ERR_reason_error_string(error);
    absl::StrAppend(&text, text.empty() ? "" : "; ", library == nullptr ? "" : library, ": ", reason == nullptr ? "unknown" : reason);
  }
  return text.empty() ? "unknown error" : text;
}

}  // namespace fairlead::tls
