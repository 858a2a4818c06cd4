// The store: variants, its bound, and what is replaced.
#include "dataplane/filters/http/cache/store.h"

#include <catch2/catch.hpp>

#include <absl/strings/str_cat.h>

#include <string>
#include <thread>
#include <vector>

#include "base/log.h"

using namespace fairlead;
using namespace fairlead::filters::cache;

namespace {

ResponsePtr response(std::string body, std::string accept = {}) {
  auto out = std::make_shared<Response>();
  out->body = std::make_shared<const std::string>(std::move(body));
  if (!accept.empty()) out->vary = {{"accept", accept}};
  return out;
}

std::string found(Store& store, std::string_view key, std::string_view accept = {}) {
  http::Arena arena;
  http::HeaderMap request(arena);
  if (!accept.empty()) request.add("accept", accept);
  const ResponsePtr out = store.find(key, request);
  return out ? *out->body : "nothing";
}

}  // namespace

TEST_CASE("variants of one key are told apart by the request's fields, and replaced one by one") {
  Store store;
  store.insert("k", response("a1", "a"));
  store.insert("k", response("b", "b"));
  store.insert("k", response("a2", "a"));
  CHECK(found(store, "k", "a") == "a2");
  CHECK(found(store, "k", "b") == "b");
  CHECK(found(store, "k") == "nothing");
  store.insert("k", response("any"));
  CHECK(found(store, "k") == "any");
  store.erase("k");
  CHECK(found(store, "k", "a") == "nothing");
  CHECK(store.bytes() == 0);
}

TEST_CASE("a key has a bounded number of variants") {
  Store store;
  for (size_t i = 0; i <= Store::kMaxVariants; ++i) store.insert("k", response(absl::StrCat(i), absl::StrCat("v", i)));
  CHECK(found(store, "k", "v0") == "nothing");
  CHECK(found(store, "k", "v1") == "1");
  CHECK(found(store, "k", absl::StrCat("v", Store::kMaxVariants)) == absl::StrCat(Store::kMaxVariants));
}

TEST_CASE("the bound holds, the least recently used go first, and what is in use stays readable") {
  constexpr size_t kBytes = 8 * 10000;
  Store store(kBytes);
  http::Arena arena;
  const http::HeaderMap nothing(arena);
  store.insert("used", response(std::string(1000, 'u')));
  const ResponsePtr held = store.find("used", nothing);
  for (int i = 0; i < 1000; ++i) {
    store.insert(absl::StrCat("k", i), response(std::string(1000, 'x')));
    CHECK(store.bytes() <= kBytes);
    CHECK(found(store, "used") == std::string(1000, 'u'));
  }
  CHECK(found(store, "k0") == "nothing");
  CHECK(found(store, "k999") != "nothing");
  store.insert("used", response(std::string(kBytes, 'h')));  // more than a shard: nothing old is left of it either
  CHECK(found(store, "used") == "nothing");
  CHECK(*held->body == std::string(1000, 'u'));
}

TEST_CASE("what makes room for others is counted, and told of once a minute") {
  std::vector<std::string> lines;
  log::set_capture([](void* to, std::string_view component, log::Level, std::string_view text) { static_cast<std::vector<std::string>*>(to)->push_back(absl::StrCat(component, ": ", text)); }, &lines);
  constexpr size_t kBytes = size_t{8} << 20;
  Store store(kBytes);
  const auto insert = [&](int i, int64_t now) {
    auto one = std::make_shared<Response>(*response(std::string(200'000, 'x')));
    one->came = now;
    store.insert(absl::StrCat("k", i), std::move(one));
  };
  for (int i = 0; i < 4; ++i) insert(i, 1000);
  CHECK(store.evicted() == 0);
  for (int i = 4; i < 200; ++i) insert(i, 1000 + i % 60);
  CHECK(store.evicted() >= 200 - 8 * 5);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("cache: the cache is full (8 MiB): ") == 0);
  insert(200, 1060);
  insert(201, 1200);
  log::set_capture(nullptr, nullptr);
  CHECK(lines.size() >= 2);
  CHECK(lines.size() <= 3);
}

TEST_CASE("bodies on their way share a bound") {
  Store store;
  CHECK(store.begin_filling(Store::kMaxFilling));
  CHECK_FALSE(store.begin_filling(1));
  store.end_filling(Store::kMaxFilling);
  CHECK(store.begin_filling(1));
}

TEST_CASE("threads may use the store at once") {
  Store store(8 * 4000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const std::string key = absl::StrCat("k", (i * 7 + t) % 50);
        store.insert(key, response(key));
        const std::string body = found(store, key);
        if (body != "nothing" && body != key) std::abort();
        if (i % 10 == 0) store.erase(key);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(store.bytes() <= 8 * 4000);
}
