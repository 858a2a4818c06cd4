// Any bytes as a file of a directory: documents, objects, the store's checks, both translations to intent. Beyond not
// crashing: a second translation of the same snapshot is the same, every object in a snapshot passed its check, and
// what is served was accepted.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/strings/str_split.h>

#include "adapters/core/endpoint_index.h"
#include "adapters/gatewayapi/translate.h"
#include "tests/fuzz/objects.h"

namespace {

using namespace fairlead::adapters;

// One Gateway that admits everybody, so that mutated routes get past the door.
constexpr std::string_view kBase = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead}
spec: {controllerName: fairlead.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: fairlead
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
)";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 64 * 1024) return 0;
  Store store;
  gatewayapi::register_groups(store);
  store.apply(read("base", kBase));
  const ChangeSet changes = store.apply(read("fuzz", std::string_view(reinterpret_cast<const char*>(data), size)));
  core::EndpointIndex endpoints;
  endpoints.apply(changes);

  const ObjectSnapshotPtr snapshot = store.snapshot();
  const gatewayapi::Translation first = gatewayapi::translate(*snapshot);
  const gatewayapi::Translation second = gatewayapi::translate(*snapshot, &first);
  require(first.model.gateways == second.model.gateways);  // equal content keeps its pointer
  require(first.diagnostics == second.diagnostics);
  for (const auto& [scope, gateway] : first.model.gateways) {
    const ObjectKey key{"gateway.networking.k8s.io", "Gateway", scope.ns, scope.name};
    for (const auto& listener : gateway->listeners) {
      if (scope.mesh()) {  // ports of Services, each with the routes of one virtual host
        require(!listener.address.empty() && listener.virtual_hosts.size() == 1 && !listener.virtual_hosts[0]->routes.empty());
        continue;
      }
      // those of a ListenerSet are called NAMESPACE/SET/LISTENER, and it is the set that is told of them
      ObjectKey owner = key;
      std::string name = listener.name;
      if (const std::vector<std::string> parts = absl::StrSplit(name, '/'); parts.size() == 3) {
        owner = {key.group, "ListenerSet", parts[0], parts[1]};
        name = parts[2];
      }
      const Condition* accepted = first.status.find(owner, {{}, name, 0}, "Accepted");
      require(accepted != nullptr && accepted->status == Truth::kTrue);
      for (const auto& host : listener.virtual_hosts) require(!host->hostname.empty() && !host->routes.empty());
    }
  }
  return 0;
}
