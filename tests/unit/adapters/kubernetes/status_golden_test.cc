// Golden folder of statuses: tests/golden/status/NAME.in.yaml -> NAME.out.yaml. In: objects as `kubectl get -o yaml` gives them, perhaps with a status,
// and one document `proxies:`/`refusals:` of what proxies said; out: what is applied to each object, and nothing for one that is left alone.
// FAIRLEAD_REGENERATE=1 rewrites the outputs: read the diff.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "adapters/gatewayapi/translate.h"
#include "adapters/kubernetes/status_shapes.h"
#include "adapters/kubernetes/verdicts.h"
#include "base/file.h"

namespace fairlead::adapters::kubernetes::status_golden_test {
namespace {

const std::string kFolder = std::string(FAIRLEAD_SOURCE_DIR) + "/tests/golden/status";

std::string text_at(const doc::Value& value, std::string_view key) {
  const doc::Value* v = value.find(key);
  return v && v->is_string() ? v->as_string() : std::string();
}

// "HTTPRoute default/app"
ObjectKey key_of(const std::string& text) {
  const size_t space = text.find(' '), slash = text.find('/');
  return {"gateway.networking.k8s.io", text.substr(0, space), text.substr(space + 1, slash - space - 1), text.substr(slash + 1)};
}

Verdicts verdicts_of(const doc::Value& d) {
  Verdicts out;
  if (const doc::Value* list = d.find("proxies")) {
    for (const doc::Value& p : list->items()) out.gateways[key_of("Gateway " + text_at(p, "gateway"))] = {static_cast<size_t>(p.find("connected")->as_integer()), p.find("synced")->as_boolean()};
  }
  if (const doc::Value* list = d.find("refusals")) {
    for (const doc::Value& r : list->items()) {
      const ObjectKey by = r.find("mesh") ? kMesh : key_of("Gateway " + text_at(r, "gateway"));
      out.refusals.emplace(key_of(text_at(r, "object")), Refusal{by, text_at(r, "field"), text_at(r, "message"), false});
    }
  }
  return out;
}

std::string shape_case(const std::string& name) {
  Store store;
  gatewayapi::register_groups(store);
  SourceUpdate update;
  update.source = "kubernetes";
  update.synced = true;
  Verdicts verdicts;
  const absl::StatusOr<std::string> text = read_file(kFolder + "/" + name + ".in.yaml");
  REQUIRE(text.ok());
  const auto documents = doc::parse_yaml(*text, "");  // as from an API server: without lines
  INFO(documents.status().message());
  REQUIRE(documents.ok());
  for (const doc::Value& d : *documents) {
    if (d.find("kind") == nullptr) {
      verdicts = verdicts_of(d);
    } else if (ObjectPtr o = read_object(d, "kubernetes", "", update.diagnostics)) {
      update.upserted.push_back(o);
    }
  }
  store.apply(update);
  const ObjectSnapshotPtr objects = store.snapshot();
  const StatusSink said = gatewayapi::translate(*objects).status;

  std::string out;
  for (const ObjectPtr& o : update.upserted) {
    const StatusKind* kind = status_kind(o->key);
    // What every case has in common is shown where it is the subject.
    if (kind == nullptr || (o->key == ObjectKey{"gateway.networking.k8s.io", "GatewayClass", "", "fairlead"} && name != "gateway_class")) continue;
    const auto found = said.objects().find(o->key);
    StatusSink::Scopes scopes = found == said.objects().end() ? StatusSink::Scopes() : found->second;
    join(scopes, o->key, listener_names(*o), [&](const ObjectKey& parent) { return gateway_of(*objects, parent); }, verdicts);
    Shaping shaping;
    shaping.controller = "fairlead.io/gateway-controller";
    shaping.addresses = {address_of("192.0.2.1")};
    shaping.now = "2026-01-31T12:00:00Z";
    const Shaped shaped = shape_status(*o, *kind, scopes, o->body, shaping);
    if (!shaped.differs) {
      out += "# " + o->key.str() + " is left alone\n---\n";
      continue;
    }
    const doc::Value body = *doc::parse_json(apply_body(*o, *kind, o->body, shaped.status), name);
    out += "# PATCH " + object_path(*o, *kind) + "/status\n" + doc::to_yaml(body) + "---\n";
  }
  return out;
}

TEST_CASE("objects and what proxies said become the statuses of the golden folder") {
  const bool regenerate = std::getenv("FAIRLEAD_REGENERATE") != nullptr;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string file = entry.path().filename();
    if (const size_t end = file.rfind(".in.yaml"); end != std::string::npos) names.push_back(file.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  CHECK(names.size() >= 6);
  for (const std::string& name : names) {
    INFO("case " << name);
    const std::string got = shape_case(name), path = kFolder + "/" + name + ".out.yaml";
    if (regenerate) REQUIRE(replace_file(path, got).ok());
    const absl::StatusOr<std::string> want = read_file(path);
    REQUIRE(want.ok());
    CHECK(got == *want);
  }
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::status_golden_test
