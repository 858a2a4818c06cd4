// What is compressed comes back, in whatever pieces; what is corrupt or a bomb does not.
#include <catch2/catch.hpp>

#include <functional>

#include "dataplane/compression/codec.h"

using namespace fairlead;
using namespace fairlead::compression;
using Result = Decompressor::Result;

namespace {

struct Pair {
  const char* name;
  std::function<std::unique_ptr<Compressor>()> pack;
  std::function<std::unique_ptr<Decompressor>()> unpack;
};

const std::vector<Pair>& pairs() {
  static const std::vector<Pair> all = {
      {"gzip", [] { return make_gzip_compressor({}); }, [] { return make_gzip_decompressor(15, 4096); }},
      {"gzip, small pieces", [] { return make_gzip_compressor({.level = 9, .memory_level = 9, .window_bits = 15, .chunk = 64}); }, [] { return make_gzip_decompressor(15, 100); }},
      {"brotli", [] { return make_brotli_compressor({}); }, [] { return make_brotli_decompressor(false, 4096); }},
      {"zstd", [] { return make_zstd_compressor({}); }, [] { return make_zstd_decompressor(4096); }},
      {"zstd with checksum", [] { return make_zstd_compressor({.level = 1, .checksum = true, .strategy = 2}); }, [] { return make_zstd_decompressor(500); }}};
  return all;
}

std::string text_of(size_t n) {
  std::string text;
  for (uint32_t i = 0, x = 1; text.size() < n; ++i) {
    x = x * 1103515245 + 12345;
    text += i % 5 == 0 ? std::to_string(x) : "the same again and again ";
  }
  text.resize(n);
  return text;
}

std::string packed(const Pair& pair, const std::string& text) {
  net::Buffer data(text);
  pair.pack()->compress(data, true);
  return data.to_string();
}

Result unpack(const Pair& pair, const std::string& bytes, std::string& out, size_t piece = 1000) {
  auto codec = pair.unpack();
  net::Buffer result;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    net::Buffer in(std::string_view(bytes).substr(at, piece));
    const Result r = codec->decompress(in, result, at + piece >= bytes.size());
    out = result.to_string();
    if (r != Result::kOk) return r;
  }
  return Result::kOk;
}

}  // namespace

TEST_CASE("bodies of any size come back") {
  for (const Pair& pair : pairs()) {
    for (const size_t n : {size_t{0}, size_t{1}, size_t{100}, size_t{5000}, size_t{300'000}}) {
      INFO(pair.name << ", " << n << " bytes");
      const std::string text = text_of(n), bytes = packed(pair, text);
      for (const size_t piece : {size_t{7}, size_t{100'000}}) {
        std::string out;
        CHECK(unpack(pair, bytes, out, piece) == Result::kOk);
        CHECK(out == text);
      }
    }
  }
}

TEST_CASE("each piece can be read as soon as it is here") {
  for (const Pair& pair : pairs()) {
    INFO(pair.name);
    auto pack = pair.pack();
    auto unpack = pair.unpack();
    for (int i = 0; i < 20; ++i) {
      const std::string text = "message " + std::to_string(i);
      net::Buffer data(text), out;
      pack->compress(data, i == 19);
      CHECK(unpack->decompress(data, out, i == 19) == Result::kOk);
      CHECK(out.to_string() == text);
    }
  }
}

TEST_CASE("what is cut short or changed is corrupt") {
  for (const Pair& pair : pairs()) {
    INFO(pair.name);
    const std::string text = text_of(5000);
    std::string bytes = packed(pair, text), out;
    CHECK(unpack(pair, bytes.substr(0, bytes.size() - 1), out) == Result::kCorrupt);
    CHECK(unpack(pair, "no such thing", out) == Result::kCorrupt);
    bytes[0] = static_cast<char>(bytes[0] ^ 0x40);
    const Result changed = unpack(pair, bytes, out);
    CHECK((changed == Result::kCorrupt || out != text));
  }
}

TEST_CASE("a bomb is stopped long before it has gone off") {
  for (const Pair& pair : pairs()) {
    INFO(pair.name);
    const std::string bytes = packed(pair, std::string(50'000'000, '\0'));
    std::string out;
    CHECK(unpack(pair, bytes, out, 100'000) == Result::kTooLarge);
    CHECK(out.size() < 11'000'000);
  }
}

TEST_CASE("several gzip members are one body") {
  const Pair& gzip = pairs()[0];
  std::string out;
  CHECK(unpack(gzip, packed(gzip, "one ") + packed(gzip, "two"), out) == Result::kOk);
  CHECK(out == "one two");
}
