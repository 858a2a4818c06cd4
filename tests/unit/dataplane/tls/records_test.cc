// TLS 1.3's records without OpenSSL's SSL: keys, protection, what a client may say and what it may not. The peer here is a RecordCipher of its own, which
// can say anything; own_records_test.cc has OpenSSL's client.
#include "dataplane/tls/records.h"

#include <absl/strings/escaping.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

namespace records_test {

using namespace fairlead;
using tls::RecordCipher;
using tls::Records;
using tls::Suite;
using State = tls::Records::State;

namespace {

constexpr Suite kSuites[] = {Suite::kAes128Gcm, Suite::kAes256Gcm, Suite::kChaCha20Poly1305};
constexpr uint8_t kAlert = 21, kHandshake = 22, kData = 23;
const std::string kCloseNotify("\x01\x00", 2), kUpdate("\x18\0\0\x01\0", 5), kUpdateAndAnswer("\x18\0\0\x01\x01", 5);

tls::TrafficSecret secret_of(std::string_view bytes) {
  tls::TrafficSecret secret;
  for (const char c : bytes) secret.bytes[secret.size++] = static_cast<unsigned char>(c);
  return secret;
}
std::string hex(std::string_view text) { return absl::HexStringToBytes(text); }
std::string filled(size_t size, size_t salt = 0) {
  std::string text(size, 'x');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + salt) % 23);
  return text;
}

std::string seal(RecordCipher& cipher, uint8_t type, std::string_view content, size_t padding = 0) {
  std::string wire(content.size() + padding + RecordCipher::kOverhead, '\0');
  const iovec piece{const_cast<char*>(content.data()), content.size()};
  REQUIRE(cipher.seal(type, &piece, 1, padding, reinterpret_cast<unsigned char*>(wire.data())) == wire.size());
  return wire;
}

// A server's records and who talks with it.
struct Talk {
  explicit Talk(Suite suite_in = Suite::kAes128Gcm, size_t max_content = Records::kMaxContent, uint64_t records_per_key = 1 << 24)
      : suite(suite_in),
        records({suite, secret("client"), secret("server"), 0, max_content, records_per_key}),
        says(suite, secret("client"), true),
        hears(suite, secret("server"), false) {}
  tls::TrafficSecret secret(std::string_view who) const { return secret_of(std::string(tls::hash_size(suite) - who.size(), '.') + std::string(who)); }

  std::string sealed(uint8_t type, std::string_view content, size_t padding = 0) { return seal(says, type, content, padding); }
  Records::Opened feed(std::string wire) { return records.open(reinterpret_cast<unsigned char*>(wire.data()), wire.size(), got); }
  Records::Opened say(uint8_t type, std::string_view content, size_t padding = 0) { return feed(sealed(type, content, padding)); }
  std::string taken() {
    std::string text = got.to_string();
    got.clear();
    return text;
  }
  bool failed_with(int alert, int reason) const { return records.state() == State::kFailed && records.alert() == alert && records.reason() == reason; }

  struct Heard {
    uint8_t type;
    std::string content;
  };
  // What records hold, in order.
  std::vector<Heard> heard(std::string wire) {
    std::vector<Heard> out;
    while (!wire.empty()) {
      auto* bytes = reinterpret_cast<unsigned char*>(wire.data());
      const size_t size = static_cast<size_t>(bytes[3]) << 8 | bytes[4];
      REQUIRE(wire.size() >= 5 + size);
      const iovec to{bytes + 5, size - 16};
      REQUIRE(hears.open(bytes, bytes + 5, size, &to, 1));
      std::string inner = wire.substr(5, size - 16);
      inner.erase(inner.find_last_not_of('\0') + 1);
      out.push_back({static_cast<uint8_t>(inner.back()), inner.substr(0, inner.size() - 1)});
      if (out.back().type == kHandshake) REQUIRE(hears.next_key());
      wire.erase(0, 5 + size);
    }
    return out;
  }
  // What the server seals of `from` in one go.
  std::vector<Heard> answer(net::Buffer& from, size_t most = Records::kMaxSealed) {
    std::vector<unsigned char> room(Records::kSealRoom);
    const Records::Sealed sealed = records.seal(from, most, room.data());
    REQUIRE_FALSE(sealed.failed);
    REQUIRE(sealed.records > 0);
    CHECK(sealed.ends[sealed.records - 1].wire == sealed.wire);
    from.drain(sealed.ends[sealed.records - 1].content);
    return heard(std::string(reinterpret_cast<char*>(room.data()), sealed.wire));
  }

  const Suite suite;
  Records records;
  RecordCipher says, hears;
  net::Buffer got;
};

}  // namespace

TEST_CASE("keys, IVs and records are those of RFC 8448's simple handshake") {
  const tls::TrafficSecret client = secret_of(hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"));
  const tls::TrafficSecret server = secret_of(hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"));
  const auto expanded = [](const tls::TrafficSecret& secret, std::string_view label, size_t size) {
    std::string out(size, '\0');
    REQUIRE(tls::expand_label(Suite::kAes128Gcm, secret, label, reinterpret_cast<unsigned char*>(out.data()), size));
    return absl::BytesToHexString(out);
  };
  CHECK(expanded(client, "key", 16) == "17422dda596ed5d9acd890e3c63f5051");
  CHECK(expanded(client, "iv", 12) == "5b78923dee08579033e523d9");
  CHECK(expanded(server, "key", 16) == "9f02283b6c9c07efc26bb9f2ac92e356");
  CHECK(expanded(server, "iv", 12) == "cf782b88dd83549aadf1e984");

  std::string content(50, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i);
  Records records({Suite::kAes128Gcm, client, server, 1});  // its ticket was the first
  std::string wire = hex("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4");
  net::Buffer got;
  CHECK(records.open(reinterpret_cast<unsigned char*>(wire.data()), wire.size(), got).consumed == wire.size());
  CHECK(got.to_string() == content);
  std::vector<unsigned char> room(Records::kSealRoom);
  const Records::Sealed sealed = records.seal(got, 1, room.data());
  CHECK(absl::BytesToHexString(std::string(reinterpret_cast<char*>(room.data()), sealed.wire)) ==
        "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d");
}

TEST_CASE("a label, a secret and an output that do not fit the hash are refused") {
  unsigned char out[64];
  CHECK_FALSE(tls::expand_label(Suite::kAes256Gcm, secret_of(std::string(32, 'a')), "key", out, 32));
  CHECK_FALSE(tls::expand_label(Suite::kAes128Gcm, secret_of(std::string(32, 'a')), "key", out, 33));
  CHECK_FALSE(tls::expand_label(Suite::kAes128Gcm, secret_of(std::string(32, 'a')), std::string(54, 'l'), out, 16));
  CHECK(tls::suite_of(0x1302) == Suite::kAes256Gcm);
  CHECK_FALSE(tls::suite_of(0x1304).has_value());
}

TEST_CASE("content of every size and padding arrives, in one piece and byte by byte") {
  const Suite suite = kSuites[GENERATE(0, 1, 2)];
  Talk talk(suite);
  for (const size_t size : {1, 2, 15, 16, 17, 1000, 4094, 4095, 4096, 4097, 16343, 16344, 16359, 16360, 16361, 16383, 16384}) {
    for (const size_t padding : {0, 1, 255, 5000}) {
      if (size + padding > Records::kMaxContent) continue;
      const std::string content = filled(size, padding), wire = talk.sealed(kData, content, padding);
      const auto opened = talk.feed(wire);
      CHECK(opened.consumed == wire.size());
      CHECK(opened.content == size);
      REQUIRE(talk.taken() == content);
    }
  }
  std::string wire = talk.sealed(kData, "one");
  wire += talk.sealed(kData, filled(5000));
  wire += talk.sealed(kData, "three");
  std::string held;
  for (const char c : wire) {
    held += c;
    const auto opened = talk.records.open(reinterpret_cast<unsigned char*>(held.data()), held.size(), talk.got);
    held.erase(0, opened.consumed);
  }
  CHECK(held.empty());
  CHECK(talk.taken() == "one" + filled(5000) + "three");
  CHECK(talk.records.state() == State::kOpen);
}

TEST_CASE("a record with any bit changed is refused, and nothing of it is given out") {
  for (const Suite suite : kSuites) {
    for (const size_t size : {3, 5000}) {
      const std::string good = Talk(suite).sealed(kData, filled(size));
      for (size_t at = 0; at < good.size(); at += at < 40 || at + 40 > good.size() ? 1 : 311) {
        Talk talk(suite);
        std::string bad = good;
        bad[at] ^= 1 << (at % 8);
        const auto opened = talk.feed(bad + std::string(20000, '\0'));
        CHECK(talk.records.state() == State::kFailed);
        CHECK(opened.content == 0);
        CHECK(talk.taken().empty());
        if (at >= 5) CHECK(talk.failed_with(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC));
      }
    }
  }
}

TEST_CASE("a record that comes twice, early or after one that failed is refused") {
  Talk twice;
  const std::string first = twice.sealed(kData, "a");
  twice.feed(first);
  CHECK(twice.taken() == "a");
  twice.feed(first);
  CHECK(twice.failed_with(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC));
  Talk early;
  const std::string skipped = early.sealed(kData, "a");
  CHECK(early.say(kData, "b").content == 0);
  CHECK(early.records.state() == State::kFailed);
  CHECK(early.feed(skipped).consumed == 0);
  CHECK(early.taken().empty());
}

TEST_CASE("a header is judged before the rest of its record has come") {
  const auto judged = [](std::string header, int alert, int reason) {
    Talk talk;
    CHECK(talk.feed(std::move(header)).consumed == 0);
    CHECK(talk.failed_with(alert, reason));
  };
  using namespace std::string_literals;
  judged("\x14\x03\x03\x00\x01"s, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);  // change_cipher_spec has had its time
  judged("\x15\x03\x03\x00\x02"s, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);  // an alert in clear
  judged("\x16\x03\x03\x00\x20"s, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  judged("GET /"s, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  judged("\x17\x03\x01\x00\x20"s, SSL_AD_DECODE_ERROR, SSL_R_WRONG_VERSION_NUMBER);
  judged("\x17\x03\x03\x41\x01"s, SSL_AD_RECORD_OVERFLOW, SSL_R_ENCRYPTED_LENGTH_TOO_LONG);
  judged("\x17\x03\x03\xff\xff"s, SSL_AD_RECORD_OVERFLOW, SSL_R_ENCRYPTED_LENGTH_TOO_LONG);
  judged("\x17\x03\x03\x00\x10"s, SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
  judged("\x17\x03\x03\x00\x00"s, SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
  Talk largest;
  CHECK(largest.feed("\x17\x03\x03\x41\x00"s).consumed == 0);
  CHECK(largest.records.state() == State::kOpen);
}

TEST_CASE("too much inside, nothing inside and what a client has no business with end the connection") {
  const auto refused = [](uint8_t type, const std::string& content, size_t padding, int alert, int reason) {
    Talk talk;
    talk.say(kData, "before");
    talk.say(type, content, padding);
    CHECK(talk.failed_with(alert, reason));
    CHECK(talk.taken() == "before");
  };
  refused(kData, filled(16385), 0, SSL_AD_RECORD_OVERFLOW, SSL_R_DATA_LENGTH_TOO_LONG);
  refused(kData, filled(16384), 1, SSL_AD_RECORD_OVERFLOW, SSL_R_DATA_LENGTH_TOO_LONG);
  refused(kData, "x", 16623 - 1, SSL_AD_RECORD_OVERFLOW, SSL_R_DATA_LENGTH_TOO_LONG);
  refused(0, "", 0, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  refused(0, "", 16000, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  refused(20, "\x01", 0, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  refused(24, filled(5000), 0, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  refused(kHandshake, "", 3, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_LENGTH);
  refused(kHandshake, std::string("\x01\0\0\x02hi", 6), 0, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);       // ClientHello: no renegotiation
  refused(kHandshake, std::string("\x0b\0\0\x02hi", 6), 0, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);       // a certificate that nobody asked for
  refused(kHandshake, std::string("\x18\0\0\x02\0\0", 6), 0, SSL_AD_DECODE_ERROR, SSL_R_BAD_KEY_UPDATE);
  refused(kHandshake, std::string("\x18\0\0\x01\x02", 5), 0, SSL_AD_ILLEGAL_PARAMETER, SSL_R_BAD_KEY_UPDATE);
  refused(kHandshake, kUpdate + kUpdate, 0, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_NOT_ON_RECORD_BOUNDARY);
  refused(kAlert, std::string("\x01", 1), 0, SSL_AD_DECODE_ERROR, SSL_R_INVALID_ALERT);
  refused(kAlert, kCloseNotify + kCloseNotify, 0, SSL_AD_DECODE_ERROR, SSL_R_INVALID_ALERT);
  refused(kAlert, "\x02\x2a", 0, Records::kNoAlert, SSL_AD_REASON_OFFSET + 42);
  refused(kAlert, "\x01\x2a", 0, Records::kNoAlert, SSL_AD_REASON_OFFSET + 42);  // its level means nothing
}

TEST_CASE("a few empty records and warnings are borne, an endless row of them is not") {
  Talk talk;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 32; ++i) talk.say(kData, "", i % 2);
    for (int i = 0; i < 4; ++i) talk.say(kAlert, "\x01\x5a");
    REQUIRE(talk.records.state() == State::kOpen);
    talk.say(kData, "x");
  }
  CHECK(talk.taken() == "xxx");
  for (int i = 0; i < 33; ++i) talk.say(kData, "");
  CHECK(talk.failed_with(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_RECORD_TOO_SMALL));
  Talk warned;
  for (int i = 0; i < 5; ++i) warned.say(kAlert, "\x01\x5a");
  CHECK(warned.failed_with(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_TOO_MANY_WARN_ALERTS));
}

TEST_CASE("a close_notify is the end; what follows is not looked at, and the server may go on") {
  Talk talk;
  std::string wire = talk.sealed(kData, "last");
  wire += talk.sealed(kAlert, kCloseNotify) + "nonsense";
  talk.feed(wire);
  CHECK(talk.records.state() == State::kEnded);
  CHECK(talk.taken() == "last");
  CHECK(talk.say(kData, "more").consumed == 0);
  net::Buffer from("answer");
  const auto heard = talk.answer(from);
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].content == "answer");
}

TEST_CASE("a client's new keys are followed, and answered once before the next data where it asks for it") {
  for (const Suite suite : kSuites) {
    Talk talk(suite);
    const auto update = [&](const std::string& message) {
      talk.say(kHandshake, message);
      REQUIRE(talk.says.next_key());
    };
    talk.say(kData, "a");
    update(kUpdate);
    talk.say(kData, "b");
    net::Buffer from("1");
    CHECK(talk.answer(from).size() == 1);
    for (int i = 0; i < 3; ++i) update(kUpdateAndAnswer);
    talk.say(kData, "c");
    from.append("2");
    auto heard = talk.answer(from);
    REQUIRE(heard.size() == 2);
    CHECK(heard[0].type == kHandshake);
    CHECK(heard[0].content == kUpdate);
    CHECK(heard[1].content == "2");
    from.append("3");
    CHECK(talk.answer(from).size() == 1);
    CHECK(talk.taken() == "abc");
    for (int i = 0; i < 100; ++i) {  // with data in between, as many as it likes
      update(kUpdate);
      talk.say(kData, "d");
    }
    CHECK(talk.taken() == std::string(100, 'd'));
    for (int i = 0; i < 33; ++i) update(kUpdate);
    CHECK(talk.failed_with(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_TOO_MANY_KEY_UPDATES));
  }
}

TEST_CASE("a client that does little but change its keys is heard in turns") {
  Talk talk;
  std::string wire, said;
  for (int i = 0; i < 100; ++i) {
    wire += talk.sealed(kHandshake, kUpdate);
    REQUIRE(talk.says.next_key());
    wire += talk.sealed(kData, std::string(1, static_cast<char>('a' + i % 26)));
    said += static_cast<char>('a' + i % 26);
  }
  int turns = 0;
  for (bool paused = true; paused; ++turns) {
    const auto opened = talk.records.open(reinterpret_cast<unsigned char*>(wire.data()), wire.size(), talk.got);
    wire.erase(0, opened.consumed);
    paused = opened.paused;
  }
  CHECK(turns == 4);
  CHECK(wire.empty());
  CHECK(talk.taken() == said);
}

TEST_CASE("a KeyUpdate in pieces is one, if nothing comes between them") {
  Talk talk;
  for (const char c : kUpdate) talk.say(kHandshake, std::string(1, c), 2);
  REQUIRE(talk.says.next_key());
  talk.say(kData, "a");
  CHECK(talk.taken() == "a");
  talk.say(kHandshake, kUpdate.substr(0, 3));
  SECTION("data between") { talk.say(kData, "b"); }
  SECTION("an alert between") { talk.say(kAlert, kCloseNotify); }
  CHECK(talk.failed_with(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_MIXED_HANDSHAKE_AND_NON_HANDSHAKE_DATA));
  CHECK(talk.taken().empty());
}

TEST_CASE("what is sent goes in records of 16 KiB at most, however its buffer is made up") {
  const Suite suite = kSuites[GENERATE(0, 1, 2)];
  Talk talk(suite);
  net::Buffer from;
  std::string all;
  const auto add = [&](size_t size, bool linked) {
    const std::string text = filled(size, all.size());
    linked ? from.append_external(std::make_shared<const std::string>(text)) : from.append(text);
    all += text;
  };
  for (const size_t size : {1, 600, 3000, 20000, 16384, 5, 16385, 2048, 2049, 70000}) {
    add(size, false);
    add(size, true);
  }
  for (int i = 0; i < 300; ++i) add(513 + static_cast<size_t>(i), true);  // more slices than are looked at in one go
  std::string heard;
  while (!from.empty()) {
    const auto records = talk.answer(from, 1 + heard.size() % 4);
    CHECK(records.size() <= Records::kMaxSealed);
    for (const auto& record : records) {
      CHECK(record.type == kData);
      CHECK(record.content.size() <= Records::kMaxContent);
      heard += record.content;
    }
  }
  CHECK(heard == all);
}

TEST_CASE("a client that takes small records only gets small ones") {
  Talk talk(Suite::kAes128Gcm, 512);
  net::Buffer from(filled(3000));
  std::string heard;
  while (!from.empty()) {
    for (const auto& record : talk.answer(from)) {
      CHECK(record.content.size() <= 512);
      heard += record.content;
    }
  }
  CHECK(heard == filled(3000));
}

TEST_CASE("the key for writing is changed before it has served too many records") {
  Talk talk(Suite::kAes128Gcm, Records::kMaxContent, 3);
  std::string kinds;
  for (int i = 0; i < 8; ++i) {
    net::Buffer from("x");
    for (const auto& record : talk.answer(from)) kinds += record.type == kHandshake ? 'K' : 'd';
  }
  CHECK(kinds == "dddKdddKdd");
}

TEST_CASE("alerts go out as records, and after the last record there is none") {
  Talk talk;
  unsigned char room[64];
  const size_t size = talk.records.seal_alert(true, SSL_AD_BAD_RECORD_MAC, room);
  const auto heard = talk.heard(std::string(reinterpret_cast<char*>(room), size));
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].type == kAlert);
  CHECK(heard[0].content == "\x02\x14");
  RecordCipher last(Suite::kAes128Gcm, talk.secret("client"), true, UINT64_MAX - 1);
  const iovec piece{const_cast<char*>("x"), 1};
  CHECK(last.seal(kData, &piece, 1, 0, room) != 0);
  CHECK(last.seal(kData, &piece, 1, 0, room) == 0);  // its number would be the first one's
  CHECK(last.seal(kData, &piece, 1, 0, room) == 0);
}

TEST_CASE("more connections than a thread keeps keyed ciphers for take turns") {
  std::vector<std::unique_ptr<Talk>> talks;
  for (size_t i = 0; i < 700; ++i) talks.push_back(std::make_unique<Talk>(kSuites[i % 3]));
  for (size_t round = 0; round < 3; ++round) {
    for (size_t i = 0; i < talks.size(); i += 1 + i % 2) {
      Talk& talk = *talks[i];
      talk.say(kData, filled(40, i));
      REQUIRE(talk.taken() == filled(40, i));
      net::Buffer from(filled(30, i));
      REQUIRE(talk.answer(from)[0].content == filled(30, i));
    }
    if (round == 1) talks.erase(talks.begin() + 100, talks.begin() + 400);
  }
}

}  // namespace records_test
