// Bare hosts for the tests of load balancing, and the chi-square of counts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dataplane/upstream/lb/host.h"

struct Hosts {
  explicit Hosts(std::vector<uint32_t> weights) : hosts(weights.size()), names(weights.size()) {
    for (size_t i = 0; i < weights.size(); ++i) {
      hosts[i].weight = weights[i];
      names[i] = "10.0.0." + std::to_string(i + 1) + ":80";
      hosts[i].name = names[i];
    }
  }
  std::vector<fairlead::upstream::LbHost*> list() {
    std::vector<fairlead::upstream::LbHost*> out;
    for (auto& h : hosts) out.push_back(&h);
    return out;
  }
  size_t index(const fairlead::upstream::LbHost* host) const { return host - hosts.data(); }
  std::vector<fairlead::upstream::LbHost> hosts;
  std::vector<std::string> names;
};

inline double chi_square(const std::map<size_t, int>& seen, const std::map<size_t, double>& expected) {
  double sum = 0;
  for (const auto& [index, wanted] : expected) {
    const auto it = seen.find(index);
    const double off = (it == seen.end() ? 0 : it->second) - wanted;
    sum += off * off / wanted;
  }
  return sum;
}
