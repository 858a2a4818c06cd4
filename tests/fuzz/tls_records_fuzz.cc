// A client's records through a server's own record layer. The client has the keys, so that what is inside them can be anything, and they are
// cut, repeated and damaged: data comes out just as it went in, up to where the connection ends or fails, and never anything else.
#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "dataplane/tls/records.h"

using namespace fairlead;
using namespace fairlead::tls;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

TrafficSecret secret_of(Suite suite, unsigned char salt) {
  TrafficSecret secret;
  secret.size = static_cast<uint8_t>(hash_size(suite));
  secret.bytes.fill(salt);
  return secret;
}

// What is left of the input.
struct Input {
  const uint8_t* at;
  const uint8_t* end;
  uint8_t byte() { return at < end ? *at++ : uint8_t{0}; }
  std::string bytes(size_t size) {
    const size_t take = std::min<size_t>(size, static_cast<size_t>(end - at));
    std::string out(reinterpret_cast<const char*>(at), take);
    at += take;
    return out;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input{data, data + size};
  const auto suite = static_cast<Suite>(input.byte() % 3);
  Records records({suite, secret_of(suite, 1), secret_of(suite, 2), 0, Records::kMaxContent, 4});
  RecordCipher client(suite, secret_of(suite, 1), true), hears(suite, secret_of(suite, 2), false);
  std::string sent, wire;
  net::Buffer got;
  bool honest = true;  // what follows something damaged is nothing
  std::vector<unsigned char> room(Records::kSealRoom), record(40000);
  const auto feed = [&](size_t upto) {
    std::string part = wire.substr(0, upto);
    const Records::Opened opened = records.open(reinterpret_cast<unsigned char*>(part.data()), part.size(), got);
    require(opened.consumed <= part.size());
    wire.erase(0, opened.consumed);
  };
  while (input.at < input.end && records.state() == Records::State::kOpen) {
    const uint8_t what = input.byte();
    if (what % 8 < 5) {  // a record
      constexpr uint8_t kTypes[] = {23, 23, 22, 21, 20};
      std::string content = input.bytes(input.byte());
      if (what >= 128) content.resize(std::min<size_t>(content.size() * 200, 17000), 'x');
      const size_t padding = what % 3 == 0 ? input.byte() : 0;
      const iovec piece{content.data(), content.size()};
      const size_t sealed = client.seal(kTypes[what % 8], &piece, 1, padding, record.data());
      require(sealed == content.size() + padding + RecordCipher::kOverhead);
      wire.append(reinterpret_cast<char*>(record.data()), sealed);
      if (honest && what % 8 < 2) sent += content;
      if (what % 8 == 2 && content.size() == 5 && content[0] == 24) require(client.next_key());
    } else if (what % 8 == 5) {  // damage
      const std::string raw = input.bytes(input.byte() % 64);
      if (!raw.empty()) honest = false;
      wire += raw;
    } else if (what % 8 == 6) {
      feed(std::min<size_t>(wire.size(), input.byte() * size_t{100}));
    } else {  // the server says something
      net::Buffer from(std::string(1 + input.byte(), 'y'));
      const Records::Sealed answer = records.seal(from, Records::kMaxSealed, room.data());
      require(!answer.failed && answer.records >= 1 && answer.wire <= room.size());
      size_t begin = 0;
      for (int i = 0; i < answer.records; ++i) {
        const size_t inner = answer.ends[i].wire - begin - RecordCipher::kHeader - RecordCipher::kTag;
        const iovec to{record.data(), inner};
        require(hears.open(room.data() + begin, room.data() + begin + RecordCipher::kHeader, inner + RecordCipher::kTag, &to, 1));
        if (record[inner - 1] == 22) require(hears.next_key());
        begin = answer.ends[i].wire;
      }
    }
  }
  feed(wire.size());
  const std::string out = got.to_string();
  require(out.size() <= sent.size() && sent.compare(0, out.size(), out) == 0);
  if (records.state() == Records::State::kFailed) {
    unsigned char alert[64];
    require(records.alert() == Records::kNoAlert || records.seal_alert(true, records.alert(), alert) != 0);
  }
  return 0;
}
