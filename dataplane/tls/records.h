// Records: TLS 1.3 once the handshake is done (RFC 8446, 4.6.3, 5 and 6), for a server, instead of OpenSSL's SSL: what keeps 14 KB in that is some
// 350 bytes here. A state machine over bytes: it knows no socket. One thread; owned by a Session. Nothing of a record is given out before
// all of it has proved to be the peer's. Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/net/buffer.h"
#include "dataplane/tls/record_cipher.h"

namespace fairlead::tls {

class Records {
 public:
  static constexpr size_t kMaxContent = 16384;
  static constexpr size_t kMaxRecord = RecordCipher::kHeader + kMaxContent + 256;  // that a peer may send
  static constexpr size_t kMaxSealed = 4;                                          // records at a time
  static constexpr size_t kSealRoom = (kMaxSealed + 1) * (kMaxContent + RecordCipher::kOverhead);
  static constexpr uint8_t kNoAlert = 255;

  struct Start {
    Suite suite;
    TrafficSecret read, write;
    uint64_t written = 0;                   // records that `write` has protected already
    size_t max_content = kMaxContent;       // of what is sent: the client may have asked for less
    uint64_t records_per_key = 1ULL << 24;  // then we change it: AES-GCM's bound is 2^24.5 (RFC 8446, 5.5)
  };
  explicit Records(const Start& start);

  enum class State : uint8_t {
    kOpen,
    kEnded,   // the peer has said that nothing follows; we may go on
    kFailed,  // reason() is OpenSSL's SSL_R_…; alert() is what to tell the peer
  };
  State state() const { return state_; }
  int reason() const { return reason_; }
  uint8_t alert() const { return alert_; }

  struct Opened {
    size_t consumed = 0;  // of the wire: the records that were whole
    size_t content = 0;   // bytes that `into` has got
    bool paused = false;  // whole records are left: others are to have their turn before so many new keys are made
  };
  // Opens all whole records at `wire`, which is written over, unless it pauses.
  Opened open(unsigned char* wire, size_t size, net::Buffer& into);

  struct Sealed {
    bool failed = false;
    size_t wire = 0;  // bytes in `out`
    int records = 0;
    struct End {
      size_t wire, content;
    };
    End ends[kMaxSealed + 1] = {};  // how much is on the wire, and how much of the buffer, behind each record
  };
  // The first bytes of `from`, which keeps them, as at most `most` (kMaxSealed) records of content, into `out` (kSealRoom).
  Sealed seal(const net::Buffer& from, size_t most, unsigned char* out);
  // The record of an alert into `out`, which has room for 64 bytes. Its size; 0: failed.
  size_t seal_alert(bool fatal, uint8_t description, unsigned char* out);

 private:
  void take_record(const unsigned char* header, unsigned char* body, size_t size, net::Buffer& into, size_t& content);
  void take_alert(const unsigned char* content, size_t size);
  void take_handshake(const unsigned char* content, size_t size);
  void take_key_update();
  bool change_key(unsigned char* out, Sealed& sealed);
  void fail(uint8_t alert, int reason);

  RecordCipher read_, write_;
  const uint64_t records_per_key_;
  const uint16_t max_content_;
  State state_ = State::kOpen;
  uint8_t alert_ = kNoAlert;
  bool key_due_ = false;       // the peer has asked for a KeyUpdate, which goes before what we say next
  uint8_t message_size_ = 0;   // of a handshake message that is on its way, at most a KeyUpdate's
  uint8_t message_[5] = {};
  uint8_t empty_ = 0, warnings_ = 0, key_updates_ = 0;  // in a row
  uint8_t updates_in_call_ = 0;
  int reason_ = 0;
};

}  // namespace fairlead::tls
