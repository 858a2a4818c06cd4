// Header map operations off the fast path (header_map.h).
#include "dataplane/http/header_map.h"

#include <algorithm>

namespace fairlead::http {

void HeaderMap::reserve(uint32_t entries) {
  if (capacity_ == 0 && entries != 0) grow_to(entries);
}

void HeaderMap::grow_to(uint32_t capacity) {
  auto* entries = static_cast<Header*>(arena_->allocate(capacity * sizeof(Header), alignof(Header)));
  if (size_ != 0) std::memcpy(static_cast<void*>(entries), entries_, size_ * sizeof(Header));
  entries_ = entries;
  capacity_ = capacity;
}

void HeaderMap::rebuild_index() {
  std::memset(first_, 0, sizeof first_);
  for (uint32_t i = 0; i < size_; ++i) {
    Token token = entries_[i].token_;
    uint8_t& first = first_[static_cast<uint8_t>(token)];
    if (token != Token::Other && first == 0) first = i + 1 < kFar ? static_cast<uint8_t>(i + 1) : kFar;
  }
}

const Header* HeaderMap::find_far(Token token) const {
  for (uint32_t i = kFar - 1; i < size_; ++i) {
    if (entries_[i].token_ == token) return &entries_[i];
  }
  return nullptr;
}

const Header* HeaderMap::find(std::string_view name) const {
  Token token = token_of(name);
  if (token != Token::Other) return find(token);
  for (const Header& h : *this) {
    if (h.name_size_ == name.size() && std::memcmp(h.name_, name.data(), name.size()) == 0) return &h;
  }
  return nullptr;
}

uint32_t HeaderMap::count(std::string_view name) const {
  uint32_t n = 0;
  for_each_value(name, [&n](std::string_view) { ++n; });
  return n;
}

std::optional<std::string_view> HeaderMap::joined(std::string_view name) const {
  const Header* first = find(name);
  if (first == nullptr) return std::nullopt;
  size_t size = 0;
  uint32_t n = 0;
  for_each_value(name, [&](std::string_view value) {
    size += value.size() + 1;
    ++n;
  });
  if (n == 1) return first->value();
  char* text = arena_->bytes(size);
  char* at = text;
  for_each_value(name, [&](std::string_view value) {
    if (at != text) *at++ = ',';
    at = std::copy(value.begin(), value.end(), at);
  });
  return std::string_view(text, static_cast<size_t>(at - text));
}

void HeaderMap::add(std::string_view name, std::string_view value) {
  Token token = token_of(name);
  push(token != Token::Other ? token_name(token) : arena_->copy(name), arena_->copy(value), token);
}

void HeaderMap::replace(Header& h, std::string_view value) {
  byte_size_ += value.size();
  byte_size_ -= h.value_size_;
  h.value_ = value.data();
  h.value_size_ = static_cast<uint32_t>(value.size());
}

void HeaderMap::set(std::string_view name, std::string_view value) {
  Token token = token_of(name);
  if (token != Token::Other) return set(token, value);
  const Header* first = find(name);
  if (first == nullptr) return push(arena_->copy(name), arena_->copy(value), token);
  replace(entries_[first - entries_], arena_->copy(value));
  remove_if([&](const Header& h) { return &h > first && h.name() == name; });
}

void HeaderMap::set_ref(Token token, std::string_view value) {
  const Header* first = find(token);
  if (first == nullptr) return push(token_name(token), value, token);
  replace(entries_[first - entries_], value);
  for (const Header* h = first + 1; h != end(); ++h) {
    if (h->token_ == token) {
      remove_if([&](const Header& other) { return &other > first && other.token_ == token; });
      return;
    }
  }
}

void HeaderMap::append(std::string_view name, std::string_view value, std::string_view delimiter) {
  const Header* first = find(name);
  if (first == nullptr) return add(name, value);
  size_t size = first->value_size_ + delimiter.size() + value.size();
  char* text = arena_->bytes(size);
  char* at = std::copy(first->value_, first->value_ + first->value_size_, text);
  at = std::copy(delimiter.begin(), delimiter.end(), at);
  std::copy(value.begin(), value.end(), at);
  replace(entries_[first - entries_], {text, size});
}

uint32_t HeaderMap::remove(Token token) {
  if (!has(token)) return 0;
  return remove_if([token](const Header& h) { return h.token_ == token; });
}

uint32_t HeaderMap::remove(std::string_view name) {
  Token token = token_of(name);
  if (token != Token::Other) return remove(token);
  return remove_if([name](const Header& h) { return h.name() == name; });
}

void HeaderMap::clear() {
  size_ = 0;
  byte_size_ = 0;
  std::memset(first_, 0, sizeof first_);
}

HeaderMap HeaderMap::copy_to(Arena& arena) const {
  HeaderMap copy(arena);
  copy.reserve(size_);
  size_t bytes = 0;
  for (const Header& h : *this) bytes += h.value_size_ + (h.token_ == Token::Other ? h.name_size_ : 0);
  char* text = bytes != 0 ? arena.bytes(bytes) : nullptr;
  auto place = [&text](const char* from, uint32_t size) {
    if (size != 0) std::memcpy(text, from, size);
    std::string_view placed(text, size);
    text += size;
    return placed;
  };
  for (const Header& h : *this) {
    std::string_view name = h.token_ == Token::Other ? place(h.name_, h.name_size_) : token_name(h.token_);
    copy.push(name, place(h.value_, h.value_size_), h.token_);
  }
  return copy;
}

}  // namespace fairlead::http
