// The runtime: keys that operators may set in the bootstrap's layers to override fractions and switches.
// Immutable once built; shared by every worker of an epoch. Later layers win, as in Envoy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>

namespace fairlead::matching {

class Runtime;

// A switch with a default, and the key that may turn it.
struct RuntimeFlag {
  bool fallback = true;
  std::string key;
  bool on(const Runtime* runtime) const;
};

class Runtime {
 public:
  struct Value {
    std::string text;
    std::optional<double> number;                                // a number, or a boolean as 0/1
    std::optional<std::pair<uint32_t, uint32_t>> fraction;       // numerator, denominator of a FractionalPercent
  };
  void set(std::string key, Value value);
  const Value* find(std::string_view key) const;
  bool boolean(std::string_view key, bool fallback) const {
    const Value* v = find(key);
    return v && v->number ? *v->number != 0 : fallback;
  }
  double number(std::string_view key, double fallback) const {
    const Value* v = find(key);
    return v && v->number ? *v->number : fallback;
  }
  const absl::flat_hash_map<std::string, Value>& values() const { return values_; }

 private:
  absl::flat_hash_map<std::string, Value> values_;
};

inline bool RuntimeFlag::on(const Runtime* runtime) const { return runtime == nullptr || key.empty() ? fallback : runtime->boolean(key, fallback); }

}  // namespace fairlead::matching
