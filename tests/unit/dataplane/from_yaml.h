// Test helpers: protobuf messages from YAML, and header maps from lists.
#pragma once

#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/http/header_map.h"

namespace fairlead::test {

template <typename T>
T from_yaml(std::string_view text) {
  auto document = doc::parse_one(text, "test.yaml");
  if (!document.ok()) throw std::runtime_error(document.status().ToString());
  T message;
  const absl::Status status = doc::to_message(*document, &message);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return message;
}

// A header map with an arena of its own.
class Headers {
 public:
  using List = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  Headers() : arena_(std::make_unique<http::Arena>()), map_(std::make_unique<http::HeaderMap>(*arena_)) {}
  Headers(List list) : Headers() {
    for (const auto& [name, value] : list) map_->add(name, value);
  }
  http::HeaderMap& operator*() { return *map_; }
  http::HeaderMap* operator->() { return map_.get(); }
  const http::HeaderMap* get() const { return map_.get(); }

 private:
  std::unique_ptr<http::Arena> arena_;
  std::unique_ptr<http::HeaderMap> map_;
};

inline Headers request(std::string_view path, std::string_view authority = "example.com", Headers::List more = {}) {
  Headers headers{{":method", "GET"}, {":path", path}, {":authority", authority}, {":scheme", "http"}};
  for (const auto& [name, value] : more) headers->add(name, value);
  return headers;
}

}  // namespace fairlead::test
