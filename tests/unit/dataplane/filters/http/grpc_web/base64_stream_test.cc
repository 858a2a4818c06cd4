// Base64 in pieces.
#include "dataplane/filters/http/grpc_web/base64_stream.h"

#include <catch2/catch.hpp>

using namespace fairlead;
using namespace fairlead::filters::grpc_web;

namespace {

std::string encoded(std::string_view text, size_t piece) {
  Base64Encoder encoder;
  net::Buffer out;
  for (size_t at = 0; at < text.size(); at += piece) encoder.add(text.substr(at, piece), out);
  encoder.pad(out);
  return out.to_string();
}

std::string decoded(std::string_view text, size_t piece) {
  Base64Decoder decoder;
  net::Buffer out;
  for (size_t at = 0; at < text.size(); at += piece) {
    if (!decoder.add(text.substr(at, piece), out)) return "bad";
  }
  return decoder.whole() ? out.to_string() : "cut";
}

}  // namespace

TEST_CASE("text comes back, whatever the pieces") {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += static_cast<char>(i * 7);
  for (const size_t piece : {1u, 2u, 3u, 5u, 4096u, 100'000u}) {
    for (const size_t n : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{4}, text.size()}) {
      CHECK(decoded(encoded(std::string_view(text).substr(0, n), piece), piece) == text.substr(0, n));
    }
  }
  CHECK(encoded("hello", 2) == "aGVsbG8=");
}

TEST_CASE("padding may end any group, and nothing else") {
  CHECK(decoded("aGVsbG8=aGVsbG8=", 3) == "hellohello");
  CHECK(decoded("aA==aA==", 1) == "hh");
  CHECK(decoded("a===", 4) == "bad");
  CHECK(decoded("aA=A", 4) == "bad");
  CHECK(decoded("!AAA", 4) == "bad");
  CHECK(decoded("AAAAA", 2) == "cut");
}
