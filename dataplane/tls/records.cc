// See records.h.
#include "dataplane/tls/records.h"

#include <algorithm>
#include <cstring>

#include "dataplane/tls/openssl.h"

namespace fairlead::tls {
namespace {

enum RecordType : uint8_t { kAlertRecord = 21, kHandshakeRecord = 22, kDataRecord = 23 };
constexpr uint8_t kKeyUpdateMessage = 24;

// Of peers that only make work, each in a row.
constexpr uint8_t kMostEmptyRecords = 32;  // OpenSSL 3.0, BoringSSL: 32
constexpr uint8_t kMostWarnings = 4;       // BoringSSL: 4
constexpr uint8_t kMostKeyUpdates = 32;    // BoringSSL: 32

// What is smaller is opened where it is and copied, so that small messages lie densely.
constexpr size_t kOpenedInPlace = 4096;

}  // namespace

Records::Records(const Start& start)
    : read_(start.suite, start.read, false), write_(start.suite, start.write, true, start.written), records_per_key_(start.records_per_key), max_content_(static_cast<uint16_t>(start.max_content)) {}

void Records::fail(uint8_t alert, int reason) {
  state_ = State::kFailed;
  alert_ = alert;
  reason_ = reason;
}

Records::Opened Records::open(unsigned char* wire, size_t size, net::Buffer& into) {
  Opened out;
  updates_in_call_ = 0;
  while (state_ == State::kOpen && size - out.consumed >= RecordCipher::kHeader) {
    if (updates_in_call_ == kMostKeyUpdates) {
      out.paused = true;
      break;
    }
    unsigned char* header = wire + out.consumed;
    const size_t length = static_cast<size_t>(header[3]) << 8 | header[4];
    // Judged before the rest of it has come.
    if (header[0] != kDataRecord) {
      fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
    } else if (header[1] != 3 || header[2] != 3) {
      fail(SSL_AD_DECODE_ERROR, SSL_R_WRONG_VERSION_NUMBER);
    } else if (length > kMaxContent + 256) {
      fail(SSL_AD_RECORD_OVERFLOW, SSL_R_ENCRYPTED_LENGTH_TOO_LONG);
    } else if (length < RecordCipher::kTag + 1) {
      fail(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    } else if (size - out.consumed < RecordCipher::kHeader + length) {
      break;
    } else {
      out.consumed += RecordCipher::kHeader + length;
      take_record(header, header + RecordCipher::kHeader, length, into, out.content);
    }
  }
  return out;
}

void Records::take_record(const unsigned char* header, unsigned char* body, size_t size, net::Buffer& into, size_t& got) {
  const size_t inner = size - RecordCipher::kTag;
  const bool in_place = inner <= kOpenedInPlace;
  net::Buffer::Reservation room;
  iovec pieces[net::Buffer::Reservation::kMax] = {{body, inner}};
  int count = 1;
  if (!in_place) {
    into.reserve_read(room, inner);
    count = 0;
    for (size_t left = inner; left > 0; ++count) {
      pieces[count] = {room.pieces[count].iov_base, std::min(left, room.pieces[count].iov_len)};
      left -= pieces[count].iov_len;
    }
  }
  const auto give_back = [&] {
    if (!in_place) into.commit_read(room, 0);
  };
  if (!read_.open(header, body, size, pieces, count)) {
    give_back();
    return fail(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
  }
  if (inner > kMaxContent + 1) {
    give_back();
    return fail(SSL_AD_RECORD_OVERFLOW, SSL_R_DATA_LENGTH_TOO_LONG);
  }
  // Content, its type, zeros.
  uint8_t type = 0;
  size_t content = inner;
  for (int i = count - 1; i >= 0 && type == 0; --i) {
    const auto* bytes = static_cast<const unsigned char*>(pieces[i].iov_base);
    for (size_t at = pieces[i].iov_len; at > 0 && type == 0; --content) type = bytes[--at];
  }
  if (type == kDataRecord && message_size_ == 0) {
    if (content == 0) {
      give_back();
      if (++empty_ > kMostEmptyRecords) fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_RECORD_TOO_SMALL);
      return;
    }
    empty_ = key_updates_ = warnings_ = 0;
    in_place ? into.append(std::string_view(reinterpret_cast<const char*>(body), content)) : into.commit_read(room, content);
    got += content;
    return;
  }
  // Whatever else is of use is in the first bytes.
  unsigned char start[8] = {};
  const size_t head = std::min({content, sizeof start, pieces[0].iov_len});
  std::memcpy(start, pieces[0].iov_base, head);
  give_back();
  if (type == kHandshakeRecord) return take_handshake(start, content);
  if (type == kAlertRecord && message_size_ == 0) return take_alert(start, content);
  if (message_size_ != 0) return fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_MIXED_HANDSHAKE_AND_NON_HANDSHAKE_DATA);
  fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
}

void Records::take_alert(const unsigned char* content, size_t size) {
  if (size != 2) return fail(SSL_AD_DECODE_ERROR, SSL_R_INVALID_ALERT);
  const uint8_t description = content[1];
  if (description == SSL_AD_CLOSE_NOTIFY) {
    state_ = State::kEnded;
  } else if (description != SSL_AD_USER_CANCELLED) {  // whatever its level (RFC 8446, 6)
    fail(kNoAlert, SSL_AD_REASON_OFFSET + description);
  } else if (++warnings_ > kMostWarnings) {
    fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_TOO_MANY_WARN_ALERTS);
  }
}

// A client has nothing to say but KeyUpdate, in as many records as it likes.
void Records::take_handshake(const unsigned char* content, size_t size) {
  if (size == 0) return fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_LENGTH);
  for (size_t i = 0; i < size; ++i) {
    message_[message_size_++] = content[i];
    if (message_[0] != kKeyUpdateMessage) return fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
    if (message_size_ == 4 && (message_[1] != 0 || message_[2] != 0 || message_[3] != 1)) return fail(SSL_AD_DECODE_ERROR, SSL_R_BAD_KEY_UPDATE);
    if (message_size_ < sizeof message_) continue;
    if (i + 1 != size) return fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_NOT_ON_RECORD_BOUNDARY);  // the rest would be under the old key
    take_key_update();
    return;
  }
}

void Records::take_key_update() {
  message_size_ = 0;
  if (message_[4] > 1) return fail(SSL_AD_ILLEGAL_PARAMETER, SSL_R_BAD_KEY_UPDATE);
  if (++key_updates_ > kMostKeyUpdates) return fail(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_TOO_MANY_KEY_UPDATES);
  ++updates_in_call_;
  if (message_[4] == 1) key_due_ = true;
  if (!read_.next_key()) fail(SSL_AD_INTERNAL_ERROR, ERR_R_INTERNAL_ERROR);
}

// Announced with the old key, in force from the next record.
bool Records::change_key(unsigned char* out, Sealed& sealed) {
  unsigned char message[] = {kKeyUpdateMessage, 0, 0, 1, 0};
  const iovec piece{message, sizeof message};
  const size_t size = write_.seal(kHandshakeRecord, &piece, 1, 0, out);
  if (size == 0 || !write_.next_key()) return false;
  key_due_ = false;
  sealed.wire = size;
  sealed.ends[sealed.records++] = {size, 0};
  return true;
}

Records::Sealed Records::seal(const net::Buffer& from, size_t most, unsigned char* out) {
  Sealed sealed;
  iovec slices[net::Buffer::kMaxIovecs], pieces[net::Buffer::kMaxIovecs];
  const int count = from.iovecs(slices, net::Buffer::kMaxIovecs);
  if ((key_due_ || write_.records() >= records_per_key_) && !change_key(out, sealed)) {
    sealed.failed = true;
    return sealed;
  }
  size_t done = 0;
  const int last = sealed.records + static_cast<int>(most);
  for (int at = 0; at < count && sealed.records < last;) {
    size_t content = 0;
    int used = 0;
    while (at < count && content < max_content_) {
      const size_t take = std::min<size_t>(slices[at].iov_len, max_content_ - content);
      pieces[used++] = {slices[at].iov_base, take};
      content += take;
      if (take == slices[at].iov_len) {
        ++at;
      } else {
        slices[at] = {static_cast<char*>(slices[at].iov_base) + take, slices[at].iov_len - take};
      }
    }
    const size_t size = write_.seal(kDataRecord, pieces, used, 0, out + sealed.wire);
    if (size == 0) {
      sealed.failed = true;
      return sealed;
    }
    sealed.wire += size;
    done += content;
    sealed.ends[sealed.records++] = {sealed.wire, done};
  }
  return sealed;
}

size_t Records::seal_alert(bool fatal, uint8_t description, unsigned char* out) {
  unsigned char message[] = {static_cast<unsigned char>(fatal ? SSL3_AL_FATAL : SSL3_AL_WARNING), description};
  const iovec piece{message, sizeof message};
  return write_.seal(kAlertRecord, &piece, 1, 0, out);
}

}  // namespace fairlead::tls
