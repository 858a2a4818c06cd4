// Cidr and Fraction; see matchers.h.
#include <arpa/inet.h>

#include <cstring>

#include <absl/strings/str_cat.h>

#include "dataplane/matching/matchers.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/type/v3/percent.pb.h"

namespace fairlead::matching {
namespace {

constexpr uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The v4 bytes of a v4-mapped v6 address, else the input.
std::string_view unmap(std::string_view bytes) {
  if (bytes.size() == 16 && std::memcmp(bytes.data(), mapped_prefix, sizeof mapped_prefix) == 0) return bytes.substr(12);
  return bytes;
}

}  // namespace

absl::StatusOr<Cidr> Cidr::parse(std::string_view address, uint32_t prefix_length) {
  Cidr cidr;
  const std::string text(address);
  uint32_t most = 32;
  if (inet_pton(AF_INET, text.c_str(), cidr.bytes_.data()) == 1) {
    cidr.size_ = 4;
  } else if (inet_pton(AF_INET6, text.c_str(), cidr.bytes_.data()) == 1) {
    cidr.size_ = 16;
    most = 128;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("malformed IP address: ", text));
  }
  if (prefix_length > most) {
    return absl::InvalidArgumentError(absl::StrCat("prefix_len ", prefix_length, " is longer than the address ", text, " (", most, " bits)"));
  }
  cidr.bits_ = static_cast<uint8_t>(prefix_length);
  for (uint32_t bit = prefix_length; bit < most; ++bit) cidr.bytes_[bit / 8] &= static_cast<uint8_t>(~(0x80U >> bit % 8));
  return cidr;
}

absl::StatusOr<Cidr> Cidr::compile(const envoy::config::core::v3::CidrRange& proto) {
  return parse(proto.address_prefix(), proto.prefix_len().value());
}

bool Cidr::contains(std::string_view address) const {
  address = size_ == 4 ? unmap(address) : address;
  if (address.size() != size_) return false;
  const size_t whole = bits_ / 8;
  if (std::memcmp(address.data(), bytes_.data(), whole) != 0) return false;
  const unsigned rest = bits_ % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff00U >> rest);
  return (static_cast<uint8_t>(address[whole]) & mask) == bytes_[whole];
}

bool Cidr::contains_text(std::string_view ip) const {
  char text[INET6_ADDRSTRLEN + 1];
  if (ip.size() >= sizeof text) return false;
  std::memcpy(text, ip.data(), ip.size());
  text[ip.size()] = '\0';
  char bytes[16];
  if (inet_pton(AF_INET, text, bytes) == 1) return contains({bytes, 4});
  return inet_pton(AF_INET6, text, bytes) == 1 && contains({bytes, 16});
}

std::string Cidr::describe() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(size_ == 4 ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  return absl::StrCat(text, "/", bits_);
}

absl::StatusOr<Fraction> Fraction::compile(const envoy::type::v3::FractionalPercent& proto) {
  switch (proto.denominator()) {
    case envoy::type::v3::FractionalPercent::HUNDRED: return Fraction(proto.numerator(), 100);
    case envoy::type::v3::FractionalPercent::TEN_THOUSAND: return Fraction(proto.numerator(), 10'000);
    case envoy::type::v3::FractionalPercent::MILLION: return Fraction(proto.numerator(), 1'000'000);
    default: return absl::InvalidArgumentError(absl::StrCat("denominator: unknown value ", static_cast<int>(proto.denominator())));
  }
}

absl::StatusOr<Fraction> Fraction::compile(const envoy::config::core::v3::RuntimeFractionalPercent& proto) {
  auto fraction = compile(proto.default_value());
  if (fraction.ok()) fraction->key_ = proto.runtime_key();
  return fraction;
}

bool Fraction::match(uint64_t random, const Runtime* runtime) const {
  uint64_t numerator = numerator_, denominator = denominator_;
  if (runtime != nullptr && !key_.empty()) {
    if (const Runtime::Value* value = runtime->find(key_)) {
      if (value->fraction) {
        numerator = value->fraction->first;
        denominator = value->fraction->second;
      } else if (value->number && *value->number >= 0) {  // Envoy: a plain number is a percentage
        numerator = static_cast<uint64_t>(*value->number);
        denominator = 100;
      }
    }
  }
  return random % denominator < numerator;
}

}  // namespace fairlead::matching
