// What fairlead-proxy would say to a resource, asked without it: by its own tables and its own extensions.
#include "apps/pipeline/bundled.h"

#include <catch2/catch.hpp>

#include "dataplane/config/registry.h"
#include "dataplane/config/support.h"

using namespace fairlead;

TEST_CASE("every field of every extension of the proxy has a row in the support table") {
  (void)pipeline::bundled_verdict({});  // the first verdict registers the extensions
  CHECK_FALSE(config::Registry::global().type_urls().empty());
  const std::vector<std::string> missing = config::fields_without_row();
  for (const std::string& line : missing) UNSCOPED_INFO(line);
  CHECK(missing.empty());
}
