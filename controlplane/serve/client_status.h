// What each client was sent and has accepted, as the server sees it, in the messages of envoy.service.status.v3: for CSDS, and for istioctl, which
// asks for the same over ADS (istio_debug.h). Pure; the caller's thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/clock.h"
#include "controlplane/inspect/inspect.h"
#include "controlplane/snapshot/node.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/stream/session.h"
#include "controlplane/verdict/quarantine.h"

namespace google::protobuf {
class Struct;
}
namespace envoy::admin::v3 {
class ConfigDump;
}
namespace envoy::service::status::v3 {
class ClientConfig;
class ClientStatusRequest;
}  // namespace envoy::service::status::v3

namespace fairlead::serve {

// One stream, for as long as the call lasts that it is given to.
struct StreamView {
  const snapshot::Node& node;
  const cpstream::Session& session;
  const snapshot::Snapshot& wanted;                    // of its scope, before the quarantine
  const std::vector<const verdict::Refused*>& refused;  // by its class of clients, in its scope
};
using EachStream = std::function<void(const std::function<void(const StreamView&)>&)>;

// ClientStatusRequest.node_matchers: any of them, or none given, matches. Within one, the id and all the metadata must.
class NodeMatchers {
 public:
  static absl::StatusOr<NodeMatchers> compile(const envoy::service::status::v3::ClientStatusRequest& request);
  bool match(const snapshot::Node& node) const;

 private:
  struct One {
    std::function<bool(std::string_view)> id;                                        // none: any
    std::vector<std::function<bool(const google::protobuf::Struct&)>> metadata;
  };
  std::vector<One> any_of_;
};

inline constexpr std::string_view kStatusServiceName = "envoy.service.status.v3.ClientStatusDiscoveryService";
inline constexpr size_t kMostStatusBytes = 8 << 20;  // of one answer: all other streams wait for it

// Answers a serialised ClientStatusRequest with a serialised ClientStatusResponse. InvalidArgument: it is none, or its matchers cannot be;
// ResourceExhausted: the answer would be too large. Secrets are never told, only that there are some.
absl::StatusOr<std::string> client_status(std::string_view request, const EachStream& each, const inspect::Now& now);

// One entry a type, without resources: what istioctl's columns are made of.
envoy::service::status::v3::ClientConfig sync_status(const StreamView& stream, const inspect::Now& now);

// What the client of that name shall have of clusters, listeners, routes and filters, in the sections of Envoy's own /config_dump; secrets are not told.
// `name`: a node's id, or POD.NAMESPACE of a node whose id is POD, or has "~POD.NAMESPACE~" in it as Istio's have. No section: nobody is called so.
// ResourceExhausted: it would be too large.
absl::StatusOr<envoy::admin::v3::ConfigDump> config_dump(std::string_view name, const EachStream& each);

}  // namespace fairlead::serve
