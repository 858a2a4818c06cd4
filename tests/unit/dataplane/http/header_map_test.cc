// Header maps, tokens, arenas and status texts.
#include "dataplane/http/header_map.h"

#include <catch2/catch.hpp>

#include "dataplane/http/status.h"

using namespace fairlead::http;

namespace {
std::string text_of(const HeaderMap& headers) {
  std::string text;
  for (const Header& h : headers) text += std::string(h.name()) + "=" + std::string(h.value()) + ";";
  return text;
}
}  // namespace

TEST_CASE("every well-known name finds its token and nothing else does", "[headers]") {
  for (size_t i = 1; i < kTokenCount; ++i) {
    auto token = static_cast<Token>(i);
    std::string name(token_name(token));
    CHECK(token_of(name) == token);
    CHECK(token_of(name + "x") == Token::Other);
    CHECK(token_of(name.substr(1)) == Token::Other);
    name.back() = name.back() == 'q' ? 'p' : 'q';
    CHECK(token_of(name) == Token::Other);
  }
  CHECK(token_of("") == Token::Other);
  CHECK(token_of("x") == Token::Other);
}

TEST_CASE("headers keep their order, and repeated names their values", "[headers]") {
  Arena arena;
  HeaderMap h(arena);
  h.add(":method", "GET");
  h.add("x-a", "1");
  h.add("accept", "*/*");
  h.add("x-a", "2");
  CHECK(text_of(h) == ":method=GET;x-a=1;accept=*/*;x-a=2;");
  CHECK(h.get(Token::PseudoMethod) == "GET");
  CHECK(h.get("x-a") == "1");
  CHECK(h.count("x-a") == 2);
  CHECK(*h.joined("x-a") == "1,2");
  CHECK(*h.joined("accept") == "*/*");
  CHECK_FALSE(h.joined("absent").has_value());
  CHECK(h.byte_size() == 7 + 3 + 3 + 1 + 6 + 3 + 3 + 1);
}

TEST_CASE("set replaces in place and drops repeats", "[headers]") {
  Arena arena;
  HeaderMap h(arena);
  for (const char* name : {"x-a", "cookie", "x-b", "x-a", "cookie"}) h.add(name, name);
  h.set("x-a", "new");
  CHECK(text_of(h) == "x-a=new;cookie=cookie;x-b=x-b;cookie=cookie;");
  h.set(Token::Cookie, "c");
  CHECK(text_of(h) == "x-a=new;cookie=c;x-b=x-b;");
  h.set("x-c", "3");
  h.set(Token::Server, "s");
  CHECK(text_of(h) == "x-a=new;cookie=c;x-b=x-b;x-c=3;server=s;");
  CHECK(h.find(Token::Server)->value() == "s");
}

TEST_CASE("append joins to the first value", "[headers]") {
  Arena arena;
  HeaderMap h(arena);
  h.append("via", "a");
  h.append(Token::Via, "b", ", ");
  CHECK(h.get(Token::Via) == "a, b");
}

TEST_CASE("remove keeps the index right", "[headers]") {
  Arena arena;
  HeaderMap h(arena);
  for (const char* name : {"host", "x-1", "via", "x-2", "via", "server"}) h.add(name, "v");
  CHECK(h.remove("via") == 2);
  CHECK(h.remove("via") == 0);
  CHECK_FALSE(h.has(Token::Via));
  CHECK(h.find(Token::Server) == &h[3]);
  CHECK(h.remove("x-1") == 1);
  CHECK(h.find(Token::Server) == &h[2]);
  CHECK(h.byte_size() == 4 + 3 + 6 + 3);
  h.clear();
  CHECK(h.empty());
  CHECK_FALSE(h.has(Token::Host));
}

TEST_CASE("tokens far beyond the index are still found", "[headers]") {
  Arena arena;
  HeaderMap h(arena);
  for (int i = 0; i < 400; ++i) h.add("x-" + std::to_string(i), "v");
  h.add("server", "far");
  h.add("x-last", "l");
  CHECK(h.get(Token::Server) == "far");
  CHECK(h.get("x-last") == "l");
  CHECK(h.get("x-399") == "v");
  CHECK(h.remove_if([](const Header& e) { return e.token() == Token::Other; }) == 401);
  CHECK(h.get(Token::Server) == "far");
}

TEST_CASE("a map takes the room it is told of, and grows past it", "[headers]") {
  Arena arena;
  HeaderMap h(arena);
  h.reserve(2);
  for (int i = 0; i < 5; ++i) {
    h.add("x-" + std::to_string(i), "v");
    h.reserve(1);  // too late
  }
  CHECK(h.size() == 5);
  CHECK(h.get("x-0") == "v");
  CHECK(h.get("x-4") == "v");
}

TEST_CASE("a copy in another arena outlives the first", "[headers]") {
  Arena second;
  HeaderMap copy(second);
  {
    Arena first;
    HeaderMap h(first);
    h.add("x-name", std::string(5000, 'v'));
    h.add("host", "example.com");
    copy = h.copy_to(second);
  }
  CHECK(copy.get(Token::Host) == "example.com");
  CHECK(copy.get("x-name") == std::string(5000, 'v'));
}

TEST_CASE("an arena gives aligned room and takes it all back", "[arena]") {
  Arena arena;
  for (size_t size : {1, 7, 4000, 10000, 3, 64}) {
    auto* at = static_cast<char*>(arena.allocate(size, 16));
    CHECK(reinterpret_cast<uintptr_t>(at) % 16 == 0);
    std::memset(at, 1, size);
  }
  CHECK(arena.footprint() > 14000);
  arena.reset();
  CHECK(arena.footprint() == 0);
  CHECK(arena.copy("text") == "text");
}

TEST_CASE("status texts", "[status]") {
  CHECK(status_text(200) == "200");
  CHECK(status_text(599) == "599");
  CHECK(reason_phrase(404) == "Not Found");
  CHECK(reason_phrase(299) == "Unknown");
  CHECK(parse_status("204") == 204);
  for (const char* bad : {"", "20", "2000", "2x4", "099", " 20"}) CHECK(parse_status(bad) == 0);
}

TEST_CASE("the date header", "[status]") {
  auto at = [](long seconds) { return std::chrono::system_clock::time_point(std::chrono::seconds(seconds)); };
  CHECK(http_date(at(784111777)) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(http_date(at(784111778)) == "Sun, 06 Nov 1994 08:49:38 GMT");
  CHECK(http_date(at(951827696)) == "Tue, 29 Feb 2000 12:34:56 GMT");
}
