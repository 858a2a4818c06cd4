// See authentication.h.
#include "controlplane/serve/authentication.h"

#include <algorithm>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/log.h"
#include "base/status.h"

namespace fairlead::serve {
namespace {

constexpr std::string_view kHealth = "/grpc.health.v1.Health/";  // kubelets ask without any identity
constexpr std::string_view kScheme = "bearer";
// A line a client and minute, and one a second of all of them: a proxy that tries again and again, or a thousand of them, shall not fill the log.
constexpr std::chrono::seconds kOfOneClient{60}, kOfAll{1};
constexpr size_t kMostHosts = 1'024;

}  // namespace

absl::StatusOr<rpc::PeerPtr> Authentication::identify(std::string_view method, const rpc::PeerPtr& peer, const http::HeaderMap& head) {
  if (!tokens_ || method.starts_with(kHealth)) return peer;
  absl::StatusOr<rpc::PeerPtr> out = checked(peer, head);
  if (out.ok()) return out;
  uint64_t& denied = ++metrics_.denied[static_cast<size_t>(Denial::kNotAuthenticated)];
  if (may_complain(peer->host, clock_.monotonic())) FL_LOG(warning, "xds", "client ", peer->text(), " is not let in: ", out.status().message(), " (", denied, " of all clients so far)");
  return out;
}

absl::StatusOr<rpc::PeerPtr> Authentication::checked(const rpc::PeerPtr& peer, const http::HeaderMap& head) const {
  const uint32_t given = head.count("authorization");
  if (given == 0) {
    if (!peer->names.empty()) return peer;
    return absl::UnauthenticatedError("a token is needed: \"authorization: Bearer TOKEN\" in the call's metadata, or a client certificate");
  }
  if (given > 1) return absl::UnauthenticatedError(absl::StrCat("authorization is given ", given, " times"));
  std::string_view value = head.get(http::Token::Authorization);
  const std::string_view scheme = value.substr(0, value.find(' '));
  if (!absl::EqualsIgnoreCase(scheme, kScheme)) return absl::UnauthenticatedError("authorization is not \"Bearer TOKEN\"");
  value.remove_prefix(scheme.size());
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names, tokens_->check(absl::StripLeadingAsciiWhitespace(value), clock_.system()));
  auto out = std::make_shared<rpc::Peer>(*peer);
  out->connection = peer->connection_key();
  for (const std::string& name : names) {
    if (std::find(out->names.begin(), out->names.end(), name) == out->names.end()) out->names.push_back(name);
  }
  return out;
}

bool Authentication::may_complain(const std::string& host, MonotonicTime now) {
  if (complained_last_ != MonotonicTime{} && now - complained_last_ < kOfAll) return false;
  const auto found = complained_.find(host);
  if (found != complained_.end() && now - found->second < kOfOneClient) return false;
  if (complained_.size() >= kMostHosts) {
    for (auto at = complained_.begin(); at != complained_.end();) {
      const auto entry = at++;
      if (now - entry->second >= kOfOneClient) complained_.erase(entry);
    }
    if (complained_.size() >= kMostHosts) complained_.clear();
  }
  complained_last_ = complained_[host] = now;
  return true;
}

}  // namespace fairlead::serve
