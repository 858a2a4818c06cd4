// Consistent hashing: Envoy's ring and Maglev table, entry for entry, so that a request with the same hash goes to the same host through
// either proxy. Built on the main thread once per set of endpoints (65,537 Maglev entries take a few milliseconds), immutable, shared by all
// workers; a table names hosts by their position in the list it was built over, each worker has its own hosts. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/upstream/lb/host.h"
#include "dataplane/upstream/lb/priority_load.h"

namespace fairlead::upstream {

uint64_t murmur_hash2(std::string_view bytes, uint64_t seed = 0xc70f6907);  // MurmurHash64A; the seed is libstdc++'s, which Envoy takes

struct HashOptions {
  enum class Kind : uint8_t { Ring, Maglev };
  enum class Function : uint8_t { XxHash, Murmur2 };  // of the ring; Maglev always uses xxHash
  Kind kind = Kind::Ring;
  Function function = Function::XxHash;           // Envoy 1.40: XX_HASH
  uint64_t minimum_ring_size = 1024;              // Envoy 1.40: 1024
  uint64_t maximum_ring_size = 8 * 1024 * 1024;   // Envoy 1.40: 8 Mi
  uint64_t table_size = 65537;                    // Envoy 1.40: 65537; prime
  uint32_t balance_percent = 0;                   // 0: hosts may get any load; else at most so much of the average
  bool locality_weighted = false;                 // localities' weights are folded into the hosts'
};

// A host as a table sees it.
struct HashHost {
  std::string_view key;  // address, hostname or metadata hash_key; needed while building only
  uint32_t weight = 1;
  uint32_t priority = 0;
  uint32_t locality = 0;  // as LbHost::locality
  Health health = Health::kHealthy;
  bool excluded = false;
};

class HashTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Member {
    uint32_t host;   // position in the list
    double weight;   // all of a table sum to 1
  };
  // Statistics of ring_hash_lb and maglev_lb.
  struct Size {
    uint64_t entries = 0, fewest_per_host = 0, most_per_host = 0;
  };

  // `hosts` is the whole list, `members` those that take part, in Envoy's order.
  HashTable(std::span<const HashHost> hosts, std::vector<Member> members, const HashOptions& options);

  // O(log n) for a ring, O(1) for Maglev. `attempt` counts the picks of one request that a predicate rejected. kNone: no members.
  uint32_t pick(uint64_t hash, uint32_t attempt) const;
  const std::vector<Member>& members() const { return members_; }
  const Size& size() const { return size_; }

 private:
  void build_ring(std::span<const HashHost> hosts, const HashOptions& options);
  void build_maglev(std::span<const HashHost> hosts, const HashOptions& options);
  uint32_t maglev_at(uint64_t slot) const { return narrow_.empty() ? wide_[slot] : narrow_[slot]; }

  std::vector<Member> members_;
  std::vector<uint64_t> ring_;        // sorted; empty for Maglev
  std::vector<uint32_t> ring_hosts_;  // parallel to ring_
  std::vector<uint16_t> narrow_;      // Maglev with fewer than 65,536 hosts
  std::vector<uint32_t> wide_;
  uint64_t slots_ = 0;
  Size size_;
};

// One table per priority, with the shares of the priorities that decided who takes part: healthy hosts, or all of a priority in panic.
class HashTables {
 public:
  struct Cluster {
    uint32_t overprovisioning_percent = 140;
    uint32_t panic_percent = 50;
    bool weighted_health = false;
    std::span<const uint32_t> locality_weights;  // by HashHost::locality
  };
  static std::shared_ptr<const HashTables> build(std::span<const HashHost> hosts, const HashOptions& options, const Cluster& cluster);

  const PriorityLoad& load() const { return load_; }
  const HashTable& table(uint32_t priority) const { return tables_[priority]; }
  size_t priorities() const { return tables_.size(); }
  size_t hosts() const { return hosts_; }
  uint32_t balance_percent() const { return balance_percent_; }

 private:
  PriorityLoad load_;
  std::vector<HashTable> tables_;
  size_t hosts_ = 0;
  uint32_t balance_percent_ = 0;
};

}  // namespace fairlead::upstream
