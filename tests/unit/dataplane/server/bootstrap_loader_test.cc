// What is told of a bootstrap before anything runs.
#include <catch2/catch.hpp>

#include <string>

#include "dataplane/config/bootstrap.h"
#include "dataplane/server/bootstrap_loader.h"

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
  CHECK(error_of(with_log("/dev/null")).empty());
  CHECK(error_of(with_log("/tmp/not-there-before-it-is-needed.log")).empty());
}

TEST_CASE("errors of a bootstrap begin with file and line") {
  CHECK_THAT(error_of("node: {id: n}\nstats_flush_interval: -1s\n"), StartsWith("--config-yaml:2: stats_flush_interval: must be at least 0.001s"));
  CHECK_THAT(error_of("node: {id: n}\nstatic_resourcez: {}\n"), StartsWith("--config-yaml:2: static_resourcez: unknown field"));
}
