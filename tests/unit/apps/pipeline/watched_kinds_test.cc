// The kinds that are asked for are those that the vocabularies read: no more, and each in its plural and versions.
#include <catch2/catch.hpp>

#include <map>
#include <string>

#include "adapters/object/store.h"
#include "apps/pipeline/translator.h"
#include "apps/pipeline/watched_kinds.h"
#include "base/doc.h"

namespace fairlead::pipeline::watched_kinds_test {
namespace {

TEST_CASE("every watched kind is read in every version that is asked for") {
  for (const adapters::WatchedKind& kind : watched_kinds()) {
    for (const std::string& version : kind.versions) {
      INFO(kind.group << "/" << version << " " << kind.kind);
      adapters::Store store;
      register_vocabularies(store);
      const std::string api = kind.group.empty() ? version : kind.group + "/" + version;
      std::vector<adapters::Diagnostic> errors;
      const adapters::ObjectPtr object =
          adapters::read_object(*doc::parse_json(R"({"apiVersion":")" + api + R"(","kind":")" + kind.kind + R"(","type":"kubernetes.io/tls","data":{"ca.crt":""},"metadata":{"name":"a"}})", ""), "s", "", errors);
      REQUIRE(object);
      CHECK(object->key.ns.empty() == kind.cluster_scoped);
      CHECK((kind.keep == nullptr || kind.keep(*object)));
      adapters::SourceUpdate update;
      update.source = "s";
      update.upserted = {object};
      store.apply(update);
      for (const adapters::Diagnostic& d : store.snapshot()->diagnostics()) {
        INFO(d.str());
        CHECK(d.field != "kind");
        CHECK(d.field != "apiVersion");
        CHECK(d.message.find("not read") == std::string::npos);
        CHECK(d.message.find("nothing here reads") == std::string::npos);
      }
    }
  }
}

TEST_CASE("kinds and their names in requests") {
  std::map<std::string, adapters::WatchedKind> kinds;
  for (const adapters::WatchedKind& kind : watched_kinds()) {
    CHECK(kinds.emplace(kind.kind, kind).second);
  }
  CHECK(kinds.at("GatewayClass").plural == "gatewayclasses");
  CHECK(kinds.at("GatewayClass").cluster_scoped);
  CHECK(kinds.at("BackendTLSPolicy").plural == "backendtlspolicies");
  CHECK(kinds.at("HTTPRoute").plural == "httproutes");
  CHECK(kinds.at("HTTPRoute").versions.front() == "v1");
  CHECK(kinds.at("HTTPRoute").optional);
  CHECK(kinds.at("EnvoyResources").plural == "envoyresources");
  CHECK(kinds.at("Secret").field_selector == "type=kubernetes.io/tls");
  CHECK_FALSE(kinds.at("Service").optional);
}

}  // namespace
}  // namespace fairlead::pipeline::watched_kinds_test
