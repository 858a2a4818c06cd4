// Golden folder of the Gateway API vocabulary: tests/golden/gatewayapi/NAME.in.yaml -> NAME.out.yaml (intent, conditions,
// what is told). base.yaml is read before each case. FAIRLEAD_REGENERATE=1 rewrites the outputs: read the diff.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "adapters/core/core.h"
#include "adapters/gatewayapi/schema.h"
#include "adapters/gatewayapi/translate.h"
#include "base/doc.h"
#include "base/file.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters {
namespace {

const std::string kFolder = std::string(FAIRLEAD_SOURCE_DIR) + "/tests/golden/gatewayapi";

SourceUpdate read_source(const std::string& name, const std::string& file) {
  SourceUpdate update;
  update.source = name;
  update.synced = true;
  const absl::StatusOr<std::string> text = read_file(kFolder + "/" + file);
  REQUIRE(text.ok());
  const auto documents = doc::parse_yaml(*text, file);
  INFO(documents.status().message());
  REQUIRE(documents.ok());
  for (const doc::Value& d : *documents) {
    if (ObjectPtr o = read_object(d, name, file, update.diagnostics)) update.upserted.push_back(o);
  }
  return update;
}

// "Accepted=True", or with its reason and message where they say more: "Accepted=False NotAllowedByListeners: …".
std::string condition_line(const Condition& c) {
  std::string line = c.type + "=" + std::string(truth_name(c.status));
  if (c.reason != c.type && c.reason != "NoConflicts" && c.reason != "Pending") line += " " + c.reason;
  if (!c.message.empty() && c.reason != "Pending") line += ": " + c.message;
  if (c.observed_generation != 0) line += " (generation " + std::to_string(c.observed_generation) + ")";
  return line;
}

doc::Value status_to_doc(const StatusSink& sink, const std::string& name, const intent::Model& model) {
  std::vector<doc::Value> all;
  for (const auto& [object, scopes] : sink.objects()) {
    // What every case has in common is shown where it is the subject.
    if (object.kind == "GatewayClass" && name.find("gatewayclass") == std::string::npos) continue;
    if (object.kind == "Gateway" && !model.gateways.contains({object.ns, object.name})) continue;
    for (const auto& [scope, status] : scopes) {
      std::string head = object.str();
      if (!scope.parent.name.empty()) head += " at " + scope.parent.str();
      if (!scope.section.empty()) head += " listener " + scope.section;
      if (scope.port != 0) head += " port " + std::to_string(scope.port);
      std::vector<doc::Value> lines;
      for (const Condition& c : status.conditions) lines.push_back(doc::string(condition_line(c)));
      if (status.attached_routes >= 0) {
        std::string line = "attachedRoutes " + std::to_string(status.attached_routes) + " of kinds:";
        for (const std::string& kind : status.supported_kinds) line += " " + kind;
        lines.push_back(doc::string(line));
      }
      all.push_back(doc::map({{head, doc::list(std::move(lines)), {}}}));
    }
  }
  return doc::list(std::move(all));
}

std::string translate_case(const std::string& name) {
  Store store;
  gatewayapi::register_groups(store);
  store.apply(read_source("base", "base.yaml"));
  store.apply(read_source("case", name + ".in.yaml"));
  const ObjectSnapshotPtr snapshot = store.snapshot();
  const gatewayapi::Translation result = gatewayapi::translate(*snapshot);

  // The Gateway of base.yaml is shown in cases that attach something to it.
  intent::Model model = result.model;
  const auto edge = model.gateways.find({"default", "edge"});
  if (edge->second->listeners[0].virtual_hosts.empty() && model.gateways.size() > 1) model.gateways.erase(edge);

  std::vector<doc::Value> told;
  for (const auto* list : {&snapshot->diagnostics(), &result.diagnostics}) {
    for (const Diagnostic& d : *list) {
      told.push_back(doc::string(std::string(severity_name(d.severity)) + ": " + d.str()));
    }
  }
  return intent::to_yaml(model) + "---\n" + doc::to_yaml(doc::map({{"status", status_to_doc(result.status, name, model), {}}})) +
         "---\n" + doc::to_yaml(doc::map({{"told", doc::list(std::move(told)), {}}}));
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string file = entry.path().filename();
    const size_t end = file.rfind(".in.yaml");
    if (end != std::string::npos) names.push_back(file.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST_CASE("Gateway API objects become the intent, conditions and errors of the golden folder") {
  const bool regenerate = std::getenv("FAIRLEAD_REGENERATE") != nullptr;
  const std::vector<std::string> names = case_names();
  CHECK(names.size() >= 40);
  for (const std::string& name : names) {
    INFO("case " << name);
    const std::string got = translate_case(name);
    const std::string path = kFolder + "/" + name + ".out.yaml";
    if (regenerate) REQUIRE(replace_file(path, got).ok());
    const absl::StatusOr<std::string> want = read_file(path);
    REQUIRE(want.ok());
    CHECK(got == *want);
  }
}

// The same checks, of which nothing stays with the objects.
void register_forgetful_groups(Store& store) {
  const auto forget = [](bool (*check)(const Object&, std::vector<Diagnostic>&)) {
    return [check](const Object& object, std::vector<Diagnostic>& out) {
      const Object copy = object;
      return check(copy, out);
    };
  };
  store.register_group(std::string(gatewayapi::kGroup), forget(gatewayapi::check_gateway_api));
  store.register_group(std::string(gatewayapi::kExperimentalGroup), forget(gatewayapi::check_experimental));
  store.register_group("", forget(core::check_core));
  store.register_group(std::string(core::kDiscoveryGroup), forget(core::check_discovery));
}

TEST_CASE("a translation of what the checks have read is the one of objects that are read again") {
  int kept_routes = 0;
  for (const std::string& name : case_names()) {
    INFO("case " << name);
    Store kept, anew;
    gatewayapi::register_groups(kept);
    register_forgetful_groups(anew);
    for (Store* store : {&kept, &anew}) {
      store->apply(read_source("base", "base.yaml"));
      store->apply(read_source("case", name + ".in.yaml"));
    }
    kept.snapshot()->for_each([&](const ObjectPtr& o) { kept_routes += o->reading.get<gatewayapi::HttpRoute>() ? 1 : 0; });
    anew.snapshot()->for_each([&](const ObjectPtr& o) { CHECK(o->reading.get<gatewayapi::HttpRoute>() == nullptr); });
    CHECK(kept.snapshot()->diagnostics() == anew.snapshot()->diagnostics());
    const gatewayapi::Translation a = gatewayapi::translate(*kept.snapshot()), b = gatewayapi::translate(*anew.snapshot());
    CHECK(intent::to_yaml(a.model) == intent::to_yaml(b.model));
    CHECK(a.status.objects() == b.status.objects());
    CHECK(a.diagnostics == b.diagnostics);
  }
  CHECK(kept_routes > 40);
}

}  // namespace
}  // namespace fairlead::adapters
