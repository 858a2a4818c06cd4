// Picks per second of each load-balancing policy, with 10 and 1,000 hosts; and what building a hash table costs.
//   bench_lb_pick [seconds per row, default 0.3]
// A pick counts one request on the host and gives back the oldest of 64, so that least request has something to compare.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"

using namespace fairlead;
using namespace fairlead::upstream;
using std::chrono::steady_clock;

namespace {

struct Set {
  Set(size_t count, bool weighted) : hosts(count), total(std::make_shared<uint32_t>(0)) {
    for (size_t i = 0; i < count; ++i) {
      names.push_back("10.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256) + ":80");
      if (weighted) hosts[i].weight = static_cast<uint32_t>(1 + i % 7);
    }
    for (size_t i = 0; i < count; ++i) {
      hosts[i].name = names[i];
      list.push_back(&hosts[i]);
      keys.push_back({.key = names[i], .weight = hosts[i].weight});
    }
  }
  std::vector<LbHost> hosts;
  std::vector<std::string> names;
  std::vector<LbHost*> list;
  std::vector<HashHost> keys;
  std::shared_ptr<uint32_t> total;
};

double seconds = 0.3;

double picks_per_second(HostSelector& selector, bool hashed) {
  std::array<LbHost*, 64> window{};
  PickContext context;
  uint64_t key = 1, picks = 0;
  const auto begin = steady_clock::now();
  double took = 0;
  do {
    for (int i = 0; i < 4096; ++i, ++picks) {
      if (hashed) context.hash = key = key * 6364136223846793005ULL + 1442695040888963407ULL;
      LbHost*& oldest = window[picks % window.size()];
      if (oldest != nullptr) --oldest->active_requests;
      oldest = selector.pick(context).host;
      ++oldest->active_requests;
    }
    took = std::chrono::duration<double>(steady_clock::now() - begin).count();
  } while (took < seconds);
  for (LbHost* host : window) {
    if (host != nullptr) --host->active_requests;
  }
  return static_cast<double>(picks) / took;
}

void row(const char* name, const std::function<double(size_t hosts)>& measure) {
  std::printf("%-36s", name);
  for (size_t hosts : {size_t{10}, size_t{1000}}) std::printf(" %10.1f M/s", measure(hosts) / 1e6);
  std::printf("\n");
}

void policy_row(const char* name, const PolicyOptions& policy, bool weighted, const HostSelector::Options& options = {}) {
  row(name, [&](size_t count) {
    Random random(1);
    Set set(count, weighted);
    for (size_t i = 0; i < count; ++i) set.hosts[i].locality = static_cast<uint32_t>(i % 3);
    HostSelector selector(policy, random);
    selector.rebuild(set.list, options);
    return picks_per_second(selector, false);
  });
}

void table_row(const char* name, const HashOptions& hash) {
  row(name, [&](size_t count) {
    Random random(1);
    Set set(count, true);
    HostSelector::Options options{.tables = HashTables::build(set.keys, hash, {})};
    if (hash.balance_percent != 0) {
      for (LbHost& host : set.hosts) host.active_requests.count_into(set.total);
      options.total_active = set.total;
    }
    HostSelector selector({}, random);
    selector.rebuild(set.list, options);
    return picks_per_second(selector, true);
  });
}

void build_row(const char* name, const HashOptions& hash) {
  std::printf("%-36s", name);
  for (size_t count : {size_t{10}, size_t{1000}}) {
    Set set(count, true);
    const auto begin = steady_clock::now();
    HashTables::build(set.keys, hash, {});
    std::printf(" %10.2f ms ", std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) seconds = std::atof(argv[1]);
  using PolicyKind = PolicyOptions::Kind;
  std::printf("%-36s %14s %14s\n", "", "10 hosts", "1,000 hosts");
  policy_row("round robin", {}, false);
  policy_row("round robin, weighted", {}, true);
  policy_row("round robin, locality weights", {}, false, {.locality_weights = {1, 2, 3}});
  policy_row("least request, 2 choices", {.kind = PolicyKind::LeastRequest}, false);
  policy_row("least request, full scan", {.kind = PolicyKind::LeastRequest, .least_request = {.full_scan = true}}, false);
  policy_row("least request, weighted", {.kind = PolicyKind::LeastRequest}, true);
  policy_row("random", {.kind = PolicyKind::Random}, false);
  policy_row("random, zone-aware", {.kind = PolicyKind::Random}, false,
             {.zone = ZoneOptions{}, .local = {.localities = 3, .own_has_hosts = true, .total = 4, .shares = {2, 1, 1}}, .own_zone_first = true});
  table_row("ring hash", {});
  table_row("ring hash, bounded load 150 %", {.balance_percent = 150});
  table_row("Maglev", {.kind = HashOptions::Kind::Maglev});
  build_row("building a ring", {});
  build_row("building a Maglev table", {.kind = HashOptions::Kind::Maglev});
  return 0;
}
