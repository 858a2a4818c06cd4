// The Session of a server after its handshake, where its records are its own (own_records.h): OpenSSL's SSL is gone by then.
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

#include "dataplane/tls/material.h"
#include "dataplane/tls/own_records.h"
#include "dataplane/tls/session.h"

namespace fairlead::tls {
namespace {

using net::IoResult;

constexpr size_t kIncoming = 65536;
constexpr int kMostHeldInHandshake = 16384;  // nobody who has not proved anything yet may have more of our memory
static_assert(kIncoming >= 2 * Records::kMaxRecord);

// Where bytes are on their way from and to the kernel. One a thread: nothing of it is kept between calls.
unsigned char* incoming_room() {
  thread_local const std::unique_ptr<unsigned char[]> room(new unsigned char[kIncoming]);
  return room.get();
}
unsigned char* outgoing_room() {
  thread_local const std::unique_ptr<unsigned char[]> room(new unsigned char[Records::kSealRoom]);
  return room.get();
}

// `name` as it is in the context's list, which outlives the connection.
std::string_view kept_in(std::string_view list, std::string_view name) {
  for (size_t at = 0; at < list.size(); at += 1 + static_cast<uint8_t>(list[at])) {
    const std::string_view entry = list.substr(at + 1, static_cast<uint8_t>(list[at]));
    if (entry == name) return entry;
  }
  return {};
}

std::atomic<bool> own_records_switch{true};

}  // namespace

void allow_own_records(bool allowed) { own_records_switch.store(allowed, std::memory_order_relaxed); }
bool own_records_allowed() { return own_records_switch.load(std::memory_order_relaxed); }

void Session::hold(const void* bytes, size_t size) {
  if (size == 0 && held_.empty()) return;
  std::string(static_cast<const char*>(bytes), size).swap(held_);  // not a byte more than that, in an idle connection none
}

// What OpenSSL reads of a server's handshake, and no more: what comes behind it is not for it to open.
int Session::receive_sparingly(char* into, int size) {
  size_t have = held_.size();
  if (have == 0) {
    if (established_ || !wants_own_records_) return receive(into, size);
    char* room = reinterpret_cast<char*>(incoming_room());
    const int n = receive(room, kMostHeldInHandshake);
    if (n <= 0) return n;
    have = static_cast<size_t>(n);
    const size_t take = std::min(have, static_cast<size_t>(size));
    std::memcpy(into, room, take);
    hold(room + take, have - take);
    return static_cast<int>(take);
  }
  const size_t take = std::min(have, static_cast<size_t>(size));
  std::memcpy(into, held_.data(), take);
  take == have ? std::string().swap(held_) : static_cast<void>(held_.erase(0, take));
  return static_cast<int>(take);
}

// The handshake is done: from here on without OpenSSL's SSL, if it can be.
void Session::take_over() {
  const std::unique_ptr<HandshakeSecrets> secrets = std::move(secrets_);
  std::unique_ptr<OwnRecords> own = secrets ? own_records_of(ssl_, *secrets) : nullptr;
  if (own == nullptr) {
    SSL_set_read_ahead(ssl_, 1);
    return;
  }
  own->unseen = !held_.empty();
  own->resumed = resumed();
  own->presented = peer_presented();
  own->cipher = cipher();
  own->curve = curve();
  own->signature = signature();
  own->alpn = kept_in(server_context_->material().alpn, alpn());
  if (own->presented) own->peer_chain = ders_of_peer(ssl_);
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // else it would take the session for one that has gone wrong
  SSL_free(ssl_);
  ssl_ = nullptr;
  own_ = std::move(own);
}

// The peer is told why, where there is room.
IoResult Session::own_failed(size_t bytes) {
  if (own_->records.alert() != Records::kNoAlert && own_->pending == nullptr && !own_->broken) {
    unsigned char record[64];
    const size_t size = own_->records.seal_alert(true, own_->records.alert(), record);
    if (size != 0) send(reinterpret_cast<char*>(record), static_cast<int>(size));
  }
  ERR_clear_error();
  ERR_raise(ERR_LIB_SSL, own_->records.reason());
  note_failure();
  own_->broken = true;
  return {IoResult::Next::Error, bytes, 0};
}

IoResult Session::read_own(net::Buffer& into, size_t limit) {
  OwnRecords& own = *own_;
  size_t total = 0, wire = 0;
  for (;;) {
    if (own.fin || own.records.state() == Records::State::kEnded) return {IoResult::Next::Closed, total, 0};
    if (total >= limit || wire >= kIncoming) return {IoResult::Next::Again, total, 0};  // much may come to little
    if (!own.unseen && !can_read_) return {IoResult::Next::Done, total, 0};
    unsigned char* room = incoming_room();
    size_t have = held_.size();
    if (have != 0) std::memcpy(room, held_.data(), have);
    if (!own.unseen) {
      errno_ = 0;
      const int n = receive(reinterpret_cast<char*>(room) + have, static_cast<int>(kIncoming - have));
      if (n == -1) return {IoResult::Next::Done, total, 0};
      if (n == INT_MIN && errno_ == 0) {  // the peer's FIN without a close_notify: its end, if not a polite one
        own.fin = true;
        continue;
      }
      if (n == INT_MIN) {
        failed_ = true;
        return {IoResult::Next::Error, total, errno_};
      }
      have += static_cast<size_t>(n);
    }
    const Records::Opened opened = own.records.open(room, have, into);
    own.unseen = opened.paused;
    total += opened.content;
    wire += opened.paused ? kIncoming : opened.consumed;
    hold(room + opened.consumed, have - opened.consumed);
    if (own.records.state() == Records::State::kFailed) return own_failed(total);
  }
}

IoResult Session::write_own(net::Buffer& from) {
  OwnRecords& own = *own_;
  if (own.broken) return {IoResult::Next::Error, 0, errno_ != 0 ? errno_ : EPIPE};
  const auto broken = [&](size_t bytes) -> IoResult {  // what the peer has said before may still be read
    own.broken = shutdown_done_ = true;
    return {IoResult::Next::Error, bytes, errno_};
  };
  size_t total = 0;
  if (own.pending) {
    const int n = send(own.pending->rest.data(), static_cast<int>(own.pending->rest.size()));
    if (n == INT_MIN) return broken(0);
    if (n == -1) return {IoResult::Next::Done, 0, 0};
    total = own.pending->settle(static_cast<size_t>(n), from);
    if (static_cast<size_t>(n) < own.pending->rest.size()) {
      std::string(own.pending->rest, static_cast<size_t>(n)).swap(own.pending->rest);
      return {IoResult::Next::Done, total, 0};
    }
    own.pending.reset();
  }
  while (!from.empty() && can_write_) {
    const Records::Sealed sealed = own.records.seal(from, own.batch, outgoing_room());
    if (sealed.failed) {
      ERR_clear_error();
      ERR_raise(ERR_LIB_SSL, ERR_R_INTERNAL_ERROR);
      note_failure();
      return broken(total);
    }
    const char* wire = reinterpret_cast<char*>(outgoing_room());
    const int n = send(wire, static_cast<int>(sealed.wire));
    if (n == INT_MIN) return broken(total);
    const auto sent = static_cast<size_t>(std::max(n, 0));
    if (sent == sealed.wire) {
      const size_t content = sealed.ends[sealed.records - 1].content;
      from.drain(content);
      total += content;
      own.batch = static_cast<uint8_t>(std::min<size_t>(own.batch * size_t{2}, Records::kMaxSealed));
      continue;
    }
    own.batch = 1;
    own.pending = std::make_unique<SealedBatch>();
    std::copy(std::begin(sealed.ends), std::end(sealed.ends), own.pending->ends);
    own.pending->count = sealed.records;
    own.pending->rest.assign(wire + sent, sealed.wire - sent);
    total += own.pending->settle(sent, from);
  }
  return {IoResult::Next::Done, total, 0};
}

// close_notify. Once; what of it did not fit goes when there is room.
void Session::shutdown_own() {
  OwnRecords& own = *own_;
  if (own.broken || failed_ || fd_ < 0) return;
  if (!shutdown_done_) {
    if (own.pending) return;  // in the middle of a record: nothing can follow
    shutdown_done_ = true;
    unsigned char record[64];
    const size_t size = own.records.seal_alert(false, SSL_AD_CLOSE_NOTIFY, record);
    if (size == 0) return;
    own.pending = std::make_unique<SealedBatch>();
    own.pending->rest.assign(reinterpret_cast<char*>(record), size);
  }
  shutdown_due_ = false;
  if (!own.pending) return;
  const int n = send(own.pending->rest.data(), static_cast<int>(own.pending->rest.size()));
  if (n == -1 || (n >= 0 && static_cast<size_t>(n) < own.pending->rest.size())) {
    own.pending->rest.erase(0, static_cast<size_t>(std::max(n, 0)));
    shutdown_due_ = true;
    return;
  }
  own.pending.reset();
}

}  // namespace fairlead::tls
