// What Core tells of its clients in the messages of envoy.service.status.v3.
#include <utility>

#include <absl/strings/str_cat.h>

#include "controlplane/serve/client_status.h"
#include "controlplane/serve/core.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "envoy/service/status/v3/csds.pb.h"

namespace fairlead::serve {

namespace {

constexpr std::string_view kSyncType = "istio.io/debug/syncz";  // istioctl proxy-status
constexpr std::string_view kNonce = "debug-";  // no session's: those are numbers

}  // namespace

absl::Status Core::may_inspect(const rpc::Peer& peer) const {
  if (peer.local || options_.allow_inspection) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(peer.text(), " may not ask what other clients have: only who is on the server's machine may, unless fairlead-control runs with --xds-allow-inspection"));
}

absl::Status Core::may_be(const rpc::Peer& peer, const snapshot::Node& node) const { return authorization_ ? authorization_->check(peer, node) : absl::OkStatus(); }

void Core::answer_debug(StreamId id, bool delta, const cpstream::Request& request) {
  if (request.nonce.starts_with(kNonce)) return;  // an ACK
  std::vector<std::pair<std::string, std::string>> found;  // node, serialised ClientConfig
  if (request.type_url == kSyncType) {
    each_stream([&](const StreamView& view) {
      bool asks = false;  // who has asked for no resource is no proxy, but somebody like the one who asks here
      for (resources::Type t : resources::all_types()) asks |= view.session.status(t).state != cpstream::TypeStatus::State::kNotRequested;
      if (asks) found.emplace_back(view.node.id, sync_status(view).SerializeAsString());
    });
  }
  const std::string nonce = absl::StrCat(kNonce, ++debug_nonces_);
  // What istioctl prints of a control plane it reads out of this.
  const std::string identifier = absl::StrCat("{\"Component\":\"fairlead\",\"ID\":\"", options_.identifier, "\",\"Info\":{\"version\":\"", options_.version, "\"}}");
  const std::string config = "type.googleapis.com/envoy.service.status.v3.ClientConfig";
  cpstream::WireMessage message;
  message.delta = delta;
  if (message.delta) {
    envoy::service::discovery::v3::DeltaDiscoveryResponse response;
    for (auto& [node, bytes] : found) {
      auto& one = *response.add_resources();
      one.set_name(node);
      one.set_version(nonce);
      one.mutable_resource()->set_type_url(config);
      one.mutable_resource()->set_value(std::move(bytes));
    }
    response.set_system_version_info(nonce);
    response.set_type_url(request.type_url);
    response.set_nonce(nonce);
    response.mutable_control_plane()->set_identifier(identifier);
    message.head = response.SerializeAsString();
  } else {
    envoy::service::discovery::v3::DiscoveryResponse response;
    for (auto& [node, bytes] : found) {
      auto& one = *response.add_resources();
      one.set_type_url(config);
      one.set_value(std::move(bytes));
    }
    response.set_version_info(nonce);  // istioctl waits for one that is not empty
    response.set_type_url(request.type_url);
    response.set_nonce(nonce);
    response.mutable_control_plane()->set_identifier(identifier);
    message.head = response.SerializeAsString();
  }
  wire_.send(id, std::move(message));
}

}  // namespace fairlead::serve
