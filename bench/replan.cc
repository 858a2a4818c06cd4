// What planning costs in fairlead-control: objects as they were read and checked to an update for the serving thread, judged before it is pushed. First all of
// it, then again with one HTTPRoute changed. Prints milliseconds of CPU, of the changes the median of several, and of what they are made of; and on its own
// what comes before: the check of each object by itself, whose reading planning goes on with.
//   build/release/bin/bench_replan [routes [services [endpoints of each [changes]]]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "adapters/file/file_loader.h"
#include "apps/pipeline/preflight.h"
#include "apps/pipeline/translator.h"
#include "base/file.h"
#include "bench/cpu_time.h"

namespace fairlead {
namespace {

using bench::milliseconds_of;

constexpr int kPerFile = 100;

std::string gateway() {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: fairlead}\nspec: {controllerName: fairlead.io/gateway-controller}\n---\n"
         "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  gatewayClassName: fairlead\n  listeners: [{name: http, protocol: HTTP, port: 8080}]\n";
}

// Ten routes share a hostname. `value`: of a header that this one sets.
std::string route(int i, int services, const std::string& value) {
  return absl::StrCat("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: route-", i, "}\nspec:\n  parentRefs: [{name: edge}]\n  hostnames: [\"host-", i / 10,
                      ".test\"]\n  rules:\n  - matches: [{path: {type: PathPrefix, value: /service-", i, "}}]\n    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-value, value: \"",
                      value, "\"}]}}]\n    backendRefs: [{name: svc-", i % services, ", port: 80}]\n");
}

std::string service(int i, int endpoints) {
  std::string out = absl::StrCat("---\napiVersion: v1\nkind: Service\nmetadata: {name: svc-", i, "}\nspec: {ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n",
                                 "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: svc-", i, "-1, labels: {kubernetes.io/service-name: svc-", i,
                                 "}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n");
  for (int e = 0; e < endpoints; ++e) absl::StrAppend(&out, "- {addresses: [10.", i / 256, ".", i % 256, ".", e + 1, "], conditions: {ready: true}}\n");
  return out;
}

struct Row {
  const char* what;
  std::vector<double> spent = {};
  void print() {
    std::sort(spent.begin(), spent.end());
    std::printf("%-40s %8.2f ms   (%.2f to %.2f)\n", what, spent[spent.size() / 2], spent.front(), spent.back());
  }
};

int run(int argc, char** argv) {
  const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
  const int routes = number(1, 10'000), services = number(2, 1'000), endpoints = number(3, 50), changes = number(4, 21);
  TemporaryDirectory directory;
  directory.write("gateway.yaml", gateway());
  const auto write_routes = [&](int file, int changed, const std::string& value) {
    std::string text;
    for (int i = file * kPerFile; i < std::min(routes, (file + 1) * kPerFile); ++i) text += route(i, services, i == changed ? value : "v");
    directory.write(absl::StrCat("routes-", file, ".yaml"), text);
  };
  for (int file = 0; file * kPerFile < routes; ++file) write_routes(file, -1, "");
  for (int first = 0; first < services; first += kPerFile) {
    std::string text;
    for (int i = first; i < std::min(services, first + kPerFile); ++i) text += service(i, endpoints);
    directory.write(absl::StrCat("services-", first, ".yaml"), text);
  }

  adapters::FileLoader loader(directory.path());
  adapters::Store store;
  pipeline::register_vocabularies(store);
  store.register_source(loader.name());
  pipeline::Translator translator;
  pipeline::Preflight preflight("0.1.0");
  std::map<std::pair<resources::Type, std::string>, resources::ResourcePtr> told;
  Row rows[] = {{"replanning one changed route"}, {"  translating, planning, building"}, {"  judging before the push"}, {"checking the changed object"}};
  for (int change = 0; change <= changes; ++change) {
    if (change > 0) {
      const int changed = (change * 7919) % routes;
      write_routes(changed / kPerFile, changed, absl::StrCat("v", change));
    }
    const adapters::SourceUpdate read = loader.load();
    adapters::ChangeSet set;
    const double checking = milliseconds_of([&] { set = store.apply(read); });
    snapshot::Update update;
    const double noting = milliseconds_of([&] { translator.note(set); });
    const double making = noting + milliseconds_of([&] { update = translator.full(*store.snapshot()); });
    const double judging = milliseconds_of([&] { preflight.judge(update); });
    size_t sent = 0, others = 0;  // of those that a change makes, those that clients would be sent
    for (const auto& gateway : update.gateways) {
      for (const resources::ResourcePtr& r : gateway.resources) {
        resources::ResourcePtr& before = told[{r->type, r->name}];
        others += !before || before->hash != r->hash ? 1 : 0;
        before = r;
        ++sent;
      }
    }
    if (change == 0) {
      std::printf("%d routes, %d services of %d endpoints: %zu resources\n", routes, services, endpoints, sent);
      std::printf("%-40s %8.2f ms\n%-40s %8.2f ms\n", "checking all objects", checking, "a full plan", making + judging);
      std::printf("%-40s %8.2f ms\n%-40s %8.2f ms\n", "  of which following the endpoints", noting, "  of which judging before the push", judging);
      continue;
    }
    if (update.gateways.size() != 1) std::printf("a change made %zu updates of Gateways\n", update.gateways.size());
    if (others != 1) std::printf("a change made %zu resources with other bytes\n", others);
    const double spent[] = {making + judging, making, judging, checking};
    for (size_t k = 0; k < std::size(rows); ++k) rows[k].spent.push_back(spent[k]);
  }
  if (changes > 0) {
    for (Row& row : rows) row.print();
  }
  return 0;
}

}  // namespace
}  // namespace fairlead

int main(int argc, char** argv) { return fairlead::run(argc, argv); }
