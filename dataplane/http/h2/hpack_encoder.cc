// The encoder's table and its three kinds of literals (hpack_encoder.h).
#include "dataplane/http/h2/hpack_encoder.h"

#include <cstring>
#include <utility>

namespace fairlead::h2 {

namespace {

using http::Token;

constexpr uint32_t kOverhead = 32;     // of an entry, RFC 7541 section 4.1
constexpr uint32_t kStaticEntries = 61;

enum class Use : uint8_t {
  Table,    // where it pays
  Outside,  // hardly ever repeats
  Secret,   // RFC 7541 section 7.1: never in any table on the way
};

struct Name {
  uint8_t at = 0;  // in the static table; 0: it is not there
  Use use = Use::Table;
};

constexpr auto kNames = [] {
  std::array<Name, http::kTokenCount> table{};
  const auto set = [&table](Token token, uint8_t at, Use use = Use::Table) { table[static_cast<size_t>(token)] = {at, use}; };
  set(Token::PseudoAuthority, 1);
  set(Token::PseudoMethod, 2);
  set(Token::PseudoPath, 4, Use::Outside);
  set(Token::PseudoScheme, 6);
  set(Token::PseudoStatus, 8);
  set(Token::AcceptEncoding, 16);
  set(Token::Accept, 19);
  set(Token::AccessControlAllowOrigin, 20);
  set(Token::Age, 21, Use::Outside);
  set(Token::Authorization, 23, Use::Secret);
  set(Token::CacheControl, 24);
  set(Token::ContentEncoding, 26);
  set(Token::ContentLength, 28, Use::Outside);
  set(Token::ContentType, 31);
  set(Token::Cookie, 32);
  set(Token::Date, 33);
  set(Token::Etag, 34, Use::Outside);
  set(Token::Expect, 35);
  set(Token::Host, 38);
  set(Token::IfNoneMatch, 41, Use::Outside);
  set(Token::LastModified, 44);
  set(Token::Location, 46, Use::Outside);
  set(Token::ProxyAuthenticate, 48);
  set(Token::ProxyAuthorization, 49, Use::Secret);
  set(Token::Range, 50);
  set(Token::Referer, 51);
  set(Token::Server, 54);
  set(Token::SetCookie, 55, Use::Outside);
  set(Token::TransferEncoding, 57);
  set(Token::UserAgent, 58);
  set(Token::Vary, 59);
  set(Token::Via, 60);
  return table;
}();

// Entries of the static table that have a value; 0: none fits.
uint8_t static_match(Token token, std::string_view value) {
  switch (token) {
    case Token::PseudoMethod: return value == "GET" ? 2 : value == "POST" ? 3 : 0;
    case Token::PseudoPath: return value == "/" ? 4 : value == "/index.html" ? 5 : 0;
    case Token::PseudoScheme: return value == "http" ? 6 : value == "https" ? 7 : 0;
    case Token::AcceptEncoding: return value == "gzip, deflate" ? 16 : 0;
    case Token::PseudoStatus: {
      if (value.size() != 3) return 0;
      constexpr std::string_view kStatuses[] = {"200", "204", "206", "304", "400", "404", "500"};
      for (uint8_t i = 0; i < std::size(kStatuses); ++i) {
        if (value == kStatuses[i]) return static_cast<uint8_t>(8 + i);
      }
      return 0;
    }
    default: return 0;
  }
}

bool same(const char* a, std::string_view b) { return std::memcmp(a, b.data(), b.size()) == 0; }

// RFC 7541 section 5.1. `first`: the bits in front of the prefix.
char* put_integer(uint32_t value, uint32_t prefix_bits, uint8_t first, char* to) {
  const uint32_t most = (1u << prefix_bits) - 1;
  if (value < most) {
    *to++ = static_cast<char>(first | value);
    return to;
  }
  *to++ = static_cast<char>(first | most);
  value -= most;
  for (; value >= 128; value >>= 7) *to++ = static_cast<char>(value | 128);
  *to++ = static_cast<char>(value);
  return to;
}

char* put_text(std::string_view text, char* to) {
  to = put_integer(static_cast<uint32_t>(text.size()), 7, 0, to);
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

}  // namespace

void HpackEncoder::apply_updates(const uint8_t* bytes, size_t size) {
  for (const uint8_t* end = bytes + size; bytes != end;) {
    constexpr uint32_t kMost = 31;
    uint32_t value = *bytes++ & kMost;
    if (value == kMost) {
      for (uint32_t shift = 0; bytes != end; shift += 7) {
        value += static_cast<uint32_t>(*bytes & 127) << shift;
        if ((*bytes++ & 128) == 0) break;
      }
    }
    max_size_ = value;
    evict(0);
  }
}

size_t HpackEncoder::bound(const FieldList& list) {
  constexpr size_t kIntegers = 18;  // three of at most six bytes
  size_t bytes = list.size * kIntegers;
  for (size_t i = 0; i < list.size; ++i) bytes += list.fields[i].name.size() + list.fields[i].value.size();
  return bytes;
}

char* HpackEncoder::encode(const FieldList& list, char* to) {
  ++heads_;
  for (size_t i = 0; i < list.size; ++i) to = put(list.fields[i], to);
  return to;
}

char* HpackEncoder::put(const OutField& field, char* to) {
  const Token token = field.token;
  const std::string_view value = field.value;
  if (const uint8_t match = static_match(token, value); match != 0) {
    *to++ = static_cast<char>(0x80 | match);
    return to;
  }
  const Name& known = kNames[static_cast<size_t>(token)];
  uint32_t slot = static_cast<uint32_t>(token);
  if (token == Token::Other && !field.name.empty()) {
    const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(field.name[i])); };
    slot = http::kTokenCount + (byte(0) * 3 + byte(field.name.size() / 2) * 5 + byte(field.name.size() - 1) + static_cast<uint32_t>(field.name.size())) % kBuckets;
  }
  uint32_t name_at = known.at;
  uint32_t values = 0;  // of this name in the table, up to kValues
  uint32_t last = 0;    // the head that brought the newest of them
  for (uint32_t n = newest_[slot]; live(n);) {
    const Entry& e = at(n);
    if (e.slot != slot) break;
    const uint32_t in_front = token == Token::Other ? e.name_size : 0;
    if (in_front == 0 || (e.name_size == field.name.size() && same(e.text.get(), field.name))) {
      const uint32_t index = kStaticEntries + age(n);
      if (e.value_size == value.size() && same(e.text.get() + in_front, value)) return put_integer(index, 7, 0x80, to);
      if (name_at == 0) name_at = index;
      if (values == 0) last = e.head;
      if (++values == kValues) break;  // what comes rarely is not worth a long look
    }
    if (e.back == 0) break;
    n -= e.back;
  }
  const bool secret = known.use == Use::Secret || (token == Token::Cookie && value.size() < 20);  // a short cookie could be guessed: as nghttp2, after Firefox
  const size_t takes = field.name.size() + value.size() + kOverhead;
  const bool enters = !secret && known.use == Use::Table && takes <= max_size_ / 4 * 3 && (values < kValues || heads_ - last >= kLearnEvery);
  to = enters ? put_integer(name_at, 6, 0x40, to) : put_integer(name_at, 4, secret ? 0x10 : 0x00, to);
  if (name_at == 0) to = put_text(field.name, to);
  to = put_text(value, to);
  if (enters) insert(field, slot);
  return to;
}

void HpackEncoder::insert(const OutField& field, uint32_t slot) {
  const auto takes = static_cast<uint32_t>(field.name.size() + field.value.size() + kOverhead);
  evict(takes);
  if (count_ == ring_.size()) grow();
  const size_t in_front = field.token == Token::Other ? field.name.size() : 0;
  Entry& e = at(inserted_);
  e.text = std::make_unique_for_overwrite<char[]>(in_front + field.value.size());
  if (in_front != 0) std::memcpy(e.text.get(), field.name.data(), in_front);
  if (!field.value.empty()) std::memcpy(e.text.get() + in_front, field.value.data(), field.value.size());
  e.slot = slot;
  e.head = heads_;
  e.name_size = static_cast<uint32_t>(field.name.size());
  e.value_size = static_cast<uint32_t>(field.value.size());
  const uint32_t before = newest_[slot];
  e.back = live(before) && at(before).slot == slot ? inserted_ - before : 0;
  newest_[slot] = inserted_;
  ++inserted_;
  ++count_;
  size_ += takes;
}

// Until `room` more bytes fit.
void HpackEncoder::evict(uint32_t room) {
  while (count_ != 0 && size_ + room > max_size_) {
    Entry& oldest = at(inserted_ - count_);
    size_ -= oldest.name_size + oldest.value_size + kOverhead;
    oldest.text.reset();
    --count_;
  }
}

void HpackEncoder::grow() {
  std::vector<Entry> larger(ring_.empty() ? 16 : ring_.size() * 2);
  for (uint32_t n = inserted_ - count_; n != inserted_; ++n) larger[n & (larger.size() - 1)] = std::move(at(n));
  ring_ = std::move(larger);
}

}  // namespace fairlead::h2
