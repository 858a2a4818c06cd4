// HPACK as it leaves (RFC 7541): the peer's table and the encoding of one connection's heads. nghttp2 keeps streams and frames, but is given
// heads without fields; what this makes of them goes into its frames (send.cc). Room-private. Pure; one worker, owned by its session.
// Well-known names go by their tokens: nothing is hashed to find them. Values are not Huffman coded, which costs more than the bytes are worth.
// Of each name the first kValues values enter the table, then one in kLearnEvery heads: what differs in every message (request ids, times)
// does not push out what repeats, and what changes now and then (dates) is learnt. The newest kValues of a name are looked at.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/http/h2/field_list.h"

namespace fairlead::h2 {

class HpackEncoder {
 public:
  // Table size updates as they stand at the beginning of a block: the table's size from now on.
  void apply_updates(const uint8_t* bytes, size_t size);
  // How many bytes encode() may write.
  static size_t bound(const FieldList& list);
  // Writes a block; returns its end.
  char* encode(const FieldList& list, char* to);

 private:
  static constexpr uint32_t kValues = 4;
  static constexpr uint32_t kLearnEvery = 64;
  static constexpr uint32_t kBuckets = 32;  // of names without a token

  struct Entry {
    uint32_t slot;
    uint32_t back;  // how many entries ago the slot's previous one came; 0: none
    uint32_t head;  // which head it came with
    uint32_t name_size;
    uint32_t value_size;
    std::unique_ptr<char[]> text;  // the value; in front of it a name without a token
  };

  // Numbers of entries count all that ever were; age 1 is the newest.
  uint32_t age(uint32_t number) const { return inserted_ - number; }
  bool live(uint32_t number) const { return age(number) - 1 < count_; }
  Entry& at(uint32_t number) { return ring_[number & (ring_.size() - 1)]; }
  char* put(const OutField& field, char* to);
  void insert(const OutField& field, uint32_t slot);
  void evict(uint32_t room);
  void grow();

  uint32_t max_size_ = 4096;  // RFC 9113: SETTINGS_HEADER_TABLE_SIZE until the peer says
  uint32_t size_ = 0;
  uint32_t inserted_ = 0;
  uint32_t count_ = 0;
  uint32_t heads_ = 0;
  std::vector<Entry> ring_;   // a power of two
  std::array<uint32_t, http::kTokenCount + kBuckets> newest_{};  // number of each slot's newest entry, should it still be that
};

}  // namespace fairlead::h2
