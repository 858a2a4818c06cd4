// The chart's roles grant the control plane what the code asks the API server for, and nothing else: what the vocabularies watch, and the statuses
// that are written. Leases, events and wildcards are looked at by tests/unit/structure/helm_test.py.
#include <catch2/catch.hpp>

#include <set>
#include <string>

#include <absl/strings/str_cat.h>

#include "adapters/kubernetes/provisioner.h"
#include "adapters/kubernetes/status_shapes.h"
#include "adapters/provision/data_plane.h"
#include "adapters/provision/nodes.h"
#include "apps/pipeline/watched_kinds.h"
#include "base/doc.h"
#include "base/file.h"

namespace permissions_test {

using namespace fairlead;

namespace {

using Permissions = std::set<std::string>;  // "gateway.networking.k8s.io/gateways/status patch"

Permissions granted(const std::string& file) {
  const absl::StatusOr<std::string> text = read_file(absl::StrCat(FAIRLEAD_SOURCE_DIR, "/helm/fairlead/files/", file));
  REQUIRE(text.ok());
  const auto documents = doc::parse_yaml(*text, file);
  REQUIRE(documents.ok());
  REQUIRE(documents->size() == 1);
  Permissions out;
  for (const doc::Value& rule : documents->front().items()) {
    for (const doc::Value& group : rule.find("apiGroups")->items()) {
      for (const doc::Value& resource : rule.find("resources")->items()) {
        for (const doc::Value& verb : rule.find("verbs")->items()) out.insert(absl::StrCat(group.as_string(), "/", resource.as_string(), " ", verb.as_string()));
      }
    }
  }
  return out;
}

std::string missing(const Permissions& from, const Permissions& in) {
  std::string out;
  for (const std::string& p : from) {
    if (!in.contains(p)) absl::StrAppend(&out, p, "\n");
  }
  return out;
}

}  // namespace

TEST_CASE("every kind that is watched may be listed and watched, and no other") {
  const Permissions given = granted("cluster-rules.yaml");
  Permissions needed;
  for (const adapters::WatchedKind& kind : pipeline::watched_kinds()) {
    for (const char* verb : {"list", "watch"}) needed.insert(absl::StrCat(kind.group, "/", kind.plural, " ", verb));
  }
  CHECK(needed.size() >= 24);
  CHECK(missing(needed, given) == "");
  CHECK(missing(given, needed) == "");  // what nothing asks for is not granted
}

TEST_CASE("of kinds whose status is written the object may be read and the status patched, and nothing else but events made") {
  const Permissions given = granted("leader-rules.yaml");
  Permissions needed{"events.k8s.io/events create", "events.k8s.io/events patch"};
  for (const adapters::kubernetes::StatusKind& kind : adapters::kubernetes::status_kinds()) {
    if (kind.shape == adapters::kubernetes::StatusKind::Shape::kNone) continue;  // events alone
    needed.insert(absl::StrCat(kind.group, "/", kind.plural, " get"));
    needed.insert(absl::StrCat(kind.group, "/", kind.plural, "/status patch"));
  }
  CHECK(missing(needed, given) == "");
  CHECK(missing(given, needed) == "");
}

TEST_CASE("of what data planes consist of the leader may do what it asks for, beyond what it may anyway, and nothing else") {
  const Permissions given = granted("managed-rules.yaml"), anyway = granted("cluster-rules.yaml");
  Permissions needed;
  for (const adapters::WatchedKind& kind : adapters::kubernetes::Provisioner::watched_kinds()) {
    // an apply that makes an object is a create as well
    for (const char* verb : {"list", "watch", "get", "create", "patch", "delete"}) {
      if (const std::string permission = absl::StrCat(kind.group, "/", kind.plural, " ", verb); !anyway.contains(permission)) needed.insert(permission);
    }
  }
  CHECK(needed.size() >= 30);
  CHECK(missing(needed, given) == "");
  CHECK(missing(given, needed) == "");
}

TEST_CASE("nodes may be listed and watched where Gateways tell their addresses, and nothing else, and not otherwise") {
  const Permissions given = granted("node-rules.yaml"), anyway = granted("cluster-rules.yaml");
  Permissions needed;
  for (const adapters::WatchedKind& kind : adapters::provision::Nodes::watched_kinds()) {
    for (const char* verb : {"list", "watch"}) {
      if (const std::string permission = absl::StrCat(kind.group, "/", kind.plural, " ", verb); !anyway.contains(permission)) needed.insert(permission);
    }
  }
  CHECK(needed == Permissions{"/nodes list", "/nodes watch"});
  CHECK(missing(needed, given) == "");
  CHECK(missing(given, needed) == "");
}

}  // namespace permissions_test
