// RecordCipher: one direction of a TLS 1.3 connection, its records protected or opened (RFC 8446, 5.2 and 5.3). One thread; owned by Records.
// A sequence number serves once: it grows whatever becomes of a record, and when it or a cipher has failed nothing follows.
// OpenSSL's state of a cipher is ten times what is kept here, so a thread has a number of them for those of its connections that have used one last.
// Private to the room.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/tls/key_schedule.h"

namespace fairlead::tls {

class RecordCipher {
 public:
  static constexpr size_t kHeader = 5, kTag = 16;
  static constexpr size_t kOverhead = kHeader + 1 + kTag;  // the type is inside

  // `seals`: for writing, else for opening. `sequence`: how many records the secret has served already.
  RecordCipher(Suite suite, const TrafficSecret& secret, bool seals, uint64_t sequence = 0);
  ~RecordCipher();
  RecordCipher(const RecordCipher&) = delete;

  // The record of `type` that holds `pieces` and `padding` zeros, into `out`, which has room for kOverhead more. Its size; 0: failed, and will.
  size_t seal(uint8_t type, const iovec* pieces, int count, size_t padding, unsigned char* out);
  // What is inside of a record whose `size` bytes behind its header are at `body`: content, type and padding go to `to`, which is size - kTag bytes
  // in all and may be `body`. False: it is not what the peer has sent, and what is in `to` is nothing.
  bool open(const unsigned char* header, unsigned char* body, size_t size, const iovec* to, int count);
  // After a KeyUpdate.
  bool next_key();
  uint64_t records() const { return sequence_; }  // with this key

 private:
  static constexpr size_t kIv = 12;
  bool derive();
  void nonce(unsigned char (&out)[kIv]);
  size_t failed();

  TrafficSecret secret_;
  const Suite suite_;
  const bool seals_;
  bool usable_ = false;
  unsigned char iv_[kIv], key_[32];
  uint64_t sequence_;
  uint64_t lease_ = 0;  // of the thread's cipher that has our key; 0: none
};

}  // namespace fairlead::tls
