#include "dataplane/matching/runtime.h"

#include <utility>

namespace fairlead::matching {

void Runtime::set(std::string key, Value value) { values_[std::move(key)] = std::move(value); }

const Runtime::Value* Runtime::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

}  // namespace fairlead::matching
