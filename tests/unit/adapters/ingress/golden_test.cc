// Golden folder of the Ingress vocabulary: tests/golden/ingress/NAME.in.yaml -> NAME.out.yaml (intent, conditions, what is told). base.yaml is
// read before each case. FAIRLEAD_REGENERATE=1 rewrites the outputs: read the diff.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "adapters/core/core.h"
#include "adapters/ingress/translate.h"
#include "base/doc.h"
#include "base/file.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters {
namespace {

const std::string kFolder = std::string(FAIRLEAD_SOURCE_DIR) + "/tests/golden/ingress";

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

std::string translate_case(const std::string& name) {
  Store store;
  ingress::register_groups(store);
  store.register_group("", core::check_core);
  store.apply(read_source("base", "base.yaml"));
  store.apply(read_source("case", name + ".in.yaml"));
  const ObjectSnapshotPtr snapshot = store.snapshot();
  const ingress::Translation result = ingress::translate(*snapshot);
  const ingress::Translation again = ingress::translate(*snapshot, &result);
  CHECK(again.model.gateways == result.model.gateways);  // equal content keeps its pointer
  CHECK(again.diagnostics == result.diagnostics);

  std::vector<doc::Value> told;
  for (const auto* list : {&snapshot->diagnostics(), &result.diagnostics}) {
    for (const Diagnostic& d : *list) told.push_back(doc::string(std::string(severity_name(d.severity)) + ": " + d.str()));
  }
  return intent::to_yaml(result.model) + "---\n" + doc::to_yaml(doc::map({{"status", to_doc(result.status), {}}})) + "---\n" +
         doc::to_yaml(doc::map({{"told", doc::list(std::move(told)), {}}}));
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

TEST_CASE("Ingresses become the intent, conditions and errors of the golden folder") {
  const bool regenerate = std::getenv("FAIRLEAD_REGENERATE") != nullptr;
  const std::vector<std::string> names = case_names();
  CHECK(names.size() >= 12);
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

}  // namespace
}  // namespace fairlead::adapters
