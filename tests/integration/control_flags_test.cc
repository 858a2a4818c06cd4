// What fairlead-control refuses to start with, and how it ends.
#include "base/file.h"
#include "tests/integration/control_process.h"
#include "tests/unit/apps/pipeline/yaml.h"

using namespace fairlead;
using namespace fairlead::test;

TEST_CASE("what others could read or ask for is served in plaintext only where that is asked for, and the error names the flag") {
  TemporaryDirectory d;
  using Catch::Matchers::Contains;
  for (const char* address : {"0.0.0.0:0", "[::]:0", ":0"}) {
    INFO(address);
    CHECK_THAT(refused(d, {"--xds-address", address, "--admin-address", "127.0.0.1:0"}), Contains("--xds-address " + std::string(address)) && Contains("--xds-allow-plaintext") && Contains("--xds-tls-cert"));
    CHECK_THAT(refused(d, {"--xds-address", "127.0.0.1:0", "--admin-address", address}), Contains("--admin-address " + std::string(address)) && Contains("--admin-allow-plaintext"));
  }
  d.write("a.yaml", gateway_yaml());
  for (const Texts& flags : {Texts{"--xds-address", "localhost:0"}, Texts{"--xds-address", "unix:" + d.path("socket")}, Texts{"--xds-address", "0.0.0.0:0", "--xds-allow-plaintext"},
                             Texts{"--admin-address", "0.0.0.0:0", "--admin-allow-plaintext"}}) {
    Texts command{binary("fairlead-control"), "--source", "file:" + d.path("a.yaml"), "--xds-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"};
    for (size_t i = 0; i < flags.size(); i += 2) {
      const auto at = std::find(command.begin(), command.end(), flags[i]);
      if (at != command.end()) command.erase(at, at + 2);
    }
    command.insert(command.end(), flags.begin(), flags.end());
    Process process(command);
    CHECK_FALSE(process.await_line("xDS on ").empty());
    CHECK(process.stop() == 0);
  }
}

TEST_CASE("TLS flags that lack another, and files that do not do, end the start with their name") {
  TemporaryDirectory d;
  using Catch::Matchers::Contains;
  CHECK_THAT(refused(d, {"--xds-tls-cert", "a"}), Contains("--xds-tls-cert needs --xds-tls-key"));
  CHECK_THAT(refused(d, {"--xds-tls-key", "a"}), Contains("--xds-tls-key needs --xds-tls-cert"));
  CHECK_THAT(refused(d, {"--xds-tls-client-ca", "a"}), Contains("--xds-tls-client-ca needs --xds-tls-cert"));
  CHECK_THAT(refused(d, {"--xds-authorize", "a=id:*"}), Contains("--xds-authorize needs --xds-tls-client-ca"));
  CHECK_THAT(refused(d, {"--xds-authorize-file", "a"}), Contains("--xds-authorize-file needs --xds-tls-client-ca"));
  CHECK_THAT(refused(d, {"--xds-tls-cert", d.path("cert.pem"), "--xds-tls-key", d.path("key.pem")}), Contains(d.path("cert.pem")));
  CHECK_THAT(refused(d, {"--xds-max-streams", "0"}), Contains("--xds-max-streams"));
  CHECK_THAT(refused(d, {"--xds-token-keys", "a", "--xds-token-issuer", "i"}), Contains("--xds-token-audience need each other"));
  CHECK_THAT(refused(d, {"--xds-token-keys", "a", "--xds-token-audience", "u"}), Contains("--xds-token-issuer"));
  CHECK_THAT(refused(d, {"--xds-token-audience", "u"}), Contains("--xds-token-keys"));
  CHECK_THAT(refused(d, {"--xds-token-keys", d.path("keys.json"), "--xds-token-issuer", "i", "--xds-token-audience", "u"}), Contains(d.path("keys.json")));
  CHECK_THAT(refused(d, {"--xds-token-trust-domain", "a/b"}), Contains("--xds-token-trust-domain a/b"));
}

TEST_CASE("a signal ends every stream in an orderly way and the process with 0, although clients stay") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  Control control(d.path(), {"--drain-time-s", "1"});
  std::vector<std::unique_ptr<Ads>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(std::make_unique<Ads>(control.xds, "edge", Ads::Versions{}, "node-" + std::to_string(i)));
  for (const auto& one : clients) REQUIRE(one->until_cluster("app"));
  const auto begun = std::chrono::steady_clock::now();
  CHECK(control.process.stop() == 0);
  CHECK(std::chrono::steady_clock::now() - begun < kPatience);
  for (const auto& one : clients) {
    CHECK(one->until_end());
    const grpc::Status status = one->status();
    CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
    CHECK(status.error_message() == "the server is going away: connect again");
  }
}

TEST_CASE("clients have the time that --drain-time-s gives; a second signal does not wait for them, and those who have not been told are told then") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  Control control(d.path(), {"--drain-time-s", "86400"});
  std::vector<std::unique_ptr<Ads>> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(std::make_unique<Ads>(control.xds, "edge", Ads::Versions{}, "node-" + std::to_string(i)));
  for (const auto& one : clients) REQUIRE(one->until_cluster("app"));
  control.process.send_signal(SIGTERM);
  REQUIRE_FALSE(control.process.await_line("sending 3 connections elsewhere within 86400 s").empty());
  // those whose turn has not come are served on
  d.write("a.yaml", gateway_yaml() + route_yaml("other") + service_yaml("other"));
  CHECK(clients[0]->until_cluster("other"));
  CHECK(control.process.stop(SIGTERM) == 0);
  for (const auto& one : clients) {
    CHECK(one->until_end());
    CHECK(one->status().error_message() == "the server is going away: connect again");
  }
}
