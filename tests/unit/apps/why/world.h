// Worlds of YAML for the tests of apps/why: a raw listener, table and clusters, or objects as files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <catch2/catch.hpp>

#include "apps/pipeline/offline.h"
#include "apps/why/answer.h"
#include "base/file.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace fairlead::test {

// The snapshots of files; those that fail to be read fail the test.
class Files {
 public:
  explicit Files(const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [name, text] : files) folder_.write(name, text);
    auto run = pipeline::run_offline({folder_.path()});
    REQUIRE(run.ok());
    offline_ = *std::move(run);
    INFO((offline_->findings.empty() ? std::string() : offline_->findings.front().str()));
    REQUIRE(offline_->count(intent::Severity::kError) == 0);
  }
  snapshot::SnapshotPtr scope(const std::string& name) const {
    REQUIRE(offline_->catalog.find(name)->size() > 0);
    return offline_->catalog.find(name);
  }
  snapshot::Catalog& catalog() { return offline_->catalog; }
  std::vector<snapshot::SnapshotPtr> scopes() const {
    std::vector<snapshot::SnapshotPtr> out;
    for (const std::string& name : offline_->catalog.scopes()) out.push_back(offline_->catalog.find(name));
    return out;
  }
  std::string folder() const { return folder_.path(); }

 private:
  TemporaryDirectory folder_;
  std::unique_ptr<pipeline::Offline> offline_;
};

inline constexpr const char* kTypes = "type.googleapis.com/envoy";

// A listener at an address whose only chain is plain HTTP with the routes inline.
inline std::string listener_yaml(const std::string& name, const std::string& address, int port, const std::string& hosts, const std::string& hcm = "") {
  return absl::StrCat("  - \"@type\": ", kTypes, ".config.listener.v3.Listener\n    name: ", name, "\n    address: {socket_address: {address: ", address, ", port_value: ", port, "}}\n",
                      "    filter_chains:\n    - filters:\n      - name: hcm\n        typed_config:\n          \"@type\": ", kTypes,
                      ".extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          stat_prefix: a\n", hcm.empty() ? "" : absl::StrCat("          ", hcm, "\n"),
                      "          route_config: {name: inline, validate_clusters: false, virtual_hosts: ", hosts, "}\n          http_filters:\n          - {name: router, typed_config: {\"@type\": ", kTypes,
                      ".extensions.filters.http.router.v3.Router}}\n");
}

inline std::string static_cluster_yaml(const std::string& name, int port) {
  return absl::StrCat("  - {\"@type\": ", kTypes, ".config.cluster.v3.Cluster, name: ", name, ", load_assignment: {cluster_name: ", name,
                      ", endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", port, "}}}}]}]}}\n");
}

inline why::Answer ask(why::World& world, const std::string& method, const std::string& url, const std::vector<std::string>& headers = {}) {
  const auto request = why::make_request(method, url, headers);
  INFO(request.status().ToString());
  REQUIRE(request.ok());
  return why::explain(world, *request);
}

// "listener: …" of each step, one a line.
inline std::string steps(const why::Answer& answer) {
  std::string out;
  for (const why::Step& s : answer.steps) absl::StrAppend(&out, s.step, ": ", s.what, "\n");
  return out;
}

}  // namespace fairlead::test
