// Header blocks as they arrive: checked field by field (BlockCheck), kept as references into nghttp2's own buffers (Field), and copied
// once into the receiver's arena when the message is told of (build_*). Room-private. Pure; one worker.
// nghttp2's own check of messages is switched off: this one replaces it, so every rule of RFC 9113 section 8 stands here.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/h2/session.h"
#include "dataplane/http/header_map.h"

namespace fairlead::h2 {

// The buffers are null where nothing has to be kept alive: static table entries, names that have a token.
struct Field {
  nghttp2_rcbuf* name_owner;
  nghttp2_rcbuf* value_owner;
  const char* name;
  const char* value;
  uint32_t name_size;
  uint32_t value_size;
  http::Token token;
  std::string_view value_view() const { return {value, value_size}; }
};

inline void release(const Field& f) {
  if (f.name_owner != nullptr) nghttp2_rcbuf_decref(f.name_owner);
  if (f.value_owner != nullptr) nghttp2_rcbuf_decref(f.value_owner);
}

// Fields that a connection has had before: what its decoder's table holds comes with the same buffers again, and needs no second look.
class KnownFields {
 public:
  KnownFields() = default;
  ~KnownFields();
  KnownFields(const KnownFields&) = delete;
  KnownFields& operator=(const KnownFields&) = delete;

  // Its token, when it is known.
  const http::Token* find(nghttp2_rcbuf* name, nghttp2_rcbuf* value) const {
    const Known& known = at(name, value);
    return known.name == name && known.value == value ? &known.token : nullptr;
  }
  // A field that BlockCheck took. Its buffers are kept.
  void add(nghttp2_rcbuf* name, nghttp2_rcbuf* value, http::Token token);

 private:
  struct Known {
    nghttp2_rcbuf* name = nullptr;
    nghttp2_rcbuf* value = nullptr;
    http::Token token = http::Token::Other;
  };
  static size_t index(nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
    const auto bits = reinterpret_cast<uintptr_t>(name) * 3 + reinterpret_cast<uintptr_t>(value);
    return ((bits >> 4) ^ (bits >> 9)) % kSize;
  }
  const Known& at(nghttp2_rcbuf* name, nghttp2_rcbuf* value) const { return known_[index(name, value)]; }

  static constexpr size_t kSize = 32;
  std::array<Known, kSize> known_;
};

enum class BlockKind : uint8_t { Request, Response, Trailers };

class BlockCheck {
 public:
  void start(BlockKind kind, const Settings& settings);
  // Checks the next field and gives it its token. False: it is not to be kept (the block is bad or too large already).
  // `known`: its token, when its bytes have been checked before (KnownFields).
  bool add(Field& field, bool static_name, bool static_value, const http::Token* known);
  // The block is complete: what it lacks.
  void finish();

  std::string_view problem() const { return problem_; }  // empty: none; Envoy's response code details
  bool too_large() const { return too_large_; }          // too many fields, or too many bytes
  bool too_many_bytes() const { return bytes_ > max_bytes_; }
  bool connect() const { return connect_; }              // CONNECT, plain or extended
  bool extended() const { return (seen_ & kProtocol) != 0; }
  bool head_method() const { return head_method_; }
  unsigned status() const { return status_; }
  bool has_length() const { return (seen_ & kLength) != 0; }
  uint64_t length() const { return length_; }

 private:
  enum : uint32_t { kMethod = 1, kPath = 2, kAuthority = 4, kScheme = 8, kStatus = 16, kProtocol = 32, kHost = 64, kLength = 128 };
  bool pseudo(const Field& field, bool known);
  bool regular(const Field& field, bool right_bytes);
  bool once(uint32_t bit);
  bool fail(std::string_view problem);

  BlockKind kind_ = BlockKind::Request;
  bool allow_connect_ = false;
  bool too_large_ = false;
  bool regular_seen_ = false;
  bool connect_ = false;
  bool head_method_ = false;
  bool options_ = false;
  bool web_scheme_ = false;  // http or https: the path must be absolute
  char path_start_ = 0;
  uint32_t path_size_ = 0;
  uint32_t seen_ = 0;
  uint32_t count_ = 0;
  uint32_t max_count_ = 0;
  unsigned status_ = 0;
  uint64_t bytes_ = 0;
  uint64_t max_bytes_ = 0;
  uint64_t length_ = 0;
  std::string_view problem_;
};

// The fields of a checked block into `headers`, values in its arena. Crumbs of Cookie become one, at the end; Host stands in for a
// missing :authority and goes when there is one. An extended CONNECT reads like an HTTP/1 upgrade (as in Envoy).
void build_request(const Field* fields, size_t count, bool extended, http::HeaderMap& headers);
// `upgrade`: the protocol asked for with extended CONNECT, whose 200 reads like a 101 (as in Envoy); empty otherwise.
void build_response(const Field* fields, size_t count, std::string_view upgrade, http::HeaderMap& headers);
void build_trailers(const Field* fields, size_t count, http::HeaderMap& headers);

}  // namespace fairlead::h2
