// What fairlead-proxy would say to a route table, without asking it again about what it has said something to before. A table is judged by its parts:
// the table without its virtual hosts, each virtual host without its routes, each route, and which virtual host has which domains. What of them
// is new goes to the parser of fairlead-proxy, as a table of nothing else, so that one changed route among ten thousand costs that route and a look
// at the bytes of the rest, or at their hashes where the table was put together here. Only "nothing wrong" is remembered: words about what is wrong, with their places, are the parser's, about the whole table.
// The pipeline's thread. Invariant: the verdict is the one that the whole table would get, since the parser looks at nothing across parts but the
// domains (table_verdicts_test.cc holds that against whole tables).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>

#include "apps/pipeline/capabilities.h"
#include "base/hash.h"
#include "controlplane/resources/resource.h"

namespace fairlead::pipeline {

class TableVerdicts {
 public:
  static constexpr size_t kMost = 200'000;  // parts remembered; all are judged again beyond

  struct Verdict {
    absl::Status status;  // fairlead-proxy's
    FirstUses uses;       // of what old clients lack
  };
  // `bytes`: a serialised RouteConfiguration. `hosts`: its virtual hosts, where they are known to stand in it; of these only the new ones are looked at.
  Verdict judge(std::string_view bytes, const resources::Parts* hosts = nullptr);

  // What went to the parser so far.
  struct Counts {
    uint64_t tables = 0, virtual_hosts = 0, routes = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  using Key = std::pair<ContentHash, ContentHash>;  // what it stands in, and itself
  struct HostFacts {
    ContentHash identity;  // of its name and domains
    uint32_t routes = 0;
    std::array<int32_t, kCapabilities> first{};  // route that uses it first, or -1
  };
  struct Host;
  struct Table;

  bool open(Host& host, const ContentHash& table) const;
  bool look(Table& table) const;
  Verdict whole(std::string_view bytes, Table* remembered);
  bool passes(Table& table);
  void remember(Table& table);

  absl::flat_hash_map<Key, HostFacts> hosts_;  // each of these has nothing wrong
  absl::flat_hash_map<Key, uint32_t> routes_;  // with what they use of capabilities
  absl::flat_hash_set<Key> shells_, domains_;
  Counts counts_;
};

}  // namespace fairlead::pipeline
