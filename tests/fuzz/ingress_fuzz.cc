// Any bytes as a file of Ingresses: the store's checks and the translation to intent. Beyond not crashing: a second translation of the same
// snapshot is the same, no listener is without a certificate that it needs, and what is served belongs to an object of the snapshot.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "adapters/core/core.h"
#include "adapters/ingress/translate.h"
#include "tests/fuzz/objects.h"

namespace {

using namespace fairlead::adapters;

constexpr std::string_view kBase = R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: fairlead, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}
spec: {controller: fairlead.io/ingress-controller}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
)";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 64 * 1024) return 0;
  Store store;
  ingress::register_groups(store);
  store.register_group("", core::check_core);
  store.apply(read("base", kBase));
  store.apply(read("fuzz", std::string_view(reinterpret_cast<const char*>(data), size)));

  const ObjectSnapshotPtr snapshot = store.snapshot();
  const ingress::Translation first = ingress::translate(*snapshot);
  const ingress::Translation second = ingress::translate(*snapshot, &first);
  require(first.model.gateways == second.model.gateways);  // equal content keeps its pointer
  require(first.diagnostics == second.diagnostics);
  for (const auto& [scope, gateway] : first.model.gateways) {
    require(snapshot->find(ObjectKey{"networking.k8s.io", "IngressClass", "", scope.name}) != nullptr);
    for (const auto& listener : gateway->listeners) {
      require(!listener.tls || !listener.tls->certificates.empty());
      for (const auto& host : listener.virtual_hosts) {
        require(!host->hostname.empty() && !host->routes.empty());
        for (const auto& route : host->routes) require(snapshot->find(ObjectKey{"networking.k8s.io", "Ingress", route->origin.ns, route->origin.name}) != nullptr);
      }
    }
  }
  return 0;
}
