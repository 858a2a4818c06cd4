// The encoder against nghttp2's decoder: whatever is encoded is decoded the same, whatever the tables went through.
#include <nghttp2/nghttp2.h>

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/http/h2/hpack_encoder.h"

using namespace fairlead::h2;
namespace http = fairlead::http;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Wire {
  Wire() { nghttp2_hd_inflate_new(&inflater); }
  ~Wire() { nghttp2_hd_inflate_del(inflater); }
  Wire(const Wire&) = delete;

  // The block's bytes; `updates` stand in front of it.
  std::string encode(const Fields& fields, const std::string& updates = "") {
    std::vector<OutField> list;
    for (auto& [name, value] : fields) list.push_back({name, value, http::token_of(name)});
    encoder.apply_updates(reinterpret_cast<const uint8_t*>(updates.data()), updates.size());
    const FieldList fields_out{list.data(), list.size()};
    std::string block(HpackEncoder::bound(fields_out), '\0');
    block.resize(static_cast<size_t>(encoder.encode(fields_out, block.data()) - block.data()));
    return updates + block;
  }
  Fields decode(std::string block) {
    Fields fields;
    auto* at = reinterpret_cast<uint8_t*>(block.data());
    for (size_t left = block.size();;) {
      nghttp2_nv nv;
      int flags = 0;
      const ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
      if (n < 0) return {{"broken", std::to_string(n)}};
      at += n;
      left -= static_cast<size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        fields.emplace_back(std::string(reinterpret_cast<char*>(nv.name), nv.namelen), std::string(reinterpret_cast<char*>(nv.value), nv.valuelen));
        secret = (nv.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0;
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0 || (left == 0 && (flags & NGHTTP2_HD_INFLATE_EMIT) == 0)) break;
    }
    nghttp2_hd_inflate_end_headers(inflater);
    return fields;
  }
  size_t size(const Fields& fields) {
    const std::string block = encode(fields);
    REQUIRE(decode(block) == fields);
    return block.size();
  }
  HpackEncoder encoder;
  nghttp2_hd_inflater* inflater = nullptr;
  bool secret = false;  // the last field decoded
};

}  // namespace

TEST_CASE("what the static table holds takes a byte, and so does what was sent before", "[h2][hpack]") {
  Wire wire;
  CHECK(wire.encode({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":status", "404"}}) == "\x82\x87\x84\x8d");
  CHECK(wire.size({{"x-request-id", "1"}, {"x-tenant", "blue"}, {"content-type", "application/grpc"}}) > 40);
  CHECK(wire.size({{"x-request-id", "1"}, {"x-tenant", "blue"}, {"content-type", "application/grpc"}}) == 3);
}

TEST_CASE("values that differ in every message stay out of the table but for a few", "[h2][hpack]") {
  Wire wire;
  const Fields repeated = {{"x-tenant", std::string(40, 't')}};
  wire.size(repeated);
  size_t entered = 0;
  for (int i = 0; i < 2000; ++i) {
    const Fields id = {{"x-request-id", std::to_string(1000000 + i) + std::string(60, '.')}};
    const std::string block = wire.encode(id);
    CHECK(wire.decode(block) == id);
    if ((block[0] & 0x40) != 0) ++entered;
    CHECK(block.size() < (i == 0 ? 90u : 75u));  // the name is there
  }
  CHECK(entered < 40);
  CHECK(wire.size(repeated) <= 2);
}

TEST_CASE("a value that changes now and then is learnt", "[h2][hpack]") {
  Wire wire;
  for (int second = 0; second < 20; ++second) {
    const Fields date = {{"date", "Thu, 26 Nov 2026 00:00:" + std::to_string(10 + second) + " GMT"}};
    for (int i = 0; i < 100; ++i) wire.size(date);
    CHECK(wire.size(date) == 1);
  }
}

TEST_CASE("secrets enter no table, here or behind the peer", "[h2][hpack]") {
  for (const Fields& field : {Fields{{"authorization", "Bearer abc"}}, Fields{{"proxy-authorization", "Basic abc"}}, Fields{{"cookie", "pin=1234"}}}) {
    Wire wire;
    const size_t first = wire.size(field);
    CHECK(wire.secret);
    CHECK(wire.size(field) == first);
  }
  Wire wire;
  const Fields session = {{"cookie", "session=0123456789abcdef"}};
  wire.size(session);
  CHECK(wire.size(session) == 1);
}

TEST_CASE("lengths and indexes of every size are written right", "[h2][hpack]") {
  Wire wire;
  for (const size_t size : {0u, 1u, 126u, 127u, 128u, 254u, 255u, 300u, 16000u, 16510u, 60000u}) {
    const Fields fields = {{std::string(size % 500 + 1, 'n'), std::string(size, 'v')}, {"x-after", "1"}, {"etag", std::string(size, 'e')}};
    CHECK(wire.size(fields) > size);
    CHECK(wire.size(fields) > size);
  }
}

TEST_CASE("the table follows the size that the peer was told", "[h2][hpack]") {
  Wire wire;
  const Fields fields = {{"x-a", "1"}, {"x-b", "2"}};
  wire.size(fields);
  CHECK(wire.size(fields) == 2);
  CHECK(wire.decode(wire.encode(fields, "\x20")) == fields);  // no table
  CHECK(wire.size(fields) > 10);
  CHECK(wire.size(fields) > 10);
  CHECK(wire.decode(wire.encode(fields, std::string("\x20\x3f\xe1\x1f", 4))) == fields);  // none, then 4096 again
  CHECK(wire.size(fields) == 2);
  CHECK(wire.decode(wire.encode({{"x-c", std::string(20, 'c')}}, "\x3f\x1d")) == Fields{{"x-c", std::string(20, 'c')}});  // 60 bytes: room for one at most
  CHECK(wire.size(fields) > 10);
}

TEST_CASE("whatever is sent is decoded the same", "[h2][hpack]") {
  const std::vector<std::string> names = {":status", ":path", ":method", "date", "server", "x-request-id", "content-length", "set-cookie", "cookie", "vary", "x-a", "x-b", "a-x", "accept-language", "te", "grpc-status"};
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    Wire wire;
    for (int block = 0; block < 400; ++block) {
      Fields fields;
      for (uint32_t i = pick(12); i != 0; --i) {
        const std::string name = pick(10) == 0 ? "x-" + std::to_string(pick(300)) : names[pick(static_cast<uint32_t>(names.size()))];
        fields.emplace_back(name, pick(3) == 0 ? std::string(pick(600), static_cast<char>('a' + pick(3))) : std::to_string(pick(30)));
      }
      std::string updates;
      if (pick(40) == 0) {
        const uint32_t size = pick(4097);
        updates = size < 31 ? std::string(1, static_cast<char>(0x20 | size)) : "\x3f" + (size - 31 < 128 ? std::string(1, static_cast<char>(size - 31)) : std::string{static_cast<char>(((size - 31) & 127) | 128), static_cast<char>((size - 31) >> 7)});
      }
      INFO("seed " << seed << ", block " << block);
      REQUIRE(wire.decode(wire.encode(fields, updates)) == fields);
    }
  }
}
