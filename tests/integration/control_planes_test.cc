// Flags of data planes: what fairlead-control refuses to start with.
#include "base/file.h"
#include "tests/integration/control_process.h"
#include "tests/unit/apps/pipeline/yaml.h"

using namespace fairlead;
using namespace fairlead::test;

TEST_CASE("flags of data planes that lack another, or exclude each other, end the start with their name") {
  TemporaryDirectory d;
  using Catch::Matchers::Contains;
  const auto told = [&](Texts flags) {
    flags.insert(flags.begin(), {"--xds-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"});
    return refused(d, std::move(flags));
  };
  CHECK_THAT(told({"--managed-image", "a"}), Contains("--managed-gateways"));
  CHECK_THAT(told({"--managed-gateways"}), Contains("--managed-image"));
  CHECK_THAT(told({"--managed-gateways", "--managed-image", "a"}), Contains("--managed-xds-address"));
  CHECK_THAT(told({"--managed-gateways", "--managed-image", "a", "--managed-xds-address", "nowhere"}), Contains("--managed-xds-address") && Contains("HOST:PORT"));
  CHECK_THAT(told({"--managed-gateways", "--no-write-status", "--managed-image", "a", "--managed-xds-address", "a:1"}), Contains("--write-status"));
  CHECK_THAT(told({"--managed-gateways", "--managed-image", "a", "--managed-xds-address", "a:1", "--managed-tls-secret", "s"}), Contains("--xds-tls-cert"));
  const Texts tls{"--managed-gateways", "--managed-image", "a", "--managed-xds-address", "a:1", "--xds-tls-cert", "c", "--xds-tls-key", "k"};
  const auto with = [&](Texts more) {
    more.insert(more.begin(), tls.begin(), tls.end());
    return told(std::move(more));
  };
  CHECK_THAT(with({}), Contains("--managed-authority-cert") && Contains("--managed-tls-secret"));
  CHECK_THAT(with({"--managed-authority-cert", "a"}), Contains("--managed-authority-cert needs --managed-authority-key"));
  CHECK_THAT(with({"--managed-authority-cert", "a", "--managed-authority-key", "k", "--managed-tls-secret", "s"}), Contains("--managed-tls-secret and --managed-authority-cert"));
}
