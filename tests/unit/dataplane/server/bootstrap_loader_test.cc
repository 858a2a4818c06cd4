// What is told of a bootstrap before anything runs.
#include <catch2/catch.hpp>

#include <string>

#include "dataplane/config/bootstrap.h"
#include "dataplane/server/bootstrap_loader.h"

namespace bootstrap_loader_test {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using namespace fairlead;

namespace {

std::string error_of(const std::string& yaml) {
  server::Options options;
  options.config_yaml = yaml;
  const auto loaded = server::load_bootstrap(options, "1.2.3");
  return loaded.ok() ? "" : std::string(loaded.status().message());
}

std::string with_log(const std::string& path) {
  return "admin: {access_log: [{name: f, typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: " + path + "}}]}\n";
}

}  // namespace

TEST_CASE("a bootstrap may say nothing, but must be there") {
  CHECK(error_of("{}").empty());
  for (const std::string text : {" ", "# nothing\n", "~\n", "---\n"}) {
    INFO(text);
    CHECK(error_of(text) == "--config-yaml: holds no bootstrap: it is empty");
  }
}

TEST_CASE("an access log that cannot be written is told at once") {
  CHECK_THAT(error_of(with_log("/nonexistent/x.log")), Contains("admin: access log: unable to open file '/nonexistent/x.log': No such file or directory"));
  CHECK_THAT(error_of(with_log("/tmp")), Contains("unable to open file '/tmp': Is a directory"));
  CHECK(error_of(with_log("/dev/null")).empty());
  CHECK(error_of(with_log("/tmp/not-there-before-it-is-needed.log")).empty());
}

TEST_CASE("a file that resources come from must be there, and every subscription needs a node") {
  const std::string node = "node: {id: n, cluster: c}\n";
  const auto eds = [](const std::string& path) { return "static_resources: {clusters: [{name: a, type: EDS, eds_cluster_config: {eds_config: {path_config_source: {path: " + path + "}}}}]}\n"; };
  CHECK(error_of(node + eds("/dev/null")).empty());
  CHECK_THAT(error_of(eds("/dev/null")), Contains("node: dynamic resources need node.id and node.cluster"));
  CHECK_THAT(error_of(node + eds("/nonexistent/e.yaml")), Contains("cluster 'a': eds_cluster_config.eds_config: paths must refer to an existing path in the system: '/nonexistent/e.yaml' does not exist"));
  CHECK_THAT(error_of(node + "dynamic_resources: {cds_config: {path_config_source: {path: /nonexistent/c.yaml}}}\n"), Contains("dynamic_resources.cds_config: paths must refer to an existing path"));
  CHECK_THAT(error_of(node + "dynamic_resources: {lds_config: {path_config_source: {path: /dev/null, watched_directory: {path: /nonexistent}}}}\n"), Contains("'/nonexistent' does not exist"));
}

TEST_CASE("clusters that xDS streams go to obey the support table too, and what they ignore is told") {
  const auto with = [](const std::string& more) {
    server::Options options;
    options.config_yaml = R"(
node: {id: n, cluster: c}
dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: x}}]}}
static_resources:
  clusters:
  - name: x
    load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]}
    )" + more + "\n";
    return server::load_bootstrap(options, "1.2.3");
  };
  auto loaded = with("http2_protocol_options: {max_concurrent_streams: 100, connection_keepalive: {interval: 30s, timeout: 5s, interval_jitter: {value: 10}}}");
  REQUIRE(loaded.ok());
  CHECK(loaded->ignored_fields == 2);
  REQUIRE(loaded->warnings.size() == 2);
  CHECK_THAT(loaded->warnings[0], StartsWith("--config-yaml:8: static_resources.clusters[0].http2_protocol_options.max_concurrent_streams: ignored: "));
  loaded = with("lb_policy: RANDOM");
  REQUIRE(loaded.ok());
  REQUIRE(loaded->warnings.size() == 1);
  CHECK_THAT(loaded->warnings[0], StartsWith("--config-yaml:8: static_resources.clusters[0].lb_policy: ignored: xDS streams go to the endpoints in turn"));
  CHECK_THAT(std::string(with("http2_protocol_options: {max_outbound_frames: 5}").status().message()), Contains("http2_protocol_options.max_outbound_frames: not supported"));
  CHECK_THAT(std::string(with("lb_subset_config: {}").status().message()), StartsWith("--config-yaml:8: static_resources.clusters[0].lb_subset_config: not supported"));
  CHECK_THAT(std::string(with("outlier_detection: {}").status().message()), Contains("outlier_detection: not supported"));
}

TEST_CASE("errors of a bootstrap begin with file and line") {
  CHECK_THAT(error_of("node: {id: n}\nstats_flush_interval: -1s\n"), StartsWith("--config-yaml:2: stats_flush_interval: must be at least 0.001s"));
  CHECK_THAT(error_of("node: {id: n}\nstatic_resourcez: {}\n"), StartsWith("--config-yaml:2: static_resourcez: unknown field"));
}

}  // namespace bootstrap_loader_test
