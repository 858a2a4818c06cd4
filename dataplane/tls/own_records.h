// What a Session goes by once it has let go of OpenSSL's SSL: its records, and what is asked of a connection later. Beside it, what
// it gathers for that in the handshake. One worker; owned by the Session. Private to the room.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/tls/certificate.h"
#include "dataplane/tls/records.h"

typedef struct ssl_st SSL;

namespace fairlead::tls {

// Counts the records of a stream of bytes that comes in pieces.
class RecordCount {
 public:
  void add(const char* bytes, size_t size);
  bool whole() const { return left_ == 0 && header_size_ == 0; }  // between two records
  uint64_t records() const { return records_; }

 private:
  uint64_t records_ = 0;
  size_t left_ = 0;
  uint8_t header_size_ = 0;
  unsigned char header_[5] = {};
};

// From the first traffic secret on until the handshake is done (handshake_kdf.h tells them).
struct HandshakeSecrets {
  std::optional<TrafficSecret> client, server;
  RecordCount sent;  // since the server's: OpenSSL has sent all before it, so these are under that secret
};

// Records on their way to the kernel. The bytes of the buffer that they were made from stay there until they are with it.
struct SealedBatch {
  Records::Sealed::End ends[Records::kMaxSealed + 1] = {};
  int count = 0, next = 0;
  size_t sent = 0, drained = 0;
  std::string rest;  // what the kernel has not taken

  // `bytes` more are with the kernel: drains what it has all of, and says how much that is.
  size_t settle(size_t bytes, net::Buffer& from);
};

struct OwnRecords {
  explicit OwnRecords(const Records::Start& start) : records(start) {}

  Records records;
  std::unique_ptr<SealedBatch> pending;  // null: nothing waits
  bool unseen = false;                   // what the session holds has not been looked at to its end
  bool fin = false, broken = false;      // the descriptor has ended; it takes nothing any more
  bool resumed = false, presented = false;
  uint8_t batch = Records::kMaxSealed;   // records in the next write; fewer to a peer that takes them slowly
  std::string_view cipher, curve, signature, alpn;  // literals, or the context's
  std::vector<std::string> peer_chain;   // DER, its own certificate first; until the facts are made
};

// With the records' part alone; null where the connection is to stay with OpenSSL.
std::unique_ptr<OwnRecords> own_records_of(SSL* ssl, const HandshakeSecrets& secrets);
// The chain that a client has shown, as DER, its own certificate first.
std::vector<std::string> ders_of_peer(SSL* ssl);
std::vector<CertificateFacts> facts_of_ders(const std::vector<std::string>& ders);

}  // namespace fairlead::tls
