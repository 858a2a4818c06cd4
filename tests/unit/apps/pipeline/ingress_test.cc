// Ingresses beside Gateways: one pipeline, a scope for each class.
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>

#include "adapters/file/file_loader.h"
#include "apps/pipeline/translator.h"
#include "base/file.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace ingress_test {

using namespace fairlead;
using namespace fairlead::test;

namespace {

constexpr const char* kIngress = R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: web}
spec: {controller: fairlead.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: app}
spec:
  ingressClassName: web
  rules:
  - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app, port: {number: 80}}}}]}
)";

}  // namespace

TEST_CASE("a class of Ingresses is a scope of its own beside the Gateways', and goes with its class") {
  TemporaryDirectory directory;
  adapters::FileLoader loader(directory.path());
  adapters::Store store;
  pipeline::register_vocabularies(store);
  store.register_source(loader.name());
  pipeline::Translator translator;
  const auto full = [&] {
    translator.note(store.apply(loader.load()));
    return translator.full(*store.snapshot());
  };
  directory.write("gateway.yaml", gateway_yaml() + route_yaml("app"));
  directory.write("services.yaml", service_yaml("app") + slice_yaml("app"));
  directory.write("ingress.yaml", kIngress);

  const snapshot::Update first = full();
  REQUIRE(first.gateways.size() == 2);
  CHECK(translator.plans().size() == 2);
  const auto scope = std::find_if(first.gateways.begin(), first.gateways.end(), [](const auto& g) { return g.key == intent::ScopeKey{"IngressClass", "web"}; });
  REQUIRE(scope != first.gateways.end());
  const auto listener = std::find_if(scope->resources.begin(), scope->resources.end(), [](const auto& r) { return r->type == resources::Type::kListener; });
  REQUIRE(listener != scope->resources.end());
  CHECK((*listener)->name == "IngressClass/web/0.0.0.0/80");
  CHECK(translator.statuses().size() == 4);  // with those of parameters

  CHECK(full().gateways.empty());
  std::filesystem::remove(directory.path("ingress.yaml"));
  const snapshot::Update gone = full();
  CHECK(gone.gateways.empty());
  CHECK(gone.gone == std::vector<intent::ScopeKey>{{"IngressClass", "web"}});
}

}  // namespace ingress_test
