// Who a call is from, where clients show tokens (tokens.h): what the head of a call says becomes names beside those of its connection's certificate. Who has
// neither is nobody's client and goes away with UNAUTHENTICATED, as does who shows a token that does not do, whatever certificate it has beside it. Health
// checks need neither. Owned by the server; the serving thread's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include "base/clock.h"
#include "controlplane/rpc/peer.h"
#include "controlplane/serve/metrics.h"
#include "controlplane/serve/tokens.h"
#include "dataplane/http/header_map.h"

namespace fairlead::serve {

class Authentication {
 public:
  Authentication(const Clock& clock, Metrics& metrics) : clock_(clock), metrics_(metrics) {}

  // From the next call on. Null: tokens are not looked at, and nobody needs one.
  void set_tokens(std::shared_ptr<const TokenVerifier> tokens) { tokens_ = std::move(tokens); }
  // `peer`: of the connection. Another one in its place when a token adds to it.
  absl::StatusOr<rpc::PeerPtr> identify(std::string_view method, const rpc::PeerPtr& peer, const http::HeaderMap& head);

 private:
  absl::StatusOr<rpc::PeerPtr> checked(const rpc::PeerPtr& peer, const http::HeaderMap& head) const;
  bool may_complain(const std::string& host, MonotonicTime now);

  const Clock& clock_;
  Metrics& metrics_;
  std::shared_ptr<const TokenVerifier> tokens_;
  absl::flat_hash_map<std::string, MonotonicTime> complained_;  // by host, of the last minute
  MonotonicTime complained_last_{};
};

}  // namespace fairlead::serve
