// What a status that has been written costs the one who writes them: its echo, one changed HTTPRoute of N, is compared with what is to be said. Prints
// microseconds of CPU of StatusKeeper::take() among 100, 1,000 and 10,000 routes: first all of them, then one at a time, the median of 100.
//   build/release/bin/bench_status_take
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "adapters/gatewayapi/translate.h"
#include "adapters/kubernetes/status_keeper.h"
#include "adapters/object/store.h"
#include "bench/cpu_time.h"

namespace fairlead::adapters::kubernetes {
namespace {

constexpr int kEchoes = 100;

const char kGateway[] = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead, uid: c}
spec: {controllerName: fairlead.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default, uid: g}
spec: {gatewayClassName: fairlead, listeners: [{name: http, protocol: HTTP, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default, uid: s}
spec: {ports: [{port: 80}]}
)";

std::string route(int i, int version) {
  return absl::StrCat("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: route-", i, ", namespace: default, uid: r", i, ", generation: 1, resourceVersion: \"", version,
                      "\"}\nspec:\n  parentRefs: [{name: edge}]\n  hostnames: [host-", i, ".test]\n  rules: [{backendRefs: [{name: web, port: 80}]}]\n");
}

void measure(int routes) {
  Store store;
  gatewayapi::register_groups(store);
  store.register_source("kubernetes");
  const auto apply = [&](const std::string& yaml) {
    SourceUpdate update;
    update.source = "kubernetes";
    update.synced = true;
    const auto documents = doc::parse_yaml(yaml, "bench");
    for (const doc::Value& d : *documents) update.upserted.push_back(read_object(d, "kubernetes", "", update.diagnostics));
    store.apply(update);
  };
  std::string all = kGateway;
  for (int i = 0; i < routes; ++i) all += route(i, i + 1);
  apply(all);
  StatusKeeper::Options options;
  options.source = "kubernetes";
  options.controller = "fairlead.io/gateway-controller";
  StatusKeeper keeper(options);
  Verdicts verdicts;
  verdicts.gateways[{"gateway.networking.k8s.io", "Gateway", "default", "edge"}] = {1, true, "1"};
  const auto said = std::make_shared<const StatusSink>(gatewayapi::translate(*store.snapshot()).status);
  const auto take = [&] { keeper.take(said, store.snapshot(), verdicts, MonotonicTime{}); };
  const double first = 1000 * bench::milliseconds_of(take);
  std::vector<double> echoes;
  for (int i = 0; i < kEchoes; ++i) {
    apply(route(i * 37 % routes, routes + i + 1));
    echoes.push_back(1000 * bench::milliseconds_of(take));
  }
  std::sort(echoes.begin(), echoes.end());
  std::printf("%6d routes: all %9.0f us, one %8.1f us (%.1f to %.1f)\n", routes, first, echoes[echoes.size() / 2], echoes.front(), echoes.back());
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes

int main() {
  for (const int routes : {100, 1'000, 10'000}) fairlead::adapters::kubernetes::measure(routes);
}
