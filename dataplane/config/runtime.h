// The layers of the runtime as the bootstrap has them, and how they become one: later layers win, key by key. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "dataplane/config/address.h"
#include "dataplane/matching/runtime.h"

namespace google::protobuf {
class Struct;
}

namespace fairlead::config {

struct RuntimeLayer {
  std::string name;
  enum class Kind : uint8_t { Static, Admin, Discovered } kind = Kind::Static;
  std::shared_ptr<const matching::Runtime> values;  // never null; empty but of a static layer
  std::string resource = {};                        // of a discovered one
  ConfigSource source = {};                         // likewise
};

// A layer's values: structures within become keys with dots.
matching::Runtime read_runtime_layer(const google::protobuf::Struct& layer, const std::string& field, ErrorList& errors);
// A value that came as text: a number or a truth value counts as such, too. Envoy 1.40 does the same.
matching::Runtime::Value runtime_value(std::string_view text);
std::shared_ptr<const matching::Runtime> merge_runtime(const std::vector<RuntimeLayer>& layers);

}  // namespace fairlead::config
