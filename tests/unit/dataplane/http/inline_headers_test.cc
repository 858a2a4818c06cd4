// Headers of one line: joined when repeated or added to; all others keep their lines.
#include <catch2/catch.hpp>

#include <string>

#include "dataplane/http/inline_headers.h"

namespace fairlead::http {
namespace {

std::string text(const HeaderMap& headers) {
  std::string out;
  for (const Header& h : headers) out += std::string(h.name()) + "=" + std::string(h.value()) + " ";
  return out;
}

TEST_CASE("repeated lines of inline headers are joined in the first one's place") {
  Arena arena;
  HeaderMap headers(arena);
  for (const char* value : {"1", "2", "3"}) {
    for (const char* name : {"x-forwarded-for", "cookie", "x-a", "via"}) headers.add(name, value);
  }
  headers.add("accept", "*");
  join_repeated(headers, MessageKind::kRequest);
  CHECK(text(headers) == "x-forwarded-for=1,2,3 cookie=1 x-a=1 via=1,2,3 cookie=2 x-a=2 cookie=3 x-a=3 accept=* ");
}

TEST_CASE("which headers are inline depends on the kind of message") {
  Arena arena;
  HeaderMap headers(arena);
  for (const char* value : {"1", "2"}) {
    for (const char* name : {"vary", "set-cookie", "user-agent"}) headers.add(name, value);
  }
  join_repeated(headers, MessageKind::kResponse);
  CHECK(text(headers) == "vary=1,2 set-cookie=1 user-agent=1 set-cookie=2 user-agent=2 ");
}

TEST_CASE("an added value joins an inline header that is there") {
  Arena arena;
  HeaderMap headers(arena);
  headers.add("via", "1");
  headers.add("x-a", "1");
  for (const char* name : {"via", "x-a", "x-forwarded-for"}) add_value(headers, name, "2", MessageKind::kRequest);
  CHECK(text(headers) == "via=1,2 x-a=1 x-a=2 x-forwarded-for=2 ");
}

}  // namespace
}  // namespace fairlead::http
