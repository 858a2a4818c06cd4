// gRPC's message framing: pieces of any size in, whole messages out, limits kept.
#include <catch2/catch.hpp>

#include <zlib.h>

#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "controlplane/rpc/call.h"
#include "controlplane/rpc/message_reader.h"

using namespace fairlead;
using rpc::MessageReader;

namespace {

std::string framed(std::string_view message, bool compressed = false) {
  std::string out(1, compressed ? '\1' : '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift);
  return out + std::string(message);
}

std::string deflated(std::string_view text, int window_bits) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

struct Read {
  std::vector<std::string> messages;
  absl::Status status;
};

Read read_all(MessageReader& reader, std::string_view bytes, size_t piece) {
  Read out;
  for (size_t at = 0; at < bytes.size() && out.status.ok(); at += piece) {
    net::Buffer data(bytes.substr(at, piece));
    out.status = reader.read(data, [&](std::string_view m) {
      out.messages.emplace_back(m);
      return true;
    });
  }
  return out;
}

}  // namespace

TEST_CASE("messages come whole, however they are cut") {
  const std::string big(100'000, 'b');
  const std::string bytes = framed("one") + framed("") + framed(big) + framed("last");
  for (size_t piece : {size_t{1}, size_t{3}, size_t{7}, size_t{4096}, bytes.size()}) {
    MessageReader reader(1 << 20);
    const Read got = read_all(reader, bytes, piece);
    REQUIRE(got.status.ok());
    CHECK(got.messages == std::vector<std::string>{"one", "", big, "last"});
    CHECK_FALSE(reader.amid_message());
  }
  MessageReader reader(1 << 20);
  CHECK(read_all(reader, framed("one").substr(0, 6), 6).messages.empty());
  CHECK(reader.amid_message());
}

TEST_CASE("a message above the limit is refused by its length alone") {
  MessageReader reader(10);
  const Read got = read_all(reader, framed("0123456789") + framed("0123456789a").substr(0, 5), 100);
  CHECK(got.messages == std::vector<std::string>{"0123456789"});
  CHECK(absl::IsResourceExhausted(got.status));
  CHECK(got.status.message() == "received message larger than max (11 vs. 10)");
}

TEST_CASE("compressed messages are read, and bounded by what they become") {
  const std::string text(50'000, 't');
  for (auto [encoding, bits] : {std::pair(rpc::Encoding::kGzip, 31), std::pair(rpc::Encoding::kDeflate, 15)}) {
    MessageReader reader(60'000);
    reader.set_encoding(encoding);
    const Read got = read_all(reader, framed(deflated(text, bits), true) + framed("plain"), 11);
    REQUIRE(got.status.ok());
    CHECK(got.messages == std::vector<std::string>{text, "plain"});
    const Read bomb = read_all(reader, framed(deflated(std::string(100'000, 't'), bits), true), 1000);
    CHECK(absl::IsResourceExhausted(bomb.status));
    MessageReader again(60'000);
    again.set_encoding(encoding);
    const std::string whole = deflated(text, bits);
    CHECK(absl::IsInternal(read_all(again, framed(whole.substr(0, whole.size() / 2), true), 1000).status));
    MessageReader garbage(60'000);
    garbage.set_encoding(encoding);
    CHECK(absl::IsInternal(read_all(garbage, framed("garbage", true), 1000).status));
  }
  MessageReader plain(1000);
  CHECK(absl::IsInternal(read_all(plain, framed("x", true), 1000).status));
  MessageReader flags(1000);
  CHECK(absl::IsInternal(read_all(flags, std::string("\2\0\0\0\1x", 6), 1000).status));
}

TEST_CASE("timeouts and texts of statuses as gRPC writes them") {
  using namespace std::chrono_literals;
  CHECK(rpc::parse_timeout("250m") == 250ms);
  CHECK(rpc::parse_timeout("1H") == 1h);
  CHECK(rpc::parse_timeout("99999999n") == 99999999ns);
  for (const char* bad : {"", "1", "m", "-1S", "1x", "123456789S", "1.5S"}) CHECK_FALSE(rpc::parse_timeout(bad));
  CHECK(rpc::encode_message("a b%c\n\xc3\xa4") == "a b%25c%0A%C3%A4");
}
