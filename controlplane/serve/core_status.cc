// What Core tells of its clients in the messages of envoy.service.status.v3.
#include <utility>

#include <absl/strings/str_cat.h>

#include "controlplane/serve/core.h"
#include "controlplane/serve/istio_debug.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "envoy/service/status/v3/csds.pb.h"

namespace fairlead::serve {

namespace {

constexpr std::string_view kNonce = "debug-";  // no session's: those are numbers

}  // namespace

absl::Status Core::may_inspect(const rpc::Peer& peer) const {
  if (peer.local || options_.allow_inspection) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(peer.text(), " may not ask what other clients have: only who is on the server's machine may, unless fairlead-control runs with --xds-allow-inspection"));
}

absl::Status Core::may_be(const rpc::Peer& peer, const snapshot::Node& node) const { return authorization_ ? authorization_->check(peer, node) : absl::OkStatus(); }

absl::Status Core::answer_debug(StreamId id, bool delta, const cpstream::Request& request) {
  if (request.nonce.starts_with(kNonce)) return absl::OkStatus();  // an ACK
  absl::StatusOr<std::vector<DebugResource>> answer = debug_answer(request, [this](const auto& f) { each_stream(f); }, {clock_.system(), clock_.monotonic()});
  if (!answer.ok()) return answer.status();
  const std::string nonce = absl::StrCat(kNonce, ++debug_nonces_);
  // What istioctl prints of a control plane it reads out of this.
  const std::string identifier = absl::StrCat("{\"Component\":\"fairlead\",\"ID\":\"", options_.identifier, "\",\"Info\":{\"version\":\"", options_.version, "\"}}");
  cpstream::WireMessage message;
  message.delta = delta;
  if (message.delta) {
    envoy::service::discovery::v3::DeltaDiscoveryResponse response;
    for (DebugResource& r : *answer) {
      auto& one = *response.add_resources();
      one.set_name(r.name);
      one.set_version(nonce);
      one.mutable_resource()->set_type_url(r.type_url);
      one.mutable_resource()->set_value(std::move(r.bytes));
    }
    response.set_system_version_info(nonce);
    response.set_type_url(request.type_url);
    response.set_nonce(nonce);
    response.mutable_control_plane()->set_identifier(identifier);
    message.head = response.SerializeAsString();
  } else {
    envoy::service::discovery::v3::DiscoveryResponse response;
    for (DebugResource& r : *answer) {
      auto& one = *response.add_resources();
      one.set_type_url(r.type_url);
      one.set_value(std::move(r.bytes));
    }
    response.set_version_info(nonce);  // istioctl waits for one that is not empty
    response.set_type_url(request.type_url);
    response.set_nonce(nonce);
    response.mutable_control_plane()->set_identifier(identifier);
    message.head = response.SerializeAsString();
  }
  wire_.send(id, std::move(message));
  return absl::OkStatus();
}

}  // namespace fairlead::serve
