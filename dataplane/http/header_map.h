// The headers of one message, in order: a contiguous array of {name, value, token} in the stream's arena. Names are lower case.
// Well-known names have a Token (header_tokens.h, generated), found in O(1); others are found by length and bytes.
// Pseudo-headers (:method :path :authority :scheme :status :protocol) are entries like the rest, in any position.
// Views stay valid as long as the arena; a removed entry's bytes do too. Trivially destructible: lives in its arena if wanted.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "dataplane/http/arena.h"
#include "dataplane/http/header_tokens.h"

namespace fairlead::http {

// The token of a lower-case name, Token::Other when it has none.
Token token_of(std::string_view lower_case_name);
// The name of a token ("" for Token::Other).
std::string_view token_name(Token token);

class Header {
 public:
  std::string_view name() const { return {name_, name_size_}; }
  std::string_view value() const { return {value_, value_size_}; }
  Token token() const { return token_; }
  bool is_pseudo() const { return name_size_ != 0 && name_[0] == ':'; }

 private:
  friend class HeaderMap;
  const char* name_;
  const char* value_;
  uint32_t name_size_;
  uint32_t value_size_;
  Token token_;
};

class HeaderMap {
 public:
  explicit HeaderMap(Arena& arena) : arena_(&arena) { std::memset(first_, 0, sizeof first_); }
  HeaderMap(HeaderMap&&) = default;
  HeaderMap& operator=(HeaderMap&&) = default;
  HeaderMap(const HeaderMap&) = delete;
  HeaderMap& operator=(const HeaderMap&) = delete;
  HeaderMap copy_to(Arena& arena) const;  // deep

  Arena& arena() const { return *arena_; }
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const Header* begin() const { return entries_; }
  const Header* end() const { return entries_ + size_; }
  const Header& operator[](uint32_t i) const { return entries_[i]; }
  // Names and values together, as Envoy's byteSize().
  size_t byte_size() const { return byte_size_; }

  // First entry or null.
  const Header* find(Token token) const {
    uint8_t at = first_[static_cast<uint8_t>(token)];
    if (at == 0) return nullptr;
    return at != kFar ? &entries_[at - 1] : find_far(token);
  }
  const Header* find(std::string_view lower_case_name) const;
  bool has(Token token) const { return first_[static_cast<uint8_t>(token)] != 0; }
  bool has(std::string_view lower_case_name) const { return find(lower_case_name) != nullptr; }
  // Value of the first entry; empty when absent (use find() where empty and absent differ).
  std::string_view get(Token token) const {
    const Header* h = find(token);
    return h != nullptr ? h->value() : std::string_view();
  }
  std::string_view get(std::string_view lower_case_name) const {
    const Header* h = find(lower_case_name);
    return h != nullptr ? h->value() : std::string_view();
  }
  template <class F>  // f(std::string_view value) for every entry of that name, in order
  void for_each_value(std::string_view lower_case_name, F&& f) const {
    for (const Header& h : *this) {
      if (h.name_size_ == lower_case_name.size() && std::memcmp(h.name_, lower_case_name.data(), h.name_size_) == 0) f(h.value());
    }
  }
  uint32_t count(std::string_view lower_case_name) const;
  // All values joined by "," (Envoy's getAllOfHeaderAsString); absent: nullopt. Copies only when there are several.
  std::optional<std::string_view> joined(std::string_view lower_case_name) const;

  // Add a further entry. The plain forms copy into the arena; the _ref forms keep the views (static strings, arena memory).
  void add(std::string_view lower_case_name, std::string_view value);
  void add(Token token, std::string_view value) { add_ref(token, arena_->copy(value)); }
  void add_ref(Token token, std::string_view value) { push(token_name(token), value, token); }
  void add_ref(std::string_view lower_case_name, std::string_view value) { push(lower_case_name, value, token_of(lower_case_name)); }
  void add_ref(std::string_view lower_case_name, std::string_view value, Token token) { push(lower_case_name, value, token); }
  // Replace the first entry (in place) and drop further ones; add when absent.
  void set(std::string_view lower_case_name, std::string_view value);
  void set(Token token, std::string_view value) { set_ref(token, arena_->copy(value)); }
  void set_ref(Token token, std::string_view value);
  // Append to the first entry as "old,new" (`delimiter` between); add when absent.
  void append(std::string_view lower_case_name, std::string_view value, std::string_view delimiter = ",");
  void append(Token token, std::string_view value, std::string_view delimiter = ",") { append(token_name(token), value, delimiter); }
  // All entries of that name; returns how many went.
  uint32_t remove(std::string_view lower_case_name);
  uint32_t remove(Token token);
  template <class P>  // p(const Header&) -> true to drop; one pass
  uint32_t remove_if(P&& p) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < size_; ++i) {
      if (p(static_cast<const Header&>(entries_[i]))) {
        byte_size_ -= entries_[i].name_size_ + entries_[i].value_size_;
      } else {
        if (kept != i) entries_[kept] = entries_[i];
        ++kept;
      }
    }
    uint32_t gone = size_ - kept;
    size_ = kept;
    if (gone != 0) rebuild_index();
    return gone;
  }
  void clear();
  // Room for that many entries, of a map that has none yet; it grows past them. Without it there is room for most messages.
  void reserve(uint32_t entries);

 private:
  static constexpr uint32_t kFirstCapacity = 24;  // most messages; 768 bytes
  static constexpr uint8_t kFar = 255;  // the token's first entry is beyond the index's reach: scan

  void push(std::string_view name, std::string_view value, Token token) {
    if (size_ == capacity_) grow();
    Header& h = entries_[size_++];
    h.name_ = name.data();
    h.value_ = value.data();
    h.name_size_ = static_cast<uint32_t>(name.size());
    h.value_size_ = static_cast<uint32_t>(value.size());
    h.token_ = token;
    byte_size_ += name.size() + value.size();
    uint8_t& first = first_[static_cast<uint8_t>(token)];
    if (token != Token::Other && first == 0) first = size_ < kFar ? static_cast<uint8_t>(size_) : kFar;
  }
  const Header* find_far(Token token) const;
  void replace(Header& h, std::string_view value);
  void grow() { grow_to(capacity_ == 0 ? kFirstCapacity : capacity_ * 2); }
  void grow_to(uint32_t capacity);
  void rebuild_index();

  Arena* arena_;
  Header* entries_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
  size_t byte_size_ = 0;
  uint8_t first_[kTokenCount];  // index + 1 of the first entry of each token; 0: none
};

}  // namespace fairlead::http
